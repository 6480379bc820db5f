"""Items and states to the broker, until it has them. A broker that is away is waited for, with the items in hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from agents.bus import Bus
from agents.collector.backpressure import Gate
from agents.collector.patience import FIRST_WAIT, patiently
from agents.metrics import Metrics
from pipeline import codec, topics
from pipeline.collect.entries import batches
from pipeline.ids import digest
from pipeline.model import CountsBatch, CountsRow, Millis, RawItem, SourceState


class Publisher:
    """Sends; every call returns only when the broker has acknowledged, however long that takes.

    Raises KafkaError only for errors that no waiting mends: the role then ends and is started again.
    """

    def __init__(self, bus: Bus, gate: Gate, metrics: Metrics, first_wait: float = FIRST_WAIT) -> None:
        self._bus, self._gate, self._metrics, self._first_wait = bus, gate, metrics, first_wait

    async def items(self, source_id: str, polled_at: Millis, items: Sequence[RawItem]) -> None:
        """The items, oldest first, in records of topic items.raw."""
        for batch in batches(source_id, polled_at, items, max_items=topics.MAX_BATCH_ITEMS,
                             max_bytes=topics.MAX_RECORD_BYTES):
            await self._gate.admit(len(codec.encode(batch)))
            ident = digest(source_id, *(f"{item.id}:{item.revision}" for item in batch.items))
            await self._until_acknowledged(self._sending(topics.ITEMS_RAW, source_id, batch, ident))

    async def counts(
        self, source_id: str, at: Millis, rows: Sequence[CountsRow], since: Millis | None = None
    ) -> None:
        """Counts that changed, behind the items they are of. since: as in CountsBatch."""
        batch = CountsBatch(source_id=source_id, at=at, items=tuple(rows), since=since)
        await self._gate.admit(len(codec.encode(batch)))
        await self._until_acknowledged(
            self._sending(topics.ITEMS_RAW, source_id, batch, digest("counts", source_id, at)))

    async def state(self, state: SourceState) -> None:
        """To the partition of the source's host, where the collector that polls it next reads it."""
        ident = digest(state.source_id, state.polled_at, state.next_poll_at)
        where = topics.partition_of_host(state.url, self._bus.partitions(topics.COLLECTOR_STATE))
        await self._until_acknowledged(self._sending(topics.COLLECTOR_STATE, state.source_id, state, ident, where))

    def _sending(
        self, topic: str, key: str, record: codec.Value, ident: str, partition: int | None = None
    ) -> Callable[[], Awaitable[None]]:
        return lambda: self._bus.send(topic, key, record, ident=ident, partition=partition)

    async def _until_acknowledged(self, send: Callable[[], Awaitable[None]]) -> None:
        await patiently(send, "broker does not take records", self._first_wait)
