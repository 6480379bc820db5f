"""What the collector knew before: topic collector.state, read to its end."""

from __future__ import annotations

import asyncio
import logging

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.bus import consumer
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.model import SourceState

log = logging.getLogger("wenxun.collect")
QUIET_SECONDS = 60.0
"""A read that brings nothing for this long while records are missing has failed."""


async def read_states(settings: Settings) -> dict[str, SourceState]:
    """The newest state of each source. Records that cannot be read are passed over: that source starts anew."""
    client = consumer(settings, topics.COLLECTOR_STATE, group=None)
    await client.start()
    try:
        return await _read(client)
    finally:
        await client.stop()


async def _read(client: AIOKafkaConsumer) -> dict[str, SourceState]:
    states: dict[str, SourceState] = {}
    places = [TopicPartition(topics.COLLECTOR_STATE, number)
              for number in sorted(client.partitions_for_topic(topics.COLLECTOR_STATE) or ())]
    ends = await client.end_offsets(places) if places else {}
    await client.seek_to_beginning(*places) if places else None
    left = {place for place in places if ends[place] > 0}
    while left:
        async with asyncio.timeout(QUIET_SECONDS):
            left = {place for place in left if await client.position(place) < ends[place]}
            found = await client.getmany(timeout_ms=500) if left else {}
        for records in found.values():
            for record in records:
                _take(states, record.value, record.headers, record.key)
    return states


def _take(states: dict[str, SourceState], value: bytes | None, headers: codec.Headers, key: bytes | None) -> None:
    try:
        state = codec.decode(value, headers)
    except CodecError as error:
        log.warning("collector.state key %r: %s; its source is read as a new one", key, error)
        return
    if isinstance(state, SourceState):
        states[state.source_id] = state
