"""来源 and 条目: what is heard and what is not, one source, one item with its edits and counts, a poll on request."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from agents import desk as role
from agents.desk import commands
from agents.desk.accounts import Role
from agents.desk.commands import Order
from agents.desk.sender import CommandSender
from agents.store import schema
from pipeline import topics
from pipeline.model import Counts, PollRequest
from pipeline.rulebook.schema import DAY, HOUR, MINUTE, Source, SourceKind
from tests.desk import seed
from tests.desk.conftest import Stand, csrf_of, make_stand
from tests.desk.test_api import client as api


async def test_what_cannot_be_heard_stands_first_with_since_when_why_and_what_to_do(stand: Stand) -> None:
    seed.morning(stand.engine)
    quiet = tuple(seed.NOW - 3 * DAY - place * HOUR for place in range(8, -1, -1))
    seed.put_source(stand.engine, "luntan", arrivals=quiet, new_item_at=quiet[-1])
    seed.put_source(stand.engine, "ribao", failures=4, error="网站出错（503）。稍后再试", minutes_ago=2)
    async with await stand.signed_in() as client:
        page = (await client.get("/sources")).text
    top, _, rest = page.partition('id="sources"')
    assert "4 个来源中 2 个正常，1 个沉默；1 个失联：青禾日报自 02:30 起，期间的消息可能没有收到。" in top
    assert top.index("青禾日报</strong>") < top.index("青禾论坛</strong>")
    for words in ("网站出错（503）（连续 4 次）", "怎么办：稍后再试。", "能采集，但比平时安静得多", "02:30"):
        assert words in top, words
    assert rest.index("县政府公告") < rest.index("青禾日报"), "then all of them, by group"
    assert "RSS 2.0" in rest and 'class="chip good">官方' in rest


async def test_the_list_filters_by_state_group_and_words_and_says_how_many(stand: Stand) -> None:
    seed.morning(stand.engine)
    wanted = {"state=blind": 1, "state=ok": 3, "state=nonsense": None, "group=新闻": 2, "group=新闻&state=blind": 1,
              "q=青禾": 3, "q=RIBAO": 1, "q=luntan.example/feed": 1, "q=%25": 0, "page=99": None}
    async with await stand.signed_in() as client:
        for query, count in wanted.items():
            page = (await client.get(f"/sources?{query}")).text
            if count is None:
                assert page.count('<li>\n<span class="state') == 4, query
            else:
                assert f'<span class="nums">{count}</span> 个' in page, query
        assert "没有符合条件的来源" in (await client.get("/sources?q=none")).text


async def test_ten_thousand_sources_are_a_hundred_pages_from_one_survey(tmp_path: Path) -> None:
    sources = tuple(seed.source(f"s{number:05d}", f"来源{number:05d}", f"组{number % 7}") for number in range(10_000))
    stand = make_stand(tmp_path, book=seed.book(sources=sources))
    seed.put_source(stand.engine, "s04242", failures=5, error="超时")
    async with await stand.signed_in() as client:
        first = (await client.get("/sources")).text
        last = (await client.get("/sources?page=100")).text
        duty = (await client.get("/")).text
    assert first.count('<span class="faint small">s0') == 100 and "1 / 100" in first
    assert "来源04242" in first.partition('id="sources"')[0]
    assert last.count('<span class="faint small">s0') == 100 and "100 / 100" in last
    assert '<a href="/sources">1 个来源异常</a>' in duty
    assert stand.desk.watch._last is not None, "one survey serves the next reader"
    stand.engine.dispose()


async def test_a_source_page_says_all_there_is_and_lists_its_items(stand: Stand) -> None:
    seed.morning(stand.engine)
    seed.put_source(stand.engine, "luntan", moved_to="https://new.example/feed.xml", moves=3)
    async with await stand.signed_in() as client:
        page = (await client.get("/sources/luntan")).text
        missing = await client.get("/sources/none")
    for words in ("青禾论坛", "正常", "已永久搬到 https://new.example/feed.xml，请改 sources.yml", "连续失败",
                  "RSS 2.0", "通常每 10 分钟左右有新内容", "下次采集", "立即采集", "城东投票站到底几点关门？",
                  "luntan.example", "遵守"):
        assert words in page, words
    assert missing.status_code == 404 and "没有这个来源" in missing.text
    assert ("李敏", "source.read", "luntan") in stand.audit()


async def test_robots_and_rsshub_and_reports_are_told_apart(tmp_path: Path) -> None:
    route = Source(id="weibo", name="微博搜索", url="https://rss.example/weibo/search", group="社交", origin="weibo",
                   route="rsshub:/weibo/search/投票")
    desk = Source(id="hotline", name="12345 热线", kind=SourceKind.INTAKE, group="热线", origin="hotline")
    stand = make_stand(tmp_path, book=seed.book(sources=(route, desk)))
    seed.put_source(stand.engine, "weibo", url=route.url, failures=1, outcome="robots",
                    error="对方的 robots.txt 不允许采集这个地址。换一个地址")
    async with await stand.signed_in() as client:
        paths = ("/sources", "/sources/weibo", "/sources/hotline")
        page, one, filed = [(await client.get(path)).text for path in paths]
    assert "rsshub:/weibo/search/投票" in page and "robots.txt 不允许" in page and "人工上报</span>" in page
    assert "RSSHub 路由" in one and "https://rss.example/weibo/search" in one
    assert "立即采集" not in filed and '<a href="/intake">上报</a>' in filed
    stand.engine.dispose()


async def form(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    page = await client.get("/rules")
    return await client.post(path, data={"csrf": csrf_of(page.text), **fields})


async def test_a_poll_on_request_goes_to_where_the_sources_collector_listens(stand: Stand) -> None:
    seed.morning(stand.engine)
    stand.desk.sender = CommandSender(
        stand.engine, stand.broker.open, retry_seconds=0.01,
        poll_partition=lambda source_id: role._poll_partition(stand.desk.deps, source_id))
    running = asyncio.create_task(stand.desk.sender.run())
    async with await stand.signed_in() as client, asyncio.timeout(60):
        answer = await form(client, "/sources/ribao/poll")
        assert answer.headers["location"] == "/sources/ribao?done=poll"
        again = await form(client, "/sources/ribao/poll")
        assert again.headers["location"] == "/sources/ribao?done=poll-again", "one request until the next poll"
        page = (await client.get("/sources/ribao?done=poll")).text
        assert "已请求立即采集" in page and ">立即采集</button>" not in page
        await stand.broker.arrived.wait()
        seed.put_source(stand.engine, "ribao", minutes_ago=0)
        assert ">立即采集</button>" in (await client.get("/sources/ribao")).text, "it was polled: ask again if you like"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    (topic, key, record), = stand.broker.sent
    assert (topic, key) == (topics.POLLS, "ribao") and isinstance(record, PollRequest) and record.by == "李敏"
    where = topics.partition_of_host("https://ribao.example/feed.xml", stand.settings.partitions)
    assert stand.broker.where == [where]
    assert stand.audit().count(("李敏", "source.poll", "ribao")) == 1


@pytest.mark.parametrize(("source_id", "code"), [
    ("none", "not_found"), ("intake", "not_polled"), ("off", "not_polled")])
def test_what_nobody_polls_cannot_be_polled_now(tmp_path: Path, source_id: str, code: str) -> None:
    book = seed.book(sources=(seed.source("off", "停的", "新闻", enabled=False),))
    stand = make_stand(tmp_path, book=book)
    with pytest.raises(commands.Refused) as refused:
        commands.poll(stand.engine, book, Order("", "李敏", seed.NOW, seed.NOW), source_id)
    assert refused.value.code == code and stand.rows(schema.commands) == []
    stand.engine.dispose()


# ---------------------------------------------------------------- items


async def test_an_item_shows_its_words_its_edits_its_counts_and_its_events(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    item = seed.growing_post(stand.engine, one)
    async with await stand.signed_in() as client:
        page = (await client.get(f"/items/{item.item.id}")).text
        missing = await client.get("/items/none")
    for words in ('<mark title="命中：投票站">投票站</mark>', "修订 2 次", "加急", "工单 GD-20261122-017", "E-0317",
                  "负面", "评论", '<span class="sr">删去：</span>两点半</del>',
                  '<span class="sr">加上：</span>三点</ins>', "字未变", "<polyline points=", "阅读从 900 到 12100",
                  "+64", "<li>八点关门</li>"):
        assert words in page, words
    assert missing.status_code == 404 and "没有这个条目" in missing.text
    assert stand.audit() == [("李敏", "item.read", item.item.id)]


async def test_markup_of_an_item_is_cleaned_again_where_it_is_shown(stand: Stand) -> None:
    """It comes from a topic: whoever can write there must not run anything here."""
    item = seed.put_item(stand.engine, seed.put_event(stand.engine, seed.head()), 1, "标题", "文字")
    hostile = ('<ul><li onclick="x()">一</li><li style="position:fixed">二<script>alert(1)</script></li></ul>'
               '<iframe src="//e"></iframe><a href="javascript:alert(2)">链</a><img src=x onerror=alert(3)>'
               '<form action="/logout"></form>')
    with stand.engine.begin() as connection:
        connection.execute(schema.items.update().values(html=hostile))
    async with await stand.signed_in() as client:
        page = (await client.get(f"/items/{item.item.id}")).text
    rich = page.partition('<div class="rich">')[2].partition("</div>")[0]
    assert "<li>一</li>" in rich
    for bad in ("onclick", "style=", "<script", "<iframe", "javascript:", "<img", "<form"):
        assert bad not in rich, bad


async def test_hostile_words_in_an_item_and_its_edits_are_only_words(stand: Stand) -> None:
    item = seed.put_item(stand.engine, seed.put_event(stand.engine, seed.head()), 1, seed.XSS, seed.XSS,
                         terms=("<script>",), url="javascript:alert(3)")
    seed.put_edits(stand.engine, item, ("前" + seed.XSS, "前" + seed.XSS * 2))
    async with await stand.signed_in() as client:
        for path in (f"/items/{item.item.id}", "/sources/luntan"):
            page = (await client.get(path)).text
            assert "<script>alert" not in page and "<img src=x" not in page and 'href="javascript:' not in page, path


async def test_an_expired_item_keeps_its_figures_and_shows_no_word(stand: Stand) -> None:
    item = seed.growing_post(stand.engine, seed.put_event(stand.engine, seed.head(title="（文字已过保存期）")))
    with stand.engine.begin() as connection:
        connection.execute(schema.items.update().values(expired=True, title="", text="", html="", url=""))
        connection.execute(schema.revisions.update().values(title="", text=""))
        connection.execute(schema.scored.update().values(expired=True, detail=""))
    async with await stand.signed_in() as client:
        page = (await client.get(f"/items/{item.item.id}")).text
        listed = (await client.get("/sources/luntan")).text
    assert "文字已按保存期限删除" in page and "以前的文字已过保存期" in page and "<polyline" in page
    assert "投票站" not in page.partition("<main")[2] and "（文字已过保存期）" in listed


async def test_the_event_page_shows_counts_growth_and_edits_of_its_items(stand: Stand) -> None:
    have = msgspec.structs.replace(seed.head().decision.evidence, growth=80, need_growth=50)
    decision = msgspec.structs.replace(seed.head().decision, evidence=have, why=seed.Why.GROWING)
    one = seed.put_event(stand.engine, seed.head(growth=12_600, decision=decision))
    item = seed.growing_post(stand.engine, one)
    seed.put_line(stand.engine, one, "level", 5, decision)
    async with await stand.signed_in() as client:
        page = (await client.get("/events/E-0317")).text
    for words in ("1.3 万", f'href="/items/{item.item.id}#edits">修订', "评论 66", "阅读 1.2 万", "+88",
                  "80</strong> / 50", "工单 GD-20261122-017", "升级："):
        assert words in page, words


# ---------------------------------------------------------------- API


async def test_coverage_by_api_is_what_the_page_says(stand: Stand) -> None:
    seed.morning(stand.engine)
    async with api(stand, "read") as http:
        found = (await http.get("/api/v1/coverage")).json()
        blind = (await http.get("/api/v1/sources?health=blind")).json()
        paged = (await http.get("/api/v1/sources?page=1&group=新闻")).json()
        odd = await http.get("/api/v1/sources?health=odd")
    assert found["watched"] == 4 and found["totals"]["blind"] == 1 and found["totals"]["ok"] == 3
    lost, = found["blind"]
    assert lost["id"] == "ribao" and lost["since"] == seed.NOW - 42 * MINUTE and "503" in lost["why"]
    assert "1 个失联：青禾日报" in found["statement"] and found["silent"] == []
    assert [each["id"] for each in blind["sources"]] == ["ribao"] and blind["sources"][0]["failures"] == 4
    assert (paged["total"], paged["pages"]) == (2, 1)
    assert odd.status_code == 400 and odd.json()["error"]["code"] == "bad_health"


async def test_a_poll_by_api_needs_its_scope(stand: Stand) -> None:
    async with api(stand, "poll") as http:
        wanted = ("luntan", "luntan", "none")
        first, again, missing = [await http.post(f"/api/v1/sources/{each}/poll") for each in wanted]
        assert (await http.get("/api/v1/coverage")).status_code == 403
    assert (first.status_code, first.json()["repeated"], again.json()["repeated"]) == (202, False, True)
    assert missing.status_code == 404
    assert ("大屏", "source.poll", "luntan") in stand.audit()


async def test_only_duty_may_ask_for_a_poll_or_a_test(stand: Stand) -> None:
    async with await stand.signed_in("看客", Role.VIEWER) as client:
        assert (await form(client, "/sources/luntan/poll")).status_code == 403
        assert (await form(client, "/sources/test", url="https://a.example")).status_code == 403
        page = (await client.get("/sources")).text
        assert "测试网址" not in page and "立即采集" not in (await client.get("/sources/luntan")).text
        assert (await client.post("/sources/luntan/poll", data={"csrf": "x"})).status_code == 403
    assert stand.rows(schema.commands) == []


def test_counts_are_compared_with_what_was_said_first(stand: Stand) -> None:
    from agents.desk import reads

    one = seed.put_item(stand.engine, seed.put_event(stand.engine, seed.head()), 1, "标题")
    seed.put_counts(stand.engine, one.item.id, Counts(comments=5), Counts(comments=9, likes=3))
    listed, = reads.source_items(stand.engine, "luntan")
    assert listed.counts is not None and listed.counts.growth == 4 and listed.counts.counts.likes == 3


async def test_keys_in_a_sources_address_are_for_sources_yml_alone(tmp_path: Path) -> None:
    hub = msgspec.structs.replace(seed.source("hub", "热搜", "热榜"), url="https://hub.example/weibo?limit=9&key=CANARY",
                  route="rsshub:/weibo?limit=9&key=CANARY")
    stand = make_stand(tmp_path, book=seed.book(sources=(hub,)))
    async with await stand.signed_in("guest", Role.VIEWER) as client:
        pages = [(await client.get(path)).text for path in ("/sources", "/sources/hub")]
    async with api(stand, "read") as http:
        pages.append((await http.get("/api/v1/sources")).text)
    assert all("limit=9" in page and "CANARY" not in page for page in pages)
    stand.engine.dispose()
