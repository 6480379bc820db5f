"""Response clocks: when they start, what they say, what stops them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pipeline.model import EscalationKind, EventStatus, Tick, WarmAlert
from pipeline.rulebook.schema import DAY, ClockWarning, Quiet, ResponseClock
from tests.pipeline.escalate_kit import CLOCKS, HOUR, MINUTE, NOON, Desk, clocked, closed, raised
from tests.pipeline.test_escalate import head

ANSWER = CLOCKS[0]
BOOK = clocked(ANSWER)


def opened(version: int = 1, level: int = 2, raises: int = 1, at: int = NOON, **changes: object):
    return raised(version, level, raises, at, **{"opened_at": NOON, **changes})


def watching(**changes: object):
    return replace(head(level=0, status=EventStatus.WATCHING), **{"raises": 0, "opened_at": NOON, **changes})


def warnings(desk: Desk) -> list[tuple[str, int]]:
    return [(each.clock, each.percent) for each in desk.sent if each.kind is EscalationKind.CLOCK]


# ---------------------------------------------------------------- start, length


def test_a_clock_starts_at_its_level_and_counts_from_the_first_detection() -> None:
    desk = Desk(BOOK, opened(level=1, at=NOON + HOUR))
    assert desk.clocks == {}
    desk(opened(2, 2, 2, NOON + 2 * HOUR))
    clock = desk.clock()
    assert (clock.started_at, clock.due_at, clock.stopped_at) == (NOON, NOON + 5 * HOUR, None)
    assert (desk.clocks["e1"].started_why, desk.clocks["e1"].revision) == ("level", 1)
    assert [each.id for each in desk.sent[-1].clocks] == ["answer"], "the page says how much is left"


def test_a_higher_level_has_a_shorter_clock_and_a_fall_makes_it_no_longer() -> None:
    desk = Desk(BOOK, opened())
    desk(opened(2, 3, 2, NOON + MINUTE))
    assert desk.clock().due_at == NOON + 3 * HOUR
    desk(opened(3, 1, 2, NOON + 2 * MINUTE, peak=3))
    assert (desk.clock().due_at, desk.clocks["e1"].revision) == (NOON + 3 * HOUR, 2)


def test_an_urgent_report_starts_every_clock_whatever_the_level() -> None:
    desk = Desk(clocked(), watching(urgent_at=NOON + 5, peak=0))
    assert [(each.id, each.started_at, each.due_at) for each in desk.clocks["e1"].clocks] == [
        ("answer", NOON, NOON + 5 * HOUR), ("briefing", NOON, NOON + 24 * HOUR)]
    assert desk.clocks["e1"].started_why == "urgent" and desk.states == {}
    desk.restart()
    desk.tick(NOON + 150 * MINUTE)
    assert warnings(desk) == [("answer", 50)] and desk.sent[-1].tell == ("duty",)
    desk(replace(opened(2, 2, 1, NOON + 3 * HOUR), urgent_at=NOON + 5))
    assert desk.sent[-1].kind is EscalationKind.PAGE and desk.clock().warned == 50


def test_an_event_of_a_drill_has_clocks_too() -> None:
    desk = Desk(BOOK, replace(opened(), subject="!polling"))
    desk.tick(NOON + 150 * MINUTE)
    assert desk.clock().warned == 50 and desk.sent[-1].drill


# ---------------------------------------------------------------- warnings


def test_warnings_come_once_each_at_their_time() -> None:
    desk = Desk(BOOK, opened())
    desk.ack()
    times = {at: [each.percent for each in out.escalations] for at in range(NOON, NOON + 8 * HOUR, MINUTE)
             if (out := desk(Tick(at=at))).escalations}
    assert times == {NOON + 150 * MINUTE: [50], NOON + 4 * HOUR: [80], NOON + 5 * HOUR: [100]}
    assert {each.why for each in desk.sent[1:]} == {"clock"} and desk.sent[-1].tell == ("duty",)
    assert (desk.sent[-1].lead, desk.sent[-1].clock) == ("", "answer")


def test_a_warning_tells_whom_it_names_else_those_told_else_the_first_step() -> None:
    named = replace(ANSWER, warnings=(ClockWarning(at=50), ClockWarning(at=80, tell=("leaders",))))
    desk = Desk(clocked(named), opened())
    desk.ack()
    desk.tick(NOON + 150 * MINUTE)
    desk.tick(NOON + 4 * HOUR)
    assert [each.tell for each in desk.sent[1:]] == [("duty",), ("leaders",)]


def test_after_a_stop_only_the_greatest_warning_is_told() -> None:
    desk = Desk(BOOK, opened())
    desk.ack()
    desk.restart()
    desk.tick(NOON + 9 * HOUR)
    assert warnings(desk) == [("answer", 100)] and desk.clock().warned == 100
    desk.restart()
    desk.tick(NOON + 20 * HOUR)
    assert len(warnings(desk)) == 1


def test_a_clock_that_is_over_when_it_starts_says_so_once() -> None:
    desk = Desk(BOOK, opened(level=1), opened(2, 2, 2, NOON + 15 * HOUR))
    assert warnings(desk) == [("answer", 100)]


def test_quiet_hours_hold_a_warning_but_not_that_the_time_is_over() -> None:
    night = Quiet(levels=("较大",), hours="14:00-18:00")
    desk = Desk(replace(BOOK, quiet=(night,)), opened())
    desk.ack()
    for at in range(NOON, NOON + 5 * HOUR + MINUTE, MINUTE):
        desk.tick(at)
    assert warnings(desk) == [("answer", 100)]
    assert [(each.percent, each.suppressed_by) for each in desk.held] == [(50, "quiet"), (80, "quiet")]
    short = Desk(replace(BOOK, quiet=(replace(night, hours="14:00-15:00"),)), opened())
    short.ack()
    short.tick(NOON + 150 * MINUTE)
    short.restart()
    short.tick(NOON + 3 * HOUR)
    assert (warnings(short), len(short.held)) == ([("answer", 50)], 1), "it is sent when they are over"


def test_a_silence_holds_every_warning_and_the_greatest_is_sent_at_its_end() -> None:
    desk = Desk(BOOK, opened())
    desk.ack()
    desk.silence(NOON, NOON + 6 * HOUR)
    for at in range(NOON, NOON + 6 * HOUR, MINUTE):
        desk.tick(at)
    assert warnings(desk) == [] and [each.percent for each in desk.held] == [50, 80, 100]
    desk.tick(NOON + 6 * HOUR)
    assert warnings(desk) == [("answer", 100)]


def test_a_statement_ends_the_waiting_of_a_warning() -> None:
    desk = Desk(BOOK, opened())
    desk.ack()
    desk.silence(NOON, NOON + 6 * HOUR)
    desk.tick(NOON + 150 * MINUTE)
    desk.say(NOON + 3 * HOUR)
    for hour in range(3, 9):
        desk.tick(NOON + hour * HOUR)
    assert warnings(desk) == [] and desk.escalator._cases["e1"].held == ()


# ---------------------------------------------------------------- statements


def test_a_statement_stops_the_clock_at_the_time_it_was_made() -> None:
    desk = Desk(BOOK, opened())
    desk.ack()
    desk.say(NOON + 2 * HOUR, said_at=NOON + HOUR)
    clock = desk.clock()
    assert (clock.stopped_at, clock.stopped_by, clock.stopped_why, clock.ref) == (
        NOON + HOUR, "zhang", "statement", "said")
    assert clock.registered_at == NOON + 2 * HOUR and clock.registered_later, "what was typed in later looks like it"
    desk.tick(NOON + 9 * HOUR)
    assert warnings(desk) == [] and desk.clocks["e1"].statements[0].clocks == ("answer",)


@pytest.mark.parametrize(("named", "stopped"), [
    ((), ["answer"]), (("briefing",), ["briefing"]), (("answer", "briefing"), ["answer", "briefing"]), (("gone",), [])])
def test_a_statement_stops_the_clocks_it_names_or_the_first(named: tuple[str, ...], stopped: list[str]) -> None:
    desk = Desk(clocked(), opened(level=3))
    desk.say(NOON + HOUR, *named)
    assert [each.id for each in desk.clocks["e1"].clocks if each.stopped_at == NOON + HOUR] == stopped


def test_a_rejected_statement_stops_nothing_and_one_heard_again_changes_nothing() -> None:
    desk = Desk(BOOK, opened())
    out = desk.say(NOON + HOUR, rejected=True)
    assert (out.puts, out.clocks, desk.clock().stopped_at) == ({}, [], None)
    desk.say(NOON + HOUR, ident="yes")
    again = desk.say(NOON + HOUR, ident="yes")
    assert (again.puts, [each.revision for each in again.clocks]) == ({}, [2]), "it says the state again"
    desk.restart()
    assert desk.say(NOON + HOUR, ident="yes").puts == {}


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_statements_the_earlier_one_stopped_the_clock_whichever_came_first(order: int) -> None:
    desk = Desk(BOOK, opened())
    for ident, said_at in (("late", NOON + 2 * HOUR), ("early", NOON + HOUR))[::order]:
        desk.say(NOON + 3 * HOUR, ident=ident, said_at=said_at)
    assert (desk.clock().stopped_at, desk.clock().ref) == (NOON + HOUR, "early")


@pytest.mark.parametrize("said_at", [NOON + 9 * DAY, 0, -5])
def test_a_time_that_cannot_be_counts_as_when_it_was_attached(said_at: int) -> None:
    desk = Desk(BOOK, opened())
    desk.say(NOON + HOUR, said_at=said_at)
    assert desk.clock().stopped_at == NOON + HOUR


@pytest.mark.parametrize(("said_at", "stopped_at"), [(NOON + HOUR, NOON + HOUR), (NOON - HOUR, NOON)])
def test_a_statement_of_before_the_clock_stops_it_at_its_start(said_at: int, stopped_at: int) -> None:
    for first in ([], [watching()]):
        desk = Desk(BOOK, *first)
        desk.say(said_at, said_at=said_at)
        assert desk.clocks["e1"].clocks == ()
        desk.restart()
        desk(opened(2, at=NOON + 2 * HOUR))
        desk.tick(NOON + 9 * HOUR)
        assert desk.clock().stopped_at == stopped_at and warnings(desk) == []


def test_a_new_raise_after_a_statement_does_not_start_the_clock_again() -> None:
    desk = Desk(BOOK, opened())
    desk.say(NOON + HOUR)
    stopped = desk.clock()
    desk(replace(opened(2, 0, 1, NOON + 2 * HOUR), status=EventStatus.CALM))
    desk(opened(3, 3, 2, NOON + 4 * HOUR))
    assert desk.clock() == stopped


# ---------------------------------------------------------------- close


@pytest.mark.parametrize("reason", ["不相关", "重复：见 E-0002"])
def test_closing_as_irrelevant_or_double_stops_the_clocks_with_who_and_when(reason: str) -> None:
    desk = Desk(clocked(), opened(level=3))
    desk(closed(2, NOON + HOUR, reason))
    assert [(each.stopped_at, each.stopped_by, each.stopped_why, each.ref) for each in desk.clocks["e1"].clocks] == [
        (NOON + HOUR, "chen", "closed", reason)] * 2


def test_an_event_that_ends_otherwise_still_owes_its_answer_and_keeps_its_case_until_then() -> None:
    for last in (closed(2, NOON + HOUR, "已处置"), replace(opened(2, 0, 1, NOON + HOUR), status=EventStatus.CALM)):
        desk = Desk(BOOK, opened(), last)
        desk.tick(NOON + 5 * HOUR)
        assert warnings(desk)[-1] == ("answer", 100) and desk.sent[-1].level_name == last.level_name
        desk.tick(NOON + 10 * DAY)
        assert b"a|e1" in desk.rows
        desk.say(NOON + 10 * DAY)
        assert desk.clock().stopped_at == NOON + 10 * DAY
        desk.tick(NOON + 40 * DAY)
        assert b"a|e1" not in desk.rows


def test_an_event_that_comes_back_after_it_was_closed_for_good_has_its_clock_anew() -> None:
    desk = Desk(BOOK, opened())
    desk.tick(NOON + 150 * MINUTE)
    desk(closed(2, NOON + 3 * HOUR))
    desk(opened(3, 2, 2, NOON + 6 * HOUR))
    clock = desk.clock()
    assert (clock.started_at, clock.due_at, clock.warned, clock.stopped_at) == (
        NOON + 6 * HOUR, NOON + 11 * HOUR, 0, None)
    desk.tick(NOON + 6 * HOUR + 150 * MINUTE)
    warned = [each.id for each in desk.sent if each.kind is EscalationKind.CLOCK]
    assert len(warned) == len(set(warned)) == 2, "its warnings are other messages"


# ---------------------------------------------------------------- other rules, restarts


def test_other_rules_move_a_running_clock_and_not_one_that_stopped() -> None:
    desk = Desk(clocked(), opened(level=3))
    desk.ack()
    desk.say(NOON + 1)
    shorter = [replace(each, name=f"{each.name}！", within=each.within // 2, levels={}) for each in CLOCKS]
    desk.rules = clocked(*shorter)
    desk.tick(NOON + MINUTE)
    assert [(each.name, each.due_at) for each in desk.clocks["e1"].clocks] == [
        ("首次权威回应", NOON + 3 * HOUR), ("新闻发布！", NOON + 12 * HOUR)]
    desk.restart()
    desk.tick(NOON + 10 * HOUR)
    assert warnings(desk) == [("briefing", 80)]
    desk.rules = clocked()
    desk.tick(NOON + 20 * HOUR)
    assert warnings(desk) == [("briefing", 80)], "80 % again, told already"
    desk.tick(NOON + 24 * HOUR)
    assert warnings(desk) == [("briefing", 80), ("briefing", 100)]


def test_a_clock_that_rules_bring_or_take_away_starts_and_goes_for_open_events() -> None:
    desk = Desk(clocked(ANSWER), opened())
    desk(replace(opened(), id="e2"))
    desk(replace(opened(2, 0, 1, NOON), id="e2", status=EventStatus.CALM))
    extra = ResponseClock(id="reply", name="回复", within=48 * HOUR, start_level="一般")
    desk.rules = clocked(ANSWER, extra)
    desk.tick(NOON + MINUTE)
    assert [each.id for each in desk.clocks["e1"].clocks] == ["answer", "reply"]
    assert [each.id for each in desk.clocks["e2"].clocks] == ["answer"], "it is over; nothing new is owed"
    desk.rules = clocked(extra)
    desk.tick(NOON + 2 * MINUTE)
    assert [each.id for each in desk.clocks["e1"].clocks] == ["reply"]
    desk.rules = clocked(ANSWER, extra)
    desk.tick(NOON + 3 * MINUTE)
    assert [(each.id, each.started_at) for each in desk.clocks["e1"].clocks] == [("answer", NOON), ("reply", NOON)]


def test_a_start_with_empty_tables_goes_on_with_the_clocks_of_the_archive() -> None:
    desk = Desk(BOOK, opened())
    desk.ack()
    desk.tick(NOON + 150 * MINUTE)
    fresh = Desk(BOOK)
    fresh(WarmAlert(state=desk.state, head=opened(), lost=False, clocks=desk.clocks["e1"]))
    fresh.tick(NOON + 3 * HOUR)
    assert (fresh.sent, fresh.clocks) == ([], {})
    fresh.tick(NOON + 4 * HOUR)
    assert warnings(fresh) == [("answer", 80)] and fresh.clocks["e1"].revision == desk.clocks["e1"].revision + 1
    older = replace(desk.clocks["e1"], revision=1)
    assert fresh(WarmAlert(state=desk.state, head=opened(), clocks=older)).puts == {}


def test_clocks_of_the_archive_follow_the_rules_that_are_in_force_now() -> None:
    desk = Desk(BOOK, opened())
    fresh = Desk(clocked(replace(ANSWER, within=2 * HOUR)))
    fresh.tick(NOON)
    fresh(WarmAlert(state=desk.state, head=opened(), lost=False, clocks=desk.clocks["e1"]))
    fresh.tick(NOON + 1)
    assert fresh.clock().due_at == NOON + 2 * HOUR


def test_clocks_of_an_event_without_an_alert_come_back_and_its_level_is_news() -> None:
    desk = Desk(BOOK, watching(urgent_at=NOON))
    none = replace(Desk(BOOK, opened()).state, alert_id="", event_version=0, revision=0, level=0)
    fresh = Desk(BOOK)
    fresh(WarmAlert(state=none, head=watching(urgent_at=NOON, version=0), lost=False, clocks=desk.clocks["e1"]))
    assert fresh.states == {}
    fresh(opened(7, urgent_at=NOON))
    assert [each.kind for each in fresh.sent] == [EscalationKind.PAGE] and fresh.state.event_version == 7
    assert fresh.sent[0].clocks == desk.clocks["e1"].clocks and fresh.clocks == {}, "they are as the archive has them"
