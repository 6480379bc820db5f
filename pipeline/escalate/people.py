"""What people do about an alert: each as a pure function of the case. None: it changes nothing.

After a warm-up the acts of the archive are known, and not which of them the state has: the archive reads the topic on
its own. So an act that is known is left out only where the state shows that it was taken.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from pipeline.acts import REMEMBERED, act_of
from pipeline.escalate import clocks, policy
from pipeline.escalate.cases import Case
from pipeline.model import (
    Ack,
    Act,
    ActKind,
    AlertState,
    AlertStatus,
    Comment,
    Escalation,
    HandOver,
    Millis,
    Snooze,
    Statement,
)
from pipeline.rulebook.schema import RuleBook

ANSWERABLE = (AlertStatus.PENDING, AlertStatus.NOTIFIED, AlertStatus.EXHAUSTED, AlertStatus.SNOOZED)
_CAN_BE_HANDED = (*ANSWERABLE, AlertStatus.ACKED)


def acked(case: Case, ack: Ack) -> Case | None:
    """It names the alert: one of a level that was raised since needs its own, and so does one that was handed over
    since. Of one that expired it is remembered that somebody came; that nobody had answered in time stays."""
    state, act = case.state, act_of(ack)
    if state is None or state.alert_id != ack.alert_id or ack.id in case.heard:
        return None
    if _before_hand_over(case, state, ack.at):
        return None
    if state.status is AlertStatus.EXPIRED:
        return case.with_act(ack.id, act)
    if state.status not in ANSWERABLE:
        return None
    state = replace(state, status=AlertStatus.ACKED, acked_by=ack.by, acked_at=ack.at, due_at=None,
                    snoozed_until=None, held_by="", handed_to="", revision=state.revision + 1)
    return replace(case.with_act(ack.id, act), state=state)


def snoozed(case: Case, snooze: Snooze, now: Millis) -> Case | None:
    state, act = case.state, act_of(snooze)
    if (state is None or state.alert_id != snooze.alert_id or state.status not in ANSWERABLE or snooze.until <= now
            or state.snoozed_until == snooze.until or snooze.id in case.heard
            or _before_hand_over(case, state, snooze.at)):
        return None
    state = replace(state, status=AlertStatus.SNOOZED, snoozed_until=snooze.until, due_at=snooze.until, held_by="",
                    revision=state.revision + 1)
    return replace(case.with_act(snooze.id, act), state=state)


def handed_over(case: Case, record: HandOver, book: RuleBook, now: Millis) -> tuple[Case, Escalation] | None:
    """Also of one that was acked: who took it hands it on."""
    state, act = case.state, act_of(record)
    if (state is None or case.head is None or state.alert_id != record.alert_id
            or state.status not in _CAN_BE_HANDED or record.id in case.heard or _taken(case, state, record)):
        return None
    case = case.with_act(record.id, act)
    state, page = policy.hand_over(case, record, book, now)
    return replace(case, state=state), page


def _before_hand_over(case: Case, state: AlertState, at: Millis) -> bool:
    """Whether it was done before the alert was handed over, or so long ago that the hand-over is not among the acts any
    more: rather one page too many than an alert that nobody has."""
    if not state.handed_to:
        return False
    handed = [each.at for each in _hand_overs(case)]
    return max(handed) > at if handed else len(case.acts) == REMEMBERED and all(each.at > at for each in case.acts)


def _taken(case: Case, state: AlertState, record: HandOver) -> bool:
    """Whether the state shows this hand-over: the alert is theirs, or was handed on or acked since."""
    if act_of(record) not in case.acts:
        return False
    later = any(each.at > record.at for each in _hand_overs(case))
    acked = state.acked_at is not None and state.acked_at >= record.at
    return acked or state.handed_to == record.to or (bool(state.handed_to) and later)


def _hand_overs(case: Case) -> Iterator[Act]:
    return (each for each in case.acts if each.kind is ActKind.HAND_OVER)


def commented(case: Case, comment: Comment) -> Case | None:
    act = act_of(comment)
    return None if comment.id in case.heard or act in case.acts else case.with_act(comment.id, act)


def stated(case: Case, statement: Statement, book: RuleBook) -> Case | None:
    """A rejected proposal is no statement."""
    if statement.rejected or statement.id in case.heard:
        return None
    known = clocks.stated(case.clocks, statement, book)
    if known is case.clocks:
        return None
    return replace(case.with_act(statement.id, act_of(statement)), clocks=known)


def answers(state: AlertState | None, by: str) -> bool:
    """Whether this person's answer made the state what it is: it may not be out yet, so it is said again."""
    return state is not None and bool(by) and state.acked_by == by
