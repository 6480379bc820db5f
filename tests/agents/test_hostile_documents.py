"""Documents made to hurt whoever parses them (S7, S8, S9): nothing is opened, nothing expands, the time is bounded."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agents.feeds import parsing
from agents.feeds.parsing import ParsePool
from agents.feeds.worker import Job, handle
from pipeline.collect.entries import MAX_ENTRIES, MAX_TEXT_BYTES, MAX_TITLE_BYTES
from pipeline.errors import SettingsError
from tests.builders import NOON
from tests.feed_servers import reply, site
from tests.feed_texts import TITLES, county_news

TAIL = "<rss version='2.0'><channel><item><title>甲{}乙</title><link>http://news.example/1</link></item></channel></rss>"
LOL = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 11))


def job(body: str | bytes, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "body": body if isinstance(body, bytes) else body.encode(), "content_type": "", "form": "auto",
        "source_id": "news", "url": "http://news.example/rss", "zone": "Asia/Shanghai", "now": NOON, "backfill": False,
        **changes}
    return Job(**values)


# ---------------------------------------------------------------- what a parser opens


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Parsers import some of their modules late."""
    for document in (county_news(), "<rss><channel>&x;<b", "{}"):
        handle(job(document))


WATCHED = {"open", "os.listdir", "os.scandir", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
           "socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request",
           "http.client.connect", "ctypes.dlopen"}
_seen: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    bytecode = str(arguments[0]).endswith((".pyc", ".py")) if arguments else False     # a codec imported late
    if _seen is not None and event in WATCHED and not bytecode:
        _seen.append(f"{event} {arguments[:1]}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """What is opened meanwhile. A hook stays for good, so there is one, and it sleeps."""
    global _seen
    if not getattr(sys, "_wenxun_hook", False):
        sys.addaudithook(_hook)
        sys._wenxun_hook = True  # type: ignore[attr-defined]
    _seen = []
    try:
        yield _seen
    finally:
        _seen = None


def test_the_watch_sees_what_it_should() -> None:
    with watched() as seen, open("/etc/hostname", "rb"):
        pass
    assert seen and seen[0].startswith("open ")


def doctype(inside: str, reference: str = "&x;") -> str:
    return f'<?xml version="1.0"?><!DOCTYPE rss {inside}>' + TAIL.format(reference)


QUADRATIC = doctype(f'[<!ENTITY x "{"A" * 100_000}">]', "&x;" * 20_000)
DOCUMENTS: dict[str, str | bytes] = {
    "billion laughs": doctype(f'[<!ENTITY l0 "ha">{LOL}]', "&l10;"),
    "quadratic": QUADRATIC,
    "external file": doctype('[<!ENTITY x SYSTEM "file:///etc/passwd">]'),
    "external url": doctype('[<!ENTITY x SYSTEM "http://127.0.0.1:PORT/x">]'),
    "external dtd": doctype('SYSTEM "http://127.0.0.1:PORT/x.dtd"'),
    "public dtd": doctype('PUBLIC "-//X//X" "http://127.0.0.1:PORT/x.dtd" [<!ENTITY x "1">]'),
    "parameter entity": doctype('[<!ENTITY % p SYSTEM "http://127.0.0.1:PORT/p.dtd"> %p;]'),
    "utf-16": doctype('[<!ENTITY x SYSTEM "file:///etc/passwd">]').encode("utf-16"),
    "lower case": doctype('[<!entity x SYSTEM "file:///etc/passwd">]').replace("DOCTYPE", "doctype"),
    "after a comment": doctype('[<!ENTITY x SYSTEM "file:///etc/passwd">]').replace("<!DOC", "<!-- <rss> --><!DOC"),
    "after an odd comment": QUADRATIC.replace("<!DOC", "<!--> <a --><!DOC"),
    "after white space": QUADRATIC.replace("?><", f"?>{' ' * 70_000}<"),
    "two of them": "<!DOCTYPE a []>" + QUADRATIC[21:],
    "an early end": QUADRATIC.replace("[<", '[<!ENTITY y "]>"> \n]>\n<!DOCTYPE b [<'),
    "inside the root": TAIL.format('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>&x;'),
    "xml-stylesheet": '<?xml-stylesheet type="text/xsl" href="http://127.0.0.1:PORT/x.xsl"?>' + TAIL.format(""),
    "xinclude": TAIL.format(
        '<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'),
    "a path": "/etc/passwd", "a url": "http://127.0.0.1:PORT/x", "a file url": "file:///etc/passwd",
    "a url with a feed behind": "http://127.0.0.1:PORT/x\n" + TAIL.format(""),
    "a feed: url": "feed:http://127.0.0.1:PORT/x", "a windows path": "C:\\Windows\\win.ini",
    "a json path": '"/etc/passwd"', "json with a file": '{"items": [{"id": "1", "title": "x", "url": "file:///etc/passwd"}]}',
    "base": TAIL.format("").replace("<channel>", "<channel xml:base='file:///etc/'>"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_reading_a_document_opens_nothing_and_expands_nothing(name: str) -> None:
    document = DOCUMENTS[name]
    async with site(x=reply(200, county_news().encode())) as here:
        if isinstance(document, str):
            document = document.replace("PORT", str(here.port))
        began = time.process_time()
        with watched() as seen:
            done = await asyncio.to_thread(handle, job(document))
        took = time.process_time() - began
        assert here.connections == 0
    assert seen == [] and took < 2
    texts = [text for item in done.items for text in (item.title, item.text, item.url)]
    assert done.items or done.error
    assert not any("root:" in text or "haha" in text or "AAAA" in text or "file:" in text for text in texts)
    assert not done.error.startswith("解析失败")


def test_a_document_with_a_harmless_entity_keeps_its_words() -> None:
    done = handle(job(doctype('[<!ENTITY x "county">]')))
    assert [item.title.replace("&x;", "") for item in done.items] == ["甲乙"]


# ---------------------------------------------------------------- size and depth


SHAPES: dict[str, bytes] = {
    "deep tags": b"<rss version='2.0'><channel><item><title>" + b"<a>" * 300_000,
    "deep json": b'{"version": "https://jsonfeed.org/version/1.1", "items": ' + b"[" * 500_000,
    "deep json objects": b'{"items":' * 200_000,
    "many items": b"<rss version='2.0'><channel>" + b"<item><title>x</title></item>" * 60_000,
    "many attributes": b"<rss version='2.0'><channel><item " + b" ".join(b"a%d='1'" % n for n in range(50_000)),
    "many namespaces": b"<rss " + b" ".join(b"xmlns:a%d='u%d'" % (n, n) for n in range(60_000)) + b"><channel/></rss>",
    "long title": b"<rss version='2.0'><channel><item><title>" + b"x" * 12_000_000 + b"</title></item></channel></rss>",
    "long name": b"<rss version='2.0'><channel><item><" + b"x" * 5_000_000 + b">",
    "long attribute": b"<rss version='2.0'><channel><item a='" + b"x" * 8_000_000,
    "open brackets": b"<rss version='2.0'><channel><item><description>" + b"&lt;" * 2_000_000,
    "many comments": b"<rss version='2.0'><channel>" + b"<!--" * 2_000_000,
    "many doctypes": b"<!DOCTYPE>" * 1_000_000,
    "open doctypes": b"<!DOCTYPE a [" * 500_000,
    "ampersands": b"<rss version='2.0'><channel><item><title>" + b"&" * 6_000_000,
    "big numbers": b'{"items": [{"id": ' + b"9" * 3_000_000 + b"}]}",
    "brackets": b"<" * 10_000_000,
    "processing instructions": b"<?" * 4_000_000,
    "cdata": b"<rss version='2.0'><channel><item><title>" + b"<![CDATA[" * 1_000_000,
    "zeros": b"\0" * 10_000_000,
    "numeric references": b"<rss version='2.0'><channel><item><title>" + b"&#1;" * 2_000_000,
}


@pytest.mark.parametrize("name", SHAPES)
async def test_an_extreme_document_ends_in_time_and_within_the_caps(name: str) -> None:
    async with ParsePool(workers=1, seconds=60.0) as pool:
        await pool.parse(job(county_news()))            # the worker is there
        pool._seconds = 3.0
        began = time.perf_counter()
        done = await pool.parse(job(SHAPES[name]))
        took = time.perf_counter() - began
        pool._seconds = 60.0
        again = await pool.parse(job(county_news()))
    assert took < 30, "three seconds and a kill"
    assert done.kind or done.error
    assert len(done.items) <= MAX_ENTRIES and not done.error.startswith("解析失败")
    for item in done.items:
        assert len(item.title.encode()) <= MAX_TITLE_BYTES and len(item.text.encode()) <= MAX_TEXT_BYTES
    assert [item.title for item in reversed(again.items)] == TITLES


# ---------------------------------------------------------------- the parser itself


def test_only_expat_parses_and_it_knows_how_to_stop_entities() -> None:
    import pyexpat

    import feedparser

    assert feedparser.api.PREFERRED_XML_PARSERS == []
    assert pyexpat.version_info >= parsing.EXPAT == (2, 4, 1)


def test_an_older_expat_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing.pyexpat, "version_info", (2, 4, 0))
    with pytest.raises(SettingsError, match=r"expat 2\.4\.0"):
        ParsePool()
