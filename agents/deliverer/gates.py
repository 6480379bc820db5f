"""Table `channel_state`: breaker and token bucket of a channel, shared by all deliver processes.

Whoever changes it holds its row: on PostgreSQL the row's lock, on SQLite the store's, until the transaction ends. All
times are real. Lock it before rows of the outbox, always in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, update

from agents.store.schema import channel_state
from agents.store.upsert import insert_once
from pipeline.model import Millis
from pipeline.notify.breaker import MAX_PAUSE, Breaker
from pipeline.notify.pace import Bucket

MAX_TRIAL: Millis = 60_000
"""How long whoever tries a channel that failed has for it: a lease."""


SLACK: Millis = 30_000
"""What was claimed a moment ago, while `now` waited for a thread, is of no clock that was set back: its lease stays, or
whoever holds it could not write what became of it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """error: the last failure's."""

    breaker: Breaker = field(default_factory=Breaker)
    bucket: Bucket = field(default_factory=Bucket)
    error: str = ""


def locked(connection: Connection, channel: str) -> Gate:
    """The channel's gate, which nobody else changes until the transaction ends."""
    table = channel_state
    touch = update(table).where(table.c.channel == channel).values(version=table.c.version + 1)
    if not connection.execute(touch).rowcount:
        insert_once(connection, table, [{"channel": channel}])
        connection.execute(touch)
    return seen(connection, channel)


def seen(connection: Connection, channel: str) -> Gate:
    """The gate as it stands; of a channel that was never used, a fresh one."""
    table = channel_state
    row = connection.execute(select(table).where(table.c.channel == channel)).one_or_none()
    if row is None:
        return Gate()
    breaker = Breaker(failures=row.failures, opened=row.opened, open_until=row.open_until, trial_until=row.trial_until)
    return Gate(breaker, Bucket(row.tokens, row.refilled_at), row.error)


def breakers(connection: Connection) -> dict[str, Breaker]:
    """Of every channel that was ever used."""
    rows = connection.execute(select(channel_state)).all()
    return {row.channel: Breaker(row.failures, row.opened, row.open_until, row.trial_until) for row in rows}


def save(connection: Connection, channel: str, gate: Gate) -> None:
    breaker, bucket = gate.breaker, gate.bucket
    connection.execute(update(channel_state).where(channel_state.c.channel == channel).values(
        failures=breaker.failures, opened=breaker.opened, open_until=breaker.open_until,
        trial_until=breaker.trial_until, tokens=bucket.tokens, refilled_at=bucket.refilled_at, error=gate.error))


@dataclass(frozen=True, slots=True)
class Change:
    """What an attempt does to its channel's breaker: once per call, whatever it carried."""

    channel: str
    apply: Callable[[Breaker], Breaker]
    error: str = ""

    def run(self, connection: Connection) -> tuple[Breaker, Breaker]:
        """The breaker before and after."""
        gate = locked(connection, self.channel)
        after = self.apply(gate.breaker)
        if after != gate.breaker:
            save(connection, self.channel, Gate(after, gate.bucket, self.error))
        return gate.breaker, after


def set_back(connection: Connection, now: Millis) -> None:
    """The clock was set back to `now`: nothing waits longer than it could wait from now on."""
    table = channel_state
    for column, most in ((table.c.open_until, now + MAX_PAUSE), (table.c.trial_until, now + MAX_TRIAL),
                         (table.c.refilled_at, now)):
        connection.execute(update(table).where(column > most + SLACK).values({column: most}))
