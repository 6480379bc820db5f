"""Score, track and escalate in one process on a real Kafka, items/s, against bench/reference.py in the same run."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.structs import replace

from agents.bus import Bus
from agents.clock import Clock
from agents.rule_files import load_book, starter_dir
from agents.settings import Settings
from bench.broker import kafka, process, until_read
from bench.texts import items
from pipeline import topics
from pipeline.model import RawBatch, RawItem
from pipeline.rulebook.schema import RuleBook, Source

SOURCES = 200
BATCH = 20


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    count = 2_000 if args.quick else 40_000
    with kafka() as bootstrap, tempfile.TemporaryDirectory() as folder:
        ours, scored = asyncio.run(_ours(bootstrap, Path(folder), count))
        reference = asyncio.run(_reference(bootstrap, count // 40))
    return [("wenxun: raw to escalated, one process", f"{ours:,.0f} items/s"),
            ("  of it until all is scored", f"{scored:,.0f} items/s"),
            ("reference: Faust + jieba + SnowNLP", f"{reference:,.0f} items/s"),
            ("ratio", f"{ours / reference:,.0f} x")]


def environ_of(bootstrap: str, folder: Path, **more: str) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "WENXUN_DATA_DIR": str(folder / "data"),
            "WENXUN_METRICS_BIND": "127.0.0.1:0", "WENXUN_DESK_BIND": "127.0.0.1:0", **more}


def book_with_sources() -> RuleBook:
    sources = tuple(Source(id=f"s{n}", name=f"来源{n}", url=f"http://s{n}.example/", origin=f"s{n}.example")
                    for n in range(SOURCES))
    return replace(load_book(starter_dir(), "Asia/Shanghai"), sources=sources)


def batches(load: list[RawItem]) -> list[RawBatch]:
    """What polls bring: runs of BATCH items of one source, in order."""
    by_source: dict[str, list[RawItem]] = {}
    for item in load:
        by_source.setdefault(item.source_id, []).append(item)
    found = [RawBatch(source_id=source, polled_at=chunk[0].first_seen_at, items=tuple(chunk))
             for source, own in by_source.items()
             for chunk in (own[at:at + BATCH] for at in range(0, len(own), BATCH))]
    return sorted(found, key=lambda batch: batch.polled_at)


async def publish(settings: Settings, book: RuleBook, load: list[RawItem]) -> None:
    async with Bus(settings, Clock(), "bench") as bus:
        await bus.send(topics.RULES, "book", book, ident=book.hash, partition=0)
        for batch in batches(load):
            await bus.post(topics.ITEMS_RAW, batch.source_id, batch, ident=batch.items[0].id)


async def _ours(bootstrap: str, folder: Path, count: int) -> tuple[float, float]:
    """Items per second from the first to the last, through all three roles, and through score alone."""
    environ = environ_of(bootstrap, folder)
    settings = Settings.from_env(environ)
    with process("-m", "agents", "topics", "create", environ=environ, log=folder / "topics.log") as child:
        await asyncio.to_thread(child.wait, 60)
    await publish(settings, book_with_sources(), list(items(count, time.time_ns() // 1_000_000 - 10 * count, SOURCES)))
    run = ("-m", "agents", "run", "--roles", "score,track,escalate")
    with process(*run, environ=environ, log=folder / "run.log"):
        first = count // BATCH
        if not await until_read(settings, "wenxun-score", topics.ITEMS_RAW, below=first, seconds=120):
            raise RuntimeError(f"nothing was read: {(folder / 'run.log').read_text()[-2000:]}")
        started = time.perf_counter()
        await until_read(settings, "wenxun-score", topics.ITEMS_RAW, below=1, seconds=600)
        scored = time.perf_counter() - started
        await until_read(settings, "wenxun-track", topics.ITEMS_SCORED, below=20, seconds=600)
        await until_read(settings, "wenxun-escalate", topics.EVENTS, below=20, seconds=600)
        return count / (time.perf_counter() - started), count / scored


async def _reference(bootstrap: str, count: int) -> float:
    from aiokafka import AIOKafkaProducer

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 4, 1) for name in (
        "ref", "ref-scored", "bench-reference-counts-changelog", "bench-reference-__assignor-__leader")])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    for item in items(count, 1_795_000_000_000, SOURCES):
        value = json.dumps({"id": item.id, "text": item.text}).encode()
        await producer.send("ref", value, partition=int(item.source_id[1:]) % 4)
    await producer.stop()
    command = [sys.executable, "-m", "bench.reference", bootstrap, "ref", str(count)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=900)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["rate"])
