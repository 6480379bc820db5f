"""Events as the desk shows them: with what people decided that is still under way, clocks, silences, statements.

Every function blocks: from a coroutine use `asyncio.to_thread`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, func, or_, select

from agents.desk import alert_reads
from agents.desk.commands import read_command
from agents.store import people_reads, schema
from agents.store.readmodel import EventCard
from pipeline.model import (
    Ack,
    AlertState,
    AlertStatus,
    Close,
    Comment,
    DeliveryStatus,
    EventClock,
    EventHead,
    EventStatus,
    Excerpt,
    HandOver,
    Millis,
    Silence,
    Snooze,
    Statement,
)

EventCommand = Ack | Snooze | Close | HandOver | Comment | Statement
PENDING_FOR = 10 * 60_000
"""A command whose effect has not shown after this long (real milliseconds) is not called pending any more."""

_ALARMS = (AlertStatus.EXHAUSTED, AlertStatus.EXPIRED)
_WAITING = (AlertStatus.PENDING, AlertStatus.NOTIFIED, AlertStatus.SNOOZED, *_ALARMS)


@dataclass(frozen=True, slots=True)
class Pending:
    """A decision that was accepted and has not taken effect yet. sent: the broker has it."""

    command: EventCommand
    sent: bool


@dataclass(frozen=True, slots=True)
class DeskEvent:
    """An event as lists show it, with its deliveries counted by status, and what was decided and is under way.

    silences: by id, those that hold its alert back. statements: what people called one, and what they said is none.
    """

    card: EventCard
    deliveries: Mapping[str, int] = field(default_factory=dict)
    pending: tuple[Pending, ...] = ()
    clocks: tuple[EventClock, ...] = ()
    silences: Mapping[str, Silence] = field(default_factory=dict)
    statements: tuple[Statement, ...] = ()

    @property
    def head(self) -> EventHead:
        return self.card.head

    @property
    def alert(self) -> AlertState | None:
        return self.card.alert

    @property
    def can_ack(self) -> bool:
        return self.alert is not None and self.alert.status in _WAITING and self.head.status is not EventStatus.CLOSED

    @property
    def waits(self) -> bool:
        """Somebody still has to answer, and nobody is about to."""
        return self.can_ack and not any(isinstance(one.command, Ack) for one in self.pending)

    @property
    def answering(self) -> bool:
        """Somebody decided what changes the alert's state, and it has not shown yet."""
        return any(isinstance(one.command, Ack | Snooze | Close | HandOver) for one in self.pending)

    @property
    def urgent(self) -> bool:
        """People were told now and nobody answers: not what waits for a digest, was put off or is held back."""
        if not self.waits or self.alert is None:
            return False
        told = self.alert.status is AlertStatus.NOTIFIED and not self.alert.held_by
        return told or self.alert.status in _ALARMS

    @property
    def answered(self) -> tuple[Statement, ...]:
        """The office's words on it, confirmed by a person."""
        return tuple(one for one in self.statements if not one.rejected)

    @property
    def proposed(self) -> tuple[Excerpt, ...]:
        """Official items that nobody judged yet, nor is about to."""
        judged = {one.item_id for one in self.statements}
        judged |= {one.command.item_id for one in self.pending if isinstance(one.command, Statement)}
        return tuple(one for one in self.head.statements if one.item_id not in judged)


def of_cards(connection: Connection, cards: Iterable[EventCard], real: Millis) -> list[DeskEvent]:
    """The events with all that the desk shows of them, in their order."""
    known = list(cards)
    ids = [card.head.id for card in known]
    deliveries, pending = _deliveries(connection, ids), _pending(connection, ids, real)
    clocks, said = people_reads.clocks_of(connection, ids), alert_reads.statements(connection, ids)
    holding = {card.alert.held_by.removeprefix("silence:") for card in known if card.alert and card.alert.held_by}
    silences, arrived = alert_reads.silences(connection, holding), alert_reads.arrived(connection, pending)

    def whole(card: EventCard) -> DeskEvent:
        ident = card.head.id
        under_way = tuple(one for one in pending.get(ident, ())
                          if one.command.id not in arrived and _under_way(one.command, card))
        return DeskEvent(card, deliveries.get(ident, {}), under_way,
                         clocks[ident].clocks if ident in clocks else (), silences, said.get(ident, ()))

    return [whole(card) for card in known]


def _deliveries(connection: Connection, ids: Collection[str]) -> dict[str, dict[str, int]]:
    table = schema.deliveries
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(
            select(table.c.event_id, table.c.status, func.count().label("n"))
            .where(table.c.event_id.in_(ids)).group_by(table.c.event_id, table.c.status)):
        found.setdefault(row.event_id, {})[str(DeliveryStatus(row.status))] = row.n
    return found


def _pending(connection: Connection, ids: Collection[str], real: Millis) -> dict[str, list[Pending]]:
    table = schema.commands
    found: dict[str, list[Pending]] = {}
    recent = or_(table.c.accepted_at > real - PENDING_FOR, table.c.sent_at.is_(None))
    rows: Iterable[RowMapping] = connection.execute(
        select(table).where(table.c.event_id.in_(ids), recent).order_by(table.c.accepted_at)).mappings()
    for row in rows:
        command = read_command(row["type"], row["record"])
        if isinstance(command, EventCommand):           # a verdict changes nothing that would be waited for
            found.setdefault(row["event_id"], []).append(Pending(command, row["sent_at"] is not None))
    return found


def _under_way(command: EventCommand, card: EventCard) -> bool:
    """Whether the stream has yet to answer this command. What is only a line of the timeline: alert_reads.arrived."""
    head, alert = card.head, card.alert
    if isinstance(command, Comment | Statement | HandOver):
        return True
    if isinstance(command, Close):
        # Closed since it was decided, even if the event was opened again after that.
        return head.status is not EventStatus.CLOSED and not (head.closed_by and head.changed_at >= command.at)
    if alert is None or alert.alert_id != command.alert_id or alert.status in (AlertStatus.ACKED, AlertStatus.ENDED):
        return False
    return not (isinstance(command, Snooze) and (alert.snoozed_until or 0) >= command.until)
