"""From an item on items.raw to the message at the receiver, while 200 items/s pass: p50 and p99 of small events."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
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
from pipeline.model import RawBatch, RawItem

RATE = 200
SOURCES = 40
LEVELS = """ladder:
  - {name: 一般, response: 三级响应, enter: {items: 1000000, sources: 1000, window: 1h}}
overrides:
  - {subject: probe, enter: {一般: {items: 2, sources: 2, window: 1h}}}
"""
SUBJECT = """id: probe
title: 探针
owner: bench
reason: measures the chain
expires: 2099-12-31
threshold: 1
terms: [{text: 探针}]
"""
ROUTES = "routes:\n  - {id: all, steps: [{tell: [duty]}]}\n"
CHANNELS = "channels:\n  - {id: hook, type: webhook, url: 'http://127.0.0.1:%d/'}\n"


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    seconds = 6 if args.quick else 60
    with kafka() as bootstrap, tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_run(bootstrap, Path(folder), seconds))
    marks = quantiles(found, n=100)
    return [(f"raw item to delivered message at {RATE} items/s, p50", f"{marks[49] * 1000:,.0f} ms"),
            ("  p99", f"{marks[98] * 1000:,.0f} ms"), ("  events measured", f"{len(found)}")]


class Receiver:
    """An HTTP server that notes when each probe's word arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        length = int(found.group(1)) if found else 0
        text = json.dumps(json.loads(await reader.readexactly(length)), ensure_ascii=False)
        for word in text.split("探针")[1:]:
            self.arrived.setdefault(word[:6], time.perf_counter())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


def rules(folder: Path, port: int) -> Path:
    """The starter rules with one level that pages at once, by webhook."""
    import shutil

    target = folder / "rules"
    shutil.copytree(starter_dir(), target)
    (target / "levels.yml").write_text(LEVELS, "utf-8")
    (target / "subjects" / "probe.yml").write_text(SUBJECT, "utf-8")
    (target / "routes.yml").write_text(ROUTES, "utf-8")
    (target / "channels.yml").write_text(CHANNELS % port, "utf-8")
    roster = (target / "roster.yml").read_text("utf-8")
    (target / "roster.yml").write_text(roster.replace("[console]", "[hook]"), "utf-8")
    shutil.rmtree(target / "tests", ignore_errors=True)
    sources = "".join(f"  - {{id: s{n}, name: 来源{n}, url: 'http://s{n}.example/', enabled: false}}\n"
                      for n in range(SOURCES))
    (target / "sources.yml").write_text("sources:\n" + sources, "utf-8")
    return target


def probe(n: int, source: int, now: int) -> RawItem:
    """One of two like items about a thing that no other probe names."""
    word = digest("probe", n, size=3)
    title = f"探针{word} {digest('x', n)} {digest('y', n)}"
    return RawItem(id=digest("p", n, source), revision="0" * 16, source_id=f"s{source}", title=title, text="",
                   url="", first_seen_at=now, published_at=now)


async def _run(bootstrap: str, folder: Path, seconds: int) -> list[float]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    environ = environ_of(bootstrap, folder, WENXUN_RULES_DIR=str(rules(folder, port)),
                         WENXUN_FEED_ALLOW_PRIVATE_CIDRS=f"127.0.0.1:{port}")
    settings = Settings.from_env(environ)
    command = ("-m", "agents", "run", "--roles", "rules,score,track,escalate,deliver,archive")
    with process(*command, environ=environ, log=folder / "run.log"):
        await _warm(settings, receiver)
        sent = await _load(settings, seconds)
        async with asyncio.timeout(60):
            while not sent.keys() <= receiver.arrived.keys():
                await asyncio.sleep(0.1)
    server.close()
    return [receiver.arrived[word] - at for word, at in sent.items()]


async def _warm(settings: Settings, receiver: Receiver) -> None:
    """Wait until a first event has gone the whole way."""
    word = digest("probe", -1, size=3)
    async with asyncio.timeout(120):
        while word not in receiver.arrived:
            try:
                async with Bus(settings, Clock(), "bench") as bus:
                    await _probe(bus, -1)
            except KafkaError:          # not up yet, or no topics yet
                pass
            await asyncio.sleep(2)
    receiver.arrived.clear()


async def _probe(bus: Bus, n: int) -> tuple[str, float]:
    """The word of an event made of two like items, and when the second was sent."""
    at = time.time_ns() // 1_000_000
    for source in (0, 1):
        one = probe(n, source, at)
        batch = RawBatch(source_id=one.source_id, polled_at=at, items=(one,))
        sent = time.perf_counter()
        await bus.post(topics.ITEMS_RAW, one.source_id, batch, ident=one.id)
    return digest("probe", n, size=3), sent


async def _load(settings: Settings, seconds: int) -> dict[str, float]:
    """RATE items/s in batches of 10, and four events of two items a second. Word -> when its second was sent."""
    sent: dict[str, float] = {}
    now = time.time_ns() // 1_000_000
    load = list(items(RATE * seconds, now, SOURCES, seed=11, apart=1000 // RATE))
    async with Bus(settings, Clock(), "bench") as bus:
        started = time.perf_counter()
        for n in range(len(load) // 10):
            await asyncio.sleep(max(0.0, started + n * 10 / RATE - time.perf_counter()))
            chunk = tuple(load[n * 10:n * 10 + 10])
            source = f"s{n % SOURCES}"
            batch = RawBatch(source_id=source, polled_at=now, items=chunk)
            await bus.post(topics.ITEMS_RAW, source, batch, ident=str(n))
            if n % 5 == 0:
                word, at = await _probe(bus, n)
                sent[word] = at
    return sent
