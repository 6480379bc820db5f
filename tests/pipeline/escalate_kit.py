"""An escalator and everything it said; heads, commands and books in a line each."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pipeline.escalate.escalator import Escalator, Outcome
from pipeline.ids import digest
from pipeline.model import (
    Ack,
    AlertState,
    AlertStatus,
    Comment,
    Escalation,
    EventClocks,
    EventHead,
    EventStatus,
    HandOver,
    Silence,
    Snooze,
    Statement,
    Tick,
    Why,
)
from pipeline.rulebook.schema import HOUR, MINUTE, ResponseClock, Route, RuleBook, Step
from tests.builders import NOON, book, levels
from tests.pipeline.test_escalate import head

__all__ = ["NOON", "HOUR", "MINUTE"]

CLOCKS = (
    ResponseClock(id="answer", name="首次权威回应", within=5 * HOUR, start_level="较大", levels={"重大": 3 * HOUR}),
    ResponseClock(id="briefing", name="新闻发布", within=24 * HOUR, start_level="重大"),
)


def route(*after: int, **changes: Any) -> Route:
    """Steps that tell t0, t1, …; after: of the steps, in minutes."""
    steps = tuple(Step(tell=(f"t{n}",), after=each * MINUTE, channels=(f"c{n}",)) for n, each in enumerate(after))
    return Route(**{"id": "r", "steps": steps, **changes})


def routed(*routes: Route, **changes: Any) -> RuleBook:
    return _hashed(**{"routes": routes, **changes})


def clocked(*clocks: ResponseClock, **changes: Any) -> RuleBook:
    return _hashed(**{"levels": levels(clocks=clocks or CLOCKS), **changes})


def _hashed(**changes: Any) -> RuleBook:
    """Other rules have another hash, as of real books."""
    return book(**changes, hash=digest(repr(changes), size=8))


class Desk:
    """rows: the table, so that a restart is `restart()`. sent: what goes out; held: what is only recorded."""

    def __init__(self, rules: RuleBook, *heads: EventHead) -> None:
        self.rules, self.escalator = rules, Escalator(wary=True)
        self.rows: dict[bytes, bytes] = {}
        self.states: dict[str, AlertState] = {}
        self.clocks: dict[str, EventClocks] = {}
        self.sent: list[Escalation] = []
        self.held: list[Escalation] = []
        for each in heads:
            self(each)

    def __call__(self, record: Any) -> Outcome:
        out = self.escalator.handle(record, self.rules)
        for key, row in out.puts.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self.states.update((each.event_id, each) for each in out.states)
        self.clocks.update((each.event_id, each) for each in out.clocks)
        for each in out.escalations:
            (self.held if each.suppressed_by else self.sent).append(each)
        return out

    def restart(self) -> None:
        self.escalator = Escalator.restore(0, self.rows.items())

    def tick(self, at: int) -> list[tuple[str, ...]]:
        """Whom the tick tells. A tick far ahead is said twice, as time goes on after a stop."""
        if at > self.escalator.now + HOUR:
            self(Tick(at=at - 1))
        return [each.tell for each in self(Tick(at=at)).escalations if not each.suppressed_by]

    @property
    def state(self) -> AlertState:
        return self.states["e1"]

    @property
    def status(self) -> AlertStatus:
        return self.state.status

    def clock(self, ident: str = "answer") -> Any:
        return next(each for each in self.clocks["e1"].clocks if each.id == ident)

    def ack(self, at: int = NOON, *, ident: str = "ack", by: str = "wang", alert_id: str = "") -> Outcome:
        return self(Ack(id=ident, event_id="e1", alert_id=alert_id or self.state.alert_id, by=by, at=at))

    def snooze(self, until: int, *, at: int = NOON, ident: str = "snooze") -> Outcome:
        return self(Snooze(id=ident, event_id="e1", alert_id=self.state.alert_id, by="wang", at=at, until=until))

    def hand(self, to: str, at: int = NOON, *, ident: str = "hand") -> Outcome:
        return self(HandOver(id=ident, event_id="e1", alert_id=self.state.alert_id, by="wang", at=at, to=to))

    def comment(self, text: str, at: int = NOON, *, ident: str = "comment") -> Outcome:
        return self(Comment(id=ident, event_id="e1", by="li", at=at, text=text))

    def say(self, at: int, *clocks: str, ident: str = "said", said_at: int = 0, **more: Any) -> Outcome:
        return self(Statement(id=ident, event_id="e1", by="zhang", at=at, title="投票时间不变", published_at=said_at,
                              clocks=clocks, **more))

    def silence(self, starts_at: int, ends_at: int, *, ident: str = "s1", at: int = 0, **more: Any) -> Outcome:
        return self(Silence(**{"id": ident, "by": "wang", "at": at or starts_at, "owner": "wang", "reason": "演习",
                               "starts_at": starts_at, "ends_at": ends_at, "event_id": "e1", **more}))


def closed(version: int, at: int, reason: str = "不相关", **changes: Any) -> EventHead:
    return replace(head(version, level=0, status=EventStatus.CLOSED, why=Why.CLOSED, at=at), **{
        "closed_reason": reason, "closed_by": "chen", "opened_at": NOON, "peak": 3, **changes})


def raised(version: int, level: int, raises: int, at: int, **changes: Any) -> EventHead:
    return replace(head(version, level, raises=raises, at=at), **{"opened_at": NOON, **changes})
