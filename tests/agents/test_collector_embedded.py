"""The whole role on the embedded broker: sites in, items.raw and collector.state out, and again after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition

from agents import collector
from agents.bus import Bus, consumer
from agents.clock import Clock
from agents.collector import role
from agents.collector.backpressure import LIMIT, Gate, MeasuredGate, OpenGate, Unread
from agents.collector.states import read_states
from agents.deps import Deps, RuleStore
from agents.embedded import embedded_broker
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.model import Heartbeat, RawBatch, SourceState
from pipeline.rulebook.schema import Source
from tests.builders import NOON, book
from tests.feed_servers import Site, reply, site
from tests.feed_texts import TITLES, county_news, entry, rss

pytestmark = pytest.mark.embedded

RSS = "Content-Type: application/rss+xml"


def deps_for(address: str, here: Site, *paths: str, factor: float = 1.0, embedded: bool = False) -> Deps:
    sources = tuple(Source(id=path, name=path, url=here.url("/" + path)) for path in paths)
    clock = Clock(NOON, time.time_ns() // 1_000_000, factor)
    return Deps(Settings(bootstrap=address, embedded=embedded, allow_private=here.allow), clock, Metrics(),
                RuleStore(book(sources=sources)))


@asynccontextmanager
async def collecting(deps: Deps) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(collector.run(deps))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=60)
        assert task.cancelled()


async def records(deps: Deps, topic: str) -> list[Any]:
    """All records of a topic so far, in partition order, without the beats that come once a minute."""
    client = consumer(deps.settings, topic, group=None)
    await client.start()
    try:
        places = [TopicPartition(topic, number) for number in client.partitions_for_topic(topic) or ()]
        ends = await client.end_offsets(places)
        await client.seek_to_beginning(*places)
        found: list[Any] = []
        while [place for place in places if await client.position(place) < ends[place]]:
            for batch in (await client.getmany(timeout_ms=500)).values():
                found += [codec.decode(record.value, record.headers) for record in batch]
        return [each for each in found if not isinstance(each, Heartbeat)]
    finally:
        await client.stop()


async def until(condition: Callable[[], Any], task: asyncio.Task[None], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert not task.done(), task.exception()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def fetched(deps: Deps, outcome: str) -> float:
    return deps.metrics.registry.get_sample_value("wenxun_feed_fetches_total", {"outcome": outcome}) or 0.0


async def test_a_restart_goes_on_where_the_state_topic_says() -> None:
    with embedded_broker() as address:
        page = reply(200, county_news().encode(), RSS, 'ETag: "v1"')
        async with site(news=[page, reply(304, b"")]) as here:
            deps = deps_for(address, here, "news", factor=600)
            async with collecting(deps) as task:
                await until(lambda: fetched(deps, "not_modified"), task)
            again = Deps(deps.settings, deps.clock, Metrics(), deps.rules)
            async with collecting(again) as task:
                await until(lambda: fetched(again, "not_modified"), task)
            assert {asked.header("if-none-match") for asked in here.asked[1:]} == {b'"v1"'}
            items = [item for batch in await records(deps, topics.ITEMS_RAW) for item in batch.items]
            states = await records(deps, topics.COLLECTOR_STATE)
    assert [item.title for item in reversed(items)] == TITLES and all(item.backfill for item in items)
    assert states[-1].outcome == "not_modified" and states[-1].backfilled and len(states) >= 3


async def test_states_written_before_the_start_are_honoured() -> None:
    """What the warm-up does: no validators, what the archive has is seen, the first poll is no backfill."""
    with embedded_broker() as address:
        async with site(news=reply(200, county_news().encode(), RSS)) as here:
            deps = deps_for(address, here, "news")
            async with Bus(deps.settings, deps.clock, "warmup") as bus:
                for number in range(40):                # other sources, so that every partition has records
                    other = SourceState(source_id=f"s{number}", url="u", polled_at=1, next_poll_at=number)
                    await bus.send(topics.COLLECTOR_STATE, other.source_id, other, ident=str(number),
                                   partition=number % 4)
                warm = SourceState(
                    source_id="news", url=here.url("/news"), polled_at=NOON, next_poll_at=NOON, backfilled=True)
                await bus.send(topics.COLLECTOR_STATE, "news", warm, ident="warm",
                               partition=topics.partition_of_host(warm.url, 4))
            states = await read_states(deps.settings, range(4))
            assert len(states) == 41 and states["news"] == warm and states["s7"].next_poll_at == 7
            async with collecting(deps) as task:
                await until(lambda: fetched(deps, "ok"), task)
            items = [item for batch in await records(deps, topics.ITEMS_RAW) for item in batch.items]
    assert len(items) == 3 and not any(item.backfill for item in items)


async def test_a_state_that_cannot_be_read_does_not_stop_the_start() -> None:
    with embedded_broker() as address:
        settings = Settings(bootstrap=address)
        async with Bus(settings, Clock(), "collect") as bus:
            good = SourceState(source_id="a", url="u", polled_at=1, next_poll_at=1)
            await bus.send(topics.COLLECTOR_STATE, "a", good, ident="1")
            assert bus._producer is not None
            await bus._producer.send_and_wait(topics.COLLECTOR_STATE, b"{not json", key=b"b", partition=0)
        assert await read_states(settings, range(4)) == {"a": good}


async def test_only_the_embedded_broker_makes_the_collector_measure() -> None:
    with embedded_broker() as address:
        async with site() as here, AsyncExitStack() as stack:
            assert isinstance(await role._gate(deps_for(address, here), stack), OpenGate)
            measured = await role._gate(deps_for(address, here, embedded=True), stack)
            assert isinstance(measured, MeasuredGate) and measured.limit == LIMIT
            await asyncio.wait_for(measured.open(), 60)


async def test_nobody_reading_makes_the_collector_wait_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two megabytes of items and no scorer: the collector stops in time; once they are read, it goes on."""
    gates: list[MeasuredGate] = []

    async def remembered(deps: Deps, stack: Any) -> Gate:
        measure = await stack.enter_async_context(Unread(deps.settings, {topics.ITEMS_RAW: ("wenxun-score",)}))
        gates.append(MeasuredGate(measure, deps.metrics["feed_waiting"].set, seconds=0.1))
        return gates[-1]

    monkeypatch.setattr(role, "_gate", remembered)
    feeds = {f"f{n}": reply(200, rss(*(entry(e, f"第 {n}-{e} 条", chr(0x4E00 + e) * 5000) for e in range(40))).encode())
             for n in range(8)}                         # eight documents of 600 KiB
    with embedded_broker() as address:
        async with site(**feeds) as here:
            deps = deps_for(address, here, *feeds, embedded=True)

            def waiting() -> float:
                return deps.metrics.registry.get_sample_value("wenxun_feed_waiting") or 0.0

            async with collecting(deps) as task:
                await until(waiting, task)
                await asyncio.sleep(0.5)
                assert waiting() and fetched(deps, "ok") < 8
                reader = asyncio.create_task(read_all(deps, 320))
                await until(lambda: fetched(deps, "ok") == 8 and reader.done(), task, 60)
    found, largest = reader.result()
    assert len(found) == 320 and largest <= 1.3 * LIMIT


async def read_all(deps: Deps, wanted: int) -> tuple[set[str], int]:
    """Read as the scorer would, committing, until so many items came; and how many bytes lay unread at the start."""
    client = consumer(deps.settings, topics.ITEMS_RAW, group="wenxun-score")
    await client.start()
    found: set[str] = set()
    first = 0
    try:
        places = [TopicPartition(topics.ITEMS_RAW, number) for number in range(4)]
        ends = await client.end_offsets(places)
        while len(found) < wanted:
            for place, batch in (await client.getmany(timeout_ms=200)).items():
                for record in batch:
                    first += len(record.value) if record.offset < ends[place] else 0
                    decoded = codec.decode(record.value, record.headers)
                    found |= {item.id for item in decoded.items} if isinstance(decoded, RawBatch) else set()
            await client.commit()
        return found, first
    finally:
        await client.stop()
