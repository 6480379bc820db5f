"""The role `archive`: every topic into SQL. A batch is a few transactions, and its offsets are committed after them.

While the store takes no writes (disk full, locked, away) nothing is committed: the batch is read and tried again until
it is in, and `ops` is told once per such episode. A record that cannot be read, or that the store refuses for what is
in it, becomes a dead letter alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from aiokafka.errors import IllegalStateError, KafkaError
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from agents import commits
from agents.bus import Bus, consumer
from agents.deadletter import Reason, dead_letter, describe
from agents.deps import Deps
from agents.notices import notice
from agents.store import heartbeats, reachable
from agents.store.expiry import expire, thin_counts
from agents.store.projection import Entry, project
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.model import CountsBatch, DeadLetter, Heartbeat, Millis, RawBatch, RawItem, ScoredBatch
from pipeline.rulebook.schema import DAY, HOUR, MINUTE

log = logging.getLogger("wenxun.archive")

BREATH_SECONDS = 0.2
"""Between two polls, so that a batch is worth its transaction."""
GROUP = "wenxun-archive"
ROLE = "archive"
MAX_RECORDS = 100
"""Of one poll, up to 6,400 items: its offsets are committed when all of it is in."""
MAX_ROWS = 250
"""Of one transaction of SQLite, about: it has one writer, and what desk and deliver write waits for at most this."""
TURN_SECONDS = 0.01
"""Between two transactions the store belongs to them: who waits for the lock looks every 2 ms (store/engine.py)."""
POLL_MS = 500
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
SEND_RETRY_SECONDS = 1.0
_COMPACTED = {topic.name for topic in topics.CATALOG if topic.compact}


class StoreTrouble(Exception):
    """The store takes no writes just now; it is no record's fault."""


@dataclass(frozen=True, slots=True)
class Message:
    """A record as it lies on its topic. `part` names the item, when it was split off its batch."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    part: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    message: Message
    reason: Reason
    error: str


async def run(deps: Deps) -> None:
    """Archive until cancelled."""
    engine = await reachable.ready(deps, ROLE)
    sweeper = asyncio.create_task(sweep(deps, engine), name="retention")
    try:
        async with Bus(deps.settings, deps.clock, ROLE) as bus:
            await Archivist(deps, engine, bus).run()
    finally:
        sweeper.cancel()
        await asyncio.gather(sweeper, return_exceptions=True)
        engine.dispose()


class Archivist:
    """Reads, writes, commits. `write` is what stores a batch; tests pass a failing one."""

    def __init__(
        self, deps: Deps, engine: Engine, bus: Bus, *,
        write: Callable[[Engine, Sequence[Entry]], Counter[str]] = project,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
    ) -> None:
        self._deps, self._engine, self._bus = deps, engine, bus
        self._write, self._retry = write, retry_seconds
        self._rows = MAX_ROWS if engine.dialect.name == "sqlite" else None
        self._failures = 0
        self._trouble_since: Millis | None = None
        self._told = False

    async def run(self) -> None:
        names = [topic.name for topic in topics.CATALOG]
        source = consumer(self._deps.settings, *names, group=GROUP, max_poll_records=MAX_RECORDS,
                          metadata_max_age_ms=30_000)
        await source.start()
        try:
            while True:
                try:
                    await self.step(source)
                    commits.holds(self._deps.metrics, ROLE, len(source.assignment()))
                    await asyncio.sleep(BREATH_SECONDS)
                except KafkaError as error:
                    log.warning("broker: %s; trying again", describe(error))
                    await asyncio.sleep(SEND_RETRY_SECONDS)
        finally:
            await source.stop()

    async def step(self, source: Any) -> None:
        """One batch: stored whole and committed, or put back to be read again."""
        fetched: Mapping[Any, Sequence[Any]] = await source.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
        if not fetched:
            return
        messages = [_message(record) for records in fetched.values() for record in records]
        try:
            with self._deps.metrics["archive_write_seconds"].time():
                refusals, written = await asyncio.to_thread(self.store, messages)
        except StoreTrouble as trouble:
            await self._hold(source, fetched, trouble)
            return
        self._recovered()
        for refusal in refusals:
            await self._set_aside(refusal)
        await source.commit({part: records[-1].offset + 1 for part, records in fetched.items()})
        commits.committed(self._deps.metrics, ROLE)
        self._count(len(messages), refusals, written)

    # ---------------------------------------------------------------- storing (in a thread)

    def store(self, messages: Sequence[Message]) -> tuple[list[Refusal], Counter[str]]:
        """Write a batch; what cannot be read or written comes back. StoreTrouble if nothing can be written."""
        refusals: list[Refusal] = []
        decoded: list[tuple[Message, Entry]] = []
        for message in messages:
            if message.value is None and message.topic in _COMPACTED:
                continue                                # a key that was deleted: the archive keeps what it was
            try:
                record = codec.decode(message.value, message.headers)
                if message.topic != topics.ITEMS_SCORED or not isinstance(record, CountsBatch):
                    decoded.append((message, Entry(record, self._at(message))))     # counts: items.raw has them once
            except CodecError as error:
                refusals.append(Refusal(message, Reason.UNDECODABLE, str(error)))
            except Exception as error:                  # whatever bytes can do, they stop nobody else
                refusals.append(Refusal(message, Reason.UNDECODABLE, describe(error)))
        written: Counter[str] = Counter()
        for number, part in enumerate(parts_of(decoded, self._rows)):
            if number:
                time.sleep(TURN_SECONDS)                # in a thread
            written.update(self._write_or_split(part, refusals))
        self._note_beats(decoded)
        return refusals, written

    def _note_beats(self, decoded: Sequence[tuple[Message, Entry]]) -> None:
        """The archive is an end of the chain too: deliver's dead-man calls stop when no beat comes here."""
        now = time.time_ns() // 1_000_000
        beats = [heartbeats.Seen(heartbeats.ARCHIVE, entry.record.partition, entry.record.at, now)
                 for message, entry in decoded
                 if message.topic == topics.ESCALATIONS and isinstance(entry.record, Heartbeat)]
        if beats:
            try:
                heartbeats.note(self._engine, beats)
            except SQLAlchemyError as error:        # the next one comes within a minute
                log.warning("a heartbeat cannot be noted: %s", describe(error))

    def _write_or_split(self, decoded: Sequence[tuple[Message, Entry]], refusals: list[Refusal]) -> Counter[str]:
        """The batch whole, or else ever smaller parts of it until the one item that is at fault stands alone."""
        if not decoded:
            return Counter()
        try:
            return self._write(self._engine, [entry for _, entry in decoded])
        except Exception as error:
            if not _records_fault(error):
                raise StoreTrouble(describe(getattr(error, "orig", None) or error)) from error
            halves = _halves(decoded)
            if halves is None:
                refusals.append(Refusal(decoded[0][0], Reason.REFUSED, describe(error)))
                return Counter()
        return self._write_or_split(halves[0], refusals) + self._write_or_split(halves[1], refusals)

    def _at(self, message: Message) -> Millis:
        """When it was written, as its envelope says; else now."""
        text = (dict(message.headers).get("ce_time") or b"").decode("ascii", "replace")
        try:
            return int(datetime.fromisoformat(text).timestamp() * 1000)
        except ValueError:
            return self._deps.clock.now()

    # ---------------------------------------------------------------- trouble

    async def _hold(self, source: Any, fetched: Mapping[Any, Sequence[Any]], trouble: StoreTrouble) -> None:
        """Go back to where this batch began, wait, and say so once."""
        self._deps.metrics["archive_errors_total"].inc()
        if self._trouble_since is None:
            self._trouble_since, self._told = self._deps.clock.now(), False
        log.error("the store takes no writes, nothing is committed, trying again: %s", trouble)
        for part, records in fetched.items():
            try:
                source.seek(part, records[0].offset)
            except IllegalStateError:                   # the partition went to another archive, which reads it now
                continue
        if not self._told:
            self._told = await self._tell(trouble, self._trouble_since)
        await asyncio.sleep(self._retry[min(self._failures, len(self._retry) - 1)])
        self._failures += 1

    async def _tell(self, trouble: StoreTrouble, since: Millis) -> bool:
        try:
            await notice(
                self._bus, key="archive", episode=since, title="归档写入失败",
                text=f"数据库暂时无法写入。未写入的数据留在消息队列中，恢复后自动补写；积压过多时采集会等待。请检查磁盘空间和数据库：{trouble}"[:500])
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("ops not told yet: %s", describe(error))
            return False
        return True

    def _recovered(self) -> None:
        if self._trouble_since is not None:
            log.warning("the store takes writes again after %d failed tries", self._failures)
        self._failures, self._trouble_since = 0, None

    async def _set_aside(self, refusal: Refusal) -> None:
        """To the dead letters, tried for ever: the offset is committed only when it is safe there."""
        letter = self._letter(refusal)
        self._deps.metrics["dead_letters_total"].labels(ROLE, str(refusal.reason)).inc()
        log.warning("%s[%d]@%d set aside as %s: %s", letter.topic, letter.partition, letter.offset, refusal.reason,
                    refusal.error)
        while True:
            try:
                return await self._bus.send(topics.DEAD_LETTERS, letter.topic, letter, ident=letter.id)
            except (KafkaError, TimeoutError) as error:
                log.error("dead letter %s not sent, trying again: %s", letter.id, describe(error))
                await asyncio.sleep(SEND_RETRY_SECONDS)

    def _letter(self, refusal: Refusal) -> DeadLetter:
        """An undecodable record has the same letter from every role that met it; what only SQL refuses has its own."""
        message = refusal.message
        part = "" if refusal.reason is Reason.UNDECODABLE else f"{ROLE}:{message.part}"
        return dead_letter(
            message.topic, message.partition, message.offset, key=message.key, value=message.value,
            headers=message.headers, reason=refusal.reason, error=refusal.error, at=self._deps.clock.now(), part=part)

    def _count(self, messages: int, refusals: Sequence[Refusal], written: Counter[str]) -> None:
        handled = self._deps.metrics["records_total"]
        handled.labels(ROLE, "dead").inc(len(refusals))
        handled.labels(ROLE, "done").inc(max(0, messages - len(refusals)))
        for table, rows in written.items():
            self._deps.metrics["archive_rows_total"].labels(table).inc(rows)


async def sweep(deps: Deps, engine: Engine) -> None:
    """Retention, at the start and every hour of the installation's clock, until cancelled."""
    while True:
        now = deps.clock.now()
        try:
            dropped = await asyncio.to_thread(expire, engine, now - deps.settings.retention_days * DAY)
            await asyncio.to_thread(thin_counts, engine, now)
        except (SQLAlchemyError, OSError) as error:
            deps.metrics["archive_errors_total"].inc()
            log.error("retention did not run, trying again in a minute: %s", describe(error))
            await deps.clock.sleep(MINUTE)
            continue
        else:
            if dropped:
                log.info("texts past their retention time dropped: %s", dict(dropped))
        await deps.clock.sleep(HOUR)


def _message(record: Any) -> Message:
    return Message(record.topic, record.partition, record.offset, record.key, record.value, record.headers)


def _records_fault(error: Exception) -> bool:
    """Whether it is what the record says (a number too great, a NUL): everything else is the store's trouble."""
    if isinstance(error, DataError | IntegrityError):
        return True
    return not isinstance(error, SQLAlchemyError | OSError | MemoryError)


Pairs = Sequence[tuple[Message, Entry]]


def parts_of(decoded: Pairs, most: int | None) -> Iterator[Pairs]:
    """In order, parts of about so many rows each, None: one part; a record is not torn."""
    part: list[tuple[Message, Entry]] = []
    rows = 0
    for message, entry in decoded:
        record = entry.record
        size = len(record.items) if isinstance(record, RawBatch | ScoredBatch) else 1
        if part and most is not None and rows + size > most:
            yield part
            part, rows = [], 0
        part.append((message, entry))
        rows += size
    if part:
        yield part


def _halves(decoded: Pairs) -> tuple[Pairs, Pairs] | None:
    """Two smaller batches; a single record of many items is split between them. None if it is as small as can be."""
    if len(decoded) == 1:
        decoded = _single_items(*decoded[0])
    if len(decoded) == 1:
        return None
    middle = len(decoded) // 2
    return decoded[:middle], decoded[middle:]


def _single_items(message: Message, entry: Entry) -> Pairs:
    record = entry.record
    if not isinstance(record, RawBatch | ScoredBatch):
        return [(message, entry)]
    alone: list[tuple[Message, Entry]] = []
    for item in record.items:
        one = msgspec.structs.replace(record, items=(item,))
        ident = item.id if isinstance(item, RawItem) else item.item.id
        alone.append((replace(message, value=codec.encode(one), part=ident), Entry(one, entry.at)))
    return alone
