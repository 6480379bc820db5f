"""Rows as people are shown them; asked for in readmodel.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.model import (
    AlertState,
    DeadLetter,
    DeliveryStatus,
    Escalation,
    EventHead,
    MemberRow,
    Millis,
    ScoredItem,
)


class Kind(StrEnum):
    """What a line of an event's timeline is about; `detail` holds the members named here."""

    OPENED = "opened"                # number, subject
    LEVEL = "level"                  # a LevelDecision
    STATUS = "status"                # status (calm, open again, closed), by, reason
    STATEMENT = "statement"          # item_id, source_name: the office answered
    ACK = "ack"                      # an Ack
    SNOOZE = "snooze"                # a Snooze
    CLOSE = "close"                  # a Close
    ESCALATION = "escalation"        # id, kind, why, level, level_name, step, repeat, tell
    DELIVERY = "delivery"            # id, escalation_id, person, channel, status, attempts, error


@dataclass(frozen=True, slots=True)
class EventCard:
    """An event as lists show it."""

    head: EventHead
    alert: AlertState | None
    expired: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a timeline. detail: see Kind."""

    at: Millis
    kind: Kind
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """An item of an event. scored is None when its texts expired, or when the archive has not seen it yet."""

    item_id: str
    at: Millis
    row: MemberRow
    scored: ScoredItem | None
    source_id: str
    edited: bool
    expired: bool


@dataclass(frozen=True, slots=True)
class EventView:
    """Everything about one event. members: newest first, at most the number asked for; head.items counts all."""

    head: EventHead
    expired: bool
    alert: AlertState | None
    members: tuple[Member, ...]
    timeline: tuple[Line, ...]
    escalations: tuple[Escalation, ...]
    deliveries: tuple[DeliveryRow, ...]


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    id: str
    escalation_id: str
    event_id: str
    person: str
    channel: str
    status: DeliveryStatus
    attempts: int
    at: Millis
    decided_at: Millis
    error: str
    suppressed_by: str
    kind: str
    """Of its escalation (EscalationKind); empty when the archive has not seen that yet."""
    event_number: int


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Where the polling of a source stands; names and URLs as configured are in the rule book."""

    id: str
    url: str
    polled_at: Millis
    next_poll_at: Millis
    outcome: str
    error: str
    failures: int
    succeeded_at: Millis | None
    new_item_at: Millis | None
    backfilled: bool
    items: int


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A dead letter. letter is None when it is past its retention time."""

    id: str
    topic: str
    reason: str
    at: Millis
    replayed_at: Millis | None
    letter: DeadLetter | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    seq: int
    at: Millis
    account: str
    action: str
    object: str
    detail: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Figures for the top of a page."""

    items: int
    open_events: int
    sources: int
    sources_ok: int
    last_polled_at: Millis | None
    waiting_alerts: int
    dead_letters: int
