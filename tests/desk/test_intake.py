"""上报: who may file, what becomes of it, and that nothing personal is written anywhere, not even for a moment."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import select

from agents.desk import accounts, reads, reports, sender, sessions
from agents.desk.accounts import AccountError, Role
from agents.desk.commands import Order
from agents.desk.sessions import Scope
from agents.store import schema, warm
from agents.store.projection import write_items
from pipeline import codec, topics
from pipeline.collect import intake
from pipeline.collect.intake import BadReport, Draft
from pipeline.model import RawBatch
from pipeline.rulebook.schema import HOUR, MINUTE, Source, SourceKind
from tests.desk import seed
from tests.desk.conftest import PASSWORD, Stand, csrf_of
from tests.desk.test_api import client as api

CANARY = "13800138321"
PERSONAL = {
    "title": f"王先生 {CANARY} 反映投票站提前关门", "ref": f"GD-{CANARY}", "urgent": "yes",
    "text": f"来电 {CANARY}，身份证 11010519491231002X，邮箱 wang{CANARY}@mail.example，家住幸福路12号楼3单元502室。"
            "城东投票站下午三点关门。"}
DUTY_FORM = {"title": "城东投票站排队两小时", "text": "来电反映老人站在雨里", "ref": "GD-1", "urgent": "no"}


async def filed(client: httpx.AsyncClient, **fields: str) -> httpx.Response:
    page = await client.get("/intake")
    return await client.post("/intake", data={"csrf": csrf_of(page.text), **fields})


async def deliver(stand: Stand) -> list[RawBatch]:
    """What reaches the stream."""
    running = asyncio.create_task(stand.desk.sender.run())
    async with asyncio.timeout(60):
        while reads.unsent_count(stand.engine):
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return [record for _, _, record in stand.broker.sent if isinstance(record, RawBatch)]


def archive(stand: Stand, batch: RawBatch) -> None:
    with stand.engine.begin() as connection:
        write_items(connection, batch.items)


async def test_a_report_becomes_an_item_on_its_way_to_the_scorer(stand: Stand) -> None:
    async with await stand.signed_in() as client:
        answer = await filed(client, **DUTY_FORM, at="2026-11-22T02:40", url="https://a.example/t/1?mobile=13900139000")
        assert answer.headers["location"] == "/intake?done=filed"
        page = (await client.get("/intake?done=filed")).text
        assert "已收到" in page and "正在入库" in page
        batch, = await deliver(stand)
        archive(stand, batch)
        page = (await client.get("/intake")).text
        item, = batch.items
        shown = (await client.get(f"/items/{item.id}")).text
    assert f'<a href="/items/{item.id}"><bdi>城东投票站排队两小时</bdi></a>' in page
    assert (item.source_id, item.ref, item.urgent, item.url) == ("intake", "GD-1", False, "https://a.example/t/1")
    assert (item.published_at, item.first_seen_at) == (seed.NOW - 32 * MINUTE, seed.NOW)
    assert stand.broker.sent[0][:2] == (topics.ITEMS_RAW, "intake")
    assert "人工上报" in shown and "工单 GD-1" in shown and "<dt>发生</dt>" in shown
    assert ("李敏", "intake.report", item.id) in stand.audit()
    assert 'wenxun_intake_reports_total{via="form"} 1.0' in _metrics(stand)


def _metrics(stand: Stand) -> str:
    from prometheus_client import generate_latest

    return generate_latest(stand.desk.deps.metrics.registry).decode()


@pytest.mark.sqlite
async def test_nothing_personal_is_in_any_file_of_the_store(stand: Stand) -> None:
    """By form and by API, accepted, repeated and refused: neither tables nor the log beside them have it."""
    async with await stand.signed_in() as client:
        assert (await filed(client, **PERSONAL)).headers["location"] == "/intake?done=filed-masked"
        refused = await filed(client, **PERSONAL, at="bald")
        assert refused.status_code == 400 and CANARY in refused.text, "the browser gets back what was typed"
        await filed(client, **{**PERSONAL, "ref": ""})
    async with api(stand, "intake") as http:
        body = {**PERSONAL, "urgent": True}
        assert (await http.post("/api/v1/intake", json=body)).status_code == 202
        assert (await http.post("/api/v1/intake", json={**body, "source": CANARY})).status_code == 400
    for batch in await deliver(stand):
        archive(stand, batch)
    files = list(stand.settings.data_dir.iterdir())
    assert any(file.stat().st_size for file in files)
    written = b"".join(file.read_bytes() for file in files)
    for personal in (CANARY, "11010519491231002X", "mail.example", "502室"):
        assert personal.encode() not in written, personal
    assert "[电话]".encode() in written and "下午三点关门".encode() in written, "and the matter itself is there"


@pytest.mark.parametrize("apart", ["  ", "\n", "\t", "\u200f", "\x00", " \u2066 ", "\ufffd"])
def test_white_space_and_hidden_characters_keep_no_number_from_being_masked(apart: str) -> None:
    number = apart.join(("138", "0013", "8321"))
    found = intake.report(Draft(title=number, text=number.replace("\n", " ") + "停水", ref=number), "intake", seed.NOW)
    assert (found.title, found.text, found.ref) == ("[电话]", "[电话]停水", "[电话]")


async def test_the_same_ticket_again_is_a_revision_and_the_same_words_the_same_report(stand: Stand) -> None:
    async with await stand.signed_in() as client:
        places = [(await filed(client, **{**DUTY_FORM, **more})).headers["location"] for more in (
            {}, {}, {"text": "现在没有人排队了"}, {})]
    assert places == [f"/intake?done={code}" for code in ("filed", "filed-again", "filed", "filed")]
    batches = await deliver(stand)
    assert len({batch.items[0].id for batch in batches}) == 1 and len(batches) == 3
    first = DUTY_FORM["text"]
    assert [batch.items[0].text for batch in batches] == [first, "现在没有人排队了", first]
    assert len([line for line in stand.audit() if line[1] == "intake.report"]) == 3


def report(**fields: object) -> intake.RawItem:
    return intake.report(Draft(**fields), "intake", seed.NOW)  # type: ignore[arg-type]


def test_what_names_a_report() -> None:
    one = report(title="停电", ref="GD-1")
    assert one.id == report(title="停电两天", ref="GD-1").id
    assert one.id != intake.report(Draft("停电", ref="GD-1"), "other", seed.NOW).id
    assert report(title="停电").id == intake.report(Draft("停电"), "intake", seed.NOW + 1000).id
    assert report(title="停电").id != intake.report(Draft("停电"), "intake", seed.NOW + HOUR).id
    assert report(title="停电", urgent=True).revision != report(title="停电").revision, "urgency is news"
    assert report(text="第一行\n第二行").title == "第一行"
    masked = report(title="停电", ref=CANARY)
    assert masked.ref == "[电话]" and masked.id != report(title="停水", ref=CANARY).id, "a masked number names nothing"


@pytest.mark.parametrize(("fields", "code"), [
    ({}, "empty"), ({"title": " \u200b "}, "empty"), ({"title": "长" * 201}, "too_long"),
    ({"text": "长" * 5001}, "too_long"), ({"title": "a", "ref": "x" * 65}, "too_long"),
    ({"title": "a", "url": "javascript:alert(1)"}, "bad_url"), ({"title": "a", "url": "//x"}, "bad_url"),
    ({"title": "a", "at": seed.NOW + HOUR}, "bad_time"),
    ({"title": "a", "at": intake.moment("0001-01-01", ZoneInfo("Asia/Shanghai"))}, "bad_time")])
def test_a_report_that_cannot_be_taken_says_why(fields: dict[str, object], code: str) -> None:
    with pytest.raises(BadReport) as bad:
        report(**fields)
    assert bad.value.code == code and str(bad.value).endswith("。")


@pytest.mark.parametrize("text", ["昨天", "2026-13-01", "9" * 99])
def test_a_time_that_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(BadReport, match="2026-11-22 03:12"):
        intake.moment(text, ZoneInfo("Asia/Shanghai"))
    assert intake.moment(" ", ZoneInfo("UTC")) is None
    assert intake.moment("2026-11-22T03:12+08:00", ZoneInfo("UTC")) == seed.NOW


def test_reports_go_to_a_desk_of_the_book() -> None:
    own = Source(id="hotline", name="12345 热线", kind=SourceKind.INTAKE)
    shut = Source(id="old", name="旧", kind=SourceKind.INTAKE, enabled=False)
    book = seed.book(sources=(seed.source("xinwen", "新闻", "新闻"), own, shut))
    assert [each.id for each in intake.desks(book)] == ["hotline", "intake"]
    assert intake.desk_of(book, "").id == "hotline" and intake.desk_of(None, "").id == "intake"
    for wrong in ("xinwen", "old", "none"):
        with pytest.raises(BadReport, match="hotline"):
            intake.desk_of(book, wrong)


async def test_a_reporter_files_and_sees_nothing_else(stand: Stand) -> None:
    seed.morning(stand.engine)
    async with await stand.signed_in("热线", Role.REPORTER) as client:
        home = await client.get("/")
        assert home.headers["location"] == "/intake"
        for path in ("/events", "/events/E-0317", "/sources", "/sources/luntan", "/rules", "/deliveries", "/audit",
                     "/items/x"):
            assert (await client.get(path)).status_code == 403, path
        assert (await filed(client, **DUTY_FORM)).status_code == 303
        archive(stand, (await deliver(stand))[0])
        page = (await client.get("/intake")).text
        assert "城东投票站排队两小时" in page and "/items/" not in page and 'href="/events"' not in page
        assert (await client.get("/levels.css")).status_code == 200
        assert (await client.post("/logout", data={"csrf": csrf_of(page)})).status_code == 303
    async with await stand.signed_in("李敏") as client:
        assert "还没有" in (await client.get("/intake")).text, "only one's own"


async def test_a_guessed_ticket_number_shows_no_words_of_another_report(stand: Stand) -> None:
    async with await stand.signed_in("甲", Role.REPORTER) as client:
        await filed(client, **DUTY_FORM)
        archive(stand, (await deliver(stand))[0])
        assert DUTY_FORM["title"] in (await client.get("/intake")).text
    async with await stand.signed_in("乙", Role.REPORTER) as client:
        await filed(client, title="别的事", ref=DUTY_FORM["ref"])
        assert DUTY_FORM["title"] not in (page := (await client.get("/intake")).text) and reports.SHARED in page
        archive(stand, (await deliver(stand))[-1])
        assert reports.SHARED in (await client.get("/intake")).text


async def test_a_viewer_reads_and_files_nothing(stand: Stand) -> None:
    async with await stand.signed_in("看客", Role.VIEWER) as client:
        assert (await client.get("/intake")).status_code == 403
        page = (await client.get("/sources")).text
        assert 'href="/intake"' not in page
        answer = await client.post("/intake", data={"csrf": csrf_of(page), **DUTY_FORM})
    assert answer.status_code == 403 and stand.rows(schema.commands) == []


async def test_a_form_of_another_site_files_nothing(stand: Stand) -> None:
    async with await stand.signed_in() as client:
        csrf = csrf_of((await client.get("/intake")).text)
        for data, headers in (({"csrf": "no"}, {}), ({}, {}), ({"csrf": csrf}, {"origin": "https://evil.example"})):
            assert (await client.post("/intake", data={**data, **DUTY_FORM}, headers=headers)).status_code == 403
    assert stand.rows(schema.commands) == []


async def test_a_refused_form_keeps_what_was_typed_and_shows_it_as_words(stand: Stand) -> None:
    async with await stand.signed_in() as client:
        answer = await filed(client, title=seed.XSS, text="</textarea>" + seed.XSS, url="ftp://x", urgent="yes")
    assert answer.status_code == 400 and "链接要以 http" in answer.text
    assert "<script>alert" not in answer.text and "&lt;/textarea&gt;" in answer.text
    assert 'value="yes" checked' in answer.text


# ---------------------------------------------------------------- API


async def test_a_report_by_api_is_idempotent_by_its_number_and_words(stand: Stand) -> None:
    body = {"source": "intake", "title": "停电", "text": "城东三个小区", "ref": "GD-7", "url": "https://a.example/1",
            "at": "2026-11-22T03:00:00+08:00", "urgent": True}
    async with api(stand, "intake") as http:
        bodies = (body, body, {**body, "text": "四个"})
        first, again, more = [await http.post("/api/v1/intake", json=each) for each in bodies]
    assert [each.status_code for each in (first, again, more)] == [202] * 3
    assert first.json()["item_id"] == again.json()["item_id"] == more.json()["item_id"]
    assert [each.json()["repeated"] for each in (first, again, more)] == [False, True, False]
    one, _ = await deliver(stand)
    assert one.items[0].urgent and one.items[0].ref == "GD-7" and one.items[0].published_at == seed.NOW - 12 * MINUTE
    assert 'wenxun_intake_reports_total{via="api"} 2.0' in _metrics(stand)


@pytest.mark.parametrize(("body", "code"), [
    (b"{", "bad_json"), (b"{}", "empty"), (b'{"title": 5}', "bad_field"),
    (b'{"title": "a", "urgent": "yes"}', "bad_field"),
    (b'{"title": "a", "at": "soon"}', "bad_time"), (b'{"title": "a", "source": "xinwen"}', "bad_source"),
    (b'{"title": "a", "at": 17952}', "bad_field"), (b'{"title": "a", "url": "x"}', "bad_url")])
async def test_bad_reports_by_api_are_named(stand: Stand, body: bytes, code: str) -> None:
    async with api(stand, "intake") as http:
        answer = await http.post("/api/v1/intake", content=body)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == code
    assert stand.rows(schema.commands) == []


async def test_an_intake_token_only_files_and_no_other_token_does(stand: Stand) -> None:
    async with api(stand, "intake", role=Role.REPORTER) as http:
        assert (await http.post("/api/v1/intake", json={"title": "停电"})).status_code == 202
        for path in ("events", "sources", "coverage", "deliveries"):
            assert (await http.get(f"/api/v1/{path}")).status_code == 403, path
    other = sessions.create_token(stand.engine, "读", "大屏", frozenset({Scope.INTAKE}), now=seed.NOW, expires_at=None)
    async with stand.client(headers={"authorization": f"Bearer {other}"}) as http:
        assert (await http.post("/api/v1/events/E-0317/ack", json={})).status_code == 403


def test_scopes_beyond_the_role_are_refused_with_what_it_may_have(stand: Stand) -> None:
    accounts.add(stand.engine, "热线", Role.REPORTER, PASSWORD, now=seed.NOW)
    accounts.add(stand.engine, "看客", Role.VIEWER, PASSWORD, now=seed.NOW)
    for name, scope, may in (("热线", Scope.READ, "只能有 intake"), ("看客", Scope.INTAKE, "只能有 read"),
                             ("看客", Scope.POLL, "只能有 read")):
        with pytest.raises(AccountError, match=may):
            sessions.create_token(stand.engine, "x", name, frozenset({scope}), now=seed.NOW, expires_at=None)


# ---------------------------------------------------------------- what stays in the outbox


async def test_a_report_leaves_the_outbox_when_the_archive_has_it_and_not_before(stand: Stand) -> None:
    order = Order("", "李敏", seed.NOW, stand.desk.real.now())
    kept = reports.file(stand.engine, None, order, "", Draft("停水", ref="GD-2")).item
    done = reports.file(stand.engine, None, order, "", Draft("停电", ref="GD-3")).item
    assert sender.drop_archived(stand.engine, order.real) == 0, "nothing is dropped that was not sent"
    await deliver(stand)
    archive(stand, intake.batch(done))
    assert sender.drop_archived(stand.engine, order.real) == 1
    with stand.engine.connect() as connection:
        again = warm.commands(connection, order.real - HOUR)
        texts = connection.execute(select(schema.commands.c.record)).scalars().all()
    assert [batch.items[0].id for batch in again] == [kept.id], "a start sends what the archive has not got"
    assert sorted(map(bool, texts)) == [False, True]
    assert reports.file(stand.engine, None, order, "", Draft("停电", ref="GD-3")).repeated
    assert reads.unsent_count(stand.engine) == 0, "and a repeat of what is archived sends nothing"
    assert sender.drop_archived(stand.engine, order.real + 2 * sender.KEPT_UNARCHIVED) == 1
    assert codec.type_name(intake.batch(kept)) == "items.raw"
