"""What the topics have told so far, and what each record adds to it that a person would want to hear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.model import (
    SHADOW,
    AlertState,
    AlertStatus,
    DeadLetter,
    Delivery,
    DeliveryStatus,
    Escalation,
    EventClocks,
    EventHead,
    RawBatch,
    RawItem,
    ScoredBatch,
    SourceState,
)


class Kind(StrEnum):
    SOURCE = "source"            # a source answered for the first time
    ITEM = "item"
    REVISION = "revision"
    LEVEL = "level"
    STATEMENT = "statement"
    ESCALATION = "escalation"
    DELIVERY = "delivery"
    ACK = "ack"
    CLOCKS = "clocks"            # response clocks began, or one was stopped
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Happening:
    """record: RawItem, EventHead, Escalation, Delivery, AlertState, EventClocks, DeadLetter or SourceState."""

    kind: Kind
    record: Any


@dataclass(slots=True)
class Facts:
    """polls: answers of sources. decided: heads with a new level, and acks: alerts answered, each once, in order."""

    polls: int = 0
    scored: int = 0
    sources: dict[str, SourceState] = field(default_factory=dict)
    items: dict[str, RawItem] = field(default_factory=dict)
    heads: dict[str, EventHead] = field(default_factory=dict)
    decided: list[EventHead] = field(default_factory=list)
    alerts: dict[str, AlertState] = field(default_factory=dict)
    clocks: dict[str, EventClocks] = field(default_factory=dict)
    escalations: dict[str, Escalation] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    acks: list[AlertState] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)

    def apply(self, record: Any) -> Iterator[Happening]:
        """Take a record in; a repeat of a known one yields nothing."""
        match record:
            case SourceState():
                yield from self._source(record)
            case RawBatch():
                yield from self._items(record)
            case ScoredBatch() if not record.subject.startswith(SHADOW):
                self.scored += len(record.items)
            case EventHead() if not record.shadow:      # what runs in shadow is no part of the story
                yield from self._head(record)
            case Escalation() if record.id not in self.escalations and not record.shadow:
                self.escalations[record.id] = record
                yield Happening(Kind.ESCALATION, record)
            case AlertState():
                yield from self._alert(record)
            case EventClocks():
                yield from self._clocks(record)
            case Delivery():
                yield from self._delivery(record)
            case DeadLetter():
                self.dead.append(record)
                yield Happening(Kind.DEAD, record)

    def _source(self, state: SourceState) -> Iterator[Happening]:
        self.polls += 1
        known = self.sources.get(state.source_id)
        self.sources[state.source_id] = state
        if state.succeeded_at is not None and (known is None or known.succeeded_at is None):
            yield Happening(Kind.SOURCE, state)

    def _items(self, batch: RawBatch) -> Iterator[Happening]:
        for item in batch.items:
            known = self.items.get(item.id)
            self.items[item.id] = item
            if known is None:
                yield Happening(Kind.ITEM, item)
            elif known.revision != item.revision:
                yield Happening(Kind.REVISION, item)

    def _head(self, head: EventHead) -> Iterator[Happening]:
        known = self.heads.get(head.id)
        if known is not None and known.version >= head.version:
            return
        self.heads[head.id] = head
        if head.decision.level != (known.decision.level if known else 0):
            self.decided.append(head)
            yield Happening(Kind.LEVEL, head)
        if head.number and len(head.statements) > len(known.statements if known else ()):
            yield Happening(Kind.STATEMENT, head)

    def _alert(self, state: AlertState) -> Iterator[Happening]:
        known = self.alerts.get(state.event_id)
        if known is not None and (known.event_version, known.revision) >= (state.event_version, state.revision):
            return
        self.alerts[state.event_id] = state
        if state.status is AlertStatus.ACKED and (known is None or known.alert_id != state.alert_id
                                                  or known.status is not AlertStatus.ACKED):
            self.acks.append(state)
            yield Happening(Kind.ACK, state)

    def _clocks(self, record: EventClocks) -> Iterator[Happening]:
        known = self.clocks.get(record.event_id)
        if known is not None and known.revision >= record.revision:
            return
        self.clocks[record.event_id] = record
        if known is None or stopped(record) != stopped(known):
            yield Happening(Kind.CLOCKS, record)

    def _delivery(self, delivery: Delivery) -> Iterator[Happening]:
        known = self.deliveries.get(delivery.id)
        self.deliveries[delivery.id] = delivery
        if delivery.status is not DeliveryStatus.PENDING and (known is None or known.status is not delivery.status):
            yield Happening(Kind.DELIVERY, delivery)


def stopped(record: EventClocks) -> set[str]:
    """Ids of the clocks that do not run any more."""
    return {clock.id for clock in record.clocks if clock.stopped_at is not None}
