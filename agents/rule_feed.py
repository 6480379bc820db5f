"""The live rule book of a process: the newest book on topic `rules`, in force within a second of its publication.

Beside it what became of the rule directory's last change (key `state`), what a person answered (key `answer`), and the
newest word of each worker (topic rules.workers): all of it in `deps.rules`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.bus import consumer
from agents.deps import Deps
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.model import RulesAnswer, RulesState, Worker
from pipeline.rulebook.schema import RuleBook

log = logging.getLogger("wenxun.rules")

KEY = "book"
STATE = "state"
PLACE = TopicPartition(topics.RULES, 0)
WORKERS = TopicPartition(topics.WORKERS, 0)
WORKERS_READ = 2_000
"""Records of workers that a start looks back at: one a minute from each is enough for hundreds."""
RETRY_SECONDS = 1.0
WAIT_MS = 200
EMBEDDED_WAIT_MS = 50
"""The embedded broker holds a fetch back for all of it, whatever arrives meanwhile."""

Heard = Callable[[Mapping[str, Worker]], None]


@dataclass(slots=True)
class Seen:
    """The newest of each kind among records of topic `rules`. error: what is wrong with what is newer than the book."""

    book: RuleBook | None = None
    state: RulesState | None = None
    answer: RulesAnswer | None = None
    error: str = ""

    def newer(self, other: Seen) -> Seen:
        """With what later records say."""
        error = other.error or ("" if other.book else self.error)
        return Seen(other.book or self.book, other.state or self.state, other.answer or self.answer, error)


async def follow(deps: Deps, heard: Heard = lambda _: None) -> None:
    """Offer the newest book to `deps.rules`, for ever; every process runs this once. Waits for a missing broker.

    heard: is given the newest word of workers as it comes.
    """
    while True:
        try:
            await _follow(deps, heard)
        except (KafkaError, OSError) as error:
            log.warning("rules: cannot read topic %s (%s: %s); trying again", topics.RULES, type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)


async def _follow(deps: Deps, heard: Heard) -> None:
    async with _Reader(deps.settings, PLACE, WORKERS) as reader:
        await _to_recent_workers(reader)
        _take(deps, await _newest(reader))
        while True:
            found = await reader.getmany(PLACE, WORKERS, timeout_ms=WAIT_MS)
            if records := found.get(PLACE):
                _take(deps, _last(records))
            if records := found.get(WORKERS):
                deps.rules.workers.update(found_workers := _workers(records))
                heard(found_workers)


async def newest(settings: Settings) -> Seen:
    """What the topic says now. Raises KafkaError."""
    async with _Reader(settings, PLACE) as reader:
        return await _newest(reader)


async def newest_book(settings: Settings) -> RuleBook | None:
    """The book that the topic holds now, None if it holds none. Raises KafkaError."""
    return (await newest(settings)).book


async def newest_workers(settings: Settings) -> dict[str, Worker]:
    """The newest record of each worker, by name. Raises KafkaError."""
    found: dict[str, Worker] = {}
    async with _Reader(settings, WORKERS) as reader:
        await _to_recent_workers(reader)
        end = (await reader.end_offsets([WORKERS]))[WORKERS]
        while await reader.position(WORKERS) < end:
            found.update(_workers((await reader.getmany(WORKERS, timeout_ms=WAIT_MS)).get(WORKERS, ())))
    return found


class _Reader:
    """A consumer of these partitions, from their beginning, without a group. A book may be large."""

    def __init__(self, settings: Settings, *places: TopicPartition) -> None:
        self._settings, self._places = settings, places

    async def __aenter__(self) -> AIOKafkaConsumer:
        wait = EMBEDDED_WAIT_MS if self._settings.embedded else WAIT_MS
        self._consumer = consumer(self._settings, group=None, fetch_max_wait_ms=wait, metadata_max_age_ms=5_000,
                                  max_partition_fetch_bytes=topics.MAX_BOOK_BYTES)
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        self._consumer.assign(self._places)
        return self._consumer

    async def __aexit__(self, *exc: object) -> None:
        await self._consumer.stop()


async def _newest(reader: AIOKafkaConsumer) -> Seen:
    """Read to the present end: only the last of each counts, those before it were replaced long ago."""
    await reader.seek_to_beginning(PLACE)
    end = (await reader.end_offsets([PLACE]))[PLACE]
    seen = Seen()
    while await reader.position(PLACE) < end:
        found = await reader.getmany(PLACE, timeout_ms=WAIT_MS)
        if records := found.get(PLACE):
            seen = seen.newer(_last(records))
    return seen


async def _to_recent_workers(reader: AIOKafkaConsumer) -> None:
    begin = (await reader.beginning_offsets([WORKERS]))[WORKERS]
    end = (await reader.end_offsets([WORKERS]))[WORKERS]
    reader.seek(WORKERS, max(begin, end - WORKERS_READ))


def _last(records: Sequence[Any]) -> Seen:
    """The newest readable one of each kind among records; an earlier book is not even decoded."""
    seen = Seen()
    for record in reversed(records):
        if seen.book is not None and dict(record.headers or ()).get("ce_type") == b"wenxun.rules":
            continue
        try:
            value = codec.decode(record.value, record.headers)
        except CodecError as problem:
            seen.error = seen.error or ("" if seen.book else f"offset {record.offset}: {problem}")
            continue
        match value:
            case RuleBook():
                seen.book = value
            case RulesState():
                seen.state = seen.state or value
            case RulesAnswer():
                seen.answer = seen.answer or value
            case _ if seen.book is None:
                seen.error = seen.error or f"offset {record.offset}: a {type(value).__name__} is no rule book"
    return seen


def _workers(records: Sequence[Any]) -> dict[str, Worker]:
    found: dict[str, Worker] = {}
    for record in records:
        with suppress(CodecError):
            if isinstance(value := codec.decode(record.value, record.headers), Worker):
                found[value.name] = value
    return found


def _take(deps: Deps, seen: Seen) -> None:
    if seen.error:
        log.error("rules: a record of topic %s is no rule book and changes nothing: %s", topics.RULES, seen.error)
        deps.metrics["agent_errors_total"].labels("rules").inc()
    deps.rules.state = seen.state or deps.rules.state
    deps.rules.answer = seen.answer or deps.rules.answer
    book = seen.book
    if book is None or (deps.rules.loaded and deps.rules.version == book.version):
        return
    deps.rules.offer(book)
    show(deps.metrics, book, deps.clock.now() / 1000)
    log.info("rules: book %s in force (%d sources, %d subjects)", book.version, len(book.sources), len(book.subjects))


def show(metrics: Metrics, book: RuleBook, at: float) -> None:
    """The book in force, as metrics."""
    metrics["rules_config_hash_info"].clear()
    metrics["rules_config_hash_info"].labels(book.version).set(1)
    metrics["rules_last_reload_timestamp_seconds"].set(at)
    counts = {"sources": len(book.sources), "subjects": len(book.subjects), "levels": len(book.levels.ladder),
              "people": len(book.roster.people), "channels": len(book.channels), "routes": len(book.routes)}
    for kind, count in counts.items():
        metrics["rules_loaded"].labels(kind).set(count)
