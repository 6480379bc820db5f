"""测试网址: a look at an address of a local server, by the desk's own client; nothing of it is stored."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from agents import cli
from agents.clock import Clock
from agents.desk import checks
from agents.desk.checks import Busy, Checks
from agents.feeds import checkup, hosts
from agents.feeds.checkup import Checkup, How
from agents.store import schema
from pipeline.collect.schedule import Outcome
from tests.desk import seed
from tests.desk.conftest import Stand, csrf_of, make_stand
from tests.desk.test_collected import form

FEED = """<?xml version="1.0" encoding="gbk"?><rss version="2.0"><channel><title>青禾县新闻网</title>
<item><guid>1</guid><title>城东投票站开放时间</title><link>http://news.example/1</link>
<description>详询 13800138321，&lt;script&gt;alert(1)&lt;/script&gt;各站开放至晚上八点。</description>
<pubDate>Sun, 22 Nov 2026 01:00:00 +0800</pubDate></item></channel></rss>"""
PAGE = ('<html><head><title>青禾</title><link rel="alternate" type="application/rss+xml" href="/feed.xml" title="订阅">'
        "</head><body>首页</body></html>")


@dataclass
class Site:
    """A server on loopback that answers a path with (content type, body)."""

    paths: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    port: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        self.asked.append(path)
        kind, body = self.paths.get(path, ("", b""))
        status = "200 OK" if kind else "404 Not Found"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind or 'text/plain'}\r\nContent-Length: {len(body)}\r\n"
                     "Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site({"/feed.xml": ("text/xml", FEED.encode("gbk")), "/": ("text/html; charset=utf-8", PAGE.encode())})
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    made.url = f"http://127.0.0.1:{made.port}"
    async with server:
        yield made


def stand_for(tmp_path: Path, site: Site) -> Stand:
    return make_stand(tmp_path, book=seed.book(), allow_private=(f"127.0.0.1:{site.port}",))


async def test_a_feed_is_shown_as_it_would_be_stored_with_the_lines_to_write(tmp_path: Path, site: Site) -> None:
    stand = stand_for(tmp_path, site)
    async with await stand.signed_in() as client:
        answer = await form(client, "/sources/test", url=site.url + "/feed.xml?key=secret")
        assert answer.status_code == 200
        assert "不能采集" in answer.text, "the server knows no such path"
        page = (await form(client, "/sources/test", url=site.url + "/feed.xml")).text
    for words in ("可以采集", "RSS 2.0", "青禾县新闻网", "gb18030", "城东投票站开放时间", "[电话]",
                  "各站开放至晚上八点",
                  "2026-11-22 01:00:00", "这里的内容没有保存", "加入来源"):
        assert words in page, words
    assert "13800138321" not in page and "<script>alert" not in page
    assert stand.rows(schema.items) == [] and stand.rows(schema.commands) == []
    lines = [row.object for row in stand.rows(schema.audit) if row.action == "source.test"]
    assert lines == ["http://127.0.0.1/feed.xml"] * 2, "no query: it may carry a key"
    stand.engine.dispose()


async def test_the_lines_that_the_page_shows_are_accepted_by_the_rules(tmp_path: Path, site: Site) -> None:
    stand = stand_for(tmp_path / "data", site)
    (tmp_path / "data").mkdir(exist_ok=True)
    async with await stand.signed_in() as client:
        page = (await form(client, "/sources/test", url=site.url + "/feed.xml")).text
    found = re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)
    assert await asyncio.to_thread(cli.main, ["init", str(tmp_path / "rules")]) == 0
    (tmp_path / "rules" / "sources.yml").write_text("sources:\n" + html.unescape(found[-1]) + "\n", encoding="utf-8")
    assert await asyncio.to_thread(cli.main, ["rules", "check", str(tmp_path / "rules")]) == 0
    stand.engine.dispose()


async def test_a_page_leads_to_its_feeds(tmp_path: Path, site: Site) -> None:
    stand = stand_for(tmp_path, site)
    async with await stand.signed_in() as client:
        page = (await form(client, "/sources/test", url=site.url + "/")).text
    assert "网页，找到订阅" in page and f'name="url" value="{site.url}/feed.xml"' in page and "测试这个" in page
    stand.engine.dispose()


async def test_a_look_keeps_the_pause_that_the_site_wants(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.paths["/robots.txt"] = ("text/plain", b"User-agent: *\nCrawl-delay: 3600\nDisallow: /no")
    waited: list[float] = []
    original = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await original(min(seconds, 0.01))

    monkeypatch.setattr(hosts.asyncio, "sleep", sleep)
    stand = stand_for(tmp_path, site)
    async with await stand.signed_in() as client:
        assert "测试这个" in (await form(client, "/sources/test", url=site.url + "/")).text
    assert site.asked == ["/robots.txt", "/", "/feed.xml"] and any(0 < each <= checkup.MAX_PAUSE for each in waited)
    stand.engine.dispose()


async def test_a_private_address_is_refused_with_the_name_of_the_setting(stand: Stand, site: Site) -> None:
    async with await stand.signed_in() as client:
        page = (await form(client, "/sources/test", url=site.url + "/feed.xml")).text
    assert "不能采集" in page and "WENXUN_FEED_ALLOW_PRIVATE_CIDRS" in page and site.asked == []


@pytest.mark.parametrize("url", [
    "", " ", "javascript:alert(1)", "file:///etc/passwd", "http://", "http://[::1", "x" * 2001])
async def test_an_odd_address_is_an_answer_and_no_error(stand: Stand, url: str) -> None:
    async with await stand.signed_in() as client:
        answer = await form(client, "/sources/test", url=url)
    assert answer.status_code in (200, 400) and ("不能采集" in answer.text or "请填写一个网址" in answer.text)
    assert 'href="javascript:' not in answer.text


async def test_a_source_of_the_book_is_read_as_the_book_says(tmp_path: Path, site: Site) -> None:
    source = msgspec.structs.replace(seed.source("a", "甲", "新闻", timezone="UTC"), url=site.url + "/feed.xml")
    stand = make_stand(tmp_path, book=seed.book(sources=(source,)), allow_private=(f"127.0.0.1:{site.port}",))
    async with await stand.signed_in() as client:
        csrf = csrf_of((await client.get("/sources/a")).text)
        fields = {"csrf": csrf, "source": "a", "url": "http://other.example"}
        page = (await client.post("/sources/test", data=fields)).text
    assert "可以采集" in page and "时间按 UTC" in page and "加入来源" not in page, "it is there already"
    stand.engine.dispose()


async def test_one_check_at_a_time_and_a_few_in_a_minute(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    going = asyncio.Event()

    async def slow(url: str, how: How, **options: object) -> Checkup:
        await going.wait()
        return Checkup(url, url, Outcome.OK)

    monkeypatch.setattr(checks, "check", slow)
    clock = Clock(seed.NOW, 0, 0.0)
    limited, how = Checks(stand.settings, clock), How(seed.NOW, "wenxun")
    first = asyncio.create_task(limited.check("李敏", "http://a.example", how))
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="正在测试"):
        await limited.check("李敏", "http://b.example", how)
    other = asyncio.create_task(limited.check("王强", "http://b.example", how))
    going.set()
    assert (await first).ok and (await other).ok, "another account is not held up"
    for _ in range(checks.PER_MINUTE - 1):
        await limited.check("李敏", "http://a.example", how)
    with pytest.raises(Busy, match="60 秒"):
        await limited.check("李敏", "http://a.example", how)
    limited.brakes.real = Clock(seed.NOW + 60_000, 0, 0.0)
    assert (await limited.check("李敏", "http://a.example", how)).ok


async def test_a_check_that_does_not_end_is_given_up_and_said(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(url: str, how: How, **options: object) -> Checkup:
        await asyncio.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(checks, "check", endless)
    monkeypatch.setattr(checks, "SECONDS", 0.05)
    async with await stand.signed_in() as client:
        answer = await form(client, "/sources/test", url="http://a.example")
        assert answer.status_code == 504 and "没有看完" in answer.text
        assert (await form(client, "/sources/test", url="http://a.example")).status_code == 504, "and it is over"


async def test_a_proxy_that_cannot_be_used_is_named_with_its_setting(tmp_path: Path) -> None:
    stand = make_stand(tmp_path, book=seed.book(), feed_proxy=("127.0.0.1", 9),
                       feed_proxy_auth_file=tmp_path / "missing")
    async with await stand.signed_in() as client:
        answer = await form(client, "/sources/test", url="http://a.example")
    assert answer.status_code == 503 and "WENXUN_FEED_PROXY" in answer.text
    stand.engine.dispose()
