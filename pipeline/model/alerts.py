"""Alerts: what is decided about telling people, and the account of every message."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from pipeline.model.base import Millis, Record
from pipeline.model.events import EventHead


class Ack(Record, frozen=True):
    """A person answers an alert. Topic events, key event id. It acks only the alert it names."""
    id: str
    event_id: str
    alert_id: str
    by: str
    at: Millis
    note: str = ""
    via: str = ""


class Snooze(Record, frozen=True):
    """A person silences an alert until a time. Topic events, key event id."""
    id: str
    event_id: str
    alert_id: str
    by: str
    at: Millis
    until: Millis
    via: str = ""


class HandOver(Record, frozen=True):
    """A person hands an alert to another duty role or team, who is paged and has to answer. Topic events."""
    id: str
    event_id: str
    alert_id: str
    by: str
    at: Millis
    to: str
    note: str = ""
    via: str = ""


class Comment(Record, frozen=True):
    """What a person notes on an event: part of its timeline. Topic events, key event id."""
    id: str
    event_id: str
    by: str
    at: Millis
    text: str
    via: str = ""


class Statement(Record, frozen=True):
    """The office's own word on an event, confirmed by a person: stops the clocks it names. Topic events, key event id.

    clocks: ids of levels.yml; empty: the first of them. item_id: of an official item that was proposed. published_at:
    when it was said. rejected: a person says that a proposed item is none.
    """
    id: str
    event_id: str
    by: str
    at: Millis
    title: str
    published_at: Millis
    text: str = ""
    url: str = ""
    source_name: str = ""
    item_id: str = ""
    clocks: tuple[str, ...] = ()
    rejected: bool = False
    via: str = ""


class Silence(Record, frozen=True):
    """Pages that match are not sent until `ends_at`; recorded with `suppressed_by`, and sent then if still unanswered.

    To every partition of topic events; the record with the greatest `at` of an id counts. Matchers that are empty fit
    everything; one at least is not empty. expired_at: a person ended it early.
    """
    id: str
    by: str
    at: Millis
    owner: str
    reason: str
    starts_at: Millis
    ends_at: Millis
    event_id: str = ""
    subjects: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    expired_at: Millis | None = None


class ActKind(StrEnum):
    ACK = "ack"
    SNOOZE = "snooze"
    HAND_OVER = "hand_over"
    COMMENT = "comment"
    STATEMENT = "statement"


class Act(msgspec.Struct, frozen=True):
    """What a person did about an event, for the next one who is told. text: of the note, short."""
    kind: ActKind
    by: str
    at: Millis
    text: str = ""


REGISTERED_LATER: Millis = 10 * 60_000
"""A statement that is registered so long after it was said shows both times."""


class EventClock(msgspec.Struct, frozen=True):
    """A response clock of an event. id, name: of levels.yml. warned: the greatest percentage that was told.

    stopped_why: `statement` or `closed`; ref: the statement's id or the reason. stopped_at may be after due_at.
    registered_at: when a person registered the statement, which may have been said long before; 0 of other stops.
    """
    id: str
    name: str
    started_at: Millis
    due_at: Millis
    warned: int = 0
    stopped_at: Millis | None = None
    stopped_by: str = ""
    stopped_why: str = ""
    ref: str = ""
    registered_at: Millis = 0

    @property
    def registered_later(self) -> bool:
        """Whether people have to be told both times: the stop is what somebody typed, long after it."""
        return self.stopped_at is not None and self.registered_at - self.stopped_at > REGISTERED_LATER


class EventClocks(Record, frozen=True):
    """The response clocks of an event, and its confirmed statements. Topic escalations, key event id; the greatest
    revision counts. started_why: `level` or `urgent`."""
    event_id: str
    revision: int
    clocks: tuple[EventClock, ...]
    started_why: str = "level"
    statements: tuple[Statement, ...] = ()


class Heartbeat(Record, frozen=True):
    """A record that goes through every stage, on one partition of each topic: items.raw, items.scored, events,
    escalations. partition: of items.raw, where it began. at: real time, for it is about processes."""
    id: str
    at: Millis
    partition: int


class AlertStatus(StrEnum):
    PENDING = "pending"              # waits (digest, working hours)
    NOTIFIED = "notified"
    ACKED = "acked"
    SNOOZED = "snoozed"
    EXHAUSTED = "exhausted"          # everybody was told, nobody answered; the chain repeats
    EXPIRED = "expired"              # nobody answered until the route's `until`
    ENDED = "ended"                  # the event fell to no level or was closed


class AlertState(Record, frozen=True):
    """Where the alert of an event stands. Topic escalations, key event id; compared by (event_version, revision).

    alert_id: hash of event id, level and raise: a higher level is a new alert that needs a new ack.
    step: index of the next step to run. due_at: when, None if nothing is due. escalation_id: the last message.
    held_by: why the due step waits: `silence:ID` or `quiet`. handed_to: who it was handed to, until somebody acks.
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
    held_by: str = ""
    handed_to: str = ""


class WarmAlert(Record, frozen=True):
    """An alert as the archive knew it, with its event, for an escalator that starts with empty tables.

    lost: its last message is not in deliver's ledger. acts: the last few. owed_by: what held back the news of a fall
    that nobody was told of since.
    """

    state: AlertState
    head: EventHead
    lost: bool = True
    acts: tuple[Act, ...] = ()
    clocks: EventClocks | None = None
    owed_by: str = ""


class EscalationKind(StrEnum):
    PAGE = "page"                    # somebody must answer
    DIGEST = "digest"                # collected, in working hours
    INFORM = "inform"                # a level fell or the event ended: no answer needed
    CLOCK = "clock"                  # a response clock is half over, nearly over, over
    SYSTEM = "system"                # 系统 notice to the ops team
    TEST = "test"


class Receiver(msgspec.Struct, frozen=True):
    """Who is told by which channel. person and channel are ids of roster.yml and channels.yml.

    alternatives: channels to try in this order when that one does not work.
    """
    person: str
    channel: str
    alternatives: tuple[str, ...] = ()


class Escalation(Record, frozen=True):
    """A decided message. Topic escalations, key event id (system notices: key `id`). Same id, same message.

    tell: teams or people of roster.yml; notify/route.py finds who of them is on duty at `at`.
    why: a sentence in Chinese. SYSTEM and TEST carry title and text, the rest the event's head (DIGEST: `digest`).
    shadow: what a shadow rule would have told; recorded, never sent. suppressed_by: a silence or quiet hours held it
    back; recorded, never sent (what is due then is another record). channels: of the step, in order, the first that
    works; empty: all of each person. lead: who leads the response. clocks: as they stood; clock: the id that a CLOCK is
    about, percent: how much of it is over. acts: what people did so far.
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
    shadow: bool = False
    suppressed_by: str = ""
    channels: tuple[str, ...] = ()
    lead: str = ""
    clocks: tuple[EventClock, ...] = ()
    clock: str = ""
    percent: int = 0
    acts: tuple[Act, ...] = ()

    @property
    def unsendable(self) -> bool:
        """Whether it is only recorded: held back, or any of it from a shadow rule. The last guard before a message does
        not trust `shadow` alone."""
        about = (self.head, *self.digest)
        return bool(self.suppressed_by) or self.shadow or any(head is not None and head.shadow for head in about)

    @property
    def first(self) -> bool:
        """Whether it is the first page of its alert: of no later step or round, and of no hand-over."""
        return self.kind is EscalationKind.PAGE and not self.step and not self.repeat and self.why != "handed"

    @property
    def drill(self) -> bool:
        """Whether it is about a drill: its message says 演练 in front."""
        return any(head is not None and head.drill for head in (self.head, *self.digest))


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
