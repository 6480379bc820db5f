"""What came of a load of alerts: topic escalations as it stands, and beside what an unkilled escalator makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline import codec, topics
from pipeline.model import AlertState, Escalation, EventClocks
from pipeline.replay import Input, Replay
from pipeline.rulebook.schema import RuleBook


@dataclass
class Found:
    """Topic escalations: the first record of each escalation, where it stood, and the states of alerts and clocks."""

    first: dict[str, Escalation] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    repeats: int = 0
    states: list[tuple[int, int, AlertState]] = field(default_factory=list)
    alerts: dict[str, AlertState] = field(default_factory=dict)
    clocks: dict[str, EventClocks] = field(default_factory=dict)

    def take(self, partition: int, offset: int, record: object) -> None:
        match record:
            case Escalation():
                self.repeats += record.id in self.first
                if record.id not in self.first:
                    self.first[record.id], self.places[record.id] = record, (partition, offset)
            case AlertState():
                self.states.append((partition, offset, record))
                self.say(record)
            case EventClocks():
                self.say(record)

    def say(self, record: AlertState | EventClocks) -> None:
        """The greatest version and revision counts."""
        if isinstance(record, AlertState):
            known = self.alerts.get(record.event_id)
            if known is None or (known.event_version, known.revision) <= (record.event_version, record.revision):
                self.alerts[record.event_id] = record
        elif (before := self.clocks.get(record.event_id)) is None or before.revision <= record.revision:
            self.clocks[record.event_id] = record

    @property
    def waits(self) -> int:
        """Alerts and clocks of which something is still due."""
        return sum(each.due_at is not None for each in self.alerts.values()) + sum(
            clock.stopped_at is None and clock.warned < 100 for each in self.clocks.values() for clock in each.clocks)


def as_unkilled(found: Found, events: list[object], book: RuleBook) -> None:
    """What one escalator that never died makes of the same records, ticks too: the same messages and final states."""
    flow, told = Replay(book, 4, frozenset((topics.EVENTS,))), Found()
    for record in events:
        decoded = codec.decode(record.value, record.headers)                                  # type: ignore
        for each in flow.feed(Input(topics.EVENTS, decoded, record.partition)):               # type: ignore
            told.take(0, 0, each)
    assert set(told.first) == set(found.first)
    for ident, each in told.first.items():
        other = found.first[ident]
        assert _what(each) == _what(other), f"{_what(each)} without a kill, {_what(other)} with them"
    assert told.alerts == found.alerts
    assert told.clocks.keys() == found.clocks.keys()
    assert {key: each.clocks for key, each in told.clocks.items()} == {
        key: each.clocks for key, each in found.clocks.items()}


def _what(each: Escalation) -> tuple[object, ...]:
    return (each.kind, each.why, each.tell, each.event_id, each.alert_id, each.level, each.step, each.repeat,
            each.suppressed_by, each.channels, each.clock, each.percent)
