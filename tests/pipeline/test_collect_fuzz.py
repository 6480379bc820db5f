"""Damaged documents, by the hundred: a named outcome each, within the caps, and Chinese stays Chinese.

Hypothesis prints the example and the blob that repeats it (`@reproduce_failure`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.collect.entries import MAX_ENTRIES, MAX_TEXT_BYTES, MAX_TITLE_BYTES, Parsed
from pipeline.errors import NotAFeed
from pipeline.rulebook.schema import SourceFormat
from tests.feed_texts import HEAD_LINES, county_news, parsed

bounded = settings(max_examples=150, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])

_ITEMS = [{"id": str(n), "url": f"http://news.example/{n}", "title": title, "content_html": f"<p>{text}</p>",
           "date_published": "2026-11-22T10:00:00+08:00", "authors": [{"name": "某甲"}]}
          for n, (title, text) in enumerate(HEAD_LINES)]
_ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>青山县论坛</title>
{}</feed>""".format("".join(
    f"<entry><id>tag:{n}</id><title>{title}</title><link href='http://bbs.example/{n}'/><content type='html'>"
    f"&lt;p&gt;{text}&lt;/p&gt;</content><updated>2026-11-22T10:00:00+08:00</updated></entry>"
    for n, (title, text) in enumerate(HEAD_LINES)))
_RDF = """<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
xmlns="http://purl.org/rss/1.0/">{}</rdf:RDF>""".format("".join(
    f"<item rdf:about='http://n.example/{n}'><title>{title}</title><description><![CDATA[<b>{text}</b>]]></description>"
    f"<link>http://n.example/{n}</link></item>" for n, (title, text) in enumerate(HEAD_LINES)))
_GBK = '<?xml version="1.0" encoding="gbk"?>'
_DISCOURSE = {"topic_list": {"topics": [
    {"id": n, "title": title, "slug": "topic", "created_at": "2026-11-22T02:00:00.000Z", "excerpt": text, "views": 3,
     "posts_count": 2, "like_count": 1} for n, (title, text) in enumerate(HEAD_LINES, start=1)]}}

DOCUMENTS: dict[str, bytes] = {
    "rss": county_news().encode(), "rss-gbk": county_news(_GBK).encode("gbk"),
    "rss-gbk-undeclared": county_news("").encode("gbk"), "rss-gbk-as-utf-8": county_news().encode("gbk"),
    "rss-utf-16": county_news("").encode("utf-16"), "rss-bom": county_news("").encode("utf-8-sig"),
    "atom": _ATOM.encode(), "rdf": _RDF.encode(),
    "json": json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": _ITEMS}, ensure_ascii=False).encode(),
    "json-escaped": json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": _ITEMS}).encode(),
    "discourse": json.dumps(_DISCOURSE, ensure_ascii=False).encode(),
    "page": "<html><title>青山县</title><link rel=alternate type='application/rss+xml' href='/rss'></html>".encode(),
}
TYPES = ["", "text/html", "application/json", "text/xml; charset=gbk", "text/xml; charset=utf-8", "image/png",
         "text/plain; charset=big5", "application/rss+xml; charset=", "text/xml; charset=utf-7", "a; charset=\x00",
         "text/xml;charset=idna", "text/xml; charset=base64", "text/xml; charset=utf-16",
         "text/xml; charset=" + "x" * 300]

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd\ufffe\uffff]")


@dataclass(frozen=True)
class Damage:
    """What to do at a place, given in thousandths of the document."""

    kind: str
    at: int
    size: int
    stuff: bytes

    def __call__(self, body: bytes) -> bytes:
        start = len(body) * self.at // 1000
        end = min(len(body), start + self.size)
        match self.kind:
            case "cut":
                return body[:start]
            case "behead":
                return body[start:]
            case "flip":
                flipped = bytes(byte ^ (1 + self.size % 255) for byte in body[start:start + 1])
                return body[:start] + flipped + body[start + 1:]
            case "insert":
                return body[:start] + self.stuff + body[start:]
            case "delete":
                return body[:start] + body[end:]
            case _:
                return body[:end] + body[start:end] * 3 + body[end:]


KINDS = ("cut", "behead", "flip", "insert", "delete", "repeat")
STUFF = st.one_of(st.binary(max_size=40), st.sampled_from([
    b"<", b">", b"]]>", b"<![CDATA[", b"<!--", b"&#0;", b"&#xD800;", b"&#x110000;", b"&x;", b"<!DOCTYPE a [",
    b"\x00" * 9, b"\xff\xfe", b"\xef\xbb\xbf", b"<?xml version='1.0' encoding='utf-16'?>", b"{", b"[" * 2000,
    b"<a>" * 500, b"\\ud800", b"1e999", b"NaN", b'"id": [1, {}], ', "\u202e\u200b".encode(),
    "【】".encode("gbk"), b"\x81", b"\x1b$B"]))
DAMAGE = st.builds(Damage, st.sampled_from(KINDS), st.integers(0, 1000), st.integers(0, 2000), STUFF)
FLIP = st.builds(Damage, st.just("flip"), st.integers(0, 999), st.integers(0, 254), st.just(b""))


def read(body: bytes, content_type: str = "", form: SourceFormat = SourceFormat.AUTO) -> Parsed | NotAFeed:
    """The outcome; any other exception is what these tests look for. A second is a thousand times what one takes."""
    began = time.process_time()
    try:
        return parsed(body, content_type=content_type, form=form)
    except NotAFeed as error:
        assert str(error) and not _UNREADABLE.search(str(error)), str(error)
        return error
    finally:
        assert time.process_time() - began < 5, f"{len(body)} bytes took too long"


def texts_of(found: Parsed | NotAFeed) -> list[str]:
    return [text for item in found.items for text in (item.title, item.text)] if isinstance(found, Parsed) else []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documents_are_sound_to_begin_with(name: str) -> None:
    found = read(DOCUMENTS[name])
    assert isinstance(found, NotAFeed) if name == "page" else HEAD_LINES[0][0] in texts_of(found)


@bounded
@given(st.sampled_from(sorted(DOCUMENTS)), st.lists(DAMAGE, min_size=1, max_size=4), st.sampled_from(TYPES),
       st.sampled_from([SourceFormat.AUTO, SourceFormat.DISCOURSE]))
@example("json", [Damage("insert", 500, 0, b"[" * 2000)], "", SourceFormat.AUTO)
@example("rss-gbk", [Damage("cut", 501, 0, b"")], "text/xml; charset=utf-16", SourceFormat.AUTO)
def test_damage_has_a_named_outcome_within_the_caps(
    name: str, damages: list[Damage], content_type: str, form: SourceFormat
) -> None:
    body = DOCUMENTS[name]
    for damage in damages:
        body = damage(body)
    found = read(body, content_type, form)
    if not isinstance(found, Parsed):
        return
    assert len(found.items) <= MAX_ENTRIES and found.kind
    assert len({item.id for item in found.items}) == len(found.items)
    for item in found.items:
        assert item.title and len(item.title.encode()) <= MAX_TITLE_BYTES and "\n" not in item.title
        assert len(item.text.encode()) <= MAX_TEXT_BYTES
        assert not _UNREADABLE.search(item.title + item.text), repr(item.title + item.text)
        assert item.url == "" or item.url.startswith(("http://", "https://"))
        assert "某甲" not in item.title + item.text, "no author is read"


SOUND = sorted(name for name in DOCUMENTS if name not in ("page", "json-escaped", "rss-utf-16"))


@bounded
@given(st.sampled_from(SOUND), st.lists(FLIP, min_size=1, max_size=3))
@example("rss-gbk", [Damage("flip", 600, 0x7F, b"")])
def test_a_few_flipped_bytes_do_not_turn_chinese_into_another_script(name: str, flips: list[Damage]) -> None:
    """A flipped byte costs its character, and in GBK a few of its neighbours."""
    body = DOCUMENTS[name]
    for flip in flips:
        body = flip(body)
    original = set("".join(texts_of(read(DOCUMENTS[name]))) + "青山县新闻网论坛")
    han = _HAN.findall("".join(texts_of(read(body))))
    strange = [ch for ch in han if ch not in original]
    run = 8 if "gbk" in name else 2
    assert len(strange) <= run * len(flips), f"{''.join(strange)!r} in {''.join(han)!r}"


@bounded
@given(st.sampled_from(SOUND), st.integers(0, 1000))
def test_a_document_cut_anywhere_is_read_as_far_as_it_goes(name: str, at: int) -> None:
    body = Damage("cut", at, 0, b"")(DOCUMENTS[name])
    whole = texts_of(read(DOCUMENTS[name]))
    for text in texts_of(read(body)):
        assert any(text.rstrip("…") in each for each in whole) or text.startswith("http"), text


def _lost(body: bytes, at: int) -> bytes:
    return body[:at] + body[at + 1:]


def _ascii(body: bytes, at: int) -> bytes:
    return body[:at] + b"Q" + body[at + 1:]


def _stray(body: bytes, at: int) -> bytes:
    return body[:at] + b"\x81" + body[at:]


@pytest.mark.parametrize("extension", [
    "<geo:lat/><georss:where xmlns:georss='http://www.georss.org/georss'></georss:where></georss:where>",
    "<gml:posList xmlns:gml='http://www.opengis.net/gml'></gml:posList>",
    "<image><height></height><width>x</width></image>",
    "<psc:chapters xmlns:psc='http://podlove.org/simple-chapters'><psc:chapter/></psc:chapters></psc:chapters>",
    "</license></creativeCommons:license><media:content/></media:content></itunes:image>",
])
def test_a_damaged_extension_does_not_cost_the_entries_beside_it(extension: str) -> None:
    body = county_news().replace("<guid>", extension + "<guid>")
    assert {title for title, _ in HEAD_LINES} <= set(texts_of(read(body.encode())))


def test_a_feed_cut_off_before_its_first_entry_is_no_empty_feed() -> None:
    body = county_news()
    assert "XML 已损坏" in str(read(body[:body.index("<item>")].encode()))
    empty = read(b"<rss version='2.0'><channel><title>x & y</title></channel></rss>")
    assert isinstance(empty, Parsed) and empty.items == ()


@pytest.mark.parametrize("damage", [_lost, _ascii, _stray])
def test_a_byte_too_few_or_too_many_in_gbk_does_not_garble_what_follows(damage: Callable[[bytes, int], bytes]) -> None:
    title, text = HEAD_LINES[0]
    body, original = county_news(_GBK).encode("gbk"), set("".join(texts_of(read(DOCUMENTS["rss"]))))
    begin = body.index(text.encode("gbk"))
    for at in range(begin, begin + len(text.encode("gbk"))):
        texts = texts_of(read(damage(body, at)))
        assert title in texts
        assert sum(ch not in original for ch in _HAN.findall("".join(texts))) <= 8, texts
        assert sum(ch in original for ch in _HAN.findall("".join(texts))) >= 60, texts
