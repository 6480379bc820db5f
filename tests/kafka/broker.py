"""A real broker for tests, started by deploy/kafka/run, the script that users have."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.ports import free_port

RUN = Path(__file__).parents[2] / "deploy" / "kafka" / "run"
SETTLE_SECONDS = 180


class Broker:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self._port = free_port()

    def run(self, command: str) -> str:
        line = [RUN, command, "--data", self.folder, "--port", str(self._port)]
        done = subprocess.run(line, capture_output=True, text=True,
                              timeout=300, env={**os.environ, "WENXUN_KAFKA_HEAP": "384m"})
        if done.returncode:
            raise RuntimeError(f"deploy/kafka/run {command}: {done.stderr or done.stdout}")
        return done.stdout

    def start(self) -> None:
        self.run("start")
        self.address = self.run("env").strip().rpartition("=")[2]

    def stop(self) -> None:
        self.run("stop")

    def kill(self) -> None:
        """As a power cut: no time to write anything."""
        pid = int((self.folder / "pid").read_text())
        os.kill(pid, signal.SIGKILL)
        for _ in range(100):
            if not Path(f"/proc/{pid}").exists() or _zombie(pid):
                return
            time.sleep(0.05)

    async def create(self, *names: str, partitions: int = 4) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
        finally:
            await admin.close()

    async def records(self, topic: str, partitions: int = 4) -> list[object]:
        """Everything in a topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [TopicPartition(topic, number) for number in range(partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends, found = await consumer.end_offsets(places), []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for batch in (await consumer.getmany(timeout_ms=500, max_records=5000)).values():
                    found += batch
            return found
        finally:
            await consumer.stop()

    async def committed(self, group: str, topic: str, partitions: int = 4) -> list[int]:
        """The group's committed offset of each partition, 0 if there is none."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            return [await consumer.committed(TopicPartition(topic, number)) or 0 for number in range(partitions)]
        finally:
            await consumer.stop()


def absent() -> str:
    """Why no broker can be had here; empty if one can."""
    for program, what in (("java", "a Java 17 runtime"), ("bash", "bash")):
        if shutil.which(program) is None:
            return f"{what} is not installed"
    fetched = subprocess.run([RUN, "jars"], capture_output=True, text=True, timeout=300)
    return f"no jars of Kafka: {fetched.stderr.strip()[-300:]}" if fetched.returncode else ""


async def until(condition, seconds: float, what: str) -> None:  # type: ignore[no-untyped-def]
    """Wait until an async condition holds; AssertionError that says what did not come."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.2)


async def settled(address: str, group: str, count: int) -> None:
    """Wait until a group has so many members and no rebalance under way.

    A member whose first request to join was lost stays in the group until its session ends (45 s), and the others
    then have to join again: hence the long wait.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        state, members = await _described(address, group)
        if state == "Stable" and len(members) == count:
            return
        assert time.monotonic() < deadline, f"{group} wants {count} members, is {state} of {members}"
        await asyncio.sleep(0.2)


async def _described(address: str, group: str) -> tuple[str, set[str]]:
    """A group's state and the ids of its members."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        for response in await admin.describe_consumer_groups([group]):
            for _, name, state, _, _, found, *_ in response.groups:
                if name == group:
                    return state, {member[0] for member in found}
        return "absent", set()
    finally:
        await admin.close()


def _zombie(pid: int) -> bool:
    return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
