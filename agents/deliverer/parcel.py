"""A parcel: one message for one receiver by one channel, as the ledger's row has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from pipeline import codec
from pipeline.ids import digest
from pipeline.model import DeliveryStatus, Escalation, Millis, Receiver
from pipeline.notify.pace import Unit, urgency

PENDING, CONFIRMED = DeliveryStatus.PENDING.value, DeliveryStatus.CONFIRMED.value
DEAD, SUPPRESSED = DeliveryStatus.DEAD.value, DeliveryStatus.SUPPRESSED.value


@dataclass(frozen=True, slots=True)
class Parcel:
    """escalation: the record as JSON. next_channels: where it goes if this channel fails, in order. place: the
    escalation's offset, -1 if not known. lease: what a claim holds, 0 if none."""

    id: str
    escalation: str
    person: str
    channel: str
    decided_at: Millis
    status: str = PENDING
    attempts: int = 0
    error: str = ""
    ended_at: Millis | None = None
    lease: Millis = 0
    escalation_id: str = ""
    event_id: str = ""
    alert_id: str = ""
    kind: str = ""
    level: int = 0
    drill: bool = False
    place: int = -1
    suppressed_by: str = ""
    next_channels: tuple[str, ...] = ()

    def record(self) -> Escalation:
        """CodecError if the row's text is none of ours."""
        decoded: Escalation = codec.decode_as(Escalation, self.escalation.encode())
        return decoded

    def by(self, channel: str) -> Parcel:
        """The same message to the same person by one of its next channels, from the start."""
        rest = self.next_channels[self.next_channels.index(channel) + 1:]
        return replace(self, id=delivery_id(self.escalation_id, self.person, channel), channel=channel,
                       next_channels=rest, status=PENDING, attempts=0, error="", lease=0, suppressed_by="")

    def row(self, now: Millis) -> dict[str, Any]:
        """Of table outbox, new; due now (real time)."""
        return {
            "id": self.id, "escalation": self.escalation, "person": self.person, "channel": self.channel,
            "decided_at": self.decided_at, "status": self.status, "attempts": 0, "next_try_at": now, "lease_until": 0,
            "error": "", "reported": False, "escalation_id": self.escalation_id, "event_id": self.event_id,
            "alert_id": self.alert_id, "kind": self.kind, "level": self.level, "drill": self.drill,
            "place": self.place, "suppressed_by": self.suppressed_by,
            "next_channels": msgspec.json.encode(self.next_channels).decode() if self.next_channels else ""}


def parcels_of(escalation: Escalation, told: tuple[Receiver, ...], place: int = -1) -> list[Parcel]:
    """A parcel for every receiver. One of an escalation that was held back is suppressed from the start."""
    text = codec.encode(escalation).decode()
    held = escalation.suppressed_by
    return [
        Parcel(id=delivery_id(escalation.id, one.person, one.channel), escalation=text, person=one.person,
               channel=one.channel, decided_at=escalation.at, status=SUPPRESSED if held else PENDING,
               escalation_id=escalation.id, event_id=escalation.event_id, alert_id=escalation.alert_id,
               kind=escalation.kind.value, level=escalation.level, drill=escalation.drill, place=place,
               suppressed_by=held, next_channels=one.alternatives)
        for one in told]


def parcel_of(row: RowMapping, lease: Millis = 0) -> Parcel:
    """From a row of table outbox."""
    following = row["next_channels"]
    return Parcel(
        id=row["id"], escalation=row["escalation"], person=row["person"], channel=row["channel"],
        decided_at=row["decided_at"], status=row["status"], attempts=row["attempts"], error=row["error"],
        ended_at=row["confirmed_at"], lease=lease, escalation_id=row["escalation_id"], event_id=row["event_id"],
        alert_id=row["alert_id"], kind=row["kind"], level=row["level"], drill=row["drill"], place=row["place"],
        suppressed_by=row["suppressed_by"],
        next_channels=msgspec.json.decode(following, type=tuple[str, ...]) if following else ())


def unit_of(row: RowMapping, group: bool, top: int) -> Unit:
    """What goes out in one call with this row: of a group channel all rows of its escalation. top: the highest level.

    Rows from before the ledger knew their escalation stand alone."""
    shared = group and row["escalation_id"]
    return Unit(key=row["escalation_id"] if shared else row["id"], receiver="" if group else row["person"],
                urgency=urgency(row["kind"], row["level"]), top=row["kind"] == "page" and row["level"] >= top > 0)


def delivery_id(escalation_id: str, person: str, channel: str) -> str:
    """The same for every repeat of the escalation: what receivers and the ledger tell repeats by."""
    return digest(escalation_id, person, channel)
