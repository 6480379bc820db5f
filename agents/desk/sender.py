"""Accepted commands on their way to the stream: sent in their order, tried until the broker has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine, select, update

from agents.clock import Clock
from agents.desk.commands import Command, read_command
from agents.store import schema
from pipeline import codec, topics
from pipeline.model import Close, Escalation, Millis, PollRequest, RawBatch, RulesAnswer, Silence, Verdict

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
TIDY_SECONDS = 60.0
KEPT_UNARCHIVED = 86_400_000
"""Real milliseconds after which the text of a sent report is dropped here, archived or not: no start sends it again."""


class Sender(Protocol):
    async def send(
        self, topic: str, key: str, record: codec.Value, *, ident: str, partition: int | None = None) -> None: ...

    def partitions(self, topic: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Waiting:
    id: str
    command: Command


class CommandSender:
    """Sends accepted commands in their order, for ever trying again. One per desk process.

    open_bus makes a new connection to the broker; it may raise while the broker is away. poll_partition: where a
    source's polls go, None by its id.
    """

    def __init__(self, engine: Engine, open_bus: Callable[[], AbstractAsyncContextManager[Sender]], *,
                 poll_partition: Callable[[str], int | None] = lambda source_id: None,
                 retry_seconds: float = RETRY_SECONDS, real: Clock | None = None) -> None:
        self._engine, self._open_bus, self._retry = engine, open_bus, retry_seconds
        self._poll_partition = poll_partition
        self._real = real or Clock()
        self._wake = asyncio.Event()
        self._tidied = 0
        self.connected = False

    def wake(self) -> None:
        """A command was accepted: send it now. Call from the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._open_bus() as bus:
                    self.connected = True
                    await self._serve(bus)
            except Exception as error:  # broker or store away: commands wait in SQL
                log.warning("commands wait, next try in %gs: %s: %s", self._retry, type(error).__name__, error)
            finally:
                self.connected = False
            await asyncio.sleep(self._retry)

    async def _serve(self, bus: Sender) -> None:
        while True:
            self._wake.clear()
            for waiting in await asyncio.to_thread(unsent, self._engine):
                await self._send(bus, waiting)
            await self._tidy()
            try:
                async with asyncio.timeout(self._retry):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _send(self, bus: Sender, waiting: Waiting) -> None:
        topic, key = _address(waiting.command)
        if isinstance(waiting.command, Silence):        # events of any partition may fit it; cut off, all get it again
            for partition in range(bus.partitions(topic)):
                await bus.send(topic, key, waiting.command, ident=waiting.id, partition=partition)
        else:
            where = self._poll_partition(key) if isinstance(waiting.command, PollRequest) else None
            await bus.send(topic, key, waiting.command, ident=waiting.id, partition=where)
        await asyncio.to_thread(_mark_sent, self._engine, waiting.id, self._real.now())

    async def _tidy(self) -> None:
        now = self._real.now()
        if now - self._tidied >= TIDY_SECONDS * 1000:
            self._tidied = now
            await asyncio.to_thread(drop_archived, self._engine, now)


def unsent(engine: Engine) -> list[Waiting]:
    """Commands that the broker has not acknowledged, oldest first."""
    table = schema.commands
    with engine.connect() as connection:
        rows = connection.execute(
            select(table).where(table.c.sent_at.is_(None), table.c.record != "")
            .order_by(table.c.accepted_at, table.c.id))
        return [Waiting(row.id, read_command(row.type, row.record)) for row in rows]


def drop_archived(engine: Engine, real: Millis) -> int:
    """Empty the reports that the archive has: their texts live, and expire, there. How many."""
    table = schema.commands
    reports = select(table).where(table.c.type == "items.raw", table.c.sent_at.is_not(None), table.c.record != "")
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":             # SQLite would leave the bytes in the file's free space
            connection.exec_driver_sql("PRAGMA secure_delete=ON").all()
        done = []
        for row in connection.execute(reports).all():
            command = read_command(row.type, row.record)
            assert isinstance(command, RawBatch)
            current = connection.execute(
                select(schema.items.c.seen_at).where(schema.items.c.id == row.event_id)).scalar()
            if (current is not None and current >= command.polled_at) or row.sent_at < real - KEPT_UNARCHIVED:
                done.append(row.id)
        if done:
            connection.execute(update(table).where(table.c.id.in_(done)).values(record=""))
    return len(done)


def _address(command: Command) -> tuple[str, str]:
    if isinstance(command, Close):
        return topics.ITEMS_SCORED, command.key
    if isinstance(command, PollRequest):
        return topics.POLLS, command.source_id
    if isinstance(command, RawBatch):
        return topics.ITEMS_RAW, command.source_id
    if isinstance(command, RulesAnswer):
        return topics.RULES, "answer"
    if isinstance(command, Verdict):
        return topics.EVENTS, command.event_id or command.item_id
    if isinstance(command, Silence):
        return topics.EVENTS, command.id
    if isinstance(command, Escalation):
        return topics.ESCALATIONS, command.event_id or command.id
    return topics.EVENTS, command.event_id


def _mark_sent(engine: Engine, ident: str, now: Millis) -> None:
    with engine.begin() as connection:
        connection.execute(update(schema.commands).where(schema.commands.c.id == ident).values(sent_at=now))
