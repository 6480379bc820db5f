"""Score and track on a real Kafka: one worker process against two, and a second one that joins while the first works.

A worker is `wenxun run --roles score,track`. Its load is published once all workers have their partitions, as fast as
one publisher can. Each run has a Kafka of its own; broker, publisher and workers share this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agents import bus
from agents.bus import Bus
from agents.clock import Clock
from agents.lag import Lag
from agents.settings import Settings
from bench.broker import kafka_in, process
from bench.chain import SOURCES, batches, book_with_sources, environ_of
from bench.texts import items
from pipeline import codec, topics
from pipeline.model import RawItem, ScoredBatch

PARTITIONS = 8
GROUPS = {"wenxun-score": topics.ITEMS_RAW, "wenxun-track": topics.ITEMS_SCORED}
WRITTEN = (topics.ITEMS_RAW, topics.ITEMS_SCORED, topics.EVENTS, "wenxun-track-events-changelog")
WARM = 4 * SOURCES
"""Items before the measured ones: tables are recovered and scorers built when those come."""
TICKS = PARTITIONS * 2
"""So few unread records may be ticks that came meanwhile."""


@dataclass(frozen=True)
class Found:
    """Of one run. handled: distinct pairs of subject and item on items.scored; repeated: more records of those."""
    seconds: float
    cpu: float
    """Seconds of processor time that the workers took."""
    sent: int
    items: int
    handled: int
    repeated: int
    disk: int = 0
    """Bytes of the logs of WRITTEN, which is what the broker keeps of it."""

    @property
    def rate(self) -> float:
        return self.sent / self.seconds


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    count = 2_000 if args.quick else 8_000
    plans = {"1 worker": (1, 0), "2 workers": (2, 0), "1 worker, a second one joins": (1, 1)}
    found = {name: _measured(count, *plan) for name, plan in plans.items()}
    ratio = found["2 workers"].rate / found["1 worker"].rate
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    lines = [(f"cores (shared with broker and publisher), load at the end; partitions: {PARTITIONS}",
              f"{cores}, {load:.1f}")]
    for name, run in found.items():
        lines += [(f"score and track, {name}", f"{run.rate:,.0f} items/s"),
                  ("  processor time of the workers per 1,000 items", f"{1000 * run.cpu / run.sent:.2f} s"),
                  ("  sent, scored, lost; repeated subject-item pairs",
                   f"{run.sent:,}, {run.items:,}, {run.sent - run.items:,}; {run.repeated:,} of {run.handled:,}")]
    one = found["1 worker"]
    return [*lines, ("2 workers against 1", f"{ratio:.2f} x"),
            (f"disk of one replica: items.raw, items.scored, events, track's changelog, of {WARM + one.sent:,} items",
             f"{one.disk / 1e6:,.1f} MB")]


def _measured(count: int, workers: int, joining: int) -> Found:
    with tempfile.TemporaryDirectory(prefix="wenxun-bench-") as folder, kafka_in(Path(folder)) as bootstrap:
        found = asyncio.run(_run(bootstrap, Path(folder), count, workers, joining))
        logs = [path for topic in WRITTEN for path in Path(folder, "kafka", "log").glob(f"{topic}-*/*.log")]
        return replace(found, disk=sum(path.stat().st_size for path in logs))


async def _run(bootstrap: str, folder: Path, count: int, workers: int, joining: int) -> Found:
    environ = environ_of(bootstrap, folder, WENXUN_PARTITIONS=str(PARTITIONS))
    settings = Settings.from_env(environ)
    with process("-m", "agents", "topics", "create", environ=environ, log=folder / "topics.log") as child:
        await asyncio.to_thread(child.wait, 60)
    load = list(items(WARM + count, time.time_ns() // 1_000_000 - 10 * (WARM + count), SOURCES))
    async with Bus(settings, Clock(), "bench") as out:
        book = book_with_sources()
        await out.send(topics.RULES, "book", book, ident=book.hash, partition=0)
        with ExitStack() as stack:
            running = [_start(stack, environ, folder, name) for name in range(workers)]
            await _members(settings, workers)
            await _publish(out, load[:WARM])
            await _through(settings)
            started, worked = time.perf_counter(), sum(map(_cpu, running))
            await _publish(out, load[WARM:])
            running += [_start(stack, environ, folder, name) for name in range(workers, workers + joining)]
            await _members(settings, workers + joining)
            await _through(settings)
            seconds, cpu = time.perf_counter() - started, sum(map(_cpu, running)) - worked
            fresh = {item.id for item in load[WARM:]}
            pairs = [pair for pair in await _scored(settings) if pair[1] in fresh]
    return Found(seconds, cpu, count, len({item for _, item in pairs}), len(set(pairs)),
                 len(pairs) - len(set(pairs)))


def _start(stack: ExitStack, environ: dict[str, str], folder: Path, name: int) -> int:
    """Process id of a worker."""
    own = {**environ, "WENXUN_DATA_DIR": str(folder / f"worker-{name}")}
    return stack.enter_context(process("-m", "agents", "run", "--roles", "score,track", environ=own,
                                       log=folder / f"worker-{name}.log")).pid


def _cpu(pid: int) -> float:
    """Seconds of processor time a process has taken so far, its own and the system's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _members(settings: Settings, count: int) -> None:
    """Wait until both groups have so many members and are in balance."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(120):
            while not all([await _stable(admin, group, count) for group in GROUPS]):
                await asyncio.sleep(0.2)
    finally:
        await admin.close()


async def _stable(admin: AIOKafkaAdminClient, group: str, count: int) -> bool:
    try:
        answers = await admin.describe_consumer_groups([group])
    except KafkaError:                                  # no coordinator yet
        return False
    described = answers[0].groups[0]
    return described[2] == "Stable" and len(described[5]) == count


async def _publish(out: Bus, load: list[RawItem]) -> None:
    """Many at once: what one worker reads must not wait for the publisher."""
    ready = batches(load)
    for start in range(0, len(ready), 100):
        await asyncio.gather(*(out.post(topics.ITEMS_RAW, batch.source_id, batch, ident=batch.items[0].id)
                               for batch in ready[start:start + 100]))


async def _through(settings: Settings) -> None:
    """Wait until both groups have committed all of it."""
    async with asyncio.timeout(180), Lag(settings) as lag:
        for group, topic in GROUPS.items():
            below = 1 if topic == topics.ITEMS_RAW else TICKS
            while await lag.unread(group, topic) >= below:
                await asyncio.sleep(0.1)


async def _scored(settings: Settings) -> list[tuple[str, str]]:
    """Subject and id of every item on items.scored."""
    found: list[tuple[str, str]] = []
    async with Lag(settings) as lag:
        ends = {place: at.end for place, at in (await lag.of("bench", topics.ITEMS_SCORED)).items()}
    reader = bus.consumer(settings, topics.ITEMS_SCORED, group=None)
    await reader.start()
    try:
        left = {place for place, end in ends.items() if end}
        async with asyncio.timeout(60):
            while left:
                for records in (await reader.getmany(timeout_ms=500)).values():
                    for record in records:
                        value = codec.decode(record.value, record.headers)
                        if isinstance(value, ScoredBatch):
                            found += [(value.subject, each.item.id) for each in value.items]
                        if record.offset + 1 >= ends[record.partition]:
                            left.discard(record.partition)
    finally:
        await reader.stop()
    return found
