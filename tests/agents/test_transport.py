"""The mended transport without a broker: each mend of agents/transport.py has a test here that fails without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.types import TP

from agents import transport
from agents.app import App, create_app
from agents.clock import Clock
from agents.deps import Deps
from agents.metrics import Metrics
from agents.settings import Settings

HERE = TP("items.scored", 0)
CHANGELOG = TP("wenxun-track-rows-changelog", 0)


def record(offset: int, tp: TP = HERE) -> Any:
    return SimpleNamespace(topic=tp.topic, partition=tp.partition, offset=offset, timestamp=0, timestamp_type=0,
                           headers=(), key=b"k", value=b"v", checksum=None, serialized_key_size=1,
                           serialized_value_size=1)


class FakeThread:
    """The consumer's thread: fetches wait until they are let go, seeks note when they ran."""

    def __init__(self, committed: int | None) -> None:
        self.committed = committed
        self.batches: list[dict[TP, list[Any]]] = []
        self.go = asyncio.Event()
        self.fetching = asyncio.Event()
        self.log: list[str] = []

    async def getmany(self, active_partitions: Any, timeout: float) -> dict[TP, list[Any]]:
        self.log.append("fetch begins")
        self.fetching.set()
        await self.go.wait()
        self.log.append("fetch ends")
        return self.batches.pop(0) if self.batches else {}

    async def seek_to_committed(self) -> dict[TP, int | None]:
        self.log.append("seek")
        return {HERE: self.committed}

    async def seek_to_beginning(self, *partitions: Any) -> None:
        self.log.append(f"to the beginning: {len(partitions)}")

    async def seek_wait(self, partitions: Any) -> None:
        self.log.append("changelogs sought")

    def assignment(self) -> set[TP]:
        return {HERE}

    def highwater(self, tp: TP) -> int:
        return 1000


@pytest.fixture
async def app() -> App:
    return create_app(Deps(Settings(), Clock(), Metrics()), "track")


@pytest.fixture
async def consumer(app: App, monkeypatch: pytest.MonkeyPatch) -> transport.Consumer:
    made = app.consumer
    made._thread.thread_loop.close()                    # Faust makes one at once, and closes it only in its thread
    made._thread = FakeThread(committed=100)
    made._active_partitions = {HERE}
    app.topics._acking_topics.add(HERE.topic)
    monkeypatch.setattr(made, "_is_changelog_tp", lambda tp: tp == CHANGELOG)
    return made


def message_at(consumer: transport.Consumer, offset: int) -> Any:
    """An event handed on to an agent."""
    message = consumer._to_message(HERE, record(offset))
    consumer._hand_on(HERE, offset)
    consumer._read_offset[HERE] = offset
    consumer.track_message(message)
    return message


async def test_a_seek_waits_for_the_fetch_in_flight(consumer: transport.Consumer) -> None:
    fetch = asyncio.create_task(consumer._getmany({HERE}, 1.0))
    await consumer._thread.fetching.wait()
    seek = asyncio.create_task(consumer.perform_seek())
    await asyncio.sleep(0.01)
    consumer._thread.go.set()
    await asyncio.gather(fetch, seek)
    assert consumer._thread.log == ["fetch begins", "fetch ends", "seek"]


async def test_a_seek_waits_for_a_fetch_whose_caller_was_cancelled(consumer: transport.Consumer) -> None:
    fetch = asyncio.create_task(consumer._getmany({HERE}, 1.0))
    await consumer._thread.fetching.wait()
    fetch.cancel()
    await asyncio.gather(fetch, return_exceptions=True)
    seek = asyncio.create_task(consumer.perform_seek())
    await asyncio.sleep(0.01)
    assert "seek" not in consumer._thread.log
    consumer._thread.go.set()
    await seek
    assert consumer._thread.log[-2:] == ["fetch ends", "seek"]


async def test_what_was_fetched_before_a_seek_is_not_handed_on_after_it(consumer: transport.Consumer) -> None:
    await consumer.perform_seek()
    consumer._thread.go.set()
    consumer._thread.batches = [{HERE: [record(n) for n in (500, 501, 502)]}]
    handed: AsyncIterator[Any] = consumer.getmany(1.0)
    assert (await anext(handed))[1].offset == 500
    await consumer.perform_seek()
    consumer._read_offset[HERE] = 500                   # what Faust writes after handing on
    assert [message.offset async for _, message in handed] == []
    assert consumer._read_offset[HERE] == 100, "the record read last must not hide the ones sought back"


async def test_what_is_fetched_between_losing_partitions_and_the_seek_is_not_handed_on(
    consumer: transport.Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def revoked(partitions: set[TP]) -> None:
        return

    monkeypatch.setattr(consumer, "_on_partitions_revoked", revoked)
    await consumer.perform_seek()
    message_at(consumer, 349)                           # read on, and not done
    await consumer.on_partitions_revoked({HERE})
    consumer._active_partitions = {HERE}                # given back, resumed, and not sought yet
    consumer._thread.go.set()
    consumer._thread.batches = [{HERE: [record(n) for n in (236, 237)]}, {HERE: [record(236)]}]
    assert [message.offset async for _, message in consumer.getmany(1.0)] == []
    await consumer.perform_seek()
    assert [message.offset async for _, message in consumer.getmany(1.0)] == [236]


async def test_changelog_records_survive_a_seek_of_stream_partitions_but_not_their_own(
    consumer: transport.Consumer,
) -> None:
    await consumer.perform_seek()
    consumer._thread.go.set()
    consumer._active_partitions = {CHANGELOG}
    for seek, expected in ((consumer.perform_seek, [8]), (lambda: consumer.seek_wait({CHANGELOG: 0}), [])):
        consumer._thread.batches = [{CHANGELOG: [record(7, CHANGELOG), record(8, CHANGELOG)]}]
        handed = consumer.getmany(1.0)
        await anext(handed)
        await seek()
        assert [message.offset async for _, message in handed] == expected


async def test_a_partition_that_never_committed_is_read_from_its_beginning(consumer: transport.Consumer) -> None:
    consumer._thread.committed = None
    await consumer.perform_seek()
    assert consumer._thread.log == ["seek", "to the beginning: 1"]


async def test_an_event_in_work_holds_the_commit_back(consumer: transport.Consumer) -> None:
    consumer._committed_offset[HERE] = 31
    first, second, third = (message_at(consumer, offset) for offset in (31, 32, 33))
    consumer.ack(third)
    consumer.ack(second)
    assert consumer._new_offset(HERE) == 31
    assert consumer._filter_committable_offsets([HERE]) == {}
    consumer.ack(first)
    assert consumer._filter_committable_offsets([HERE]) == {HERE: 34}


async def test_records_that_the_log_no_longer_has_do_not_hold_it_back(consumer: transport.Consumer) -> None:
    for offset in (31, 40, 41):
        consumer.ack(message_at(consumer, offset))
    assert consumer._new_offset(HERE) == 42


async def test_what_was_done_before_partitions_are_revoked_is_still_committed(
    consumer: transport.Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for offset in (31, 32):
        consumer.ack(message_at(consumer, offset))
    message_at(consumer, 33)
    committable: list[dict[TP, int]] = []

    async def revoked(partitions: set[TP]) -> None:
        committable.append(consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks()))

    monkeypatch.setattr(consumer, "_on_partitions_revoked", revoked)
    await consumer.on_partitions_revoked({HERE})
    assert committable == [{HERE: 33}]


async def test_a_record_acked_before_and_after_a_seek_does_not_stop_the_commit(consumer: transport.Consumer) -> None:
    late = message_at(consumer, 100)
    await consumer.perform_seek()
    again = message_at(consumer, 100)
    consumer.ack(late)
    consumer.ack(again)
    consumer.ack(message_at(consumer, 101))
    assert consumer._new_offset(HERE) == 102


async def test_a_commit_that_was_under_way_during_a_seek_does_not_stop_the_next_one(
    consumer: transport.Consumer,
) -> None:
    await consumer.perform_seek()
    consumer._committed_offset[HERE] = 105              # it arrived after the seek had read 100
    for offset in range(100, 108):
        consumer.ack(message_at(consumer, offset))
    assert consumer._new_offset(HERE) == 108


async def test_a_refused_commit_is_not_noted_as_done(
    consumer: transport.Consumer, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(offsets: Any) -> bool:
        return False

    async def flushed() -> None:
        return

    monkeypatch.setattr(consumer, "_commit", refused)
    monkeypatch.setattr(app.producer, "flush", flushed)
    consumer._committed_offset[HERE] = 31
    consumer.ack(message_at(consumer, 31))
    assert not await consumer._commit_offsets({HERE: 32})
    assert consumer._filter_committable_offsets([HERE]) == {HERE: 32}


async def test_a_record_that_would_be_dropped_unread_stops_the_worker(consumer: transport.Consumer) -> None:
    consumer._read_offset[HERE] = 200
    with pytest.raises(transport.SkippedEvent, match=r"items.scored\[0\]@150 .* reading stands at 200"):
        consumer._hand_on(HERE, 150)


# ---------------------------------------------------------------- producer


async def test_a_partition_that_has_no_position_yet_does_not_end_the_role(
    app: App, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is assigned and being sought when Faust's watch comes by: seen where a second worker joined a busy one."""
    consumer, here = app.consumer, TopicPartition(*HERE)
    consumer._thread.thread_loop.close()
    known = SubscriptionState()
    known.subscribe({HERE.topic})
    known.assign_from_subscribed([here])
    known.subscription.assignment.state_value(here).timestamp = (time.monotonic() + 1) * 1000
    consumer._thread.time_started = time.monotonic()
    consumer._thread._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=known))
    monkeypatch.setattr(consumer, "assignment", lambda: {HERE})
    with pytest.raises(AssertionError):
        consumer._thread.verify_event_path(time.monotonic(), HERE)      # Faust's own
    await consumer.verify_all_partitions_active()
    consumer.verify_recovery_event_path(time.monotonic(), HERE)


class FakeKafkaProducer:
    def __init__(self) -> None:
        self.deliveries: list[asyncio.Future[Any]] = []

    async def send(self, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        self.deliveries.append(asyncio.get_running_loop().create_future())
        return self.deliveries[-1]

    async def flush(self) -> None:
        await asyncio.gather(*self.deliveries, return_exceptions=True)


@pytest.fixture
async def producer(app: App) -> transport.Producer:
    made: transport.Producer = app.producer
    made._producer = FakeKafkaProducer()
    return made


async def test_flush_waits_for_table_changes_that_left_the_buffer_and_are_not_sent(
    producer: transport.Producer,
) -> None:
    change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    producer.send_soon(change)
    await producer.buffer.pending.get()                 # popped by the buffer's task, not yet handed to Kafka
    flushing = asyncio.create_task(producer.flush())
    await asyncio.sleep(0.02)
    assert not flushing.done()
    change.set_result(None)
    await flushing


async def test_flush_raises_when_a_delivery_failed_so_that_nothing_is_committed(producer: transport.Producer) -> None:
    delivery = await producer.send("events", b"k", b"v", 0, None, None)
    delivery.set_exception(ConnectionError("gone"))
    with pytest.raises(RuntimeError, match="not delivered"):
        await producer.flush()
    with pytest.raises(RuntimeError, match="not delivered"):
        await producer.flush()


async def test_flush_gives_up_on_changes_that_are_never_delivered(
    producer: transport.Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "CONFIRM_SECONDS", 0.01)
    change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    producer.send_soon(change)
    with pytest.raises(RuntimeError, match="1 messages not delivered"):
        await producer.flush()


async def test_the_producer_is_idempotent_and_waits_for_all_replicas(producer: transport.Producer) -> None:
    settings = {**producer._settings_default(), **producer._settings_extra()}
    assert settings["enable_idempotence"] is True
    assert settings["acks"] == -1
