"""The values that pass between stages. All frozen; times are epoch milliseconds in UTC (`Millis`).

Fields are only ever added, with a default. `extra` carries the members of a newer writer through an older worker
(see codec.py). There is no field for an author anywhere, and none is to be added."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

Millis = int
"""A point in time, milliseconds since 1970-01-01 UTC, or a length in milliseconds where the name says so."""

FINAL_REASONS = ("不相关", "重复")
"""An event closed with a reason that begins so does not come back when new items join it."""

OPEN_SUBJECT = "*"
"""The subject of items that match no watch subject: emerging topics come from there."""

class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything that is written to a topic."""
    extra: dict[str, Any] | None = None


class RawItem(Record, frozen=True):
    """One entry of a public feed, masked, without its author.

    id: 20 hex digits, stable over polls and edits. revision: 16 hex digits of the content.
    """

    id: str
    revision: str
    source_id: str
    title: str
    text: str
    url: str
    first_seen_at: Millis
    published_at: Millis | None = None
    backfill: bool = False
    truncated: bool = False


class RawBatch(Record, frozen=True):
    """What one poll of one source brought: at most 64 items and 256 KiB, oldest first.

    Topic items.raw, key source_id.
    """

    source_id: str
    polled_at: Millis
    items: tuple[RawItem, ...]


class SourceState(Record, frozen=True):
    """What the collector remembers of a source. Topic collector.state (compacted), key source_id.

    seen: packed 64-bit hashes of (item id, revision) of the document's current entries, base64 on the wire.
    """

    source_id: str
    url: str
    polled_at: Millis
    next_poll_at: Millis
    etag: str = ""
    last_modified: str = ""
    seen: bytes = b""
    backfilled: bool = False
    failures: int = 0
    outcome: str = ""
    error: str = ""
    succeeded_at: Millis | None = None
    new_item_at: Millis | None = None
    unconditional_at: Millis | None = None


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Why an item matched: a rule's term at [start, end) of the original `title` or `text`, in characters."""
    rule: str
    term: str
    field: str
    start: int
    end: int


class Polarity(StrEnum):
    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"
    UNSURE = "unsure"


class Sentiment(msgspec.Struct, frozen=True):
    """polarity with a confidence in 0..1; `unsure` when the confidence is too low to say."""
    polarity: Polarity
    confidence: float


class ScoredItem(Record, frozen=True):
    """An item seen as one subject.

    origin: who publishes it (two feeds of one site share one origin); sources are counted by it.
    terms: up to 16 (32-bit term hash, weight 1..255), heaviest first: what similarity is computed from.
    """

    item: RawItem
    origin: str
    source_name: str = ""
    official: bool = False
    weight: float = 0.0
    spans: tuple[Span, ...] = ()
    sentiment: Sentiment = Sentiment(Polarity.UNSURE, 0.0)
    question: bool = False
    terms: tuple[tuple[int, int], ...] = ()


class ScoredBatch(Record, frozen=True):
    """The part of a raw batch that belongs to one subject. Topic items.scored, key `subject_key`."""
    subject: str
    book: str
    items: tuple[ScoredItem, ...]


class Why(StrEnum):
    """Why a level is what it is. The Chinese sentence for each is in notify/wording.py."""
    BELOW = "below"                  # no threshold reached
    RAISED = "raised"                # items and independent sources in the window reached the next level's enter
    LOWERED = "lowered"              # under leave, and the hold time is over
    CALMED = "calmed"                # lowered to none: the event is calm
    CLOSED = "closed"                # by a person


class Evidence(msgspec.Struct, frozen=True):
    """The figures a level was decided on: distinct items and independent sources within window (ms) up to `at`."""
    items: int
    sources: int
    window: Millis
    at: Millis
    need_items: int = 0
    need_sources: int = 0


class LevelDecision(msgspec.Struct, frozen=True):
    """level and previous are ranks: 0 is none, 1 the lowest level of levels.yml."""
    level: int
    previous: int
    why: Why
    evidence: Evidence
    at: Millis
    name: str = ""


class EventStatus(StrEnum):
    WATCHING = "watching"            # a cluster that has not reached any level
    OPEN = "open"
    CALM = "calm"
    CLOSED = "closed"


class Excerpt(msgspec.Struct, frozen=True):
    """A representative item, short enough for a message: text is at most 80 characters."""
    item_id: str
    title: str
    text: str
    source_name: str
    url: str
    at: Millis
    spans: tuple[Span, ...] = ()
    official: bool = False


class MemberRow(msgspec.Struct, frozen=True, array_like=True):
    """An item's part of an event, at most 200 bytes encoded: what the tracker's tables hold per item.

    at: event time. origin: a long one is its hash. flags: MUTE, NEGATIVE … of track/cluster.py, as bits.
    """
    item_id: str
    at: Millis
    origin: str
    flags: int
    terms: tuple[tuple[int, int], ...]


class EventHead(Record, frozen=True):
    """An event as it stands: whole, with a version. Topic events, key event id. Receivers drop versions they have.

    key: the record key of items.scored that its items have, where commands about it go.
    number: given when the event first reaches a level (E-0317). raises: how often its level rose.
    level_since: when the level last changed. below_since: since when its figures lie under `leave`.
    floor_at: members up to here do not count any more (a person closed the event). muted: closed for good.
    joined: members that the record behind this head touched, repeats included; not part of the state.
    """

    id: str
    subject: str
    key: str
    version: int
    status: EventStatus
    level: int
    level_name: str
    peak: int
    decision: LevelDecision
    book: str
    title: str
    first_item_at: Millis
    last_item_at: Millis
    opened_at: Millis
    changed_at: Millis
    number: int = 0
    raises: int = 0
    items: int = 0
    sources: int = 0
    negative: int = 0
    questions: int = 0
    excerpts: tuple[Excerpt, ...] = ()
    statements: tuple[Excerpt, ...] = ()
    closed_by: str = ""
    closed_reason: str = ""
    level_since: Millis = 0
    below_since: Millis | None = None
    floor_at: Millis = 0
    muted: bool = False
    joined: tuple[MemberRow, ...] = ()

    @property
    def short(self) -> str:
        """E-0317, or an empty string before the first level."""
        return f"E-{self.number:04d}" if self.number else ""


class Tick(Record, frozen=True):
    """Time as a record on each partition of a stateful agent's topic. behind: items.raw has unread records."""
    at: Millis
    behind: bool = False


class Close(Record, frozen=True):
    """A person closes an event. Topic items.scored, key `EventHead.key`."""
    id: str
    event_id: str
    key: str
    by: str
    at: Millis
    reason: str


class WarmEvent(Record, frozen=True):
    """An event as the archive knew it, for a tracker that starts with empty tables. Topic items.scored."""
    head: EventHead
    rows: tuple[MemberRow, ...]


class Ack(Record, frozen=True):
    """A person answers an alert. Topic events, key event id. It acks only the alert it names."""
    id: str
    event_id: str
    alert_id: str
    by: str
    at: Millis
    note: str = ""


class Snooze(Record, frozen=True):
    """A person silences an alert until a time. Topic events, key event id."""
    id: str
    event_id: str
    alert_id: str
    by: str
    at: Millis
    until: Millis


class AlertStatus(StrEnum):
    PENDING = "pending"              # waits (digest, working hours)
    NOTIFIED = "notified"
    ACKED = "acked"
    SNOOZED = "snoozed"
    EXHAUSTED = "exhausted"          # everybody was told, nobody answered; the chain repeats
    ENDED = "ended"                  # the event fell to no level or was closed


class AlertState(Record, frozen=True):
    """Where the alert of an event stands. Topic escalations, key event id; compared by (event_version, revision).

    alert_id: hash of event id, level and raise: a higher level is a new alert that needs a new ack.
    step: index of the next step to run. due_at: when, None if nothing is due. escalation_id: the last message.
    """

    event_id: str
    alert_id: str
    event_version: int
    revision: int
    level: int
    status: AlertStatus
    raised_at: Millis
    step: int = 0
    repeat: int = 0
    due_at: Millis | None = None
    route: str = ""
    told: tuple[str, ...] = ()
    escalation_id: str = ""
    acked_by: str = ""
    acked_at: Millis | None = None
    snoozed_until: Millis | None = None
    book: str = ""


class WarmAlert(Record, frozen=True):
    """An alert as the archive knew it, with its event, for an escalator that starts with empty tables.

    lost: its last message is not in deliver's ledger.
    """

    state: AlertState
    head: EventHead
    lost: bool = True


class EscalationKind(StrEnum):
    PAGE = "page"                    # somebody must answer
    DIGEST = "digest"                # collected, in working hours
    INFORM = "inform"                # a level fell or the event ended: no answer needed
    SYSTEM = "system"                # 系统 notice to the ops team
    TEST = "test"


class Receiver(msgspec.Struct, frozen=True):
    """Who is told by which channel. person and channel are ids of roster.yml and channels.yml."""
    person: str
    channel: str


class Escalation(Record, frozen=True):
    """A decided message. Topic escalations, key event id (system notices: key `id`). Same id, same message.

    tell: teams or people of roster.yml; notify/route.py finds who of them is on duty at `at`.
    why: a sentence in Chinese. SYSTEM and TEST carry title and text, the rest the event's head (DIGEST: `digest`).
    """

    id: str
    kind: EscalationKind
    at: Millis
    why: str
    tell: tuple[str, ...]
    event_id: str = ""
    alert_id: str = ""
    level: int = 0
    level_name: str = ""
    step: int = 0
    repeat: int = 0
    head: EventHead | None = None
    digest: tuple[EventHead, ...] = ()
    title: str = ""
    text: str = ""
    book: str = ""


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    DEAD = "dead"
    SUPPRESSED = "suppressed"


class Delivery(Record, frozen=True):
    """The account of one message to one receiver. Topic deliveries, key event id. id = hash(escalation, receiver)."""
    id: str
    escalation_id: str
    event_id: str
    person: str
    channel: str
    status: DeliveryStatus
    attempts: int
    at: Millis
    decided_at: Millis
    error: str = ""
    suppressed_by: str = ""


class DeadLetter(Record, frozen=True):
    """A record or item that could not be handled, whole enough to be replayed. Topic dead.letters.

    value is cut at 64 KiB (then `truncated`); sha256 is of all of it.
    """

    id: str
    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    at: Millis
    key: bytes = b""
    value: bytes = b""
    type: str = ""
    truncated: bool = False
    sha256: str = ""
