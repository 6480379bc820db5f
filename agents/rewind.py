"""A start on the embedded broker: what the archive knows comes before what is still unread.

The tables start empty. Warm-up writes what the archive knows to the end of the agents' topics, but records that their
groups had not done when the last process died lie before it. So those are written once more, behind the warm-up,
and the group is moved to where the warm-up begins. Done twice, nothing changes: every record may repeat.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from agents import bus as clients
from agents.app import group_of
from agents.bus import Bus
from agents.deadletter import describe
from agents.deps import Deps
from agents.lag import Lag
from agents.settings import Settings
from agents.ticker import INPUTS

log = logging.getLogger("wenxun.rewind")

READ_SECONDS = 30.0
MOVE_SECONDS = 60.0


async def warm_up(deps: Deps, bus: Bus, roles: Sequence[str]) -> None:
    """Bring the tables of these Faust roles back from the archive, before their apps start."""
    marks = {role: await _marks(deps.settings, role) for role in roles}
    await importlib.import_module("agents.warmup").warm_up(deps, bus)
    for role, places in marks.items():
        unread = {partition: span for partition, span in places.items() if span[0] < span[1]}
        copied = await _copy(deps.settings, bus, INPUTS[role], unread)
        await _move(deps.settings, group_of(role), INPUTS[role], {each: span[1] for each, span in places.items()})
        if copied:
            log.warning("%s: %d unread records put behind the warm-up", role, copied)


async def _marks(settings: Settings, role: str) -> dict[int, tuple[int, int]]:
    """Of each partition: where the group stands, and where the topic ends before the warm-up."""
    async with Lag(settings) as lag:
        places = await lag.of(group_of(role), INPUTS[role])
    return {partition: (place.committed, place.end) for partition, place in places.items()}


async def _copy(settings: Settings, bus: Bus, topic: str, spans: dict[int, tuple[int, int]]) -> int:
    if not spans:
        return 0
    reader = clients.consumer(settings, group=None)
    await reader.start()
    copied = 0
    try:
        for partition, (start, end) in spans.items():
            async with asyncio.timeout(READ_SECONDS):
                copied += await _copy_partition(reader, bus, TopicPartition(topic, partition), start, end)
    finally:
        await reader.stop()
    return copied


async def _copy_partition(reader: AIOKafkaConsumer, bus: Bus, place: TopicPartition, start: int, end: int) -> int:
    reader.assign([place])
    first = (await reader.beginning_offsets([place]))[place]
    reader.seek(place, max(start, first))
    copied = 0
    while await reader.position(place) < end:
        for record in (await reader.getmany(place, timeout_ms=500)).get(place, []):
            if record.offset < end:
                await bus.forward(record)
                copied += 1
    return copied


async def _move(settings: Settings, group: str, topic: str, places: dict[int, int]) -> None:
    """Commit these offsets as the group's only member: the embedded broker takes them from nobody else. A member that
    was killed has its place until its session ends."""
    if not any(places.values()):
        return
    offsets = {TopicPartition(topic, partition): OffsetAndMetadata(offset, "") for partition, offset in places.items()}
    member = clients.consumer(settings, topic, group=group)
    await member.start()
    try:
        async with asyncio.timeout(MOVE_SECONDS):
            while True:
                if member.assignment() == offsets.keys() and await _commit(member, offsets):
                    return
                await asyncio.sleep(0.2)
    finally:
        await member.stop()


async def _commit(member: AIOKafkaConsumer, offsets: dict[TopicPartition, OffsetAndMetadata]) -> bool:
    try:
        await member.commit(offsets)
    except KafkaError as error:
        log.info("not moved yet: %s", describe(error))
        return False
    return True
