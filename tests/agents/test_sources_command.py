"""`wenxun sources …` as a user runs it, against servers on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents import cli
from agents.rule_files import load_book, starter_dir
from agents.store import engine
from agents.store.projection import Entry as Stored
from agents.store.projection import project
from pipeline.model import SourceState
from pipeline.rulebook.schema import Source
from tests.feed_servers import Answer, Site, reply, site
from tests.feed_texts import TITLES, county_news, entry, rss

ZONE = "Asia/Shanghai"
XML = "Content-Type: application/rss+xml"
HTML = "Content-Type: text/html; charset=gbk"
GBK = county_news('<?xml version="1.0" encoding="gb2312"?>').encode("gbk")
BOARD = """<!DOCTYPE html><html><head><meta name="generator" content="Discuz! X3.4" /><title>灌水 - 县城论坛</title>
</head><body><a href="forum.php?mod=viewthread&tid=1">帖子</a></body></html>""".encode("gbk")
DISCUZ = rss(entry(1, "东街路灯坏了三天", "没人修，晚上很黑。", "Sun, 22 Nov 2026 03:05:00 +0000"),
             declaration='<?xml version="1.0" encoding="gbk"?>').encode("gbk")
TOPICS = json.dumps({"topic_list": {"topics": [
    {"id": 7, "slug": "bus", "title": "公交改线征求意见", "created_at": "2026-11-22T02:00:00Z", "posts_count": 5,
     "reply_count": 4, "views": 120, "like_count": 9}]}}).encode()
FORUM = b"<!doctype html><html><head><meta name=generator content='Discourse 3.2.0'></head><body></body></html>"
Run = Callable[..., Awaitable[int]]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return Path(shutil.copytree(starter_dir(), tmp_path / "rules"))


@pytest.fixture
def run(rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`await run(site, "add", url)`: the exit code. The site is allowed; the command has its own event loop."""
    monkeypatch.setenv("WENXUN_RULES_DIR", str(rules))
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))

    async def command(server: Site | None, *arguments: str) -> int:
        monkeypatch.setenv("WENXUN_FEED_ALLOW_PRIVATE_CIDRS", ",".join(server.allow) if server else "")
        return await asyncio.to_thread(cli.main, ["sources", *arguments])
    return command


@asynccontextmanager
async def web(paths: dict[str, Answer | list[Answer]]) -> AsyncIterator[Site]:
    """A server with whole paths, queries included."""
    async with site() as running:
        running.answers.update({path: turns if isinstance(turns, list) else [turns] for path, turns in paths.items()})
        yield running


def sources(rules: Path) -> tuple[Source, ...]:
    return load_book(rules, ZONE).sources


# ---------------------------------------------------------------- check


async def test_a_gbk_feed_is_shown_as_it_would_be_stored(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    answers: list[Answer] = [reply(200, GBK, XML, 'ETag: "a"', "Cache-Control: max-age=7200"), reply(304)]
    async with web({"/rss": answers}) as server:
        assert await run(server, "check", server.url("/rss")) == 0
    out = capsys.readouterr().out
    assert "✓" in out and "rss20" in out and "gb18030（XML 声明）" in out and all(title in out for title in TITLES)
    assert "3 条可读" in out and "2026-11-22 11:00" in out and "没有变化时答 304" in out and "robots  允许" in out
    assert "发布方要求至少隔 120 分钟" in out and server.asked[-1].header("if-none-match") == b'"a"'


async def test_a_wrong_charset_and_a_permanent_move_are_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async with web({"/new": reply(200, GBK, "Content-Type: text/xml; charset=utf-8")}) as server:
        server.answers["/old"] = [reply(301, b"", f"Location: {server.url('/new')}")]
        assert await run(server, "check", "--json", server.url("/old")) == 0
        seen = json.loads(capsys.readouterr().out)
        assert seen["charset"]["contradicted"].startswith("HTTP 头写的是 utf-8")
        assert seen["moved_to"] == server.url("/new")
    assert [each["title"] for each in seen["items"]] == TITLES and seen["entries"] == 3 and seen["ok"] is True
    assert any("永久搬到" in each for each in seen["advice"]) and seen["dates"]["readable"] == 3


FAILURES: dict[str, tuple[Answer, str]] = {
    "gone": (reply(410), "永久停用"), "missing": (reply(404), "地址不存在"), "login": (reply(403), "不登录"),
    "busy": (reply(429, b"", "Retry-After: 60"), "放慢"), "broken": (reply(500), "网站出错"),
    "no feed": (reply(200, b"<!doctype html><html><body>hi</body></html>"), "网页"), "empty": (reply(200), "空的"),
    "wrong 304": (reply(304), "意外的状态 304"),
    "double gzip": (reply(200, b"x", "Content-Encoding: gzip, gzip"), "压缩")}


@pytest.mark.parametrize("name", FAILURES)
async def test_what_is_no_feed_is_said_with_what_to_do(
    run: Run, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    answer, words = FAILURES[name]
    async with web({"/x": answer}) as server:
        assert await run(server, "check", server.url("/x")) == 1
    out = capsys.readouterr().out
    assert out.startswith("✗") and words in out


async def test_a_private_address_is_refused_with_the_setting_named(
    run: Run, rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (rules / "sources.yml").read_bytes()
    async with web({"/rss": reply(200, GBK)}) as server:
        for action in ("check", "add"):
            assert await run(None, action, server.url("/rss")) == 1
            both = "".join(capsys.readouterr())
            assert "WENXUN_FEED_ALLOW_PRIVATE_CIDRS" in both and f"127.0.0.1:{server.port}" in both
        assert server.connections == 0
    for bad in ("ftp://a.example/x", "http://", "javascript:alert(1)", "http://[::1"):
        assert await run(None, "check", bad) == 1
    assert (rules / "sources.yml").read_bytes() == before


async def test_robots_are_heeded(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async with web({"/robots.txt": reply(200, b"User-agent: *\nDisallow: /rss\n"), "/rss": reply(200, GBK)}) as server:
        assert await run(server, "check", server.url("/rss")) == 1
    out = capsys.readouterr().out
    assert "robots.txt 不允许" in out and "respect_robots" in out
    assert len(server.robots) == 1 and server.asked == []


async def test_a_file_a_source_and_nothing_at_all(
    run: Run, rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "saved.xml").write_bytes(GBK)
    assert await run(None, "check", str(tmp_path / "saved.xml")) == 0
    assert TITLES[0] in capsys.readouterr().out
    shutil.rmtree(rules)                                            # no rules are needed to look
    assert await run(None, "check", str(tmp_path / "saved.xml"), "--timezone", "Asia/Tokyo") == 0
    assert await run(None, "check", str(tmp_path / "saved.xml"), "--timezone", "Mars/Base") == 2
    assert "--timezone" in capsys.readouterr().err


async def test_a_json_list_of_the_rules_is_read_by_its_id(
    run: Run, rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hot = json.dumps({"data": {"list": [{"tid": 5, "title": "停水通知何时恢复", "replies": 12, "hits": 900}]}}).encode()
    async with web({"/hot": reply(200, hot, "Content-Type: application/json")}) as server:
        (rules / "sources.yml").write_text(f"""sources:
  - id: city-hot
    name: 热榜
    url: {server.url('/hot')}
    format: json
    list: {{items: data.list, title: title, link: "{server.url('/t/')}{{tid}}", comments: replies, views: hits}}
""")
        assert await run(server, "check", "city-hot") == 0
    out = capsys.readouterr().out
    assert "停水通知何时恢复" in out and "/t/5" in out and "12 评论" in out and "900 阅读" in out


# ---------------------------------------------------------------- add


async def test_a_discuz_board_leads_to_its_feed(run: Run, rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    feed = "/forum.php?mod=rss&fid=2&auth=0"
    async with web({"/forum-2-1.html": reply(200, BOARD, HTML), feed: reply(200, DISCUZ, XML)}) as server:
        assert await run(server, "add", server.url("/forum-2-1.html"), "--name", "县城论坛", "--group", "论坛",
                         "--interval", "3m", "--id", "bbs") == 0
        added = sources(rules)[-1]
        assert (added.id, added.name, added.url, added.interval) == ("bbs", "县城论坛", server.url(feed), 180_000)
        assert "一秒内生效" in capsys.readouterr().out and "# 采集的来源" in (rules / "sources.yml").read_text()
        assert await run(server, "add", server.url("/forum-2-1.html")) == 0      # again
    assert "已经有了" in capsys.readouterr().out and len(sources(rules)) == 1


async def test_a_discourse_forum_and_its_category(run: Run, rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topics = reply(200, TOPICS, "Content-Type: application/json")
    async with web({"/": reply(200, FORUM), "/c/life/5": reply(200, FORUM), "/latest.json": topics,
                    "/c/life/5/l/latest.json": topics}) as server:
        assert await run(server, "add", server.url("/")) == 0
        assert await run(server, "add", server.url("/c/life/5")) == 2            # two: which one?
        error = capsys.readouterr().err
        assert "/c/life/5/l/latest.json" in error and "--yes" in error
        assert await run(server, "add", server.url("/c/life/5"), "--yes", "--official", "--full-text") == 0
    found = sources(rules)
    assert [each.url for each in found] == [server.url("/latest.json"), server.url("/c/life/5/l/latest.json")]
    assert [each.official for each in found] == [False, True] and found[1].full_text


async def test_a_route_of_an_instance_is_written_as_a_route(run: Run, rules: Path) -> None:
    async with web({"/weibo/search/hot": reply(200, county_news().encode(), XML)}) as server:
        path = rules / "sources.yml"
        path.write_text(path.read_text() + f"rsshub: {server.url('')}   # 自建\n")
        assert await run(server, "add", "rsshub:/weibo/search/hot", "--group", "热榜") == 0
        added = sources(rules)[-1]
    assert added.id and added.route == "rsshub:/weibo/search/hot" and added.url == server.url("/weibo/search/hot")
    assert "# 自建" in path.read_text() and added.name == "青山县新闻网"


async def test_nothing_is_added_that_is_no_feed_or_does_not_check(
    run: Run, rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (rules / "sources.yml").read_bytes()
    async with web({"/rss": reply(200, GBK, XML), "/page": reply(200, b"<html><body></body></html>")}) as server:
        assert await run(server, "add", server.url("/page")) == 1
        assert "网页" in capsys.readouterr().err
        assert await run(server, "add", server.url("/rss"), "--interval", "1s") == 1
        assert "sources.yml:" in capsys.readouterr().err
        for option in (("--interval", "soon"), ("--id", "Big Id"), ("--id", "intake")):
            assert await run(server, "add", server.url("/rss"), *option) == 2
            assert option[0] in capsys.readouterr().err
        (rules / "routes.yml").unlink()
        asked = len(server.asked)
        assert await run(server, "add", server.url("/rss")) == 1
        assert "routes.yml" in capsys.readouterr().err and len(server.asked) == asked
    assert (rules / "sources.yml").read_bytes() == before


# ---------------------------------------------------------------- import, export


async def test_of_five_feeds_one_is_dead_and_left_out(
    run: Run, rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths: dict[str, Answer | list[Answer]] = {f"/{number}": reply(200, GBK, XML) for number in range(4)}
    async with web({**paths, "/4": reply(410)}) as server:
        lines = [f'<outline text="第 {number} 家" xmlUrl="{server.url(f"/{number}")}"/>' for number in range(5)]
        many = tmp_path / "many.opml"
        many.write_text(f'<opml version="2.0"><body><outline text="本县">{"".join(lines)}</outline></body></opml>')
        assert await run(server, "import", str(many), "--dry-run") == 1
        assert sources(rules) == () and "什么也没有写" in capsys.readouterr().out
        assert await run(server, "import", str(many)) == 1
        out = capsys.readouterr()
        assert "加入 4 个，已有 0 个，没有加入 1 个" in out.out and "永久停用" in out.out and out.err == ""
        assert [each.name for each in sources(rules)] == [f"第 {number} 家" for number in range(4)]
        assert {each.group for each in sources(rules)} == {"本县"} and server.busiest == 1      # one host
        assert await run(server, "import", str(many), "--all", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        asked = len(server.asked)
        assert await run(server, "import", str(many), "--no-check", "--group", "别处") == 0     # all there
    assert len(told["added"]) == 1 and len(told["twins"]) == 4 and len(told["failed"]) == 1
    assert len(server.asked) == asked and len(sources(rules)) == 5


async def test_an_export_imported_elsewhere_is_the_same_set(
    run: Run, rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (rules / "sources.yml").write_text("""sources:
  - {id: gov, name: "公告 <一>", url: "https://gov.example/rss?a=1&b=2", official: true, group: 权威}
  - {id: town, name: 镇社区, url: "https://town.example/latest.json", format: discourse, interval: 3m, enabled: false}
  - {id: hot, name: 微博热搜, url: "rsshub:/weibo/search/hot", group: 热榜}
  - {id: line, name: 热线, kind: intake}
""")
    wanted = sources(rules)[:3]
    assert await run(None, "export", str(tmp_path / "all.opml")) == 0
    assert "热线" in capsys.readouterr().err
    assert await run(None, "export") == 0
    assert capsys.readouterr().out == (tmp_path / "all.opml").read_text()
    other = Path(shutil.copytree(starter_dir(), tmp_path / "other"))
    assert await run(None, "import", "--rules", str(other), "--no-check", str(tmp_path / "all.opml")) == 0
    assert sources(other) == wanted


@pytest.mark.parametrize(("body", "word"), [("<rss/>", "OPML"), (None, "读不了")])
async def test_what_is_no_list_is_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str | None, word: str
) -> None:
    path = tmp_path / "x.opml"
    if body:
        path.write_text(body)
    assert await run(None, "import", str(path)) == 2 and word in capsys.readouterr().err


# ---------------------------------------------------------------- list


@pytest.mark.sqlite                                     # an archive is a file
async def test_the_list_says_which_sources_are_not_heard_and_since_when(
    run: Run, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (rules / "sources.yml").write_text(
        "sources:\n  - {id: a, name: 甲报, url: \"https://a.example/x\"}\n  - {id: b, name: 乙台, url: \"https://b.example/x\"}\n")
    assert await run(None, "list") == 0
    assert "还没有运行过" in capsys.readouterr().out and not (tmp_path / "data").exists()       # makes no store
    assert await run(None, "list", "--state", "blind") == 2
    capsys.readouterr()
    now = 1_795_320_000_000                                         # 2026-11-22 12:00 in Shanghai
    monkeypatch.setenv("WENXUN_CLOCK", f"{now}/{time.time_ns() // 1_000_000}/1")
    url = f"sqlite:///{tmp_path / 'data' / 'wenxun.db'}"
    engine.upgrade(url)
    store = engine.open_store(url)
    good = SourceState(source_id="a", url="https://a.example/x", polled_at=now, next_poll_at=now + 300_000,
                       outcome="ok", succeeded_at=now, new_item_at=now)
    blind = SourceState(source_id="b", url="https://b.example/x", polled_at=now, next_poll_at=now + 300_000,
                        outcome="no_answer", error="无法连接 b.example。请看网站是否还在", failures=5,
                        succeeded_at=now - 3_600_000, failed_since=now - 3_300_000)
    project(store, [Stored(state, now) for state in (good, blind)])
    store.dispose()
    assert await run(None, "list") == 0
    out = capsys.readouterr().out
    assert "a\t甲报\t正常" in out and "b\t乙台\t失联" in out and "无法连接 b.example" in out
    assert out.splitlines()[-1].startswith("2 个来源中 1 个正常") and "乙台自 11:00 起" in out
    assert await run(None, "list", "--state", "blind", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in told["sources"]] == ["b"] and told["coverage"]["blind"] == ["b"]


# ---------------------------------------------------------------- a process


async def test_as_a_process_it_prints_json_and_ends_with_its_code(rules: Path, tmp_path: Path) -> None:
    async with web({"/rss": reply(200, GBK, XML)}) as server:
        environ = {**os.environ, "WENXUN_FEED_ALLOW_PRIVATE_CIDRS": ",".join(server.allow)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agents", "sources", "check", "--json", "--rules", str(rules), server.url("/rss"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ)
        out, err = await process.communicate()
    assert process.returncode == 0 and err == b"" and json.loads(out)["title"] == "青山县新闻网"
