"""The collector waits before the embedded broker would drop what is unread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka.errors import KafkaConnectionError

from agents import archivist
from agents.app import group_of
from agents.bus import Bus, consumer
from agents.clock import Clock
from agents.collector.backpressure import LIMIT, READERS, MeasuredGate, Unread, pressure
from agents.embedded import embedded_broker
from agents.settings import Settings
from pipeline import topics
from tests.builders import raw_batch, raw_item

RAW, SCORED, EVENTS = topics.ITEMS_RAW, topics.ITEMS_SCORED, topics.EVENTS
MiB = 1024**2


@pytest.mark.parametrize(("unread", "bytes_"), [
    ({}, 0), ({RAW: {0: 5, 1: 7}}, 12), ({SCORED: {0: 5, 1: 7}}, 7), ({RAW: {0: 5, 1: 5}, SCORED: {2: 7, 3: 1}}, 17),
    ({EVENTS: {0: 20, 1: 3}, RAW: {0: 5}}, 20),
])
def test_what_is_unread_upstream_counts_where_it_will_land(
    unread: Mapping[str, Mapping[int, int]], bytes_: int
) -> None:
    assert pressure(unread) == bytes_


def test_the_groups_are_those_the_roles_have() -> None:
    roles = {RAW: "score", SCORED: "track", EVENTS: "escalate"}
    assert READERS == {topic: (group_of(role), archivist.GROUP) for topic, role in roles.items()}


class Broker:
    """Says what is unread; `unread` may be changed, `away` makes it fail."""

    def __init__(self, unread: int = 0) -> None:
        self.unread, self.away, self.measured = unread, False, 0

    async def __call__(self) -> Mapping[str, Mapping[int, int]]:
        self.measured += 1
        if self.away:
            raise KafkaConnectionError
        return {RAW: {0: self.unread}}


async def held(gate: MeasuredGate, size: int = 0) -> asyncio.Task[None]:
    """An admission that does not come through by itself."""
    task = asyncio.create_task(gate.admit(size))
    await asyncio.sleep(0.05)
    assert not task.done()
    return task


async def test_the_gate_holds_while_too_much_is_unread_and_says_so() -> None:
    broker, told = Broker(LIMIT + 1), []
    gate = MeasuredGate(broker, told.append, seconds=0.005)
    task = await held(gate)
    assert told[-1] == 1
    broker.unread = 0
    await asyncio.wait_for(task, 60)
    assert told[-1] == 0


async def test_what_was_sent_since_the_last_measurement_counts() -> None:
    broker = Broker(0)
    gate = MeasuredGate(broker, lambda _: None, seconds=60)
    for _ in range(8):
        await asyncio.wait_for(gate.admit(256 * 1024), 60)
    task = await held(gate, 1)
    task.cancel()


async def test_a_record_larger_than_the_limit_goes_when_all_is_read() -> None:
    gate = MeasuredGate(Broker(0), lambda _: None, seconds=0.005)
    await asyncio.wait_for(gate.admit(2 * LIMIT), 60)


async def test_a_broker_that_cannot_be_asked_is_waited_for() -> None:
    broker = Broker(0)
    broker.away = True
    gate = MeasuredGate(broker, lambda _: None, seconds=0.005)
    task = await held(gate, 10)
    broker.away = False
    await asyncio.wait_for(task, 60)


# ---------------------------------------------------------------- measured at a broker


@pytest.mark.embedded
async def test_unread_bytes_are_measured_at_the_broker() -> None:
    """600 records of about 10 KiB on one partition, 400 of them read: about 2 MB are unread, by the slowest reader."""
    with embedded_broker() as address:
        settings = Settings(bootstrap=address, embedded=True)
        batch = raw_batch(raw_item(text="票" * 3300))
        async with Bus(settings, Clock(), "collect") as bus:
            futures = [await bus.post(RAW, "xinwen", batch, ident=str(n), partition=1) for n in range(600)]
            await asyncio.gather(*futures)
        reader = consumer(settings, RAW, group="wenxun-score")
        await reader.start()
        try:
            read = 0
            while read < 400:
                found = await reader.getmany(timeout_ms=1000, max_records=400 - read)
                read += sum(len(records) for records in found.values())
            await reader.commit()
        finally:
            await reader.stop()
        async with Unread(settings, {RAW: ("wenxun-score",)}) as unread:
            measured = (await unread())[RAW]
            async with Unread(settings, {RAW: ("wenxun-score", "wenxun-archive")}) as slowest:
                assert (await slowest())[RAW][1] > 2.5 * measured[1]
    assert 1.8 * MiB < measured[1] < 2.4 * MiB
    assert measured[0] == measured[2] == measured[3] == 0
