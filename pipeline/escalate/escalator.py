"""The escalator of one partition of `events`: alerts, their timers as due times, and what each record changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

import msgspec
from msgspec.structs import replace

from pipeline.escalate import policy
from pipeline.model import (
    Ack,
    AlertState,
    AlertStatus,
    Escalation,
    EventHead,
    EventStatus,
    Millis,
    Snooze,
    Tick,
    Verdict,
    WarmAlert,
    Why,
)
from pipeline.rulebook.schema import Route, RouteMode, RuleBook

Input = EventHead | Ack | Snooze | Tick | Verdict | WarmAlert

_ALERT = b"a|"
_CLOCK = b"t"
_ANSWERABLE = (AlertStatus.PENDING, AlertStatus.NOTIFIED, AlertStatus.EXHAUSTED, AlertStatus.SNOOZED)


@dataclass(slots=True)
class Outcome:
    """escalations are to be acknowledged by the broker before puts are written: state says only what is out."""

    escalations: list[Escalation] = field(default_factory=list)
    states: list[AlertState] = field(default_factory=list)
    puts: dict[bytes, bytes | None] = field(default_factory=dict)
    late: int = 0


class Escalator:
    """All alerts of one partition. A version or command seen before changes nothing; the state is sent on again."""

    def __init__(self) -> None:
        self.now: Millis = 0
        self._alerts: dict[str, WarmAlert] = {}
        self._restored = False

    @classmethod
    def restore(cls, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> Escalator:
        self = cls()
        for key, value in rows:
            if key == _CLOCK:
                self.now = msgspec.msgpack.decode(value, type=int)
            else:
                alert = msgspec.msgpack.decode(value, type=WarmAlert)
                self._alerts[alert.state.event_id] = alert
        self._restored = True
        return self

    def handle(self, record: Input, book: RuleBook) -> Outcome:
        out = Outcome()
        match record:
            case EventHead() if record.shadow:
                self._recorded(record, book, out)
            case EventHead():
                self.now = max(self.now, record.changed_at)
                self._event(record, book, out)
            case Ack():
                self._ack(record, out)
            case Snooze():
                self._snooze(record, out)
            case Tick():
                self._tick(record, book, out)
            case WarmAlert():
                self._warm(record, book, out)
            case Verdict():
                pass                     # what people think of an alert changes nothing of who is told
            case _:
                assert_never(record)
        return out

    # ---------------------------------------------------------------- events

    def _event(self, head: EventHead, book: RuleBook, out: Outcome) -> None:
        known = self._alerts.get(head.id)
        if known is None:
            if head.level:
                self._raise(head, book, 1, out)
            return
        if head.version <= known.head.version:
            self._heard(known, out, again=head.version == known.head.version)
            return
        state = known.state
        if head.level and head.raises > known.head.raises:
            self._raise(head, book, state.revision + 1, out)
        elif _lower(head, known.head):
            self._fell(head, state, book, out)
        else:
            # figures only: kept for the next message, and not worth a row; after a restart the next head brings them
            newer = replace(state, event_version=head.version)
            self._alerts[head.id] = WarmAlert(state=newer, head=replace(head, joined=()))

    def _raise(self, head: EventHead, book: RuleBook, revision: int, out: Outcome) -> None:
        state = policy.raise_alert(head, book, revision, head.changed_at)
        self._put(state, head, out)
        self._run_due(head.id, book, max(self.now, head.changed_at), out)

    def _fell(self, head: EventHead, state: AlertState, book: RuleBook, out: Outcome) -> None:
        if state.told:
            out.escalations.append(policy.inform(state, head, book, head.changed_at))
        over = head.status in (EventStatus.CALM, EventStatus.CLOSED)
        changed = replace(state, event_version=head.version, revision=state.revision + 1, level=head.level)
        if over:
            changed = replace(changed, status=AlertStatus.ENDED, due_at=None, snoozed_until=None)
        self._put(changed, head, out)

    def _recorded(self, head: EventHead, book: RuleBook, out: Outcome) -> None:
        """A raise of a shadow rule: what would have been said, from the head alone. No state, no timer, no clock of the
        live alerts is touched by it; the same head again gives the same record."""
        decision = head.decision
        if head.level and decision.level > decision.previous and decision.at == head.changed_at:
            out.escalations.append(policy.in_shadow(head, book))

    # ---------------------------------------------------------------- people

    def _ack(self, ack: Ack, out: Outcome) -> None:
        known = self._alerts.get(ack.event_id)
        if known is None or known.state.alert_id != ack.alert_id or known.state.status not in _ANSWERABLE:
            self._heard(known, out, again=known is not None and known.state.acked_by == ack.by)
            return
        state = replace(known.state, status=AlertStatus.ACKED, acked_by=ack.by, acked_at=ack.at, due_at=None,
                        snoozed_until=None, revision=known.state.revision + 1)
        self._put(state, known.head, out)

    def _snooze(self, snooze: Snooze, out: Outcome) -> None:
        known = self._alerts.get(snooze.event_id)
        if (known is None or known.state.alert_id != snooze.alert_id or snooze.until <= self.now
                or known.state.status not in _ANSWERABLE or known.state.snoozed_until == snooze.until):
            self._heard(known, out, again=known is not None and known.state.snoozed_until == snooze.until)
            return
        state = replace(known.state, status=AlertStatus.SNOOZED, snoozed_until=snooze.until, due_at=snooze.until,
                        revision=known.state.revision + 1)
        self._put(state, known.head, out)

    def _heard(self, known: WarmAlert | None, out: Outcome, *, again: bool) -> None:
        """Nothing changes. If this record made the state what it is, say so again: that may not be out yet."""
        out.late += 1
        if known is not None and again:
            out.states.append(known.state)

    # ---------------------------------------------------------------- time

    def _tick(self, tick: Tick, book: RuleBook, out: Outcome) -> None:
        self.now = max(self.now, tick.at)
        out.puts[_CLOCK] = msgspec.msgpack.encode(self.now)
        if self._restored:               # what a tick decided before the restart may be in the rows alone
            self._restored = False
            out.states += [alert.state for alert in self._alerts.values()]
        due = [event_id for event_id, alert in self._alerts.items()
               if alert.state.due_at is not None and alert.state.due_at <= self.now]
        for event_id in sorted(due):
            self._run_due(event_id, book, self.now, out)
        self._drop_past(book, out)

    def _run_due(self, event_id: str, book: RuleBook, now: Millis, out: Outcome) -> None:
        alert = self._alerts[event_id]
        due = alert.state.due_at
        if due is None or due > now:
            return
        route = policy.route_of(alert, book)
        if route is not None and route.mode is RouteMode.DIGEST:
            self._send_digest(route, book, now, out)
            return
        state, escalation = policy.run_step(alert, book, now)
        out.escalations.append(escalation)
        self._put(state, alert.head, out)

    def _send_digest(self, route: Route, book: RuleBook, now: Millis, out: Outcome) -> None:
        """All events of this partition that wait for the route's digest go into one message."""
        waiting = [alert for alert in self._alerts.values()
                   if alert.state.due_at is not None and alert.state.due_at <= now
                   and policy.route_of(alert, book) == route]
        escalation = policy.digest_of(route, waiting, book, now)
        out.escalations.append(escalation)
        for alert in waiting:
            state = replace(
                alert.state, status=AlertStatus.NOTIFIED, due_at=None, told=escalation.tell, route=route.id,
                escalation_id=escalation.id, snoozed_until=None, repeat=alert.state.repeat + 1,
                revision=alert.state.revision + 1, book=book.hash)
            self._put(state, alert.head, out)

    def _drop_past(self, book: RuleBook, out: Outcome) -> None:
        """Forget ended alerts when the tracker has forgotten their events."""
        horizon = self.now - 2 * max(book.levels.events.calm_after, book.levels.events.join_within)
        past = [event_id for event_id, alert in self._alerts.items()
                if alert.state.status is AlertStatus.ENDED and alert.head.changed_at < horizon]
        for event_id in past:
            del self._alerts[event_id]
            out.puts[_ALERT + event_id.encode()] = None

    # ---------------------------------------------------------------- state

    def _warm(self, record: WarmAlert, book: RuleBook, out: Outcome) -> None:
        """Take over what the archive knew; what was decided and got lost in flight is sent again."""
        state = record.state
        known = self._alerts.get(state.event_id)
        if known is not None and (known.state.event_version, known.state.revision) >= (
                state.event_version, state.revision):
            return
        self._put(state, record.head, out, announce=False)
        if record.lost and state.status in (AlertStatus.NOTIFIED, AlertStatus.EXHAUSTED):
            again = policy.last_message(record, book)
            if again is not None:
                out.escalations.append(again)

    def _put(self, state: AlertState, head: EventHead, out: Outcome, *, announce: bool = True) -> None:
        alert = WarmAlert(state=state, head=replace(head, joined=()))
        self._alerts[state.event_id] = alert
        out.puts[_ALERT + state.event_id.encode()] = msgspec.msgpack.encode(alert)
        if announce:
            out.states.append(state)


def _lower(head: EventHead, known: EventHead) -> bool:
    """Rules with another number of levels give the same level, by its name, another rank: their decision says which
    rank the earlier one has now."""
    if head.level and head.level_name == known.level_name:
        return False
    decision = head.decision
    by_rules = decision.why is Why.RULES and decision.at > known.decision.at
    return decision.level < decision.previous if by_rules else head.level < known.level
