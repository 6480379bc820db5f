"""The page of a link in a message: who may answer, what a reading does (nothing), what is said when it is too late."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from agents import desk, link_key
from agents.desk import phone_views, web
from agents.desk.accounts import Role
from agents.desk.phone_pages import COOKIE
from agents.store import schema
from pipeline import codec
from pipeline.model import Ack, AlertStatus, Close, Comment, EventStatus, Excerpt, HandOver, Snooze, Statement, Verdict
from tests.desk import phone_kit, seed
from tests.desk.conftest import PASSWORD, Stand, csrf_of, make_stand
from tests.desk.phone_kit import ACCOUNT, link


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = make_stand(tmp_path, book=phone_kit.book())
    made.account(ACCOUNT)
    yield made
    made.engine.dispose()


async def send(client: httpx.AsyncClient, path: str, do: str, **form: str) -> httpx.Response:
    """Open the page, send one of its forms, and follow to what comes then."""
    page = await client.get(path)
    fields = {"csrf": csrf_of(page.text), "do": do}
    if shown := re.search(r'name="alert" value="([^"]+)"', page.text):
        fields["alert"] = shown[1]
    if shown := re.search(r'name="version" value="([^"]+)"', page.text):
        fields["version"] = shown[1]
    return await client.post(path, data={**fields, **form}, follow_redirects=True)


def commands(stand: Stand) -> list[object]:
    """In the order in which they were accepted: PostgreSQL puts rows where there is room."""
    rows = sorted(stand.rows(schema.commands), key=lambda row: row.accepted_at)
    return [codec.decode_as(codec.TYPES[row.type], row.record.encode()) for row in rows]


# ---------------------------------------------------------------- who


async def test_a_personal_link_answers_as_that_person_without_a_sign_in(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    async with stand.client() as client:
        page = await client.get(link(stand, one))
        assert page.status_code == 200
        for words in ("E-0317", "重大", "网传城东投票站下午三点关门", "值班员甲", f"账号 {ACCOUNT}", "青禾论坛",
                      '<mark title="命中：投票站">投票站</mark>', "确认，由我处理", "为什么是重大"):
            assert words in page.text, words
        answer = await send(client, link(stand, one), "ack", note="已联系县选举办")
    assert answer.status_code == 200 and "已提交确认，升级将停止。" in answer.text
    assert f"<strong>{ACCOUNT}</strong> 已提交确认" in answer.text and "确认，由我处理" not in answer.text
    done, = commands(stand)
    assert isinstance(done, Ack)
    assert (done.by, done.via, done.note) == (ACCOUNT, "link", "已联系县选举办")
    assert done.alert_id == seed.alert(one).alert_id
    assert ("event.read" in {line[1] for line in stand.audit()}) and (ACCOUNT, "alert.ack", one.id) in stand.audit()


async def test_the_link_that_deliver_writes_into_a_message_opens_the_page(tmp_path: Path) -> None:
    made = make_stand(tmp_path, book=phone_kit.book(), external_url="https://desk.example")
    made.account(ACCOUNT)
    one = phone_kit.waiting(made)
    escalation = seed.put_escalation(made.engine, one, alert_id=seed.alert(one).alert_id, step=1)
    for person, status in (("duty-a", 200), ("", 303)):
        url = link_key.answer_link(made.settings, link_key.load(made.settings), escalation, person)
        async with made.client(base_url="https://desk.example") as client:
            assert (await client.get(url)).status_code == status
    made.engine.dispose()


async def test_reading_never_answers(stand: Stand) -> None:
    path = link(stand, phone_kit.waiting(stand))
    async with stand.client() as client:
        for _ in range(3):
            assert (await client.get(f"{path}?do=ack&done=nonsense")).status_code == 200
        assert (await client.head(path)).status_code == 200
    assert commands(stand) == []
    assert [line for line in stand.audit() if line[1] != "event.read"] == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_but_a_form_answers(stand: Stand, method: str) -> None:
    async with stand.client() as client:
        assert (await client.request(method, link(stand, phone_kit.waiting(stand)))).status_code == 405
    assert commands(stand) == []


async def test_a_group_link_asks_for_a_sign_in_once_and_names_who_answered(stand: Stand) -> None:
    stand.account("李敏")
    path = link(stand, phone_kit.waiting(stand), person="")
    async with stand.client() as client:
        first = await client.get(path)
        assert first.status_code == 303 and first.headers["location"] == f"/login?next={path}"
        form = await client.get(first.headers["location"])
        entered = await client.post("/login", data={
            "name": "李敏", "password": PASSWORD, "csrf": csrf_of(form.text), "next": path})
        assert (entered.status_code, entered.headers["location"]) == (303, path)
        page = await client.get(path)
        assert page.status_code == 200 and "已登录：<strong>李敏</strong>" in page.text and COOKIE not in client.cookies
        await send(client, path, "ack")
        assert (await client.get(path)).status_code == 200, "once per device"
    assert [(one.by, one.via) for one in commands(stand)] == [("李敏", "link")]  # type: ignore[attr-defined]


async def test_a_form_of_a_group_link_without_a_session_does_nothing(stand: Stand) -> None:
    path = link(stand, phone_kit.waiting(stand), person="")
    async with stand.client() as client:
        answer = await client.post(path, data={"do": "ack", "csrf": "", "alert": "x"})
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login") and commands(stand) == []


async def test_who_is_signed_in_answers_as_themselves_also_by_anothers_link(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    async with await stand.signed_in("李敏") as client:
        await send(client, link(stand, one), "ack")
    assert [done.by for done in commands(stand)] == ["李敏"]  # type: ignore[attr-defined]


async def test_a_viewer_reads_and_does_not_act(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    async with await stand.signed_in("看客", Role.VIEWER) as client:
        page = await client.get(link(stand, one, ""))
        assert page.status_code == 200 and "<form" not in page.text and "只能看" in page.text
        session = stand.rows(schema.sessions)[0]
        answer = await client.post(link(stand, one, ""), data={
            "csrf": session.csrf, "do": "ack", "alert": seed.alert(one).alert_id})
    assert answer.status_code == 403 and "“值班”角色" in answer.text and commands(stand) == []


async def test_a_reporter_reads_no_event_by_a_link_either(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    async with await stand.signed_in("上报", Role.REPORTER) as client:
        refused = await client.get(link(stand, one, ""))
        assert refused.status_code == 403 and "不能查看事件" in refused.text and "城东" not in refused.text
        own = await client.get(link(stand, one))        # sent to somebody who may
        assert own.status_code == 200 and f"账号 {ACCOUNT}" in own.text
        with stand.engine.begin() as connection:
            connection.execute(update(schema.accounts).values(role=Role.REPORTER.value))
        assert (await client.get(link(stand, one))).status_code == 403


async def test_a_disabled_account_can_do_nothing_by_its_link(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    async with stand.client() as client:
        token = csrf_of((await client.get(link(stand, one))).text)
        with stand.engine.begin() as connection:
            connection.execute(update(schema.accounts).values(disabled=True))
        fields = {"csrf": token, "do": "ack", "alert": seed.alert(one).alert_id}
        answers = (await client.get(link(stand, one)), await client.post(link(stand, one), data=fields))
    assert [each.status_code for each in answers] == [403, 403] and commands(stand) == []
    assert all("已停用" in each.text and "城东" not in each.text for each in answers)


async def test_somebody_who_left_the_roster_can_do_nothing_by_an_old_link(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    phone_kit.use(stand, phone_kit.without("duty-a"))
    async with stand.client() as client:
        answer = await client.get(link(stand, one))
    assert answer.status_code == 403 and "已不在值班表里" in answer.text and "城东" not in answer.text
    assert f"/login?next={link(stand, one)}" in answer.text


async def test_a_person_without_an_account_signs_in(stand: Stand) -> None:
    async with stand.client() as client:
        answer = await client.get(link(stand, phone_kit.waiting(stand), "duty-b"))
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login?next=/a/")


# ---------------------------------------------------------------- what can be done


async def test_everything_that_on_call_does_can_be_done_here(stand: Stand) -> None:
    said = Excerpt("5" * 20, "各投票站开放至晚八点", "", "县政府公告", "https://gonggao.example/n/88", seed.NOW,
                   official=True)
    one = phone_kit.waiting(stand, statements=(said,))
    path = link(stand, one)
    async with stand.client() as client:
        for do, form, words in (
                ("snooze", {"minutes": "60"}, "已提交暂缓"),
                ("comment", {"text": "正在核实"}, "备注已记入事件经过"),
                ("handover", {"to": "leaders", "note": "请领导定"}, "已提交转交"),
                ("statement", {"item": "5" * 20, "answer": "yes"}, "已确认为官方回应"),
                ("wrong", {"kind": "wrong_level", "note": "只有一家在转"}, "已记下：判错了"),
                ("close", {"reason": "已处置", "note": "已答复"}, "已提交关闭")):
            answer = await send(client, path, do, **form)
            assert answer.status_code == 200 and words in answer.text, (do, answer.text[-3000:])
    done = commands(stand)
    assert [type(each) for each in done] == [Snooze, Comment, HandOver, Statement, Verdict, Close]
    assert all(each.by == ACCOUNT for each in done)  # type: ignore[attr-defined]
    assert {each.via for each in done if hasattr(each, "via")} == {"link"}
    snoozed, commented, handed, stated, judged, closed = done
    assert snoozed.until == seed.NOW + 3_600_000 and handed.to == "leaders"  # type: ignore[attr-defined]
    assert closed.reason == "已处置：已答复" and judged.note == "只有一家在转"  # type: ignore[attr-defined]


async def test_what_is_wrong_needs_its_reason_and_may_close(stand: Stand) -> None:
    path = link(stand, phone_kit.waiting(stand))
    async with stand.client() as client:
        assert (await send(client, path, "wrong", kind="not_relevant", note=" ")).status_code == 400
        assert (await send(client, path, "wrong", kind="relevant", note="对的")).status_code == 400
        assert commands(stand) == []
        answer = await send(client, path, "wrong", kind="not_relevant", note="说的是外省", close="yes")
    assert "并提交关闭事件" in answer.text
    assert [type(each) for each in commands(stand)] == [Verdict, Close]
    assert commands(stand)[1].reason == "不相关：说的是外省"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("do", "form", "status", "words"), [
    ("snooze", {"minutes": "0"}, 400, "暂缓时间"), ("snooze", {"minutes": "9" * 30}, 400, "暂缓时间"),
    ("close", {"reason": "不想管"}, 400, "关闭原因"), ("close", {"reason": "其他"}, 400, "写明原因"),
    ("handover", {"to": "nobody"}, 400, "可以转交给"), ("comment", {"text": "  "}, 400, "请写备注"),
    ("statement", {"item": "nothing", "answer": "yes"}, 404, "不在这个事件里"),
    ("reboot", {}, 400, "不认识的操作"), ("", {}, 400, "不认识的操作")])
async def test_a_form_that_makes_no_sense_is_told_what_is_wrong(
    stand: Stand, do: str, form: dict[str, str], status: int, words: str,
) -> None:
    async with stand.client() as client:
        answer = await send(client, link(stand, phone_kit.waiting(stand)), do, **form)
    assert answer.status_code == status and "没有提交：" in answer.text and words in answer.text
    assert commands(stand) == []


# ---------------------------------------------------------------- too late


async def test_a_link_used_twice_is_one_answer(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    form = {"do": "ack", "alert": seed.alert(one).alert_id}
    async with stand.client() as client:
        page = await client.get(link(stand, one))
        for words in ("已提交确认", "之前已经提交过"):
            answer = await client.post(
                link(stand, one), data={**form, "csrf": csrf_of(page.text)}, follow_redirects=True)
            assert answer.status_code == 200 and words in answer.text
        assert len(commands(stand)) == 1
        seed.put_alert(stand.engine, _replaced(stand, one, AlertStatus.ACKED, acked_by=ACCOUNT, acked_at=seed.NOW))
        late = await client.post(link(stand, one), data={**form, "csrf": csrf_of(page.text)})
        assert late.status_code == 409 and f"{ACCOUNT} 已经确认了这次提醒" in late.text
        assert "确认，由我处理" not in (await client.get(link(stand, one))).text
    assert len(commands(stand)) == 1


async def test_two_answers_at_once_are_both_kept_and_the_second_hears_of_the_first(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    async with await stand.signed_in("李敏") as other, stand.client() as client:
        pages = [await each.get(link(stand, one)) for each in (other, client)]
        form = {"do": "ack", "alert": seed.alert(one).alert_id}
        for each, page in zip((other, client), pages, strict=True):
            last = await each.post(link(stand, one), data={**form, "csrf": csrf_of(page.text)}, follow_redirects=True)
    assert "另有人先确认了" in last.text and "<strong>李敏</strong> 已提交确认" in last.text
    assert {each.by for each in commands(stand)} == {"李敏", ACCOUNT}  # type: ignore[attr-defined]


def _replaced(stand: Stand, one: object, status: AlertStatus, **changes: object) -> object:
    with stand.engine.begin() as connection:
        connection.execute(schema.alerts.delete())
    return seed.alert(one, status, **changes)  # type: ignore[arg-type]


async def test_an_older_alert_shows_the_new_one_and_an_old_form_does_nothing(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    seed.put_escalation(stand.engine, one, alert_id="a" * 20, level=2)
    path = link(stand, one, alert="a" * 20)
    async with stand.client() as client:
        page = await client.get(path)
        assert page.status_code == 200 and "这条消息之后又有了新的提醒" in page.text and "重大" in page.text
        old = await client.post(path, data={"csrf": csrf_of(page.text), "do": "ack", "alert": "a" * 20})
        assert old.status_code == 409 and "这是新的提醒" in old.text and commands(stand) == []
        answer = await send(client, path, "ack")            # seen, and answered as what it is now
    assert answer.status_code == 200
    assert [each.alert_id for each in commands(stand)] == [seed.alert(one).alert_id]  # type: ignore[attr-defined]


async def test_an_alert_that_the_archive_does_not_have_yet_is_waited_for(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    async with stand.client() as client:
        page = await client.get(link(stand, one, alert="b" * 20))
        unknown = await client.get(link(stand, seed.head(999), "duty-a"))
    assert page.status_code == 200 and "正在入库" in page.text and "确认，由我处理" not in page.text
    assert unknown.status_code == 404 and "几秒后刷新" in unknown.text


async def test_an_event_closed_meanwhile_says_by_whom(stand: Stand) -> None:
    closed = {"status": EventStatus.CLOSED, "closed_by": "王强", "closed_reason": "重复"}
    one = phone_kit.waiting(stand, **closed)
    async with stand.client() as client:
        page = await client.get(link(stand, one))
        assert page.status_code == 200 and "<strong>王强</strong> 关闭：重复" in page.text
        assert "确认，由我处理" not in page.text and "关闭事件</summary>" not in page.text
        answer = await client.post(link(stand, one), data={
            "csrf": csrf_of(page.text), "do": "ack", "alert": seed.alert(one).alert_id})
        assert answer.status_code == 409 and "王强 关闭" in answer.text
    assert commands(stand) == []


async def test_an_expired_link_says_so_and_does_nothing(stand: Stand) -> None:
    path = link(stand, phone_kit.waiting(stand), hours=0)
    async with stand.client() as client:
        answers = (await client.get(path), await client.post(path, data={"do": "ack"}))
    assert [each.status_code for each in answers] == [410, 410] and commands(stand) == []
    assert all("链接已过期" in each.text and "登录值班台" in each.text for each in answers)


async def test_wrong_links_are_refused_and_then_slowed_while_right_ones_go_on(stand: Stand) -> None:
    one = phone_kit.waiting(stand)
    right = link(stand, one)
    async with stand.client() as client:
        codes = [(await client.get(f"{right[:-n]}x")).status_code for n in range(1, 13)]
        assert codes == [404] * 10 + [429] * 2
        assert (await client.post("/a/x", data={"do": "ack"})).status_code == 429
        assert (await client.get(right)).status_code == 200
        assert (await send(client, right, "ack")).status_code == 200
    assert [line for line in stand.audit() if line[1] == "link.locked"] == [("", "link.locked", "10.0.0.9")]


async def test_another_installations_key_opens_nothing(stand: Stand, tmp_path: Path) -> None:
    path = link(stand, phone_kit.waiting(stand))
    (stand.settings.data_dir / "link.key").write_text("z" * 64)
    async with stand.client() as client:
        assert (await client.get(path)).status_code == 404


async def test_a_key_that_everybody_can_read_opens_nothing_and_the_log_says_why(
    stand: Stand, caplog: pytest.LogCaptureFixture,
) -> None:
    path = link(stand, phone_kit.waiting(stand))
    (stand.settings.data_dir / "link.key").chmod(0o644)
    async with stand.client() as client:
        answer = await client.get(path)
    assert answer.status_code == 503 and "chmod" not in answer.text and "chmod 600" in caplog.text


@pytest.mark.parametrize(("url", "said"), [("https://desk.example", "chmod 600"), ("", "")])
def test_a_key_that_cannot_be_used_is_said_when_the_desk_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str, said: str,
) -> None:
    made = make_stand(tmp_path, external_url=url)
    link_key.load(made.settings)
    made.settings.link_key_path.chmod(0o644)
    desk._look_at_key(made.desk.deps)
    assert said in caplog.text and bool(caplog.records) is bool(url)
    made.engine.dispose()


# ---------------------------------------------------------------- other sites


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 303), ({"origin": "null", "sec-fetch-site": "same-origin"}, 303), ({"origin": "null"}, 303),
    ({"origin": "http://127.0.0.1:8000"}, 303), ({"origin": "https://evil.example"}, 403),
    ({"origin": "null", "sec-fetch-site": "cross-site"}, 403), ({"sec-fetch-site": "cross-site"}, 403)])
async def test_only_a_page_of_this_desk_sends_the_form(stand: Stand, headers: dict[str, str], status: int) -> None:
    one = phone_kit.waiting(stand)
    async with stand.client() as client:
        page = await client.get(link(stand, one))
        answer = await client.post(link(stand, one), headers=headers, data={
            "csrf": csrf_of(page.text), "do": "ack", "alert": seed.alert(one).alert_id})
    assert answer.status_code == status and len(commands(stand)) == (1 if status == 303 else 0)


@pytest.mark.parametrize("broken", ["none", "empty", "other link", "other cookie", "no cookie"])
async def test_a_form_without_the_cookie_that_belongs_to_it_is_not_taken(stand: Stand, broken: str) -> None:
    one = phone_kit.waiting(stand)
    form = {"do": "ack", "alert": seed.alert(one).alert_id}
    async with stand.client() as client:
        token = csrf_of((await client.get(link(stand, one))).text)
        other = csrf_of((await client.get(link(stand, one, hours=71))).text)
        if broken == "other cookie":
            client.cookies.set(COOKIE, "A" * 43, domain="127.0.0.1", path="/a/")
        if broken == "no cookie":
            client.cookies.clear()
        field = {"none": {}, "empty": {"csrf": ""}, "other link": {"csrf": other}}.get(broken, {"csrf": token})
        answer = await client.post(link(stand, one), data={**form, **field})
    assert answer.status_code == 403 and "没有提交" in answer.text and commands(stand) == []


async def test_the_page_tells_nobody_its_address(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    one = phone_kit.waiting(stand)
    path = link(stand, one)
    caplog.set_level(logging.DEBUG)
    async with stand.client() as client:
        page = await client.get(path)
        await send(client, path, "ack")
        await client.get(path[:-3])
    assert page.headers["referrer-policy"] == "no-referrer" and page.headers["cache-control"] == "no-store"
    assert page.headers["x-robots-tag"] == "noindex, nofollow" and "script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    outside = re.findall(r'<a href="(https?:[^"]+)" rel="([^"]+)"', page.text)
    assert len(outside) == 3 and all("noreferrer" in rel for _, rel in outside)
    cookie = page.headers.get_list("set-cookie")[0]
    assert all(word in cookie for word in ("HttpOnly", "Path=/a/", "SameSite=lax"))
    token = path.removeprefix("/a/")
    assert token not in "".join(record.getMessage() for record in caplog.records
                                if not record.name.startswith(("httpx", "httpcore")))
    assert not any(token in str(cell) for table in (schema.audit, schema.commands) for row in stand.rows(table)
                   for cell in row)


async def test_a_broken_store_does_not_log_the_token(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    path = link(stand, phone_kit.waiting(stand))
    for error, status in ((OperationalError("SELECT", {}, Exception("disk full")), 503), (KeyError("broken"), 500)):
        def fail(*args: object, raised: Exception = error) -> None:
            raise raised

        monkeypatch.setattr(phone_views, "look", fail)
        async with stand.client() as client:
            assert (await client.get(path)).status_code == status
    assert "/a/…" in caplog.text
    assert path.removeprefix("/a/") not in "".join(
        record.getMessage() + str(record.exc_text or "") for record in caplog.records
        if not record.name.startswith(("httpx", "httpcore")))


async def test_text_of_feeds_is_text(stand: Stand) -> None:
    bad = Excerpt("6" * 20, seed.XSS, seed.XSS, seed.XSS, "javascript:alert(1)", seed.NOW)
    one = seed.put_event(stand.engine, seed.head(317, 3, title=seed.XSS, excerpts=(bad,), statements=(bad,)))
    seed.put_alert(stand.engine, seed.alert(one))
    async with stand.client() as client:
        page = await client.get(link(stand, one))
    assert page.status_code == 200 and "<script>" not in page.text and "<img" not in page.text
    assert "javascript:" not in page.text


async def test_a_drill_is_marked_and_a_shadow_has_no_page(stand: Stand) -> None:
    drill = phone_kit.waiting(stand, subject="!polling", number=3)
    shadow = seed.put_event(stand.engine, seed.head(4, 3, subject="~polling"))
    async with stand.client() as client:
        page = await client.get(link(stand, drill))
        assert "<title>【演练】D-0003" in page.text and "演练，不是真实事件" in page.text
        assert (await client.get(link(stand, shadow))).status_code == 404


async def test_the_levels_have_their_colours_without_a_session(stand: Stand) -> None:
    async with stand.client() as client:
        answer = await client.get("/a/levels.css")
    assert answer.status_code == 200 and ".level-3{--level:#c62828" in answer.text


async def test_https_makes_the_cookie_secure(tmp_path: Path) -> None:
    made = make_stand(tmp_path, book=phone_kit.book(), external_url="https://desk.example")
    made.account(ACCOUNT)
    async with made.client(base_url="https://desk.example") as client:
        page = await client.get(link(made, phone_kit.waiting(made)))
    assert "Secure" in page.headers.get_list("set-cookie")[0] and web.COOKIE not in client.cookies
    made.engine.dispose()
