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
    shadow: what a shadow rule would have told; recorded, never sent.
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

    @property
    def unsendable(self) -> bool:
        """Whether any of it comes from a shadow rule: the last guard before a message does not trust `shadow` alone."""
        about = (self.head, *self.digest)
        return self.shadow or any(head is not None and head.shadow for head in about)


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
