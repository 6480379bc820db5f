"""Decisions: accepted once, sent for ever, refused with a reason when they make no sense any more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest
from msgspec.structs import replace
from sqlalchemy import event as sql_event

from agents.clock import Clock
from agents.desk import commands, event_commands, reads
from agents.desk.accounts import Role
from agents.desk.commands import Order, Refused
from agents.desk.sender import CommandSender
from agents.store import schema
from pipeline import topics
from pipeline.model import Ack, AlertState, AlertStatus, Close, EventHead, EventStatus, Snooze, Why
from tests import messages
from tests.desk import seed
from tests.desk.conftest import Stand, csrf_of


def order(head: EventHead, by: str = "李敏", *, real: int = seed.NOW) -> Order:
    return Order(head.id, by, seed.NOW, real)


def put(stand: Stand, status: AlertStatus = AlertStatus.NOTIFIED, **changes: object) -> tuple[EventHead, AlertState]:
    one = seed.put_event(stand.engine, seed.head())
    return one, seed.put_alert(stand.engine, seed.alert(one, status, **changes))


async def sent(stand: Stand, count: int) -> list[tuple[str, str, object]]:
    """What the broker has once it has `count` records."""
    running = asyncio.create_task(stand.desk.sender.run())
    async with asyncio.timeout(60):
        while len(stand.broker.sent) < count or reads.unsent_count(stand.engine):
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return stand.broker.sent


async def test_an_ack_goes_to_the_events_topic_and_names_the_account_and_the_alert(stand: Stand) -> None:
    one, state = put(stand)
    commands.ack(stand.engine, order(one), state.alert_id, "  已联系\n 选举办 ")
    (topic, key, record), = await sent(stand, 1)
    assert (topic, key) == (topics.EVENTS, one.id)
    assert isinstance(record, Ack)
    assert (record.by, record.alert_id, record.at, record.note) == ("李敏", state.alert_id, seed.NOW, "已联系 选举办")


async def test_a_close_goes_where_the_events_items_go(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head(key="*/7"))
    commands.close(stand.engine, order(one), one.version, "其他", "演练")
    (topic, key, record), = await sent(stand, 1)
    assert (topic, key) == (topics.ITEMS_SCORED, "*/7")
    assert isinstance(record, Close) and record.reason == "其他：演练" and record.event_id == one.id


async def test_a_snooze_says_until_when(stand: Stand) -> None:
    one, state = put(stand)
    commands.snooze(stand.engine, order(one), state.alert_id, 30)
    (topic, _, record), = await sent(stand, 1)
    assert topic == topics.EVENTS
    assert isinstance(record, Snooze) and record.until == seed.NOW + 30 * 60_000


def test_a_double_click_is_one_command_and_one_audit_line(stand: Stand) -> None:
    one, state = put(stand)
    first, second = (commands.ack(stand.engine, order(one), state.alert_id) for _ in range(2))
    assert (first.repeated, second.repeated) == (False, True) and first.id == second.id
    assert len(stand.rows(schema.commands)) == 1
    assert stand.audit() == [("李敏", "alert.ack", one.id)]


def test_a_second_snooze_after_the_first_took_effect_is_a_new_command(stand: Stand) -> None:
    one, state = put(stand)
    first = commands.snooze(stand.engine, order(one), state.alert_id, 15)
    later = seed.alert(one, AlertStatus.SNOOZED, revision=state.revision + 1)
    with stand.engine.begin() as connection:
        connection.execute(schema.alerts.delete())
    seed.put_alert(stand.engine, later)
    assert commands.snooze(stand.engine, order(one), state.alert_id, 15).id != first.id


def test_two_people_at_once_both_count_and_the_second_hears_of_the_first(stand: Stand) -> None:
    one, state = put(stand)
    commands.ack(stand.engine, order(one), state.alert_id)
    second = commands.ack(stand.engine, order(one, "王强"), state.alert_id)
    assert not second.repeated and "李敏" in second.note
    assert len(stand.rows(schema.commands)) == 2


def test_an_ack_for_an_event_long_closed_says_when_and_why_it_was_closed(stand: Stand) -> None:
    closed = seed.head(status=EventStatus.CLOSED, closed_by="王强", closed_reason="重复",
                       decision=messages.decision(Why.CLOSED, level=0), version=20)
    closed = replace(closed, decision=replace(closed.decision, at=seed.NOW - 3 * 86_400_000))
    seed.put_event(stand.engine, closed)
    seed.put_alert(stand.engine, seed.alert(closed, AlertStatus.ENDED))
    with pytest.raises(Refused, match="事件已由 王强 关闭（3 天前，重复），不再需要确认。"):
        commands.ack(stand.engine, order(closed), seed.alert(closed).alert_id)


def test_two_acks_in_two_processes_at_the_same_moment_tell_one_of_them_of_the_other(stand: Stand) -> None:
    one, state = put(stand)
    together = threading.Barrier(6)

    def click(name: str) -> str:
        together.wait(timeout=30)
        return commands.ack(stand.engine, order(one, name), state.alert_id).note

    with ThreadPoolExecutor(6) as pool:
        notes = list(pool.map(click, [f"值班{n}" for n in range(6)]))
    assert len([note for note in notes if not note]) == 1, "one was first, and everybody else hears of somebody"
    assert all("已先确认" in note and not note.startswith(f"值班{n} ") for n, note in enumerate(notes) if note)
    assert len(stand.rows(schema.commands)) == 6


def test_an_expired_alert_can_still_be_answered(stand: Stand) -> None:
    one, state = put(stand, AlertStatus.EXPIRED, due_at=None)
    assert "仍是无人应答" in commands.ack(stand.engine, order(one), state.alert_id).note
    with pytest.raises(Refused, match="不能暂缓或转交"):
        commands.snooze(stand.engine, order(one), state.alert_id, 30)
    with pytest.raises(Refused, match="不能暂缓或转交"):
        event_commands.hand_over(stand.engine, seed.book(), order(one), state.alert_id, "leaders")


def test_after_a_hand_over_the_same_person_can_answer_once_more(stand: Stand) -> None:
    one, state = put(stand)
    first = commands.ack(stand.engine, order(one), state.alert_id)
    other = order(one, "王强", real=seed.NOW + 1)
    event_commands.hand_over(stand.engine, seed.book(), other, state.alert_id, "leaders")
    again = commands.ack(stand.engine, order(one, real=seed.NOW + 2), state.alert_id)
    assert again.id != first.id and not again.repeated and not again.note


@pytest.mark.parametrize(("head", "status", "alert_id", "code"), [
    ({"status": EventStatus.CLOSED, "closed_by": "王强"}, AlertStatus.ENDED, "", "closed"),
    ({}, AlertStatus.NOTIFIED, "0" * 20, "superseded"),
    ({}, AlertStatus.ACKED, "", "acked"),
    ({"status": EventStatus.CALM}, AlertStatus.ENDED, "", "ended"),
    ({}, None, "", "no_alert"),
])
def test_an_ack_that_makes_no_sense_is_refused_and_leaves_nothing(
        stand: Stand, head: dict[str, object], status: AlertStatus | None, alert_id: str, code: str) -> None:
    one = seed.put_event(stand.engine, seed.head(**head))
    if status is not None:
        seed.put_alert(stand.engine, seed.alert(one, status, acked_by="王强"))
    with pytest.raises(Refused) as refused:
        commands.ack(stand.engine, order(one), alert_id or seed.alert(one).alert_id)
    assert refused.value.code == code
    assert stand.rows(schema.commands) == [] and stand.audit() == []


def test_closing_needs_a_known_reason_and_other_needs_words(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    for reason, code in (("因为", "bad_reason"), ("其他", "no_note")):
        with pytest.raises(Refused) as refused:
            commands.close(stand.engine, order(one), 1, reason)
        assert refused.value.code == code
    gone = seed.put_event(
        stand.engine, seed.head(400, status=EventStatus.CLOSED, closed_by="王强", closed_reason="重复"))
    with pytest.raises(Refused, match="王强.*重复"):
        commands.close(stand.engine, order(gone), 1, "重复")


@pytest.mark.parametrize("minutes", [0, -5, 60 * 24 + 1])
def test_a_snooze_has_a_sensible_length(stand: Stand, minutes: int) -> None:
    one, state = put(stand)
    with pytest.raises(Refused, match="1 分钟到 24 小时"):
        commands.snooze(stand.engine, order(one), state.alert_id, minutes)


def test_command_and_audit_line_are_written_together_or_not_at_all(stand: Stand) -> None:
    one, state = put(stand)

    def fail(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("INSERT INTO audit"):
            raise OSError("disk full")

    sql_event.listen(stand.engine, "before_cursor_execute", fail)
    with pytest.raises(OSError):
        commands.ack(stand.engine, order(one), state.alert_id)
    sql_event.remove(stand.engine, "before_cursor_execute", fail)
    assert stand.rows(schema.commands) == []


async def test_a_broker_that_is_away_delays_commands_and_loses_none(stand: Stand) -> None:
    one, state = put(stand)
    stand.broker.away = True
    running = asyncio.create_task(stand.desk.sender.run())
    await asyncio.to_thread(commands.ack, stand.engine, order(one), state.alert_id)
    await asyncio.to_thread(commands.close, stand.engine, order(one, real=seed.NOW + 1), one.version, "已处置")
    stand.desk.sender.wake()
    await asyncio.sleep(0.1)
    assert stand.broker.sent == [] and reads.unsent_count(stand.engine) == 2
    stand.broker.away = False
    running.cancel()
    records = [type(record) for _, _, record in await sent(stand, 2)]
    assert records == [Ack, Close], "in the order they were accepted"
    assert all(row.sent_at for row in stand.rows(schema.commands))


async def test_what_another_process_left_unsent_is_sent_at_start(stand: Stand) -> None:
    one, state = put(stand)
    commands.ack(stand.engine, order(one), state.alert_id)
    stand.desk.sender = CommandSender(stand.engine, stand.broker.open)
    assert len(await sent(stand, 1)) == 1


async def test_a_decision_that_had_no_effect_can_be_sent_again(stand: Stand) -> None:
    """The embedded broker forgets what it had when its process dies."""
    one, state = put(stand)
    stand.desk.sender = CommandSender(stand.engine, stand.broker.open, real=Clock(seed.NOW, 0, 0.0))
    commands.ack(stand.engine, order(one), state.alert_id)
    await sent(stand, 1)
    commands.ack(stand.engine, order(one, real=seed.NOW + 5_000), state.alert_id)
    assert reads.unsent_count(stand.engine) == 0, "a moment later it is still a double click"
    commands.ack(stand.engine, order(one, real=seed.NOW + 60_000), state.alert_id)
    first, second = await sent(stand, 2)
    assert first == second


# ---------------------------------------------------------------- by form


async def post(client: httpx.AsyncClient, path: str, **form: str) -> httpx.Response:
    return await client.post(path, data={"csrf": csrf_of((await client.get("/sources")).text), **form})


async def test_after_an_ack_the_page_says_submitted_until_the_state_arrives(stand: Stand) -> None:
    one, state = put(stand)
    async with await stand.signed_in() as client:
        answer = await post(client, f"/events/{one.id}/ack", alert=state.alert_id, **{"from": "duty"})
        assert answer.headers["location"] == "/?done=ack"
        page = (await client.get("/?done=ack")).text
        assert "已提交确认，升级将停止。" in page and '<span class="state busy">已提交</span>' in page
        assert ">确认</button>" not in page, "one answer is enough"
        with stand.engine.begin() as connection:
            connection.execute(schema.alerts.delete())
        seed.put_alert(stand.engine, seed.alert(one, AlertStatus.ACKED, acked_by="李敏", acked_at=seed.NOW))
        page = (await client.get("/")).text
    assert "李敏 已确认" in page and "已提交" not in page


async def test_a_superseded_alert_is_explained(stand: Stand) -> None:
    one, _ = put(stand)
    async with await stand.signed_in() as client:
        answer = await post(client, f"/events/{one.id}/ack", alert="0" * 20)
    assert answer.status_code == 409 and "级别已变为较大" in answer.text


async def test_a_closed_event_is_explained_and_a_missing_one_too(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head(status=EventStatus.CLOSED, closed_by="王强", closed_reason="重复"))
    async with await stand.signed_in() as client:
        answer = await post(client, f"/events/{one.id}/close", version="14", reason="重复")
        missing = await post(client, "/events/none/close", version="14", reason="重复")
    assert answer.status_code == 409 and "王强" in answer.text
    assert missing.status_code == 404


async def test_closing_by_form_shows_until_it_takes_effect(stand: Stand) -> None:
    one, _ = put(stand)
    async with await stand.signed_in() as client:
        answer = await post(client, f"/events/{one.id}/close", version="14", reason="已处置", note="说明已发布")
        assert answer.headers["location"] == f"/events/{one.id}?done=close"
        page = (await client.get("/events/E-0317")).text
    assert "已提交关闭" in page
    assert stand.audit()[-2:] == [("李敏", "event.close", one.id), ("李敏", "event.read", "E-0317")]


async def test_a_viewer_reads_and_decides_nothing(stand: Stand) -> None:
    one, state = put(stand)
    async with await stand.signed_in("看客", Role.VIEWER) as client:
        page = await client.get("/events/E-0317")
        assert page.status_code == 200 and "/ack" not in page.text and "/close" not in page.text
        for action, form in (("ack", {"alert": state.alert_id}), ("snooze", {"alert": state.alert_id, "minutes": "15"}),
                             ("close", {"version": "14", "reason": "重复"})):
            assert (await post(client, f"/events/{one.id}/{action}", **form)).status_code == 403
    assert stand.rows(schema.commands) == []
