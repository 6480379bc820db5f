"""Silences and quiet hours: what they hold back is recorded, waits, and is sent when they are over."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.escalate.silences import Silences, matches
from pipeline.model import AlertStatus, EscalationKind, EventStatus, Silence, Why
from pipeline.rulebook.schema import DAY, Quiet, Route, RouteMode, Step
from tests.builders import routes
from tests.pipeline.escalate_kit import HOUR, MINUTE, NOON, Desk, raised, route, routed
from tests.pipeline.test_escalate import head

TWO = route(0, 5)
NIGHT = Quiet(levels=("一般", "较大"), hours="22:00-07:00")
EVENING, SEVEN = NOON + 11 * HOUR, NOON + 19 * HOUR             # 23:00, and 07:00 of the next day


def silence(**more: Any) -> Silence:
    return Silence(**{"id": "s1", "by": "wang", "at": NOON, "owner": "wang", "reason": "演习", "starts_at": NOON,
                      "ends_at": NOON + HOUR, **more})


@pytest.mark.parametrize(("asked", "fits"), [
    ({}, False), ({"event_id": "e1"}, True), ({"event_id": "e2"}, False),
    ({"subjects": ("bus", "polling")}, True), ({"subjects": ("bus",)}, False),
    ({"levels": ("重大",)}, True), ({"levels": ("一般",)}, False),
    ({"groups": ("本地论坛",)}, True), ({"groups": ("新闻",)}, False),
    ({"regions": ("石桥镇",)}, True), ({"regions": ("北关镇",)}, False),
    ({"event_id": "e1", "levels": ("一般",)}, False), ({"subjects": ("polling",), "regions": ("石桥镇",)}, True),
])
@pytest.mark.parametrize("mark", ["", "!"])
def test_all_matchers_that_are_written_have_to_fit(asked: dict[str, Any], fits: bool, mark: str) -> None:
    about = replace(head(), subject=f"{mark}polling", groups=("本地论坛",), regions=("石桥镇",))
    assert matches(silence(**asked), about, "重大") is fits


def test_what_a_silence_holds_back_is_recorded_once_and_sent_when_it_ends() -> None:
    desk = Desk(routed(TWO))
    desk.silence(NOON, NOON + HOUR)
    desk(head())
    assert desk.sent == [] and [(each.suppressed_by, each.tell, each.kind) for each in desk.held] == [
        ("silence:s1", ("t0",), EscalationKind.PAGE)]
    assert (desk.status, desk.state.held_by, desk.state.due_at) == (AlertStatus.PENDING, "silence:s1", NOON + HOUR)
    assert desk.tick(NOON + HOUR - 1) == [] and len(desk.held) == 1
    assert desk.tick(NOON + HOUR) == [("t0",)]
    assert (desk.state.held_by, desk.status) == ("", AlertStatus.NOTIFIED)
    assert desk.sent[0].id != desk.held[0].id and desk.tick(NOON + HOUR + 5 * MINUTE) == [("t1",)]


def test_a_silence_that_is_ended_early_or_made_longer_moves_what_it_holds() -> None:
    desk = Desk(routed(TWO))
    desk.silence(NOON, NOON + HOUR)
    desk(head())
    desk.silence(NOON, NOON + 2 * HOUR, at=NOON + 1)
    assert (desk.state.due_at, len(desk.held)) == (NOON + 2 * HOUR, 1)
    desk.silence(NOON, NOON + HOUR, at=NOON)                         # the earlier record comes again, late
    assert desk.state.due_at == NOON + 2 * HOUR
    desk.tick(NOON + 10 * MINUTE)
    desk.silence(NOON, NOON + 2 * HOUR, at=NOON + 2, expired_at=NOON + 20 * MINUTE)
    assert desk.sent == [] and desk.tick(NOON + 20 * MINUTE) == [("t0",)]
    over = Desk(routed(TWO))
    over.silence(NOON, NOON + HOUR)
    over(head())
    assert [each.tell for each in over.silence(
        NOON, NOON + HOUR, at=NOON + 2, expired_at=NOON).escalations] == [("t0",)], "it is sent at once"


def test_a_silence_counts_by_the_time_of_the_ticks_from_its_start_to_its_end() -> None:
    desk = Desk(routed(TWO), head())
    desk.silence(NOON + 10 * MINUTE, NOON + HOUR, at=NOON)
    assert desk.tick(NOON + 5 * MINUTE) == [("t1",)], "it has not begun"
    assert desk.tick(NOON + 10 * MINUTE) == [] and desk.state.held_by == "silence:s1"
    assert desk.tick(NOON + HOUR) == [("leader-a",)]


def test_of_two_silences_the_one_that_ends_last_holds_and_a_second_one_takes_over() -> None:
    desk = Desk(routed(TWO))
    desk.silence(NOON, NOON + HOUR, ident="short")
    desk.silence(NOON, NOON + 2 * HOUR, ident="long", event_id="", levels=("重大",))
    desk(head())
    assert (desk.state.held_by, desk.state.due_at) == ("silence:long", NOON + 2 * HOUR)
    desk.silence(NOON, NOON + 2 * HOUR, ident="long", at=NOON + 1, event_id="", levels=("重大",), expired_at=NOON)
    assert (desk.state.held_by, desk.state.due_at) == ("silence:short", NOON + HOUR)
    assert [each.suppressed_by for each in desk.held] == ["silence:long", "silence:short"]
    assert len({each.id for each in desk.held}) == 2


def test_an_ack_or_a_raise_ends_the_waiting_and_a_hand_over_is_sent_all_the_same() -> None:
    desk = Desk(routed(TWO))
    desk.silence(NOON, NOON + HOUR, event_id="", levels=("较大",))
    desk(head(level=2))
    desk.ack()
    assert (desk.state.held_by, desk.status, desk.tick(NOON + 2 * HOUR)) == ("", AlertStatus.ACKED, [])
    other = Desk(routed(TWO))
    other.silence(NOON, NOON + HOUR, event_id="", levels=("较大",))
    other(head(level=2))
    other.hand("li")
    assert [each.tell for each in other.sent] == [("li",)]
    other(head(2, level=3, raises=2, at=NOON + 1))
    assert [each.tell for each in other.sent] == [("li",), ("t0",)] and other.state.held_by == ""


def test_what_waits_already_is_said_once_however_often_it_is_looked_at() -> None:
    desk = Desk(routed(TWO))
    desk.silence(NOON, NOON + HOUR)
    desk(head())
    out = desk.silence(NOON, NOON + HOUR, ident="s2", event_id="e2")
    assert (out.states, out.escalations, set(out.puts)) == ([], [], {b"s|s2", b"t"})


@pytest.mark.parametrize(("ends_at", "by"), [(SEVEN - 1, "quiet"), (SEVEN, "silence:s1"), (SEVEN + 1, "silence:s1")])
def test_of_a_silence_and_quiet_hours_the_one_that_ends_last_holds(ends_at: int, by: str) -> None:
    desk = Desk(routed(TWO, quiet=(NIGHT,)))
    desk.silence(NOON, ends_at)
    desk(head(level=2, at=EVENING))
    assert (desk.state.held_by, desk.state.due_at) == (by, max(ends_at, SEVEN))


def test_news_that_waits_longer_than_ended_events_are_kept_is_told_all_the_same() -> None:
    desk = Desk(routed(TWO), raised(1, 2, 1, NOON))
    desk.silence(NOON, NOON + 9 * DAY)
    desk(replace(raised(2, 0, 1, NOON + HOUR), status=EventStatus.CALM))
    desk.tick(NOON + 8 * DAY)
    assert [each.kind for each in desk.sent] == [EscalationKind.PAGE]
    desk.tick(NOON + 9 * DAY)
    assert [each.kind for each in desk.sent] == [EscalationKind.PAGE, EscalationKind.INFORM]
    desk.tick(NOON + 14 * DAY)
    assert b"a|e1" not in desk.rows


def test_silences_are_rows_that_a_restart_finds_and_that_go_a_day_after_their_end() -> None:
    desk = Desk(routed(TWO))
    desk.silence(NOON, NOON + HOUR)
    desk.restart()
    desk(head())
    assert desk.sent == [] and b"s|s1" in desk.rows
    desk.tick(NOON + HOUR + DAY)
    assert b"s|s1" in desk.rows
    desk.tick(NOON + HOUR + DAY + 1)
    assert b"s|s1" not in desk.rows
    assert desk.silence(NOON, NOON + HOUR, at=NOON + 5).late == 1, "one that was over long ago does not come back"


def test_a_silence_heard_again_says_nothing_new() -> None:
    held = Silences()
    assert held.take(silence(event_id="e1"), NOON) and not held.take(silence(event_id="e1"), NOON)
    assert not held.take(silence(event_id="e2", at=NOON - 1), NOON)
    assert held.take(silence(event_id="e2", at=NOON + 1), NOON)


# ---------------------------------------------------------------- quiet hours


def test_quiet_hours_hold_the_levels_they_name_and_never_the_highest() -> None:
    desk = Desk(routed(TWO, quiet=(replace(NIGHT, levels=("一般", "较大", "重大")),)), head(level=2, at=EVENING))
    assert desk.sent == [] and (desk.state.held_by, desk.state.due_at) == ("quiet", SEVEN)
    desk(head(2, level=3, raises=2, at=EVENING + MINUTE))
    assert [each.tell for each in desk.sent] == [("t0",)]
    assert desk.tick(EVENING + 6 * MINUTE) == [("t1",)]


def test_what_quiet_hours_held_is_sent_in_the_morning_at_its_distances() -> None:
    desk = Desk(routed(TWO, quiet=(NIGHT,)), head(level=2, at=NOON + 10 * HOUR - MINUTE))      # 21:59
    assert [each.tell for each in desk.sent] == [("t0",)]
    told = {at: who for at in range(NOON + 10 * HOUR, SEVEN + HOUR, MINUTE) if (who := desk.tick(at))}
    assert told == {SEVEN: [("t1",)], SEVEN + 5 * MINUTE: [("leader-a",)]}
    assert [(each.suppressed_by, each.step) for each in desk.held] == [("quiet", 1)]


def test_quiet_hours_that_a_new_book_does_not_have_hold_nothing_any_more() -> None:
    desk = Desk(routed(TWO, quiet=(NIGHT,)), head(level=2, at=EVENING))
    desk.rules = routed(TWO)
    assert desk.tick(EVENING + 1000) == [("t0",)]


def test_an_alert_held_past_its_end_is_told_before_it_expires() -> None:
    desk = Desk(routed(replace(TWO, repeat=10 * MINUTE, until=HOUR), quiet=(NIGHT,)), head(level=2, at=EVENING))
    assert desk.tick(SEVEN) == [("t0",)] and desk.tick(SEVEN + 5 * MINUTE) == [("t1",)]
    assert desk.tick(SEVEN + 10 * MINUTE) == [("leader-a",)] and desk.status is AlertStatus.EXPIRED


def test_a_snooze_that_ends_in_quiet_hours_waits_for_the_morning() -> None:
    desk = Desk(routed(TWO, quiet=(NIGHT,)), head(level=2, at=NOON))
    desk.snooze(EVENING)
    assert desk.tick(EVENING) == [] and (desk.status, desk.state.snoozed_until) == (AlertStatus.NOTIFIED, None)
    assert desk.tick(SEVEN) == [("t1",)]


def test_those_who_were_told_hear_of_a_fall_in_the_morning_as_it_stands_then() -> None:
    desk = Desk(routed(TWO, quiet=(NIGHT,)), raised(1, 2, 1, NOON))
    desk(replace(raised(2, 1, 1, EVENING), decision=head(why=Why.LOWERED, at=EVENING).decision))
    calm = replace(raised(3, 0, 1, EVENING + HOUR), status=EventStatus.CALM, peak=3)
    calm = replace(calm, decision=replace(calm.decision, previous=1))
    desk(calm)
    assert [each.suppressed_by for each in desk.held if each.kind is EscalationKind.INFORM] == ["quiet", "quiet"]
    desk.restart()
    assert desk.tick(SEVEN - 1) == [] and desk.tick(SEVEN) == [("t0",)]
    assert (desk.sent[-1].kind, desk.sent[-1].head) == (EscalationKind.INFORM, calm)
    assert desk.tick(SEVEN + HOUR) == []


def test_a_raise_makes_news_of_a_fall_needless() -> None:
    desk = Desk(routed(TWO, quiet=(NIGHT,)), raised(1, 2, 1, NOON))
    desk(raised(2, 1, 1, EVENING))
    desk(raised(3, 3, 2, EVENING + 1))
    desk.tick(SEVEN)
    assert EscalationKind.INFORM not in {each.kind for each in desk.sent}


# ---------------------------------------------------------------- digests


def test_a_digest_leaves_silenced_events_out_and_takes_them_in_later() -> None:
    desk = Desk(routed(*routes()), head(level=1), head(level=1, event_id="e2"))
    desk.silence(NOON, NOON + 90 * MINUTE)
    desk.tick(NOON + HOUR)
    assert [[each.id for each in sent.digest] for sent in desk.sent] == [["e2"]]
    assert [(each.event_id, each.suppressed_by, each.kind) for each in desk.held] == [
        ("e1", "silence:s1", EscalationKind.DIGEST)]
    assert desk.tick(NOON + 90 * MINUTE) == [], "at its end it waits for the next digest"
    desk.tick(NOON + 2 * HOUR)
    assert [[each.id for each in sent.digest] for sent in desk.sent] == [["e2"], ["e1"]] and len(desk.held) == 1


def test_a_silence_that_ends_early_lets_its_events_into_the_next_digest() -> None:
    desk = Desk(routed(*routes()), head(level=1))
    desk.silence(NOON, NOON + 5 * HOUR)
    desk.tick(NOON + HOUR)
    desk.silence(NOON, NOON + 5 * HOUR, at=NOON + 1, expired_at=NOON + HOUR)
    assert (desk.state.held_by, desk.state.due_at) == ("", NOON + 2 * HOUR)
    desk.tick(NOON + 2 * HOUR)
    assert [[each.id for each in sent.digest] for sent in desk.sent] == [["e1"]]


def test_quiet_hours_do_not_hold_a_digest_which_has_hours_of_its_own() -> None:
    desk = Desk(routed(*routes(), quiet=(Quiet(levels=("一般",), hours="09:00-18:00"),)), head(level=1))
    desk.tick(NOON + HOUR)
    assert [each.kind for each in desk.sent] == [EscalationKind.DIGEST] and desk.held == []


def test_a_drill_is_collected_apart() -> None:
    desk = Desk(routed(*routes()), head(level=1), replace(head(level=1, event_id="d1"), subject="!polling"))
    desk.tick(NOON + HOUR)
    assert sorted((sent.drill, [each.id for each in sent.digest]) for sent in desk.sent) == [
        (False, ["e1"]), (True, ["d1"])]


def test_an_event_of_a_digest_that_was_handed_over_comes_back_to_the_digest() -> None:
    daily = Route(id="d", mode=RouteMode.DIGEST, steps=(Step(tell=("duty",)),), hours="09:00-18:00", every=HOUR)
    desk = Desk(routed(daily), head(level=1))
    desk.hand("li", NOON + 1)
    assert desk.sent[-1].tell == ("li",) and desk.state.due_at == NOON + HOUR
    desk.tick(NOON + HOUR)
    assert desk.sent[-1].kind is EscalationKind.DIGEST
