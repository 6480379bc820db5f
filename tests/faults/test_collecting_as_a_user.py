"""A new user points `wenxun sources` at a board, a forum, a RSSHub route, a GBK feed and an OPML file, sees the right
text and times, pulls the plug on one server, and reads within two intervals which source is blind and why."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from agents.clock import Clock
from agents.embedded import embedded_broker
from agents.store import schema
from agents.store.engine import open_store
from tests.feed_servers import Answer, Site, reply, site
from tests.kafka.broker import Broker, until
from tests.kafka.installation import ROOT, Installation

pytestmark = [pytest.mark.embedded, pytest.mark.fault]

FACTOR = 60
"""The shipped interval of 5 minutes lasts 5 seconds."""
INTERVAL = 5 * 60_000
CHINA = timezone(timedelta(hours=8))
DAY = datetime.now(CHINA) - timedelta(hours=2)

BOARD = """<!DOCTYPE html><html><head><meta name="generator" content="Discuz! X3.5">
<link rel="alternate" type="application/rss+xml" title="生活版" href="forum.php?mod=rss&amp;fid=2&amp;auth=0">
<title>城关论坛</title></head><body>论坛</body></html>"""
DISCUZ = f"""<rss version="2.0"><channel><title>生活版</title><link>http://bbs.example.cn/</link>
<item><title>城西小学门口的红绿灯坏了三天</title><link>http://bbs.example.cn/thread-31-1-1.html</link>
<description><![CDATA[早晚高峰很乱，请交警看看，电话 13812345678]]></description><author>路人甲</author>
<pubDate>{DAY:%Y-%m-%d %H:%M}</pubDate></item></channel></rss>"""
FORUM = json.dumps({"topic_list": {"topics": [{
    "id": 7, "slug": "water", "title": "自来水今天发黄，有人知道原因吗", "posts_count": 13,
    "views": 420, "like_count": 5, "created_at": DAY.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "excerpt": "东门一带从早上开始"}]}})
HOT = f"""<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>热搜</title>
<item><title>县医院挂号系统升级</title><link>https://s.example.cn/q/1</link><guid>1</guid>
<pubDate>{DAY.astimezone(UTC):%a, %d %b %Y %H:%M:%S} GMT</pubDate></item></channel></rss>"""
NEWS = f"""<?xml version="1.0" encoding="gb2312"?><rss version="2.0"><channel><title>县报</title>
<item><title>全县中小学九月一日开学</title><link>https://news.example.cn/a/1.html</link>
<description>县教育局昨天说，开学时间不变。</description>
<pubDate>{DAY:%Y年%m月%d日} {DAY:%H:%M}</pubDate></item></channel></rss>"""
ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom"><title>镇政府</title><entry><id>tag:town,2026:1</id>
<title>停水通知</title><updated>{DAY:%Y-%m-%dT%H:%M:%S}+08:00</updated><content>周三停水</content></entry></feed>"""

XML = "Content-Type: application/xml"


@dataclass
class Web:
    """The servers of strangers, each of its own so that one can go."""

    sites: dict[str, Site]
    plugs: dict[str, AsyncExitStack]

    async def pull_the_plug(self, name: str) -> None:
        await self.plugs[name].aclose()

    @property
    def allow(self) -> str:
        return ",".join(entry for each in self.sites.values() for entry in each.allow)


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    paths: dict[str, dict[str, Answer]] = {
        "board": {"/forum.php": reply(200, BOARD.encode(), "Content-Type: text/html; charset=utf-8"),
                  "/forum.php?mod=rss&fid=2&auth=0": reply(200, DISCUZ.encode(), XML)},
        "forum": {"/latest.json": reply(200, FORUM.encode(), "Content-Type: application/json")},
        "rsshub": {"/weibo/search/hot": reply(200, HOT.encode(), XML)},
        "news": {"/rss.xml": reply(200, NEWS.encode("gb18030"), "Content-Type: text/xml")},
        "town": {"/atom.xml": reply(200, ATOM.encode(), XML)},
    }
    running = Web({}, {})
    try:
        for name, answers in paths.items():
            running.plugs[name] = AsyncExitStack()
            running.sites[name] = await running.plugs[name].enter_async_context(site())
            running.sites[name].answers = {path: [answer] for path, answer in answers.items()}
        yield running
    finally:
        for plug in running.plugs.values():
            await plug.aclose()


class Town(Installation):
    """All roles in one process on the embedded broker, on a fast clock."""

    clock = ""
    allow = ""
    desk = ""

    def environ(self, **more: str) -> dict[str, str]:
        environ = super().environ(WENXUN_EMBEDDED="1", WENXUN_CLOCK=self.clock,
                                  WENXUN_FEED_ALLOW_PRIVATE_CIDRS=self.allow, **more)
        if self.desk:
            environ["WENXUN_DESK_BIND"] = self.desk
        self.desk = environ["WENXUN_DESK_BIND"]
        return environ

    async def wenxun(self, *line: str, code: int = 0, **more: str) -> str:
        """What a command prints; fails unless it ends with this code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agents", *line, cwd=ROOT, env=self.environ(**more),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        said = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
        assert process.returncode == code, f"{line} ended with {process.returncode}: {said}"
        return said


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    with embedded_broker() as address:
        broker = Broker(tmp_path)
        broker.address = address
        installation = Town(broker, tmp_path)
        now = Clock().now()
        installation.clock = f"{now}/{now}/{FACTOR}"
        try:
            yield installation
        finally:
            installation.end()


async def test_a_new_user_collects_and_learns_which_source_went_blind(town: Town, tmp_path: Path) -> None:
    async with web() as strangers:
        await _added(town, strangers, tmp_path)
        token = re.findall(r"wx_\S+|[A-Za-z0-9_-]{30,}", await _token(town))[-1]
        town.start("all")
        await town.ready()
        base = f"http://{town.desk}/api/v1"
        async with httpx.AsyncClient(
                base_url=base, trust_env=False, headers={"Authorization": f"Bearer {token}"}) as desk:
            await until(lambda: _heard(desk, 5), 180, f"five sources heard\n{town.said()}")
            await until(lambda: _stored(town), 180, f"five items stored\n{town.said()}")
            await strangers.pull_the_plug("news")
            await until(lambda: _blind(desk), 180, f"the news source is blind\n{town.said()}")
            answer = (await desk.get("/coverage")).json()
            metrics = (await desk.get(f"http://127.0.0.1:{town.ports[-1]}/metrics")).text
            sources = {each["id"]: each for each in (await desk.get("/sources")).json()["sources"]}
    (gone,) = answer["blind"]
    assert gone["id"] in sources and "无法连接" in str(gone), "which source, and why"
    found = re.search(r'wenxun_source_blind_since_timestamp_seconds\{outcome="no_answer",source="' +
                      re.escape(gone["id"]) + r'"\} (\S+)', metrics)
    assert found, "the metric names it too"
    assert sources[gone["id"]]["polled_at"] - sources[gone["id"]]["succeeded_at"] <= 2.2 * INTERVAL + 1000 * FACTOR, (
        "two intervals, each a tenth longer at most, and a real second of the machine's")
    assert gone["id"] in answer["statement"] or sources[gone["id"]]["name"] in answer["statement"]


async def _added(town: Town, strangers: Web, folder: Path) -> None:
    rules, sites = str(folder / "rules"), strangers.sites
    said = await town.wenxun("sources", "add", sites["news"].url("/rss.xml"), "--yes", "--rules", rules, code=1)
    assert "WENXUN_FEED_ALLOW_PRIVATE_CIDRS" in said, "a private address is refused, and the refusal says what to set"
    town.allow = strangers.allow
    file = folder / "rules" / "sources.yml"
    file.write_text(f"{file.read_text()}\nrsshub: {sites['rsshub'].url('').rstrip('/')}\n")
    (folder / "town.opml").write_text(
        '<opml version="2.0"><body><outline text="乡镇">'
        f'<outline text="镇政府" xmlUrl="{sites["town"].url("/atom.xml")}"/></outline></body></opml>')
    for address in (sites["board"].url("/forum.php"), sites["forum"].url("/latest.json"), "rsshub:/weibo/search/hot",
                    sites["news"].url("/rss.xml")):
        await town.wenxun("sources", "add", address, "--yes", "--rules", rules)
    await town.wenxun("sources", "import", str(folder / "town.opml"), "--rules", rules)
    assert "采集的来源" in file.read_text(), "comments stay"


async def _token(town: Town) -> str:
    await town.wenxun("db", "upgrade")
    await town.wenxun("user", "add", "li", "--role", "duty", "--password-file", str(town.folder / "password"))
    return await town.wenxun("token", "create", "--name", "t", "--account", "li", "--scope", "read")


async def _heard(desk: httpx.AsyncClient, count: int) -> bool:
    try:
        answer = await desk.get("/sources")
    except httpx.HTTPError:
        return False
    assert answer.status_code == 200, answer.text
    return sum(bool(each.get("succeeded_at")) for each in answer.json()["sources"]) == count


async def _blind(desk: httpx.AsyncClient) -> bool:
    return bool((await desk.get("/coverage")).json()["blind"])


async def _stored(town: Town) -> bool:
    """The right text and times of all five, masked."""
    engine = open_store(f"sqlite:///{town.folder / 'data' / 'wenxun.db'}")
    try:
        with engine.connect() as connection:
            rows: dict[str, Any] = {row.title: row for row in connection.execute(select(schema.items))}
    finally:
        engine.dispose()
    if len(rows) < 5:
        return False
    assert set(rows) == {"城西小学门口的红绿灯坏了三天", "自来水今天发黄，有人知道原因吗", "县医院挂号系统升级",
                         "全县中小学九月一日开学", "停水通知"}
    for title, row in rows.items():
        minute = int(DAY.timestamp()) // 60
        assert row.published_at // 60_000 == minute, title
    assert "13812345678" not in rows["城西小学门口的红绿灯坏了三天"].text
    assert os.linesep not in rows["停水通知"].title
    return True
