"""The live rule book of a process: the newest book on topic `rules`, in force within a second of its publication."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.bus import consumer
from agents.deps import Deps
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.rulebook.schema import RuleBook

log = logging.getLogger("wenxun.rules")

KEY = "book"
PLACE = TopicPartition(topics.RULES, 0)
RETRY_SECONDS = 1.0
WAIT_MS = 200


async def follow(deps: Deps) -> None:
    """Offer the newest book to `deps.rules`, for ever; every process runs this once. Waits for a missing broker."""
    while True:
        try:
            await _follow(deps)
        except (KafkaError, OSError) as error:
            log.warning("rules: cannot read topic %s (%s: %s); trying again", topics.RULES, type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)


async def _follow(deps: Deps) -> None:
    async with _Reader(deps.settings) as reader:
        book, error = await _newest(reader)
        _take(deps, book, error)
        while True:
            found = await reader.getmany(PLACE, timeout_ms=WAIT_MS)
            if records := found.get(PLACE):
                _take(deps, *_last_book(records))


async def newest_book(settings: Settings) -> RuleBook | None:
    """The book that the topic holds now, None if it holds none. Raises KafkaError."""
    async with _Reader(settings) as reader:
        return (await _newest(reader))[0]


class _Reader:
    """A consumer of the topic's one partition, from its beginning, without a group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> AIOKafkaConsumer:
        self._consumer = consumer(self._settings, group=None, fetch_max_wait_ms=WAIT_MS, metadata_max_age_ms=5_000)
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        self._consumer.assign([PLACE])
        return self._consumer

    async def __aexit__(self, *exc: object) -> None:
        await self._consumer.stop()


async def _newest(reader: AIOKafkaConsumer) -> tuple[RuleBook | None, str]:
    """Read to the present end: only the last book counts, those before it were replaced long ago."""
    await reader.seek_to_beginning(PLACE)
    end = (await reader.end_offsets([PLACE]))[PLACE]
    book, error = None, ""
    while await reader.position(PLACE) < end:
        found = await reader.getmany(PLACE, timeout_ms=WAIT_MS)
        if records := found.get(PLACE):
            newer, error = _last_book(records)
            book = newer or book
    return book, error


def _last_book(records: list[Any]) -> tuple[RuleBook | None, str]:
    """The newest readable book among records, and what was wrong with a newer one."""
    error = ""
    for record in reversed(records):
        try:
            book = codec.decode(record.value, record.headers)
        except CodecError as problem:
            error = error or f"offset {record.offset}: {problem}"
            continue
        if isinstance(book, RuleBook):
            return book, error
        error = error or f"offset {record.offset}: a {type(book).__name__} is no rule book"
    return None, error


def _take(deps: Deps, book: RuleBook | None, error: str) -> None:
    if error:
        log.error("rules: a record of topic %s is no rule book and changes nothing: %s", topics.RULES, error)
        deps.metrics["agent_errors_total"].labels("rules").inc()
    if book is None or (deps.rules.loaded and deps.rules.book.hash == book.hash):
        return
    deps.rules.offer(book)
    show(deps.metrics, book, deps.clock.now() / 1000)
    log.info("rules: book %s in force (%d sources, %d subjects)", book.hash, len(book.sources), len(book.subjects))


def show(metrics: Metrics, book: RuleBook, at: float) -> None:
    """The book in force, as metrics."""
    metrics["rules_config_hash_info"].clear()
    metrics["rules_config_hash_info"].labels(book.hash).set(1)
    metrics["rules_last_reload_timestamp_seconds"].set(at)
    counts = {"sources": len(book.sources), "subjects": len(book.subjects), "levels": len(book.levels.ladder),
              "people": len(book.roster.people), "channels": len(book.channels), "routes": len(book.routes)}
    for kind, count in counts.items():
        metrics["rules_loaded"].labels(kind).set(count)
