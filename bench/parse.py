"""Items a second of our whole reading (charset, clean, parse, text, safe markup, mask, ids, dates) of full feeds,
against `feedparser.parse` alone on the same documents in the same run; one core, then two parse workers.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import feedparser

from agents.feeds.parsing import ParsePool
from agents.feeds.worker import Job
from bench.feed_server import BEGIN, document
from pipeline.collect.entries import Reading
from pipeline.collect.feed import parse_feed
from pipeline.errors import NotAFeed

FEEDS = 200
ROUNDS = 3
"""The best of so many is told: others use the machine too."""


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    feeds, rounds = (20, 1) if args.quick else (FEEDS, ROUNDS)
    made = [document(number, 0) for number in range(feeds)]
    rows = _compared("made feeds of 20 entries", made, rounds)
    if args.data:
        folder = Path(args.data) / "feeds" / "cn"
        captures = [path.read_bytes() for path in sorted(folder.rglob("*.xml"))] * (1 if args.quick else 10)
        rows += _compared("the Chinese captures", captures, rounds)
    return rows


def _compared(name: str, documents: Sequence[bytes], rounds: int) -> list[tuple[str, str]]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        theirs = ours = 0.0
        for _ in range(rounds):                         # in turns, so that both meet the same machine
            theirs, ours = max(theirs, _rate(_feedparser, documents)), max(ours, _rate(_ours, documents))
    finally:
        os.sched_setaffinity(0, cores)
    pool = max(asyncio.run(_pooled(documents)) for _ in range(rounds))
    return [(f"{name}: feedparser alone, one core", f"{theirs:,.0f} items/s"),
            ("  our whole reading, one core (goal: >= 0.8 x)", f"{ours:,.0f} items/s, {ours / theirs:.2f} x"),
            ("  with two parse workers", f"{pool:,.0f} items/s, {pool / theirs:.2f} x")]


def _rate(read: Callable[[bytes], int], documents: Sequence[bytes]) -> float:
    began = time.perf_counter()
    items = sum(read(each) for each in documents)
    return items / (time.perf_counter() - began)


def _feedparser(body: bytes) -> int:
    return len(feedparser.parse(io.BytesIO(body)).entries)


def _ours(body: bytes) -> int:
    how = Reading("bench", "http://bench.example/rss", ZoneInfo("Asia/Shanghai"), BEGIN)
    try:
        return len(parse_feed(body, how).items)
    except NotAFeed:
        return 0


async def _pooled(documents: Sequence[bytes]) -> float:
    async with ParsePool(workers=2, documents=10**6) as pool:
        jobs = [Job(body, "", "auto", "bench", "http://bench.example/rss", "Asia/Shanghai", BEGIN, False)
                for body in documents]
        await asyncio.gather(*(pool.parse(jobs[0]) for _ in range(2)))     # both workers are up
        began = time.perf_counter()
        done = await asyncio.gather(*(pool.parse(job) for job in jobs))
        return sum(len(each.items) for each in done) / (time.perf_counter() - began)
