"""Which of a channel's waiting rows go out now, in which calls: one short transaction that holds the channel's gate.

Rows of an escalation that go to one group channel are one call. Rows over the rate are bundled, the rest waits. While
the breaker is open, and after a second failure, rows that may go by another channel go there; from the last one back to
one that works again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, or_, select, update

from agents.deliverer import gates, suppress
from agents.deliverer.gates import Gate
from agents.deliverer.ledger import Ledger, go_on, left_here
from agents.deliverer.parcel import DEAD, PENDING, SUPPRESSED, Parcel, parcel_of, unit_of
from agents.store.schema import outbox
from agents.store.upsert import chunks
from pipeline.model import Millis
from pipeline.notify import pace
from pipeline.notify.breaker import Breaker, State
from pipeline.notify.pace import Unit
from pipeline.rulebook.schema import Channel

MANY = 2000
"""Rows that are looked at for one claim; the most urgent first."""
PATIENCE = 2
"""Attempts by one channel before a row goes to its next one."""
HOPELESS = 5
"""A breaker that opened so often in a row: rows past their horizon end without another attempt."""
_LIGHT = (outbox.c.id, outbox.c.escalation_id, outbox.c.person, outbox.c.kind, outbox.c.level, outbox.c.attempts,
          outbox.c.next_channels, outbox.c.decided_at)


@dataclass(frozen=True, slots=True)
class Line:
    """A channel as far as the queue before it is concerned. rate: calls a minute, 0 any. top: the highest level."""

    channel: str
    group: bool = False
    rate: int = 0
    bundles: bool = False
    top: int = 0

    @classmethod
    def of(cls, channel: str, known: Channel | None, top: int) -> Line:
        if known is None:
            return cls(channel, top=top)
        return cls(channel, known.group, pace.rate_of(known), known.type not in pace.SINGLY, top)


@dataclass(frozen=True, slots=True)
class Load:
    """What goes out in one call. before: the breaker when it was claimed."""

    parcels: tuple[Parcel, ...]
    bundle: bool = False
    before: Breaker = Breaker()


@dataclass(frozen=True, slots=True)
class Claimed:
    """woken: channels that rows went over to. ended: rows that ended here."""

    loads: tuple[Load, ...] = ()
    woken: tuple[str, ...] = ()
    ended: int = 0


class Claims:
    def __init__(self, ledger: Ledger) -> None:
        self._engine = ledger.engine

    def claim(self, line: Line, now: Millis, until: Millis, slots: int, hopeless_before: Millis = 0) -> Claimed:
        """Up to `slots` calls of due rows that nobody holds, now held until `until`.

        hopeless_before: by the installation's clock; rows decided before that end if the channel is long broken.
        """
        if not self._worth(line, now, hopeless_before):
            return Claimed()
        with self._engine.begin() as connection:
            gate = gates.locked(connection, line.channel)
            ended = suppress.sweep(connection, line.channel, now)
            queue = _Queue(_waiting(connection, line.channel, now), line)
            half_open = gate.breaker.state(now) is State.HALF_OPEN
            trial = queue.trial() if half_open and gate.breaker.allows(now, 1) else ()
            woken = _move(connection, gate.breaker, queue, trial, now)
            woken += _back(connection, gate.breaker, queue, trial, now, hopeless_before)
            if gate.breaker.opened >= HOPELESS and (
                    given_up := _give_up(connection, line.channel, now, hopeless_before, gate.error)):
                ended += given_up
                queue = _Queue(_waiting(connection, line.channel, now), line)
            loads = _pick(connection, line, gate, queue, now, until, slots)
            return Claimed(loads, woken, ended + len(woken))

    def next_due(self, line: Line, now: Millis) -> Millis | None:
        """When the channel's next call may be made; None when nothing is pending."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(outbox.c.next_try_at, outbox.c.lease_until)
                .where(outbox.c.status == PENDING, outbox.c.channel == line.channel)
                .order_by(outbox.c.next_try_at).limit(50)).all()
            gate = gates.seen(connection, line.channel)
        row_due = min((max(row.next_try_at, row.lease_until) for row in rows), default=None)
        if row_due is None:
            return None
        gate_due = gate.breaker.due(now)
        if line.rate:
            gate_due = max(gate_due, gate.bucket.refilled(line.rate, now).due(line.rate, now))
        return max(int(row_due), gate_due)

    def _worth(self, line: Line, now: Millis, hopeless_before: Millis) -> bool:
        """Whether anything can be done: a look that waits for no writer, and takes no lock from one."""
        with self._engine.connect() as connection:
            gate = gates.seen(connection, line.channel)
            where = [*_free(line.channel, now)]
            if not gate.breaker.allows(now, 1) or (line.rate and gate.bucket.refilled(line.rate, now).tokens < 1):
                stuck = [outbox.c.next_channels != "", outbox.c.suppressed_by != "", outbox.c.attempts >= PATIENCE]
                if gate.breaker.opened >= HOPELESS:
                    stuck.append(outbox.c.decided_at < hopeless_before)
                where.append(or_(*stuck))
            return connection.execute(select(outbox.c.id).where(*where).limit(1)).first() is not None


def _free(channel: str, now: Millis) -> tuple[Any, ...]:
    return (outbox.c.channel == channel, outbox.c.status == PENDING, outbox.c.next_try_at <= now,
            outbox.c.lease_until <= now)


def _waiting(connection: Connection, channel: str, now: Millis) -> list[RowMapping]:
    """The most urgent first; of an escalation all that are due."""
    due = select(*_LIGHT).where(*_free(channel, now), outbox.c.suppressed_by == "")
    ordered = due.order_by(outbox.c.level.desc(), outbox.c.next_try_at, outbox.c.escalation_id, outbox.c.id)
    return list(connection.execute(ordered.limit(MANY)).mappings())


class _Queue:
    """Rows that wait, by the call each would go out in, those that were tried least first."""

    def __init__(self, rows: Sequence[RowMapping], line: Line) -> None:
        self.rows: dict[str, list[RowMapping]] = defaultdict(list)
        self._units: dict[str, Unit] = {}
        for row in sorted(rows, key=lambda row: (bool(row["next_channels"]), int(row["attempts"]))):
            unit = unit_of(row, line.group, line.top)
            self._units.setdefault(unit.key, unit)
            self.rows[unit.key].append(row)

    @property
    def units(self) -> list[Unit]:
        return [unit for unit in self._units.values() if self.rows[unit.key]]

    def ids(self, units: Iterable[Unit]) -> list[str]:
        return [str(row["id"]) for unit in units for row in self.rows[unit.key]]

    def trial(self) -> tuple[str, ...]:
        """What tries a channel that failed: rather what cannot go elsewhere, and not always the same message."""
        return tuple(str(row["id"]) for unit in self.units[:1] for row in self.rows[unit.key] if not _weary(row))

    def leave(self, gone: Container[str]) -> None:
        for key, rows in self.rows.items():
            self.rows[key] = [row for row in rows if row["id"] not in gone]


def _pick(
    connection: Connection, line: Line, gate: Gate, queue: _Queue, now: Millis, until: Millis, slots: int
) -> tuple[Load, ...]:
    bucket = gate.bucket.refilled(line.rate, now) if line.rate else gate.bucket
    tokens = int(bucket.tokens) if line.rate else slots
    allowed = gate.breaker.allows(now, min(slots, tokens))
    units = queue.units if gate.breaker.state(now) is State.CLOSED else queue.units[:1]
    picked = pace.calls(units, allowed, scarce=bool(line.rate) and len(units) > tokens, bundles=line.bundles)
    if not picked:
        return ()
    after = Gate(gate.breaker.tried(now, until - now), bucket.taken(len(picked)) if line.rate else bucket, gate.error)
    if after != gate:
        gates.save(connection, line.channel, after)
    found = (Load(_lease(connection, queue.ids(call), now, until), len(call) > 1, gate.breaker) for call in picked)
    return tuple(load for load in found if load.parcels)


def _lease(connection: Connection, ids: Sequence[str], now: Millis, until: Millis) -> tuple[Parcel, ...]:
    """The rows in this order, now held. On PostgreSQL one may have ended or been marked since it was read."""
    still = (outbox.c.id.in_(ids), outbox.c.status == PENDING, outbox.c.suppressed_by == "",
             outbox.c.lease_until <= now)
    connection.execute(update(outbox).where(*still).values(lease_until=until))
    held = select(outbox).where(outbox.c.id.in_(ids), outbox.c.status == PENDING, outbox.c.lease_until == until)
    found = {row["id"]: parcel_of(row, lease=until) for row in connection.execute(held).mappings()}
    return tuple(found[ident] for ident in ids if ident in found)


def _move(
    connection: Connection, breaker: Breaker, queue: _Queue, trial: Sequence[str], now: Millis
) -> tuple[str, ...]:
    """Rows that need not wait here go to the first of their next channels that works, and leave the queue; where to.

    When none of those works they stay, for this one may be the first that does again."""
    broken = breaker.state(now) is not State.CLOSED
    leaving = [str(row["id"]) for rows in queue.rows.values() for row in rows
               if (broken and row["next_channels"] or _weary(row)) and row["id"] not in trial]
    if not leaving:
        return ()
    known = gates.breakers(connection)
    gone: dict[str, str] = {}
    for row in connection.execute(select(outbox).where(outbox.c.id.in_(leaving))).mappings().all():
        parcel = parcel_of(row)
        target = next((each for each in parcel.next_channels
                       if known.get(each, Breaker()).state(now) is State.CLOSED), None)
        if target is not None and _leave(connection, parcel, target, now):
            gone[parcel.id] = target
    queue.leave(gone)
    return tuple(dict.fromkeys(gone.values()))


def _weary(row: RowMapping) -> bool:
    """It was tried here, and could go elsewhere."""
    return bool(row["next_channels"]) and int(row["attempts"]) >= PATIENCE


def _leave(connection: Connection, parcel: Parcel, target: str, now: Millis) -> bool:
    if not _end_here(connection, parcel.id, target, now):
        return False
    go_on(connection, [parcel.by(target)], now)
    return True


def _end_here(connection: Connection, ident: str, target: str, now: Millis) -> bool:
    still = (outbox.c.id == ident, outbox.c.status == PENDING, outbox.c.suppressed_by == "",
             outbox.c.lease_until <= now)
    return bool(connection.execute(
        update(outbox).where(*still).values(status=SUPPRESSED, suppressed_by=f"failover:{target}")).rowcount)


def _back(
    connection: Connection, breaker: Breaker, queue: _Queue, trial: Sequence[str], now: Millis, hopeless_before: Millis
) -> tuple[str, ...]:
    """Rows at the last of their channels that need not wait here go back to one they left, if that works again; which.
    Past the horizon they stay: the attempts that are made here then count."""
    broken = breaker.state(now) is not State.CLOSED
    stuck = [str(row["id"]) for rows in queue.rows.values() for row in rows
             if not row["next_channels"] and (broken or row["attempts"] >= PATIENCE)
             and row["id"] not in trial and row["decided_at"] >= hopeless_before and row["escalation_id"]]
    known, gone = gates.breakers(connection) if stuck else {}, dict[str, str]()
    here, there = outbox.alias(), outbox
    same = (there.c.escalation_id == here.c.escalation_id) & (there.c.person == here.c.person)
    for some in chunks(stuck):
        found = connection.execute(
            select(here.c.id.label("stuck"), there).where(here.c.id.in_(some), same, *left_here())
            .order_by(func.length(there.c.next_channels).desc())).mappings().all()
        for row in found:
            before = parcel_of(row)
            if row["stuck"] in gone or known.get(before.channel, Breaker()).state(now) is not State.CLOSED:
                continue
            if _end_here(connection, row["stuck"], before.channel, now):
                go_on(connection, [before], now)
                gone[row["stuck"]] = before.channel
    queue.leave(gone)
    return tuple(dict.fromkeys(gone.values()))


def _give_up(connection: Connection, channel: str, now: Millis, before: Millis, error: str) -> int:
    """Rows past their horizon end here; those that may go by another channel are told to that one, broken or not."""
    which = (*_free(channel, now), outbox.c.decided_at < before, outbox.c.suppressed_by == "")
    text = f"24 小时内未能送达，最后一次：{error}"
    elsewhere = connection.execute(select(outbox).where(*which, outbox.c.next_channels != "")).mappings().all()
    ended = connection.execute(update(outbox).where(*which).values(status=DEAD, error=text)).rowcount
    go_on(connection, [each.by(each.next_channels[0]) for each in map(parcel_of, elsewhere)], now)
    return ended
