"""What need not go out any more: pages of an alert that was answered, snoozed, raised anew, or whose event is over, and
warnings of a clock that stopped.

Pages that tell of a raise of the level or of a hand-over are wanted, whatever was answered before them: a state holds
back only what stood before it on its partition (`place`), or was decided before the answer. What informs (a lower
level, an end) and digests go out in any case. A row that an attempt holds is marked; the attempt's result decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, or_, select, update

from agents.deliverer.parcel import PENDING, SUPPRESSED, Parcel, parcel_of
from agents.store.schema import outbox
from agents.store.upsert import chunks
from pipeline.errors import CodecError
from pipeline.model import AlertState, AlertStatus, EscalationKind, EventClocks, Millis

_OVERTAKEN = ("raised:", "acked:", "snoozed", "closed", "stopped:")
"""Why a row ended, by what came after its escalation."""
PAGE, CLOCK = EscalationKind.PAGE.value, EscalationKind.CLOCK.value


@dataclass(frozen=True, slots=True)
class Placed:
    """A record with its offset, -1 if it has none."""

    record: AlertState | EventClocks
    place: int = -1


def all_of(connection: Connection, records: Sequence[Placed], now: Millis) -> int:
    """Do what the records say, in their order; how many rows ended or were marked. now: real time.

    On PostgreSQL twice: a row that went over to another channel while the first look waited for it is seen by the
    second."""
    looks = 1 if connection.dialect.name == "sqlite" else 2
    return sum(_one(connection, placed, now) for placed in records for _ in range(looks))


def _one(connection: Connection, placed: Placed, now: Millis) -> int:
    record = placed.record
    if isinstance(record, EventClocks):
        return _stopped(connection, record, now)
    return sum(_end(connection, and_(_pages(record), _before(placed.place, at), which), why, now)
               for which, why, at in _reasons(record))


def _reasons(state: AlertState) -> list[tuple[ColumnElement[bool], str, Millis | None]]:
    """(which pages, suppressed_by, when it was said if the state tells)."""
    same, other = outbox.c.alert_id == state.alert_id, outbox.c.alert_id != state.alert_id
    found: list[tuple[ColumnElement[bool], str, Millis | None]] = []
    if state.status is not AlertStatus.PENDING:         # while nobody is told of the raise, what stood before it counts
        found.append((and_(other, outbox.c.alert_id != ""), f"raised:{state.alert_id}", state.raised_at))
    if state.status is AlertStatus.ACKED:
        found.append((same, f"acked:{state.acked_by}", state.acked_at))
    elif state.status is AlertStatus.SNOOZED:
        found.append((same, "snoozed", None))
    elif state.status is AlertStatus.ENDED:
        found = [(or_(same, other), "closed", None)]
    return found


def _pages(state: AlertState) -> ColumnElement[bool]:
    return and_(outbox.c.event_id == state.event_id, outbox.c.kind == PAGE)


def _before(place: int, at: Millis | None) -> ColumnElement[bool]:
    """Rows whose escalation stood before, or was decided by then (offsets begin anew when a topic is made anew)."""
    before = and_(outbox.c.place < place, outbox.c.place >= 0)
    return before if at is None else or_(before, outbox.c.decided_at <= at)


def _stopped(connection: Connection, record: EventClocks, now: Millis) -> int:
    by = {clock.id: clock.stopped_by for clock in record.clocks if clock.stopped_at is not None}
    if not by:
        return 0
    waiting = and_(outbox.c.event_id == record.event_id, outbox.c.kind == CLOCK, outbox.c.status == PENDING)
    count = 0
    for row in connection.execute(select(outbox).where(waiting)).mappings().all():
        try:
            clock = parcel_of(row).record().clock
        except CodecError:
            continue
        if clock in by:
            count += _end(connection, outbox.c.id == row["id"], f"stopped:{by[clock]}", now)
    return count


def wanted_again(connection: Connection, parcels: Sequence[Parcel], now: Millis) -> int:
    """Rows whose escalation came once more, at another place: whoever sends it again has decided it anew, after what
    ended the row (a state that a killed escalator said again may be older than the row). What ends it now follows."""
    sent = {each.escalation_id for each in parcels if each.place >= 0 and each.status == PENDING}
    overtaken = (outbox.c.status.in_((PENDING, SUPPRESSED)),
                 or_(*(outbox.c.suppressed_by.startswith(why, autoescape=True) for why in _OVERTAKEN)))
    known = {row.escalation_id for some in chunks(sorted(sent)) for row in connection.execute(
        select(outbox.c.escalation_id).where(outbox.c.escalation_id.in_(some), *overtaken))}
    count, ended = 0, outbox.c.status == SUPPRESSED
    for each in (each for each in parcels if each.escalation_id in known):
        which = (outbox.c.escalation_id == each.escalation_id, outbox.c.person == each.person,
                 outbox.c.place != each.place, *overtaken)
        count += connection.execute(update(outbox).where(*which).values(
            status=PENDING, suppressed_by="", place=each.place, reported=False,
            next_try_at=case((ended, now), else_=outbox.c.next_try_at),
            lease_until=case((ended, 0), else_=outbox.c.lease_until))).rowcount
    return count


def _end(connection: Connection, which: ColumnElement[bool], why: str, now: Millis) -> int:
    """Ended at once, or marked while somebody holds it."""
    free = outbox.c.lease_until <= now
    values: dict[str, Any] = {"suppressed_by": why, "status": case((free, SUPPRESSED), else_=PENDING)}
    waiting = (outbox.c.status == PENDING, outbox.c.suppressed_by == "", which)
    return connection.execute(update(outbox).where(*waiting).values(**values)).rowcount


def sweep(connection: Connection, channel: str, now: Millis) -> int:
    """Marked rows that nobody holds any more: whoever held them did not say how it ended."""
    marked = (outbox.c.channel == channel, outbox.c.status == PENDING, outbox.c.suppressed_by != "",
              outbox.c.lease_until <= now)
    return connection.execute(update(outbox).where(*marked).values(status=SUPPRESSED)).rowcount


