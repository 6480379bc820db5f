"""The ledger: table `outbox`, one row per message and receiver. Blocking; call it through a thread.

A row is written before the Kafka offset is committed and leaves PENDING only by a confirmed success, by giving up, or
because nobody needs it any more (suppressed_by says why). Leases keep two processes from sending one row at once;
`lease_until` and `next_try_at` are real time, for they are about processes and networks. A row that is wanted no more
while an attempt is under way is marked, and ends as the attempt says. store/expiry.py drops old ended rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, case, func, select, update

from agents.deliverer import gates, suppress
from agents.deliverer.gates import Change
from agents.deliverer.parcel import CONFIRMED, DEAD, PENDING, SUPPRESSED, Parcel, parcel_of
from agents.deliverer.suppress import Placed
from agents.store.schema import outbox
from agents.store.upsert import chunks, insert_once
from pipeline.model import Millis
from pipeline.notify.breaker import Breaker
from pipeline.notify.retry import CAP

Moved = tuple[Breaker, Breaker]
"""A channel's breaker before and after."""


class Ledger:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def take(self, steps: Sequence[Parcel | Placed], again: Sequence[str], now: Millis) -> None:
        """What one partition brought, in its order, all or nothing: rows (those that exist stay as they are), and
        records that end rows. again: dead rows that begin anew, for a person replayed their escalation."""
        if not any(isinstance(each, Parcel) for each in steps) and not self._concerns(steps):
            return                       # most states are about nobody who waits: no writer is waited for
        with self.engine.begin() as connection:
            for kind, some in groupby(steps, key=type):
                if kind is Parcel:
                    parcels = [each for each in some if isinstance(each, Parcel)]
                    add(connection, parcels, now)
                    suppress.wanted_again(connection, [each for each in parcels if each.id not in again], now)
                else:
                    suppress.all_of(connection, [each for each in some if isinstance(each, Placed)], now)
            revive(connection, again, now)

    def _concerns(self, steps: Sequence[Parcel | Placed]) -> bool:
        ids = {each.record.event_id for each in steps if isinstance(each, Placed)}
        with self.engine.connect() as connection:
            return any(
                connection.execute(select(outbox.c.id).where(
                    outbox.c.event_id.in_(some), outbox.c.status == PENDING).limit(1)).first() is not None
                for some in chunks(sorted(ids)))

    def confirm(self, parcels: Sequence[Parcel], at: Millis, change: Change | None = None) -> Moved | None:
        """The receiver has them: true whoever holds the lease by now, even if somebody gave up meanwhile."""
        with self.engine.begin() as connection:
            moved = change.run(connection) if change else None
            for each in parcels:
                _set(connection, (outbox.c.id == each.id, outbox.c.status != CONFIRMED), status=CONFIRMED,
                     attempts=each.attempts + 1, error="", suppressed_by="", confirmed_at=at, lease_until=0,
                     reported=False)
            return moved

    def postpone(
        self, parcels: Sequence[Parcel], error: str, next_try_at: Millis, change: Change | None = None
    ) -> Moved | None:
        """Tried again at that real time; a row that is wanted no more ends here."""
        ended = case((outbox.c.suppressed_by != "", SUPPRESSED), else_=PENDING)
        with self.engine.begin() as connection:
            moved = change.run(connection) if change else None
            for each in parcels:
                _set(connection, _held(each), status=ended, attempts=each.attempts + 1, error=error,
                     next_try_at=next_try_at, lease_until=0)
            return moved

    def bury(self, parcels: Sequence[Parcel], error: str, now: Millis, change: Change | None = None) -> Moved | None:
        """Given up here. Whoever has another channel is told by that one at once."""
        with self.engine.begin() as connection:
            moved = change.run(connection) if change else None
            for each in parcels:
                last: dict[str, Any] = {"attempts": each.attempts + 1, "error": error, "lease_until": 0}
                if not _set(connection, (*_held(each), outbox.c.suppressed_by == ""), status=DEAD, **last):
                    _set(connection, _held(each), status=SUPPRESSED, **last)
                elif each.next_channels:
                    go_on(connection, [each.by(each.next_channels[0])], now)
            return moved

    def release(self, parcels: Sequence[Parcel]) -> None:
        """Give up a claim whose attempt was broken off, so that the next process need not wait for its end."""
        with self.engine.begin() as connection:
            for each in parcels:
                _set(connection, _held(each), lease_until=0)

    def set_back(self, now: Millis) -> None:
        """The real clock was set back to `now`: rows wait for no time that it said before. May be repeated. Who holds
        one loses its lease at most; that it was sent counts all the same."""
        with self.engine.begin() as connection:
            gates.set_back(connection, now)
            for column, most in ((outbox.c.next_try_at, now + CAP), (outbox.c.lease_until, now + gates.MAX_TRIAL)):
                late = column > most + gates.SLACK
                _set(connection, (outbox.c.status == PENDING, late), **{column.name: most})

    def waiting_channels(self) -> list[str]:
        """Channels with pending rows, whether or not the rule book still has them."""
        with self.engine.connect() as connection:
            found = connection.execute(select(outbox.c.channel).where(outbox.c.status == PENDING).distinct())
            return [str(row.channel) for row in found]

    def breakers(self) -> dict[str, Breaker]:
        with self.engine.connect() as connection:
            return gates.breakers(connection)

    def unreported(self, limit: int) -> list[Parcel]:
        """Ended rows whose end is not known to be on topic deliveries."""
        ended = select(outbox).where(outbox.c.status != PENDING, outbox.c.reported.is_(False))
        with self.engine.connect() as connection:
            rows = connection.execute(ended.order_by(outbox.c.id).limit(limit)).mappings()
            return [parcel_of(row) for row in rows]

    def reported(self, parcels: Iterable[Parcel]) -> None:
        by_status: dict[str, list[str]] = {}
        for each in parcels:
            by_status.setdefault(each.status, []).append(each.id)
        with self.engine.begin() as connection:
            for status, ids in by_status.items():   # the status guards a row that a replay took up again meanwhile
                _set(connection, (outbox.c.id.in_(ids), outbox.c.status == status), reported=True)

    def pending(self) -> tuple[int, Millis | None]:
        """How many rows are pending, and when the oldest was decided."""
        with self.engine.connect() as connection:
            count, oldest = connection.execute(
                select(func.count(), func.min(outbox.c.decided_at)).where(outbox.c.status == PENDING)).one()
            return int(count), oldest


def add(connection: Connection, parcels: Sequence[Parcel], now: Millis) -> int:
    return insert_once(connection, outbox, [each.row(now) for each in parcels])


def go_on(connection: Connection, parcels: Sequence[Parcel], now: Millis) -> None:
    """Messages that another channel is to carry: new rows, or those that they left that channel in before."""
    for some in chunks([each.id for each in parcels]):
        _set(connection, (outbox.c.id.in_(some), *left_here()), status=PENDING, attempts=0, next_try_at=now,
             lease_until=0, suppressed_by="", reported=False)
    add(connection, parcels, now)


def left_here() -> tuple[Any, ...]:
    """Rows whose message went on by another channel."""
    return outbox.c.status == SUPPRESSED, outbox.c.suppressed_by.startswith("failover:")


def revive(connection: Connection, ids: Sequence[str], now: Millis) -> int:
    fresh = {"status": PENDING, "attempts": 0, "next_try_at": now, "lease_until": 0, "reported": False,
             "suppressed_by": ""}
    return sum(_set(connection, (outbox.c.id.in_(some), outbox.c.status == DEAD), **fresh) for some in chunks(ids))


def _held(parcel: Parcel) -> tuple[Any, ...]:
    return (outbox.c.id == parcel.id, outbox.c.status == PENDING, outbox.c.lease_until == parcel.lease)


def _set(connection: Connection, where: tuple[Any, ...], **values: Any) -> int:
    return connection.execute(update(outbox).where(*where).values(**values)).rowcount
