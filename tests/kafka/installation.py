"""Wenxun's own processes on a broker, each with its log, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from agents import cli
from agents.bus import Bus
from agents.clock import Clock
from agents.settings import Settings
from pipeline import codec, topics
from tests.kafka.broker import Broker, until
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 180
GROUPS = {"wenxun-score": topics.ITEMS_RAW, "wenxun-track": topics.ITEMS_SCORED, "wenxun-escalate": topics.EVENTS}


class Installation:
    """Starter rules, a data folder, and processes of `wenxun run` on a broker."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ports: list[int] = []
        assert cli.main(["init", str(folder / "rules")]) == 0
        (folder / "password").write_text("a long enough test password\n")

    @property
    def settings(self) -> Settings:
        return Settings(bootstrap=self.broker.address)

    def environ(self, **more: str) -> dict[str, str]:
        return {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.broker.address,
                "WENXUN_DATA_DIR": str(self.folder / "data"),
                "WENXUN_RULES_DIR": str(self.folder / "rules"), "WENXUN_DESK_BIND": f"127.0.0.1:{free_port()}",
                "WENXUN_ADMIN_PASSWORD_FILE": str(self.folder / "password"), "WENXUN_GRACE_SECONDS": "20", **more}

    def start(self, roles: str, *command: str, **more: str) -> subprocess.Popen[bytes]:
        """A process with these roles; its probes' port is in `ports`."""
        self.ports.append(free_port())
        environ = self.environ(WENXUN_METRICS_BIND=f"127.0.0.1:{self.ports[-1]}", **more)
        line = [sys.executable, *(command or ("-m", "agents")), "run", "--roles", roles]
        with (self.folder / f"{len(self.processes)}.log").open("wb") as file:
            self.processes.append(subprocess.Popen(line, cwd=ROOT, env=environ, stdout=file, stderr=file))
        return self.processes[-1]

    async def ready(self, number: int = -1, seconds: float = START_SECONDS) -> None:
        """Wait until a process says it is ready; its log in the message if it does not."""
        port, process = self.ports[number], self.processes[number]

        async def answers() -> bool:
            assert process.poll() is None, f"ended with {process.returncode}:\n{self.said()}"
            try:
                async with httpx.AsyncClient(trust_env=False) as client:
                    return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
            except httpx.HTTPError:
                return False

        try:
            await until(answers, seconds, "ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    def said(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self.folder.glob("*.log")))

    async def send(self, *records: tuple[str, str, codec.Value]) -> None:
        """(topic, key, record), in order."""
        async with Bus(self.settings, Clock(), "test") as bus:
            waiting = [await bus.post(topic, key, record, ident="test") for topic, key, record in records]
            for delivery in waiting:
                await delivery

    async def send_bytes(self, topic: str, *values: bytes | None, partition: int = 0) -> set[int]:
        """Values with a key and no headers, as a stranger would write them. Their offsets."""
        async with Bus(self.settings, Clock(), "test") as bus:
            assert bus._producer is not None
            return {(await bus._producer.send_and_wait(topic, value, key=b"poison", partition=partition)).offset
                    for value in values}

    async def read(self, topic: str) -> list[Any]:
        """The topic's records, decoded; what cannot be decoded is left out."""
        found = []
        partitions = next(each.partitions or 4 for each in topics.CATALOG if each.name == topic)
        for record in await self.broker.records(topic, partitions):
            try:
                found.append(codec.decode(record.value, record.headers))  # type: ignore[attr-defined]
            except Exception:
                continue
        return found

    async def behind(self, group: str, topic: str) -> int:
        """Records that the group has not committed, as the broker sees it."""
        from agents.lag import Lag

        async with Lag(self.settings) as lag:
            return await lag.unread(group, topic)

    async def done(self, seconds: float, *groups: str) -> None:
        """Wait until every partition's commit of these groups has reached its end."""
        async def caught_up() -> bool:
            left = {group: await self.behind(group, GROUPS[group]) for group in groups}
            return not any(left.values())

        try:
            await until(caught_up, seconds, f"commits of {groups} at their ends")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    def end(self) -> None:
        """In good order, so that the next test's workers need not wait for these to be missed."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def repeated(values: list[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]
