"""A start with empty tables sends the commands of a day again: what the archive's state shows as done stays done."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.model import Ack, AlertStatus, Comment, EscalationKind, HandOver, Snooze, Tick, WarmAlert
from tests.pipeline.escalate_kit import HOUR, MINUTE, NOON, Desk, clocked, closed, raised, route, routed
from tests.pipeline.test_escalate import head

BOOK = routed(route(0, 5))


def notes(name: str, at: int, count: int) -> list[Comment]:
    return [Comment(id=f"{name}{n}", event_id="e1", by="li", at=at + n, text=f"{name}{n}") for n in range(count)]


def about(alert_id: str) -> tuple[Ack, Snooze, HandOver]:
    said: dict[str, Any] = {"event_id": "e1", "alert_id": alert_id, "by": "wang"}
    return (Ack(id="ack", at=NOON, **said), Snooze(id="snooze", at=NOON, until=NOON + 2 * HOUR, **said),
            HandOver(id="hand", at=NOON + MINUTE, to="li", **said))


def started(desk: Desk, *again: Any) -> Desk:
    """An escalator that was told what the archive knew, and the day's commands once more."""
    state, case = desk.state, desk.escalator._cases["e1"]
    fresh = Desk(desk.rules)
    fresh(WarmAlert(state=state, head=replace(case.head, version=state.event_version), lost=False, acts=case.acts,
                    clocks=case.clocks))
    fresh.states["e1"] = state
    for each in again:
        fresh(each)
    return fresh


@pytest.mark.parametrize("which", [0, 1], ids=["ack", "snooze"])
@pytest.mark.parametrize("since", [0, 5])
def test_what_was_done_before_a_hand_over_does_not_undo_it(which: int, since: int) -> None:
    desk = Desk(BOOK, head(level=2))
    command, hand = about(desk.state.alert_id)[which], about(desk.state.alert_id)[2]
    for each in (command, hand, *notes("since", NOON + 2 * MINUTE, since)):
        desk(each)
    fresh = started(desk, command, *([hand] if not since else []), *notes("since", NOON + 2 * MINUTE, since))
    assert (fresh.status, fresh.state.handed_to, fresh.sent) == (AlertStatus.NOTIFIED, "li", [])
    fresh.ack(NOON + HOUR, ident="later", by="li")
    assert fresh.status is AlertStatus.ACKED


def test_notes_that_come_again_push_out_nothing_that_was_done_after_them() -> None:
    desk = Desk(BOOK, head(level=2))
    before, hand, since = notes("a", NOON, 2), about(desk.state.alert_id)[2], notes("b", NOON + HOUR, 4)
    for each in (*before, hand, *since):
        desk(each)
    fresh = started(desk, *before, hand, *since)
    assert fresh.sent == [] and fresh.state == desk.state
    assert fresh.escalator._cases["e1"].acts == desk.escalator._cases["e1"].acts


def test_a_hand_over_that_was_lost_before_a_start_pages_as_of_its_time_and_waits_for_an_answer() -> None:
    desk = Desk(BOOK, head(level=2))
    fresh = started(desk, about(desk.state.alert_id)[2])
    assert [(each.why, each.at) for each in fresh.sent] == [("handed", NOON + MINUTE)]
    fresh(Tick(at=NOON + 2 * MINUTE))
    assert len(fresh.sent) == 1 and fresh.state.due_at == NOON + 6 * MINUTE


def test_the_page_of_a_hand_over_is_not_older_than_the_ack_before_it() -> None:
    desk = Desk(BOOK, head(level=2))                     # the last tick was at noon
    desk.ack(NOON + 3000)
    assert desk.hand("li", NOON + 5000).escalations[0].at > NOON + 3000


def test_a_drill_that_was_closed_warns_of_no_clock() -> None:
    desk = Desk(clocked(), replace(raised(1, 3, 1, NOON), subject="!polling"))
    desk(replace(closed(2, NOON + HOUR, "其他：演练结束"), subject="!polling"))
    assert {each.stopped_why for each in desk.clocks["e1"].clocks} == {"closed"}
    told = len(desk.sent)
    for hours in range(2, 26):
        desk.tick(NOON + hours * HOUR)
    assert len(desk.sent) == told and desk.sent[-1].kind is EscalationKind.INFORM
