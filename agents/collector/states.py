"""What collectors knew before: partitions of topic collector.state, read to their ends."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.bus import consumer
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.model import SourceState

log = logging.getLogger("wenxun.collect")
QUIET_SECONDS = 60.0
"""A read that brings nothing for this long while records are missing has failed."""


async def read_states(settings: Settings, partitions: Collection[int]) -> dict[str, SourceState]:
    """The newest state of each source of these partitions. Records that cannot be read are passed over: that source
    starts anew. Raises KafkaError or TimeoutError."""
    if not partitions:
        return {}
    client = consumer(settings, group=None)
    await client.start()
    try:
        return await _read(client, [TopicPartition(topics.COLLECTOR_STATE, number) for number in sorted(partitions)])
    finally:
        await client.stop()


async def _read(client: AIOKafkaConsumer, places: list[TopicPartition]) -> dict[str, SourceState]:
    found: defaultdict[TopicPartition, dict[str, SourceState]] = defaultdict(dict)
    client.assign(places)
    async with asyncio.timeout(QUIET_SECONDS):
        ends = await client.end_offsets(places)
        await client.seek_to_beginning(*places)
    left = {place for place in places if ends[place] > 0}
    while left:
        async with asyncio.timeout(QUIET_SECONDS):
            left = {place for place in left if await client.position(place) < ends[place]}
            batches = await client.getmany(timeout_ms=500) if left else {}
        for place, records in batches.items():
            for record in records:
                _take(found[place], record.value, record.headers, record.key)
            await asyncio.sleep(0)
    return _merged(found.values())


def _merged(parts: Collection[dict[str, SourceState]]) -> dict[str, SourceState]:
    """A source that went to another host has a state in both hosts' partitions: the later poll's is its own."""
    states: dict[str, SourceState] = {}
    for part in parts:
        for source_id, state in part.items():
            if source_id not in states or states[source_id].polled_at < state.polled_at:
                states[source_id] = state
    return states


def _take(states: dict[str, SourceState], value: bytes | None, headers: codec.Headers, key: bytes | None) -> None:
    try:
        state = codec.decode(value, headers)
    except CodecError as error:
        log.warning("collector.state key %r: %s; its source is read as a new one", key, error)
        return
    if isinstance(state, SourceState):
        states[state.source_id] = state
