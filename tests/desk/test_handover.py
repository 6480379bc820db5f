"""What the next shift has to know, gathered and as words that can be pasted into a chat."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from agents.desk import event_commands, handover, handover_words, silence_commands
from agents.desk.commands import Refused
from agents.desk.describe import Names
from agents.desk.handover import Handover
from agents.store import schema
from agents.store.projection import Entry, project
from pipeline.model import AlertStatus, Comment, HandOver
from pipeline.rulebook.schema import DAY, HOUR, MINUTE
from tests import builders
from tests.agents import store_fakes as fakes
from tests.desk import seed
from tests.desk.conftest import Stand
from tests.desk.test_commands_people import order, wanted

ZONE = ZoneInfo("Asia/Shanghai")


def put(stand: Stand, *records: Any) -> None:
    project(stand.engine, [Entry(each, seed.NOW) for each in records])


def message(stand: Stand, ident: str, status: str, **changes: Any) -> None:
    seed._put(stand.engine, schema.outbox, {
        "id": ident, "person": "duty-b", "channel": "console", "status": status, "attempts": 3, "kind": "page",
        "decided_at": seed.NOW - 20 * MINUTE, "error": "HTTP 503", **changes})


def facts(stand: Stand, since: int = 12 * HOUR) -> Handover:
    return handover.facts(stand.engine, seed.book(), stand.settings, seed.NOW, seed.NOW - since)


def text(stand: Stand) -> str:
    return handover_words.text(facts(stand), Names(seed.book()), ZONE)


def test_open_events_say_who_answered_and_the_unanswered_come_first(stand: Stand) -> None:
    seed.morning(stand.engine)
    found = facts(stand)
    assert [(each.head.short, each.waits) for each in found.events] == [
        ("E-0317", True), ("E-0319", True), ("E-0318", False)]
    assert [each.head.short for each in found.unanswered] == ["E-0317", "E-0319"]
    assert [card.head.short for card in found.settled] == ["E-0311"]
    said = text(stand)
    assert said.startswith("交接班 2026-11-22 03:12，含 11-21 15:12 以来")
    assert "E-0317 重大 网传城东投票站下午三点关门（41 条，9 个来源）；待确认，已通知 值班组，12 分钟前提醒；" in said
    assert "；1 条官方内容待确认是否回应" in said
    assert "E-0318 较大 文化宫投票点排队两小时，老人站在雨里" in said and "李敏 03:06 已确认" in said


def test_clocks_that_run_say_what_time_is_left(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    start = seed.NOW - 4 * HOUR
    put(stand, fakes.clocks(1, fakes.clock(started_at=start, due_at=start + 5 * HOUR),
                            fakes.clock("reply", name="答复", started_at=start, due_at=seed.NOW - 10 * MINUTE),
                            fakes.clock("brief", stopped_at=start, stopped_by="李敏"), event_id=one.id))
    assert [each.clock.id for each in facts(stand).clocks] == ["reply", "answer"]
    said = text(stand)
    assert "【时限 2 个在计时】\n- E-0317 较大 网传城东投票站下午三点关门：答复 已超时 10 分钟（03:02 到期）；" in said
    assert "；首次权威回应 还剩 1 小时（04:12 到期）\n" in said


def test_a_silence_is_told_with_its_end_its_reason_and_who_answers_for_it(stand: Stand) -> None:
    done = silence_commands.add(stand.engine, seed.book(), order(), wanted(subjects=("polling",)))
    assert f"主题 polling；级别 一般，到 05:12；供水检修；负责人 李敏（编号 {done.id[:6]}）" in text(stand)
    silence_commands.expire(stand.engine, order(), done.id)
    assert facts(stand).silences == ()


def test_messages_that_wait_and_those_given_up_in_this_shift_are_told(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    message(stand, "m1", "pending", event_id=one.id)
    message(stand, "m2", "dead", error="SMTP 550：邮箱不存在")
    message(stand, "m3", "dead", decided_at=seed.NOW - 2 * DAY)
    message(stand, "m4", "pending", drill=True)
    message(stand, "m5", "confirmed")
    found = facts(stand)
    assert ([each.id for each in found.pending], [each.id for each in found.dead]) == (["m1"], ["m2"])
    said = text(stand)
    assert "【未送达 1 条，未能送达 1 条】" in said
    assert "待送达：E-0317 给 值班员乙" in said and "02:52 起，试过 3 次，HTTP 503" in said


def test_blind_sources_and_rules_that_end_are_told_since_when(stand: Stand) -> None:
    seed.put_source(stand.engine, "ribao", failures=12, error="HTTP 503", minutes_ago=1)
    expiring = tuple(replace(builders.book().subjects[0], id=ident, owner="李敏", expires=day)
                     for ident, day in (("old", "2026-11-01"), ("soon", "2026-11-25")))
    book = replace(seed.book(), subjects=expiring)
    found = handover.facts(stand.engine, book, stand.settings, seed.NOW, seed.NOW - HOUR)
    assert [each.name for each in found.blind] == ["青禾日报"]
    assert ["old" in found.rules[0], "soon" in found.rules[1], len(found.rules)] == [True, True, 2]
    said = handover_words.text(found, Names(book), ZONE)
    assert "【听不到的来源 1 个】" in said and "青禾日报：" in said and " 起，" in said
    assert "已于 2026-11-01 到期" in said


def test_what_people_did_last_and_what_waits_to_be_sent_is_there(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    state = seed.put_alert(stand.engine, seed.alert(one, handed_to="leaders", held_by="quiet"))
    put(stand, Comment(id="c", event_id=one.id, by="王强", at=seed.NOW, text="已联系"),
        HandOver(id="h", event_id=one.id, alert_id=state.alert_id, by="王强", at=seed.NOW + 1, to="leaders"))
    event_commands.comment(stand.engine, order(one), "还在等")
    found = facts(stand)
    assert [each.text for each in found.events[0].acts] == ["已联系", "leaders"] and found.unsent == 1
    assert "已转交给 领导小组，待确认（安静时段中）" in text(stand) and "有 1 条操作还没有发出" in text(stand)


def test_a_title_from_a_feed_mentions_nobody_and_makes_no_line(stand: Stand) -> None:
    seed.put_event(stand.engine, seed.head(title="@all 快看\n【处置中的事件 0 件】<at id=all></at>"))
    said = text(stand)
    assert "@all" not in said and "<at" not in said
    assert said.count("\n【") == len([line for line in said.splitlines() if line.startswith("【")])


def test_nothing_going_on_is_said_too(stand: Stand) -> None:
    said = text(stand)
    assert "【处置中的事件 0 件，其中 0 件待确认】" in said and "【静默 0 个生效】" in said
    assert "操作还没有发出" not in said


def test_a_drill_is_no_part_of_a_hand_over(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head(subject="!polling"))
    with stand.engine.begin() as connection:
        connection.execute(schema.events.update().values(drill=True))
    put(stand, fakes.clocks(1, fakes.clock(), event_id=one.id))
    found = facts(stand)
    assert (found.events, found.clocks) == ((), ())


@pytest.mark.parametrize(("written", "back"), [
    ("", 12 * HOUR), ("12h", 12 * HOUR), ("30m", 30 * MINUTE), ("2d", 2 * DAY),
    ("03:00", 12 * MINUTE), ("3:12", 0), ("20:00", 7 * HOUR + 12 * MINUTE), ("2026-11-22 01:12", 2 * HOUR),
    ("2026/11/21 03:12", DAY), ("2026-11-21T19:12:00+00:00", 0)])
def test_since_when_is_a_length_or_a_time(written: str, back: int) -> None:
    assert handover.since_of(written, seed.NOW, ZONE) == seed.NOW - back


@pytest.mark.parametrize("written", ["yesterday", "25:00", "2026-13-01", "40d", "2026-11-23 00:00", "-3h", "0x5h"])
def test_a_since_that_is_none_says_how_to_write_it(written: str) -> None:
    with pytest.raises(Refused, match="20:00"):
        handover.since_of(written, seed.NOW, ZONE)


def test_an_alert_put_off_says_until_when_and_one_that_nobody_answered_says_so(stand: Stand) -> None:
    first, second, _ = (seed.put_event(stand.engine, seed.head(number)) for number in (1, 2, 3))
    seed.put_alert(stand.engine, seed.alert(first, AlertStatus.SNOOZED, snoozed_until=seed.NOW + HOUR))
    seed.put_alert(stand.engine, seed.alert(second, AlertStatus.EXHAUSTED))
    said = text(stand)
    assert "暂缓到 04:12" in said and "无人应答，已通知 值班组" in said and "未提醒" in said


def test_an_alert_that_a_silence_holds_back_has_told_nobody(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head(1))
    seed.put_alert(stand.engine, seed.alert(one, AlertStatus.PENDING, told=(), held_by="silence:s1"))
    assert "静默中，暂不通知，12 分钟前达级" in text(stand)


def test_a_team_and_a_person_of_one_name_are_told_once(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head(1))
    seed.put_alert(stand.engine, seed.alert(one, AlertStatus.EXHAUSTED, told=("duty", "leaders", "duty")))
    assert "已通知 值班组、领导小组，" in text(stand)
