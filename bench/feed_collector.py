"""One collector on one core, measured from inside. `python -m bench.feed_collector PLAN` prints JSON."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agents import outbound
from agents.bus import Bus
from agents.clock import Clock
from agents.collector.alarms import Alarms
from agents.collector.backpressure import OpenGate
from agents.collector.loop import Collector
from agents.collector.poll import Poller
from agents.collector.publish import Publisher
from agents.deps import Deps, RuleStore
from agents.feeds.fetch import Fetcher
from agents.feeds.parsing import ParsePool
from agents.metrics import Metrics
from agents.rule_files import load_book, starter_dir
from agents.settings import Settings
from pipeline import topics
from pipeline.model import SourceState
from pipeline.rulebook.schema import MINUTE, Source

BEAT = 0.01


class Plan(msgspec.Struct):
    """What to do: seconds of measuring, and the states that make a warm start."""

    bootstrap: str
    made_at: int
    seconds: float
    allow: tuple[str, ...]
    sources: tuple[Source, ...]
    states: tuple[SourceState, ...]


class Lateness:
    """Stands where the metric is, and keeps every value."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def observe(self, seconds: float) -> None:
        self.seen.append(seconds)


async def _heartbeat(lags: list[float]) -> None:
    """How late the loop came back. A long stall counts for all the beats that it swallowed."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(BEAT)
        late = time.perf_counter() - began - BEAT
        while late >= 0:
            lags.append(late)
            late -= BEAT


async def _children(pool: ParsePool, found: dict[str, float]) -> None:
    """The memory and processor time of the parse workers."""
    while True:
        mib, seconds = 0.0, 0.0
        for worker in list(pool._all):
            folder = Path(f"/proc/{worker._process.pid}")
            try:
                status, stat = (folder / "status").read_text(), (folder / "stat").read_text()
            except OSError:
                continue
            mib += int(status.partition("VmRSS:")[2].split()[0]) / 1024 if "VmRSS:" in status else 0
            fields = stat.rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        found["mib"], found["alive"] = max(found["mib"], mib), seconds
        await asyncio.sleep(0.25)


def _cpu(found: dict[str, float]) -> tuple[float, float]:
    own, gone = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime, gone.ru_utime + gone.ru_stime + found["alive"]


async def run(plan: Plan) -> dict[str, Any]:
    metrics, late, lags = Metrics(), Lateness(), list[float]()
    metrics._by_name["feed_lateness_seconds"] = late
    settings = Settings(bootstrap=plan.bootstrap, allow_private=plan.allow)
    book = msgspec.structs.replace(load_book(starter_dir(), "Asia/Shanghai"), sources=plan.sources)
    deps = Deps(settings, Clock(), metrics, RuleStore(book))
    found = {"mib": 0.0, "alive": 0.0}
    async with Bus(settings, deps.clock, "collect") as bus, outbound.feed_client(settings) as client, \
            ParsePool() as pool:
        gate = OpenGate()
        poller = Poller(deps, Fetcher(client), pool, Publisher(bus, gate, metrics), gate)
        collector = Collector(deps, poller, Alarms(deps, bus))
        collector.take(range(topics.partitions_of(topics.POLLS, settings.partitions)),
                       {state.source_id: state for state in _states(plan, deps.clock.now())})
        watching = [asyncio.create_task(_heartbeat(lags)), asyncio.create_task(_children(pool, found))]
        polling = asyncio.create_task(collector.run())
        await asyncio.sleep(2)                          # adopting the book is a start's cost, not a poll's
        late.seen.clear(), lags.clear()
        before, began = _cpu(found), time.perf_counter()
        await asyncio.wait([polling], timeout=plan.seconds)
        after, took = _cpu(found), time.perf_counter() - began
        failed = polling.exception() if polling.done() else None
        for task in (polling, *watching):
            task.cancel()
        await asyncio.gather(polling, *watching, return_exceptions=True)
        if failed is not None:
            raise failed
    return {
        "seconds": took, "own": after[0] - before[0], "children": after[1] - before[1],
        "own_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "children_mib": found["mib"],
        "late": sorted(late.seen), "lag": sorted(lags), "outcomes": _outcomes(metrics, plan, collector)}


def _states(plan: Plan, now: int) -> Iterator[SourceState]:
    """As if the plan had been made this very moment."""
    for state in plan.states:
        yield msgspec.structs.replace(
            state, next_poll_at=state.next_poll_at + now - plan.made_at, polled_at=state.polled_at + now - plan.made_at)


def _outcomes(metrics: Metrics, plan: Plan, collector: Collector) -> dict[str, dict[str, int]]:
    all_of = {sample.labels["outcome"]: int(sample.value) for family in metrics.registry.collect()
              if family.name == "wenxun_feed_fetches" for sample in family.samples if sample.name.endswith("_total")}
    polled = {state.source_id: state.polled_at for state in plan.states}
    hostile = Counter(f"{source_id.rpartition('.')[0]}: {state.outcome}"
                      for source_id, state in collector.states.items()
                      if source_id.startswith("hostile.") and state.polled_at > polled[source_id] + 5 * MINUTE - 1)
    return {"all": all_of, "hostile": dict(sorted(hostile.items()))}


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with open(sys.argv[1], "rb") as file:
        print(json.dumps(asyncio.run(run(msgspec.msgpack.decode(file.read(), type=Plan)))))
