"""The embedded broker drops the oldest records past about 5 MB of a partition, so the collector waits in time.

Unread bytes of a partition are its unread records (by the slowest group that reads it) times the mean size of its
latest records, which are fetched for that once a partition is behind. What is unread upstream will land downstream: the
unread bytes of items.raw count together and onto items.scored. Between measurements what was sent is added.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.bus import consumer
from agents.lag import Lag
from agents.settings import Settings
from pipeline import topics

log = logging.getLogger("wenxun.collect")

LIMIT = 2 * 1024**2
"""Unread bytes of a partition from which the collector waits: under half of what the embedded broker keeps."""
MEASURE_SECONDS = 0.5
SAMPLE_RECORDS = 32
FEW = 8
"""So few unread records keep the mean of earlier ones: whatever their size, they cannot pass the limit."""
HEADER_BYTES = 250

READERS: Mapping[str, tuple[str, ...]] = {
    topics.ITEMS_RAW: ("wenxun-score", "wenxun-archive"),
    topics.ITEMS_SCORED: ("wenxun-track", "wenxun-archive"),
    topics.EVENTS: ("wenxun-escalate", "wenxun-archive"),
}
"""The consumer groups of each topic: one per role, named in agents/app.py and agents/archivist.py."""

Measure = Callable[[], Awaitable[Mapping[str, Mapping[int, int]]]]
"""Unread bytes by topic and partition; raises KafkaError or TimeoutError when the broker is away."""


def pressure(unread: Mapping[str, Mapping[int, int]]) -> int:
    """The unread bytes of the worst partition, with those upstream of it that may still land there."""
    raw = sum(unread.get(topics.ITEMS_RAW, {}).values())
    scored = max(unread.get(topics.ITEMS_SCORED, {}).values(), default=0)
    events = max(unread.get(topics.EVENTS, {}).values(), default=0)
    return max(raw + scored, events)


class Gate(Protocol):
    """Where the collector waits: `open` before it fetches, `admit` before it sends so many bytes."""

    async def open(self) -> None: ...
    async def admit(self, size: int) -> None: ...


class OpenGate:
    """For a broker that keeps its records: never waits."""

    async def open(self) -> None:
        return

    async def admit(self, size: int) -> None:
        return


@dataclass
class MeasuredGate:
    """Waits while the pressure is over the limit. waiting: told 1 and 0. seconds: real time between measurements."""

    measure: Measure
    waiting: Callable[[int], None]
    limit: int = LIMIT
    seconds: float = MEASURE_SECONDS
    _measured: int = 0
    _at: float = field(default=float("-inf"))
    _sent: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self) -> None:
        await self.admit(0)

    async def admit(self, size: int) -> None:
        """Wait until so many bytes more fit. A record that alone passes the limit goes when all else is read."""
        async with self._lock:
            await self._refresh()
            while self._measured + self._sent and self._measured + self._sent + size > self.limit:
                self.waiting(1)
                await asyncio.sleep(self.seconds)
                await self._refresh()
            self.waiting(0)
            self._sent += size

    async def _refresh(self) -> None:
        clock = asyncio.get_running_loop().time
        if clock() - self._at < self.seconds:
            return
        sent, self._sent = self._sent, 0
        try:
            self._measured = pressure(await self.measure())
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("cannot measure what is unread (%s): waiting", type(error).__name__)
            self._measured, self._sent = max(self._measured, self.limit + 1), sent
        self._at = clock()


class Unread:
    """Measures unread bytes at the broker. `async with Unread(settings) as unread: await unread()`"""

    def __init__(self, settings: Settings, readers: Mapping[str, tuple[str, ...]] = READERS) -> None:
        self._settings, self._readers = settings, readers
        self._sizes: dict[TopicPartition, tuple[int, float]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Unread:
        self._lag = await self._stack.enter_async_context(Lag(self._settings))
        self._client: AIOKafkaConsumer = consumer(self._settings, group=None, fetch_max_wait_ms=100)
        await self._client.start()
        self._stack.push_async_callback(self._client.stop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self) -> Mapping[str, Mapping[int, int]]:
        async with asyncio.timeout(30):
            return {topic: await self._topic(topic, groups) for topic, groups in self._readers.items()}

    async def _topic(self, topic: str, groups: tuple[str, ...]) -> dict[int, int]:
        records: dict[int, int] = {}
        ends: dict[int, int] = {}
        for group in groups:
            for partition, position in (await self._lag.of(group, topic)).items():
                records[partition] = max(records.get(partition, 0), position.unread)
                ends[partition] = position.end
        return {partition: round(count * await self._size(TopicPartition(topic, partition), ends[partition], count))
                if count else 0 for partition, count in records.items()}

    async def _size(self, place: TopicPartition, end: int, unread: int) -> float:
        """Mean bytes of the partition's latest records, fetched again once as many came as the last sample had."""
        known = self._sizes.get(place)
        if known is not None and (unread <= FEW or end - known[0] < SAMPLE_RECORDS):
            return known[1]
        self._client.assign([place])
        self._client.seek(place, max(0, end - SAMPLE_RECORDS))
        found = (await self._client.getmany(place, timeout_ms=2000, max_records=SAMPLE_RECORDS)).get(place, [])
        sizes = [len(record.value or b"") + len(record.key or b"") + HEADER_BYTES for record in found]
        mean = sum(sizes) / len(sizes) if sizes else float(topics.MAX_RECORD_BYTES)
        self._sizes[place] = (end, mean)
        return mean
