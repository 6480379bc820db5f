"""From a decided alert on topic escalations to a local receiver that has it: at 10 alerts/s, beside a channel that
hangs, and 500 alerts in 10 s into a channel that takes 20 calls a minute.

On a real Kafka, in one process with the archive, which has 200 items/s to write into the same SQLite file meanwhile.
The receivers are two web hooks, one that never answers, and a WeCom robot that counts its calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from aiokafka.errors import KafkaError

from agents.bus import Bus
from agents.clock import Clock
from agents.rule_files import starter_dir
from agents.settings import Settings
from bench.broker import kafka, process
from bench.chain import environ_of
from bench.texts import items
from pipeline import topics
from pipeline.ids import digest
from pipeline.model import (
    Escalation,
    EscalationKind,
    EventHead,
    EventStatus,
    Evidence,
    LevelDecision,
    RawBatch,
    Why,
)

RATE = 10
ITEMS = 200
"""Items a second that the archive writes meanwhile."""
FLOOD, FLOOD_SECONDS, LIMIT = 500, 10.0, 20
LONGEST = 600.0
ROSTER = """people:
  - {id: quick, name: 甲, channels: [hook]}
  - {id: other, name: 乙, channels: [second]}
  - {id: stuck, name: 丁, channels: [black]}
  - {id: group, name: 丙, channels: [robot]}
teams:
  - {id: duty, name: 值班组, shifts: [{members: [quick]}]}
  - {id: both, name: 两人, shifts: [{members: [quick, other]}]}
  - {id: one, name: 一人收不到, shifts: [{members: [quick, stuck]}]}
  - {id: flood, name: 群, shifts: [{members: [group]}]}
  - {id: ops, name: 运维组, shifts: [{members: [quick]}]}
  - {id: leaders, name: 带班领导, shifts: [{members: [quick]}]}
fallback: quick
ops: ops
"""
CHANNELS = """channels:
  - {id: hook, type: webhook, url: 'http://127.0.0.1:%(hook)d/'}
  - {id: second, type: webhook, url: 'http://127.0.0.1:%(second)d/'}
  - {id: black, type: webhook, url: 'http://127.0.0.1:%(black)d/'}
  - {id: robot, type: wecom-bot, url_file: robot.url, rate: %(rate)d}
"""
ROUTES = "routes:\n  - {id: all, steps: [{tell: [duty]}]}\n"


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    rounds, seconds, flood = (1, 3, 100) if args.quick else (6, 15, FLOOD)
    with kafka() as bootstrap, tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_run(bootstrap, Path(folder), rounds, seconds, flood))
    alone, beside = _marks(found.alone), _marks(found.beside)
    return [
        (f"decided to accepted, {RATE} alerts/s by two channels, {ITEMS} items/s into the store: p50", _ms(alone[0])),
        ("  p99", _ms(alone[1])), ("  slowest", _ms(max(found.alone))), ("  alerts measured", f"{len(found.alone)}"),
        ("the same while the other channel hangs: p50", _ms(beside[0])),
        ("  p99", f"{_ms(beside[1])} ({beside[1] / alone[1] - 1:+.0%})"),
        (f"{flood} alerts in {FLOOD_SECONDS:g} s into {LIMIT} calls a minute: numbers delivered",
         f"{len(found.numbers)} of {flood}"),
        ("  calls, most in any 60 s", f"{len(found.calls)}, {most_in_a_minute(found.calls)}"),
        ("  from the first alert to the last number", f"{found.flood_seconds:,.1f} s")]


@dataclass
class Found:
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    numbers: set[str] = field(default_factory=set)
    calls: list[float] = field(default_factory=list)
    flood_seconds: float = 0.0


class Receivers:
    """arrived: escalation id -> when the hook had it. calls: when the robot was called; seen: the numbers it got."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.calls: list[float] = []
        self.seen: dict[str, float] = {}

    async def hook(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.loads(await _body(reader))
        self.arrived.setdefault(body["data"]["escalation_id"], time.perf_counter())
        await _answer(writer, b"ok")

    async def second(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _body(reader)
        await _answer(writer, b"ok")

    async def robot(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = json.dumps(json.loads(await _body(reader)), ensure_ascii=False)
        now = time.perf_counter()
        self.calls.append(now)
        for number in re.findall(r"E-\d{4,}", text):
            self.seen.setdefault(number, now)
        await _answer(writer, b'{"errcode": 0, "errmsg": "ok"}')

    async def black(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, ConnectionError):
            await reader.read(-1)        # until the other side gives up
        writer.close()


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    return await reader.readexactly(int(found.group(1)) if found else 0)


async def _answer(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                 b"Connection: close\r\n\r\n%s" % (len(body), body))
    await writer.drain()
    writer.close()


@asynccontextmanager
async def _listening(receivers: Receivers) -> AsyncIterator[dict[str, int]]:
    servers = {name: await asyncio.start_server(getattr(receivers, name), "127.0.0.1", 0)
               for name in ("hook", "second", "black", "robot")}
    try:
        yield {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.close()


def rules(folder: Path, ports: dict[str, int]) -> Path:
    """The starter rules with three people and three channels."""
    target = folder / "rules"
    shutil.copytree(starter_dir(), target)
    shutil.rmtree(target / "tests", ignore_errors=True)
    (target / "roster.yml").write_text(ROSTER, "utf-8")
    (target / "channels.yml").write_text(CHANNELS % {**ports, "rate": LIMIT}, "utf-8")
    (target / "routes.yml").write_text(ROUTES, "utf-8")
    (target / "robot.url").write_text(f"http://127.0.0.1:{ports['robot']}/cgi-bin/webhook/send?key=bench", "utf-8")
    (target / "robot.url").chmod(0o600)
    return target


async def _run(bootstrap: str, folder: Path, rounds: int, seconds: int, flood: int) -> Found:
    receivers, found = Receivers(), Found()
    async with _listening(receivers) as ports:
        environ = environ_of(bootstrap, folder, WENXUN_RULES_DIR=str(rules(folder, ports)),
                             WENXUN_FEED_ALLOW_PRIVATE_CIDRS=",".join(f"127.0.0.1:{one}" for one in ports.values()))
        settings = Settings.from_env(environ)
        with process("-m", "agents", "run", "--roles", "rules,deliver,archive", environ=environ,
                     log=folder / "run.log"):
            await _warm(settings, receivers)
            async with Bus(settings, Clock(), "bench") as bus:
                load = asyncio.create_task(_items(bus))
                for turn in range(rounds):
                    found.alone += await _paced(bus, receivers, seconds, ("both",), f"alone{turn}")
                    found.beside += await _paced(bus, receivers, seconds, ("one",), f"beside{turn}")
                await _flood(bus, receivers, flood, found)
                load.cancel()
    return found


async def _warm(settings: Settings, receivers: Receivers) -> None:
    """Until a first message has gone the whole way."""
    async with asyncio.timeout(120):
        while not receivers.arrived:
            try:
                async with Bus(settings, Clock(), "bench") as bus:
                    await _send(bus, alert("warm", 1, ("duty",)))
            except KafkaError:          # not up yet, or no topics yet
                pass
            await asyncio.sleep(2)


def alert(key: str, number: int, tell: tuple[str, ...]) -> Escalation:
    """A page about an event of its own."""
    now = time.time_ns() // 1_000_000
    ident = digest("alert", key, number)
    decision = LevelDecision(2, 0, Why.RAISED, Evidence(12, 4, 3_600_000, now, 10, 3), now, "较大")
    head = EventHead(
        id=ident, subject="polling", key="polling", version=1, status=EventStatus.OPEN, level=2, level_name="较大",
        peak=2, decision=decision, book="b" * 16, title=f"投票站几点关门的说法 {number}", first_item_at=now,
        last_item_at=now, opened_at=now, changed_at=now, number=number, raises=1, items=12, sources=4)
    return Escalation(
        id=digest("page", ident), kind=EscalationKind.PAGE, at=now, why="raised", tell=tell, event_id=ident,
        alert_id=digest("raise", ident), level=2, level_name="较大", head=head, book="b" * 16)


async def _send(bus: Bus, record: Escalation) -> None:
    await bus.post(topics.ESCALATIONS, record.event_id, record, ident=record.id)


async def _items(bus: Bus) -> None:
    """ITEMS a second for the archive, until cancelled."""
    now = time.time_ns() // 1_000_000
    started, sent = time.perf_counter(), 0
    for batch in _batches(now):
        await asyncio.sleep(max(0.0, started + sent / ITEMS - time.perf_counter()))
        await bus.post(topics.ITEMS_RAW, batch.source_id, batch, ident=str(sent))
        sent += len(batch.items)


def _batches(now: int) -> list[RawBatch]:
    load = list(items(ITEMS * 240, now, 40, seed=5, apart=1000 // ITEMS))
    return [RawBatch(source_id=load[at].source_id, polled_at=now, items=tuple(load[at:at + 10]))
            for at in range(0, len(load), 10)]


async def _paced(bus: Bus, receivers: Receivers, seconds: int, tell: tuple[str, ...], key: str) -> list[float]:
    """RATE alerts a second; from when each was handed to the broker's client to when the hook had it."""
    sent: dict[str, float] = {}
    started = time.perf_counter()
    for number in range(1, RATE * seconds + 1):
        await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
        record = alert(key, number, tell)
        sent[record.id] = time.perf_counter()
        await _send(bus, record)
    async with asyncio.timeout(60):
        while not sent.keys() <= receivers.arrived.keys():
            await asyncio.sleep(0.05)
    return [receivers.arrived[ident] - at for ident, at in sent.items()]


async def _flood(bus: Bus, receivers: Receivers, count: int, found: Found) -> None:
    started = time.perf_counter()
    wanted = {f"E-{number:04d}" for number in range(1, count + 1)}
    for number in range(1, count + 1):
        await asyncio.sleep(max(0.0, started + number * FLOOD_SECONDS / count - time.perf_counter()))
        await _send(bus, alert("flood", number, ("flood",)))
    async with asyncio.timeout(LONGEST):
        while not wanted <= receivers.seen.keys():
            await asyncio.sleep(0.05)
    found.numbers, found.calls = wanted & receivers.seen.keys(), list(receivers.calls)
    found.flood_seconds = max(receivers.seen[number] for number in wanted) - started


def most_in_a_minute(calls: list[float]) -> int:
    """The most calls in any 60 s."""
    return max((sum(first <= each < first + 60 for each in calls) for first in calls), default=0)


def _marks(seconds: list[float]) -> tuple[float, float]:
    marks = quantiles(seconds, n=100)
    return marks[49], marks[98]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
