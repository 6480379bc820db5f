"""The ledger: table `outbox`, one row per message and receiver. Blocking; call it through asyncio.to_thread.

A row is written before the Kafka offset is committed and leaves PENDING only by a confirmed success or by giving up.
Leases keep two processes from sending one row at once; `lease_until` and `next_try_at` are real time, for they are
about processes and networks. All writes are single guarded statements, the same on SQLite and PostgreSQL.
store/expiry.py drops old ended rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from agents.store.schema import outbox
from pipeline.model import DeliveryStatus, Millis

PENDING, CONFIRMED, DEAD = DeliveryStatus.PENDING.value, DeliveryStatus.CONFIRMED.value, DeliveryStatus.DEAD.value


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message for one receiver. escalation: the record as JSON. lease: what this claim holds, 0 if none."""

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


class Ledger:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, parcels: Sequence[Parcel], now: Millis) -> int:
        """Write new rows, all or none; rows that exist are left as they are. How many were new."""
        if not parcels:
            return 0
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        added = 0
        with self._engine.begin() as connection:
            for parcel in parcels:
                row = {"id": parcel.id, "escalation": parcel.escalation, "person": parcel.person,
                       "channel": parcel.channel, "decided_at": parcel.decided_at, "status": PENDING, "attempts": 0,
                       "next_try_at": now, "lease_until": 0, "error": "", "reported": False}
                added += connection.execute(insert(outbox).values(row).on_conflict_do_nothing()).rowcount
        return added

    def revive(self, ids: Sequence[str], now: Millis) -> int:
        """Dead rows back to the start: their escalation was replayed by a person."""
        fresh = {"status": PENDING, "attempts": 0, "next_try_at": now, "lease_until": 0, "reported": False}
        with self._engine.begin() as connection:
            return connection.execute(
                update(outbox).where(outbox.c.id.in_(ids), outbox.c.status == DEAD).values(**fresh)).rowcount

    def claim(self, channel: str, now: Millis, until: Millis, limit: int) -> list[Parcel]:
        """Up to `limit` due rows of the channel that nobody holds, now held until `until`."""
        free = (outbox.c.status == PENDING, outbox.c.lease_until <= now)
        due = select(outbox).where(*free, outbox.c.channel == channel, outbox.c.next_try_at <= now)
        with self._engine.begin() as connection:
            rows = connection.execute(due.order_by(outbox.c.next_try_at, outbox.c.id).limit(limit)).all()
            return [
                _parcel(row, lease=until) for row in rows
                if connection.execute(
                    update(outbox).where(outbox.c.id == row.id, *free).values(lease_until=until)).rowcount]

    def confirm(self, parcel: Parcel, attempts: int, at: Millis) -> None:
        """The receiver has it: true whoever holds the lease by now, even if somebody gave up meanwhile."""
        self._set((outbox.c.id == parcel.id, outbox.c.status != CONFIRMED), status=CONFIRMED, attempts=attempts,
                  error="", confirmed_at=at, lease_until=0, reported=False)

    def postpone(self, parcel: Parcel, attempts: int, error: str, next_try_at: Millis) -> None:
        self._set(self._held(parcel), attempts=attempts, error=error, next_try_at=next_try_at, lease_until=0)

    def bury(self, parcel: Parcel, attempts: int, error: str) -> None:
        self._set(self._held(parcel), status=DEAD, attempts=attempts, error=error, lease_until=0)

    def release(self, parcel: Parcel) -> None:
        """Give up a claim whose attempt was broken off, so that the next process need not wait for its end."""
        self._set(self._held(parcel), lease_until=0)

    def next_due(self, channel: str) -> Millis | None:
        """When the channel's next row is due and free; None when nothing is pending."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(outbox.c.next_try_at, outbox.c.lease_until)
                .where(outbox.c.status == PENDING, outbox.c.channel == channel)
                .order_by(outbox.c.next_try_at).limit(50)).all()
        return min((max(row.next_try_at, row.lease_until) for row in rows), default=None)

    def waiting_channels(self) -> list[str]:
        """Channels with pending rows, whether or not the rule book still has them."""
        with self._engine.connect() as connection:
            found = connection.execute(select(outbox.c.channel).where(outbox.c.status == PENDING).distinct())
            return [str(row.channel) for row in found]

    def unreported(self, limit: int) -> list[Parcel]:
        """Ended rows whose end is not known to be on topic deliveries."""
        ended = select(outbox).where(outbox.c.status != PENDING, outbox.c.reported.is_(False))
        with self._engine.connect() as connection:
            return [_parcel(row) for row in connection.execute(ended.order_by(outbox.c.id).limit(limit))]

    def reported(self, parcels: Iterable[Parcel]) -> None:
        with self._engine.begin() as connection:
            for parcel in parcels:   # the status guards a row that a replay took up again meanwhile
                connection.execute(update(outbox).where(
                    outbox.c.id == parcel.id, outbox.c.status == parcel.status).values(reported=True))

    def pending(self) -> tuple[int, Millis | None]:
        """How many rows are pending, and when the oldest was decided."""
        with self._engine.connect() as connection:
            count, oldest = connection.execute(
                select(func.count(), func.min(outbox.c.decided_at)).where(outbox.c.status == PENDING)).one()
            return int(count), oldest

    def _held(self, parcel: Parcel) -> tuple[Any, ...]:
        return (outbox.c.id == parcel.id, outbox.c.status == PENDING, outbox.c.lease_until == parcel.lease)

    def _set(self, where: tuple[Any, ...], **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(outbox).where(*where).values(**values))


def _parcel(row: Row[Any], lease: Millis = 0) -> Parcel:
    return Parcel(
        id=row.id, escalation=row.escalation, person=row.person, channel=row.channel, decided_at=row.decided_at,
        status=row.status, attempts=row.attempts, error=row.error, ended_at=row.confirmed_at, lease=lease)
