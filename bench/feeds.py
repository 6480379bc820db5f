"""10,000 feeds polled every five minutes by one collector on one core, hostile ones among them: what that costs.

The feeds are on 1,000 loopback addresses in a process of their own, without TLS; items and states go to the embedded
broker in this process. It starts warm: every source has a state, so that a poll in ten brings something.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from agents.embedded import embedded_broker
from bench.feed_collector import Plan
from bench.feed_server import HOSTILE, document, host_of, is_lively
from pipeline.collect import identity
from pipeline.collect.entries import Reading
from pipeline.collect.feed import parse_feed
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import MINUTE, Source

FEEDS = 10_000
PER_HOST = 10
OF_A_KIND = 8
"""Hostile feeds of each kind, polled once each."""
REMEMBERED = 200
"""Hashes that a source's state has: what some days of a feed leave behind."""


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    feeds, seconds = (1_000, 12.0) if args.quick else (FEEDS, 150.0)
    hosts = feeds // PER_HOST + len(HOSTILE) * OF_A_KIND
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, embedded_broker() as bootstrap, _server(port, hosts):
        path = Path(folder) / "plan"
        path.write_bytes(msgspec.msgpack.encode(_plan(bootstrap, port, feeds, hosts, seconds)))
        with (Path(folder) / "log").open("wb") as log:
            said = subprocess.run([sys.executable, "-m", "bench.feed_collector", str(path)], check=True,
                                  stdout=subprocess.PIPE, stderr=log, timeout=seconds + 120).stdout
    return list(_rows(json.loads(said), feeds))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _server:
    """The feed server, killed at the end."""

    def __init__(self, port: int, hosts: int) -> None:
        self._command = [sys.executable, "-m", "bench.feed_server", str(port), str(hosts)]

    def __enter__(self) -> None:
        self._child = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._child.stdout is not None and self._child.stdout.readline() == b"ready\n"

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()


def _plan(bootstrap: str, port: int, feeds: int, hosts: int, seconds: float) -> Plan:
    chance, now = random.Random(5), time.time_ns() // 1_000_000
    every = dict(interval=5 * MINUTE, min_interval=5 * MINUTE, max_interval=5 * MINUTE)
    sources, states = [], []
    for feed in range(feeds):
        url = f"http://{host_of(feed // PER_HOST)}:{port}/f/{feed}"
        sources.append(Source(id=f"s{feed}", name=f"来源{feed}", url=url, **every))
        states.append(_state(sources[-1], chance, now, chance.uniform(0, 5 * MINUTE), feed))
    for number, kind in enumerate(sorted(HOSTILE) * OF_A_KIND):
        url = f"http://{host_of(feeds // PER_HOST + number)}:{port}/h/{kind}"
        sources.append(Source(id=f"hostile.{kind}.{number}", name=kind, url=url, **every))
        states.append(_state(sources[-1], chance, now, chance.uniform(3_000, 500 * seconds)))
    allow = tuple(f"{host_of(number)}:{port}" for number in range(hosts))
    return Plan(bootstrap, now, seconds, allow, tuple(sources), tuple(states))


def _state(source: Source, chance: random.Random, now: Millis, wait: float, feed: int | None = None) -> SourceState:
    """As a poll five minutes before the next one left it."""
    seen = b""
    if feed is not None and is_lively(feed):
        how = Reading(source.id, source.url, ZoneInfo("Asia/Shanghai"), now)
        seen = identity.sift(parse_feed(document(feed, 0), how).items, b"", False).seen
    at = now + int(wait)
    return SourceState(
        source_id=source.id, url=source.url, polled_at=at - 5 * MINUTE, next_poll_at=at, backfilled=True, etag='"v0"',
        succeeded_at=at - 5 * MINUTE, unconditional_at=now, outcome="ok", seen=seen + chance.randbytes(
            8 * REMEMBERED - len(seen)))


def _rows(found: dict[str, object], feeds: int) -> Iterator[tuple[str, str]]:
    number = {name: value for name, value in found.items() if isinstance(value, float | int)}
    outcomes, late, lag = found["outcomes"], found["late"], found["lag"]
    assert isinstance(outcomes, dict) and isinstance(late, list) and isinstance(lag, list)
    whole = number["seconds"]
    yield (f"{feeds:,} feeds every 5 min, {whole:.0f} s on one core: share of it",
           f"{(number['own'] + number['children']) / whole:.0%} (collector {number['own'] / whole:.0%}, "
           f"parse workers {number['children'] / whole:.0%})")
    yield "  polls begun a second", f"{len(late) / whole:.1f} (wanted {feeds / 300:.1f})"
    yield "  lateness p95, worst (goal: p95 <= 10 s)", f"{_part(late, 0.95):.2f} s, {late[-1]:.2f} s"
    yield "  event-loop lag p99, worst (goal: p99 <= 200 ms)", f"{1000 * _part(lag, 0.99):.0f}, {1000 * lag[-1]:.0f} ms"
    yield ("  memory peak, collector and parse workers (goal: <= 400 MB)",
           f"{number['own_mib']:.0f} + {number['children_mib']:.0f} MiB")
    for group, counts in outcomes.items():
        yield f"  outcomes, {group}", ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _part(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
