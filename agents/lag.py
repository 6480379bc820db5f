"""How far a group is behind, as the broker sees it: a worker's own figures are wrong just when it matters."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents import bus
from agents.settings import Settings


@dataclass(frozen=True, slots=True)
class Position:
    """committed: the next offset the group would read; the log's first one if it never committed, or if the log has
    dropped what it had not read. end: the next one to be written."""

    committed: int
    end: int

    @property
    def unread(self) -> int:
        return max(0, self.end - self.committed)


class Lag:
    """Reads positions of groups. `async with Lag(settings) as lag: await lag.of("wenxun-score", "items.raw")`"""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[str, AIOKafkaConsumer] = {}

    async def __aenter__(self) -> Lag:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.stop()
        self._clients.clear()

    async def of(self, group: str, topic: str) -> dict[int, Position]:
        """Position by partition; empty while the topic does not exist. Kafka's errors are raised."""
        client = await self._client(group)
        partitions = await partitions_of(client, topic)
        places = [TopicPartition(topic, partition) for partition in sorted(partitions)]
        if not places:
            return {}
        firsts, ends = await client.beginning_offsets(places), await client.end_offsets(places)
        return {tp.partition: Position(max(await client.committed(tp) or 0, firsts[tp]), ends[tp]) for tp in places}

    async def unread(self, group: str, topic: str) -> int:
        return sum(position.unread for position in (await self.of(group, topic)).values())

    async def _client(self, group: str) -> AIOKafkaConsumer:
        if group not in self._clients:
            client = bus.consumer(self._settings, group=group)
            await client.start()
            self._clients[group] = client
        return self._clients[group]


async def partitions_of(client: AIOKafkaConsumer, topic: str) -> set[int]:
    """The partitions of a topic that this client need not be subscribed to; empty if there is none."""
    known = client.partitions_for_topic(topic)
    if known is None:
        await client._client.add_topic(topic)           # a client without subscription knows no topic
        known = client.partitions_for_topic(topic)
    return set(known or ())
