"""Rows as people are shown them; asked for in readmodel.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.model import (
    AlertState,
    CountsRow,
    DeadLetter,
    DeliveryStatus,
    Escalation,
    EventClock,
    EventClocks,
    EventHead,
    EventStatus,
    Excerpt,
    MemberRow,
    Millis,
    ScoredItem,
)
from pipeline.model import Counts as ItemCounts


class Kind(StrEnum):
    """What a line of an event's timeline is about; `detail` holds the members named here."""

    OPENED = "opened"                # number, subject
    LEVEL = "level"                  # a LevelDecision
    STATUS = "status"                # status (calm, open again, closed), by, reason
    STATEMENT = "statement"          # item_id, source_name: an official item joined, a proposal
    ANSWERED = "answered"            # a Statement that a person confirmed, without the words of an item
    REJECTED = "rejected"            # the same, of a proposal that is no statement
    ACK = "ack"                      # an Ack
    SNOOZE = "snooze"                # a Snooze
    HAND_OVER = "hand_over"          # a HandOver
    COMMENT = "comment"              # a Comment
    CLOSE = "close"                  # a Close
    ESCALATION = "escalation"        # id, kind, why, level, level_name, step, repeat, tell; of a clock: clock, percent
    SUPPRESSED = "suppressed"        # the same and suppressed_by: it was held back
    SILENCE = "silence"              # a Silence of this event alone; expired_at: a person ended it
    CLOCK_STARTED = "clock_started"  # id, name, why (level, urgent)
    CLOCK_STOPPED = "clock_stopped"  # id, name, by, why (statement, closed), ref, late (by how many ms)
    VERDICT = "verdict"              # a Verdict
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
    """Everything about one event. members: newest first, at most the number asked for; head.items counts all.

    statements: what people confirmed or rejected. proposals: official items of which nobody has said yet.
    """

    head: EventHead
    expired: bool
    alert: AlertState | None
    members: tuple[Member, ...]
    timeline: tuple[Line, ...]
    escalations: tuple[Escalation, ...]
    deliveries: tuple[DeliveryRow, ...]
    clocks: EventClocks | None = None
    statements: tuple[StatementRow, ...] = ()
    proposals: tuple[Excerpt, ...] = ()


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
    """Where the polling of a source stands; names and URLs as configured are in the rule book.

    kind: what its document is (`rss20`, `discourse` …). failed_since: the first failure of the present series.
    What health is judged by is whole in readmodel.source_states.
    """

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
    kind: str = ""
    failed_since: Millis | None = None


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


@dataclass(frozen=True, slots=True)
class Revision:
    """What an item said before it was edited. Both texts are empty past their retention time."""

    revision: str
    title: str
    text: str
    seen_at: Millis


@dataclass(frozen=True, slots=True)
class ItemEvent:
    """An event that an item is in."""

    id: str
    number: int
    subject: str
    title: str
    status: EventStatus
    level: int
    level_name: str


@dataclass(frozen=True, slots=True)
class ItemView:
    """One item as it stands. seen_at: when this content was collected; revised_at: the same, if it was edited.

    html is markup by the allow-list, empty where it says no more than text. revisions: earlier contents, newest first.
    counts: its series, oldest first, the newest 500. scored: subject -> the item as that subject sees it, with its
    spans; of the content of `item.revision` there, which may be an earlier one for a moment. drill: made up by one.
    """

    id: str
    source_id: str
    revision: str
    title: str
    text: str
    html: str
    url: str
    ref: str
    urgent: bool
    published_at: Millis | None
    first_seen_at: Millis
    seen_at: Millis
    revised_at: Millis | None
    backfill: bool
    expired: bool
    revisions: tuple[Revision, ...]
    counts: tuple[CountsRow, ...]
    events: tuple[ItemEvent, ...]
    scored: dict[str, ScoredItem]
    drill: bool = False


@dataclass(frozen=True, slots=True)
class CountsNow:
    """The latest counts of an item, and by how many comments, forwards and likes they grew since the first known."""

    at: Millis
    counts: ItemCounts
    since: Millis
    growth: int


@dataclass(frozen=True, slots=True)
class RunningClock:
    """A response clock that nobody stopped yet, with its event. title is empty past the retention time."""

    event_id: str
    number: str
    title: str
    level: int
    level_name: str
    status: EventStatus
    clock: EventClock

    def left(self, now: Millis) -> Millis:
        """Negative when it is over."""
        return self.clock.due_at - now


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A statement on an event. expired: the words of the item that it was made of are past their retention time."""

    id: str
    event_id: str
    at: Millis
    by: str
    title: str
    url: str
    text: str
    source_name: str
    published_at: Millis
    clocks: tuple[str, ...]
    rejected: bool
    item_id: str
    expired: bool


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person who was told of an event by a channel, and how the latest message to them stands."""

    person: str
    channel: str
    status: DeliveryStatus
    at: Millis
