"""Two workers on a real Kafka: one joins, is killed with SIGKILL; nothing is skipped and every commit reaches its end.

The same run with the seek fence taken out fails, so the run would notice if it were.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.kafka.broker import Broker, settled, until

pytestmark = [pytest.mark.kafka, pytest.mark.fault]

PARTITIONS = 4
RECORDS = 40_000
WORK_TOGETHER = 4_000
STANDS_STILL = 25.0
"""Seconds without progress, longer than a session, after which a commit is called stuck."""

ROOT = Path(__file__).parents[2]


@dataclass
class Lab:
    broker: Broker
    run: str
    kind: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.kafka.lab_worker", self.broker.address, self.run, self.kind]
        with (self.broker.folder / f"{self.run}-{len(self.workers)}.log").open("wb") as file:
            self.workers.append(subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file))
        return self.workers[-1]

    def said(self) -> str:
        """What the workers wrote, for a failure's message."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.broker.folder.glob(f"{self.run}-*.log")))

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()

    async def load(self) -> None:
        await self.broker.create(f"in-{self.run}", f"out-{self.run}", f"lab-{self.run}-seen-changelog")
        producer = AIOKafkaProducer(bootstrap_servers=self.broker.address, acks="all", linger_ms=20)
        await producer.start()
        for number in range(RECORDS):
            await producer.send(f"in-{self.run}", b"x" * 300, key=b"%d" % number, partition=number % PARTITIONS)
        await producer.stop()

    async def committed(self) -> list[int]:
        return await self.broker.committed(f"lab-{self.run}", f"in-{self.run}")

    async def join_and_kill(self) -> tuple[list[int], set[bytes], int]:
        """Committed offsets when they no longer move, the keys that came out, and how many more came out twice."""
        await self.load()
        self.start_worker()
        await until(self._worked(2_000), 180, "the first worker commits")
        second = self.start_worker()
        await settled(self.broker.address, f"lab-{self.run}", 2)
        both, waited = self._worked(sum(await self.committed()) + WORK_TOGETHER), time.monotonic()
        while not await both() and time.monotonic() - waited < STANDS_STILL:
            await asyncio.sleep(0.2)
        second.kill()
        end = [RECORDS // PARTITIONS] * PARTITIONS
        moved, seen = time.monotonic(), await self.committed()
        while seen != end and time.monotonic() - moved < STANDS_STILL:
            now = await self.committed()
            if sum(now) - sum(seen) > PARTITIONS * 5:       # crawling by one per commit is standing still
                moved, seen = time.monotonic(), now
            seen = now if now == end else seen
        out = await self.broker.records(f"out-{self.run}")
        keys = {record.key for record in out}  # type: ignore[attr-defined]
        return await self.committed(), keys, len(out) - len(keys)

    def _worked(self, records: int):  # type: ignore[no-untyped-def]
        async def enough() -> bool:
            return sum(await self.committed()) >= records
        return enough


async def run_lab(broker: Broker, kind: str) -> tuple[list[int], int, int]:
    lab = Lab(broker, f"{kind}{time.time_ns()}", kind)
    try:
        committed, keys, repeats = await lab.join_and_kill()
    finally:
        lab.end()
    missing = RECORDS - len(keys)
    print(lab.said())
    print(f"{kind}: {RECORDS} in, {missing} never sent on, {repeats} repeated, committed {committed}")
    return committed, missing, repeats


async def test_a_joining_and_killed_worker_costs_no_event_and_every_commit_reaches_its_end(kafka: Broker) -> None:
    committed, missing, repeats = await run_lab(kafka, "fenced")
    assert missing == 0
    assert committed == [RECORDS // PARTITIONS] * PARTITIONS
    assert repeats < RECORDS // 4


async def test_the_same_run_without_the_seek_fence_loses_its_place(kafka: Broker) -> None:
    committed, missing, _ = await run_lab(kafka, "unfenced")
    assert missing or committed != [RECORDS // PARTITIONS] * PARTITIONS
