"""The escalator of one partition of `events`: alerts, their timers as due times, and what each record changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec
from msgspec.structs import replace

from pipeline.escalate import clocks, due, people, policy
from pipeline.escalate.cases import ALERT, Agenda, Case, Held, decode_case, encode_case
from pipeline.escalate.outcome import Outcome
from pipeline.escalate.silences import SILENCE, Silences
from pipeline.escalate.tally import Cases
from pipeline.model import (
    Ack,
    AlertStatus,
    Comment,
    EventHead,
    EventStatus,
    HandOver,
    Millis,
    Silence,
    Snooze,
    Statement,
    Tick,
    Verdict,
    WarmAlert,
    Why,
)
from pipeline.rulebook.schema import HOUR, MINUTE, Route, RuleBook

__all__ = ["Escalator", "Input", "Outcome"]

Command = Ack | Snooze | HandOver | Comment | Statement
Input = EventHead | Command | Silence | Tick | Verdict | WarmAlert

FAR = HOUR
"""A tick further ahead than this counts when the next one agrees."""
BEHIND = 10 * MINUTE
"""Ticks so far behind are of a clock that was set back; nearer ones may be read again after a restart, and a repeat
changes nothing."""
_CLOCK, _FOLLOWED = b"t", b"r"
_LOST = (AlertStatus.NOTIFIED, AlertStatus.EXHAUSTED, AlertStatus.EXPIRED)


class Escalator:
    """All alerts of one partition. A version or command seen before changes nothing; the state is sent on again.

    wary: a single tick far ahead does not count, as a worker with a wrong clock would send it: time only goes on, and
    nothing would be due until it has caught up. Not for who ticks only when something is due (backtest).
    """

    def __init__(self, *, wary: bool = False) -> None:
        self.now: Millis = 0
        self._wary, self._ahead = wary, 0
        self._ticked: Millis = 0
        self._cases = Cases()
        self._silences = Silences()
        self._agenda = Agenda()
        self._book: RuleBook | None = None
        self._followed, self._restored = "", False

    @property
    def cases(self) -> Cases:
        """For figures of them."""
        return self._cases

    @property
    def next_due(self) -> Millis | None:
        """When a tick would do something."""
        return self._agenda.first

    @classmethod
    def restore(cls, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> Escalator:
        """The escalator whose rows these are, as the role runs it."""
        self = cls(wary=True)
        for key, value in rows:
            if key == _CLOCK:
                self.now = msgspec.msgpack.decode(value, type=int)
            elif key == _FOLLOWED:
                self._followed = value.decode()
            elif key.startswith(SILENCE):
                self._silences.load(value)
            else:
                case = decode_case(key.removeprefix(ALERT).decode(), value)
                self._cases[case.event_id] = case
        self._restored = True
        return self

    def handle(self, record: Input, book: RuleBook) -> Outcome:
        out = Outcome()
        if book is not self._book:
            self._book = book
            for case in self._cases.values():
                self._agenda.put(case.event_id, due.next_at(case, book))
        match record:
            case EventHead() if record.shadow:
                self._recorded(record, book, out)
            case EventHead():
                self.now = max(self.now, record.changed_at)
                self._event(record, book, out)
            case Ack() | Snooze() | HandOver() | Comment() | Statement():
                self._command(record, book, out)
            case Silence():
                self._silence(record, book, out)
            case Tick():
                self._tick(record, book, out)
            case WarmAlert():
                self._warm(record, book, out)
            case Verdict():
                pass                     # what people think of an alert changes nothing of who is told
            case _:
                assert_never(record)
        if out.puts:                     # the rows are as of a time: a snooze that is over then is none
            self._put_clock(out)
        return out

    # ---------------------------------------------------------------- events

    def _event(self, head: EventHead, book: RuleBook, out: Outcome) -> None:
        case = self._cases.get(head.id, Case(head.id))
        known, state = case.head, case.state
        if known is not None and head.version <= known.version:
            return self._heard(case, out, again=head.version == known.version)
        head = replace(head, joined=())
        case = replace(case, head=head, clocks=clocks.follow(case.clocks, head, book))
        if head.level and (state is None or known is None or head.raises > known.raises):
            revision = state.revision + 1 if state is not None else 1
            raised = policy.raise_alert(head, book, revision, head.changed_at)
            self._put(replace(case, state=raised, owed=None), book, out)
        elif state is not None and known is not None and _lower(head, known):
            self._fell(case, book, out)
        elif case.clocks is not self._clocks_of(head.id):
            self._put(case, book, out)
        elif head.id in self._cases:
            # figures only: kept for the next message, and not worth a row; after a restart the next head brings them.
            # The alert's state keeps its version: said with another one it would outrank what a restart decides next
            self._cases[head.id] = case
            return
        else:
            return                       # an event that nobody has to answer for
        self._run(head.id, book, max(self.now, head.changed_at), out)

    def _clocks_of(self, event_id: str) -> object:
        known = self._cases.get(event_id)
        return known.clocks if known is not None else None

    def _fell(self, case: Case, book: RuleBook, out: Outcome) -> None:
        """The level fell, or the event is over, and with it its alert."""
        head, state = case.head, case.state
        assert head is not None and state is not None
        case, sent = due.news(case, book, self._silences, max(self.now, head.changed_at))
        out.escalations += sent
        state = replace(state, event_version=head.version, revision=state.revision + 1, level=head.level)
        if head.status in (EventStatus.CALM, EventStatus.CLOSED):
            state = replace(state, status=AlertStatus.ENDED, due_at=None, snoozed_until=None, held_by="", handed_to="")
        self._put(replace(case, state=state), book, out)

    def _recorded(self, head: EventHead, book: RuleBook, out: Outcome) -> None:
        """A raise of a shadow rule: what would have been said, from the head alone. No state, no timer, no clock of the
        live alerts is touched by it; the same head again gives the same record."""
        decision = head.decision
        if head.level and decision.level > decision.previous and decision.at == head.changed_at:
            out.escalations.append(policy.in_shadow(head, book))

    # ---------------------------------------------------------------- people

    def _command(self, record: Command, book: RuleBook, out: Outcome) -> None:
        case = self._cases.get(record.event_id) or Case(record.event_id, at=record.at)
        changed: Case | None = None
        match record:
            case Ack():
                changed = people.acked(case, record)
            case Snooze():
                changed = people.snoozed(case, record, self.now)
            case HandOver():
                if (handed := people.handed_over(case, record, book, self.now)) is not None:
                    changed = handed[0]
                    out.escalations.append(handed[1])
            case Comment():
                changed = people.commented(case, record)
            case Statement():
                changed = people.stated(case, record, book)
        if changed is not None:
            out.late += changed.state is not None and changed.state.status is AlertStatus.EXPIRED
            return self._put(changed, book, out)
        again = record.id in case.heard or (isinstance(record, Ack) and people.answers(case.state, record.by))
        self._heard(case, out, again=again)

    def _heard(self, case: Case, out: Outcome, *, again: bool) -> None:
        """Nothing changes. If this record made the state what it is, say so again: that may not be out yet."""
        out.late += 1
        if again:
            self._say(case, out)

    def _say(self, case: Case, out: Outcome) -> None:
        if case.state is not None:
            out.states.append(case.state)
        if case.clocks is not None:
            out.clocks.append(case.clocks)

    def _silence(self, silence: Silence, book: RuleBook, out: Outcome) -> None:
        """What it held back, or holds from now on, is looked at again."""
        if not self._silences.take(silence, self.now):
            out.late += 1
            return
        out.puts[SILENCE + silence.id.encode()] = self._silences.row(silence.id)
        self._look_again(book, out)

    def _look_again(self, book: RuleBook, out: Outcome) -> None:
        for event_id in sorted(ident for ident, case in self._cases.items() if case.waits):
            self._run(event_id, book, self.now, out, again=True)

    # ---------------------------------------------------------------- time

    def _tick(self, tick: Tick, book: RuleBook, out: Outcome) -> None:
        if self._restored:               # what a tick decided before the restart may be in the rows alone
            self._restored = False
            for case in self._cases.values():
                self._say(case, out)
        if self._wary and self.now and tick.at > self.now + FAR and not 0 < self._ahead < tick.at:
            self._ahead = tick.at
            out.late += 1
            return
        self._ahead = 0
        self._go_on(tick.at)
        self._put_clock(out)
        if self._followed != book.hash:
            self._follow(book, out)
        for event_id in self._agenda.take_due(self.now):
            self._run(event_id, book, self.now, out)
        for ident in self._silences.drop_past(self.now):
            out.puts[SILENCE + ident.encode()] = None

    def _go_on(self, at: Millis) -> None:
        """Time as the ticks say. While a clock that was set back has not caught up it goes on at half their pace:
        standing still nobody would be told for as long as the jump was."""
        passed, self._ticked = at - self._ticked if self._ticked else 0, at
        if self._wary and passed > 0 and at < self.now - BEHIND:
            self.now += min(passed, MINUTE) // 2
        self.now = max(self.now, at)

    def _follow(self, book: RuleBook, out: Outcome) -> None:
        """The first tick under other rules: clocks start, move and go as they say, what is held is looked at again."""
        self._followed = book.hash
        out.puts[_FOLLOWED] = book.hash.encode()
        for event_id in sorted(self._cases):
            case = self._cases[event_id]
            if case.head is not None and (moved := clocks.follow(case.clocks, case.head, book)) is not case.clocks:
                self._put(replace(case, clocks=moved), book, out)
        self._look_again(book, out)

    def _run(self, event_id: str, book: RuleBook, now: Millis, out: Outcome, *, again: bool = False) -> None:
        """Everything of the event that is due now. again: also what is held back, before its time."""
        case = self._cases.get(event_id)
        if case is None:
            return
        at = due.past_at(case, book)
        if at is not None and at <= now:
            del self._cases[event_id]
            self._agenda.put(event_id, None)
            out.puts[ALERT + event_id.encode()] = None
            return
        is_due, route = due.route_due(case, book, now, again=again)
        if is_due and route is not None and due.digests(route):
            self._collect(case, route, book, now, out, again)
            case = self._cases[event_id]
        elif is_due:
            case, sent = due.step(case, book, self._silences, now)
            out.escalations += sent
        case, sent = due.warnings(case, book, self._silences, now, again=again)
        out.escalations += sent
        if case.owed is not None and (again or case.owed.until <= now):
            case, sent = due.news(case, book, self._silences, now, again=True)
            out.escalations += sent
        self._put(case, book, out)

    def _collect(self, due_case: Case, route: Route, book: RuleBook, now: Millis, out: Outcome, again: bool) -> None:
        """All events of this partition that wait for the route's digest go into one message; a drill's into another."""
        assert due_case.head is not None
        drill, waiting = due_case.head.drill, []
        for case in self._cases.values():
            is_due, its = due.route_due(case, book, now, again=again)
            if is_due and its == route and case.head is not None and case.head.drill is drill:
                waiting.append(case)
        cases, sent = due.collected(route, waiting, book, self._silences, now)
        out.escalations += sent
        for case in cases:
            self._put(case, book, out)

    # ---------------------------------------------------------------- state

    def _put_clock(self, out: Outcome) -> None:
        out.puts[_CLOCK] = msgspec.msgpack.encode(self.now)

    def _warm(self, record: WarmAlert, book: RuleBook, out: Outcome) -> None:
        """Take over what the archive knew; what was decided and got lost in flight is sent again. The state of an event
        without an alert, of which only clocks are known, names none."""
        state = record.state if record.state.alert_id else None
        case = self._cases.get(record.head.id) or Case(record.head.id, at=self.now)
        fresh = state is not None and (case.state is None or (
            case.state.event_version, case.state.revision) < (state.event_version, state.revision))
        later = record.clocks is not None and (
            case.clocks is None or case.clocks.revision < record.clocks.revision)
        if not fresh and not later and (case.acts or not record.acts):
            return
        if case.head is None or case.head.version < record.head.version or fresh:
            case = replace(case, head=replace(record.head, joined=()))
        case = replace(case, acts=case.acts or record.acts, state=state if fresh else case.state,
                       clocks=record.clocks if later else case.clocks,
                       owed=Held("", 0, record.owed_by, self.now) if fresh and record.owed_by else case.owed)
        self._put(case, book, out, announce=False)
        self._followed = ""              # the archive's clocks may be of an earlier book
        if fresh and record.lost and state is not None and state.status in _LOST:
            if (message := policy.last_message(case, book)) is not None:
                out.escalations.append(message)

    def _put(self, case: Case, book: RuleBook, out: Outcome, *, announce: bool = True) -> None:
        """Keep it, write its row if anything of it changed, and say what others have to know."""
        case = due.tidied(case, book)
        event_id, known = case.event_id, self._cases.get(case.event_id)
        if known != case:
            case = replace(case, at=max(self.now, case.at))
            self._cases[event_id] = case
            out.puts[ALERT + event_id.encode()] = encode_case(case)
            if announce and case.state is not None and (known is None or known.state != case.state):
                out.states.append(case.state)
            if announce and case.clocks is not None and (known is None or known.clocks != case.clocks):
                out.clocks.append(case.clocks)
        self._agenda.put(event_id, due.next_at(case, book))


def _lower(head: EventHead, known: EventHead) -> bool:
    """Rules with another number of levels give the same level, by its name, another rank: their decision says which
    rank the earlier one has now."""
    if head.level and head.level_name == known.level_name:
        return False
    decision = head.decision
    again = replace(decision, at=known.decision.at) == known.decision       # its time may be cut to each head's now
    by_rules = decision.why is Why.RULES and decision.at > known.decision.at and not again
    return decision.level < decision.previous if by_rules else head.level < known.level
