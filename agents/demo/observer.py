"""Reads every topic as anybody may (no group, nothing committed), for the terminal and for a recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents import bus
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.errors import CodecError, SettingsError
from pipeline.model import Heartbeat, Tick
from pipeline.rulebook.schema import RuleBook

RECORDED = (topics.ITEMS_RAW, topics.ITEMS_SCORED, topics.EVENTS, topics.ESCALATIONS)


@dataclass(frozen=True, slots=True)
class Seen:
    """A record of a topic, decoded; None if its bytes are no record of ours."""

    topic: str
    partition: int
    offset: int
    key: str
    record: Any
    value: bytes


class Recording:
    """Writes what was consumed as JSON lines that `wenxun replay` reads: a header with the book, then the records."""

    def __init__(self, path: Path, partitions: int) -> None:
        self._path, self._partitions = path, partitions
        self._waiting: list[bytes] | None = []
        self._file: TextIO | None = None
        self.lines = 0

    def __enter__(self) -> Recording:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"--record {self._path}: cannot write: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, seen: Seen) -> None:
        if isinstance(seen.record, RuleBook):
            self._begin(seen.record)
        if seen.topic not in RECORDED or seen.record is None or isinstance(seen.record, Heartbeat):
            return
        line = msgspec.json.encode({
            "topic": seen.topic, "partition": seen.partition, "offset": seen.offset, "key": seen.key,
            "type": codec.type_name(seen.record), "data": msgspec.Raw(seen.value)})
        self._write(line)

    def _begin(self, book: RuleBook) -> None:
        if self._waiting is None:
            return
        waiting, self._waiting = self._waiting, None
        self._write(msgspec.json.encode(
            {"header": True, "book": book, "partitions": self._partitions, "recorded": list(RECORDED)}))
        for line in waiting:
            self._write(line)

    def _write(self, line: bytes) -> None:
        if self._waiting is not None:
            self._waiting.append(line)
            return
        assert self._file is not None, "use `with`"
        self._file.write(line.decode() + "\n")
        self.lines += 1


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[AsyncIterator[list[Seen]]]:
    """An endless stream of what all topics carry, from their beginning, in small batches."""
    consumer = bus.consumer(settings, group=None)
    await consumer.start()
    try:
        consumer.assign(_partitions(settings))
        yield _batches(consumer)
    finally:
        await consumer.stop()


def _partitions(settings: Settings) -> list[TopicPartition]:
    return [TopicPartition(topic.name, partition) for topic in topics.CATALOG
            for partition in range(topic.partitions or settings.partitions)]


async def _batches(consumer: AIOKafkaConsumer) -> AsyncIterator[list[Seen]]:
    while True:
        fetched = await consumer.getmany(timeout_ms=200)
        batch = [_seen(message) for messages in fetched.values() for message in messages]
        if batch:
            yield batch
        else:
            await asyncio.sleep(0)


def _seen(message: Any) -> Seen:
    try:
        record = codec.decode(message.value, message.headers)
    except CodecError:
        record = None
    return Seen(message.topic, message.partition, message.offset, (message.key or b"").decode("utf-8", "replace"),
                record, message.value or b"")


def is_tick(seen: Seen) -> bool:
    return isinstance(seen.record, Tick)
