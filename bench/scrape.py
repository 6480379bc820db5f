"""Series, bytes and time of a scrape of each role with 2,000 sources and 500 open events, over HTTP, and what the Faust
sensor costs per record. Reference: bare prometheus_client, its own server, one gauge with as many series.

A bad day of a large installation: every label has all the values that it could have there, five types of channels are
in use, no source is heard (half fail, half are blind already). Sources and alerts go through the code that counts them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any

from faust.sensors.base import SensorDelegate
from faust.sensors.monitor import Monitor
from faust.types import TP
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server

from agents import health
from agents.clock import Clock
from agents.collector.vitals import Vitals
from agents.deps import Deps, RuleStore
from agents.escalator import SHOWN, show
from agents.lag_watch import READERS
from agents.metrics import EVERY, TABLE, Metric, Metrics
from agents.sensor import RoleSensor
from agents.settings import Settings
from agents.store.schema import metadata
from pipeline import topics
from pipeline.collect.health import Health, HealthState
from pipeline.escalate.cases import Case
from pipeline.escalate.tally import Cases
from pipeline.model import (
    AlertState,
    AlertStatus,
    EventClock,
    EventClocks,
    EventHead,
    EventStatus,
    Evidence,
    LevelDecision,
    Why,
)
from pipeline.rulebook.schema import HOUR, ChannelType, RuleBook

SOURCES, EVENTS, CHANNELS = 2_000, 500, 20
SCRAPES = 30
NOW = 1_795_320_000_000
LEVELS = ("一般", "较大", "重大", "特别重大")
CLOCKS = ("answer", "briefing", "reply")

DOMAINS: dict[str, Sequence[str]] = {
    "version": ("1.0.0",), "hash": ("b" * 16,), "level": LEVELS, "clock": CLOCKS, "status": tuple(SHOWN.values()),
    "table": tuple(metadata.tables), "group": tuple(each.group for each in READERS),
    "topic": tuple(each.name for each in topics.CATALOG), "outcome": ("a", "b", "c", "d", "e", "f"),
    "channel": [ChannelType.WECOM_BOT, ChannelType.WECOM_APP, ChannelType.SMTP, ChannelType.ALIYUN_SMS,
                ChannelType.ALERTMANAGER]}
"""All values of a label. Outcomes that agents/metrics.py does not know beforehand: more than any metric has."""
OF_METRIC: dict[tuple[str, str], Sequence[str]] = {
    ("sources", "state"): tuple(HealthState), ("response_clocks", "state"): ("running", "overdue"),
    ("rules_loaded", "kind"): ("sources", "subjects", "levels", "people", "channels", "routes"),
    ("table_keys", "table"): ("events",), ("circuit_state", "channel"): [f"channel-{n}" for n in range(CHANNELS)]}


def filled(role: str, sources: int = SOURCES, events: int = EVENTS) -> Metrics:
    """The metrics of a process of one role as they are there."""
    metrics = Metrics(roles=(role,))
    for each in TABLE:
        if role in each.roles and "source" not in each.labels:
            for values in itertools.product(*(_values(each, label, role) for label in each.labels)):
                if "topic" not in each.labels or _reads(*values):
                    _touch(metrics[each.name].labels(*values) if values else metrics[each.name])
    if role == "collect":
        _sources(metrics, sources)
    if role == "escalate":
        _alerts(metrics, events)
    return metrics


def _values(metric: Metric, label: str, role: str) -> Sequence[str]:
    if label in ("role", "stage"):
        return (role,)
    return metric.values.get(label) or OF_METRIC.get((metric.name, label)) or DOMAINS[label]


def _reads(topic: str, group: str) -> bool:
    return any(each.group == group and topic in each.topics for each in READERS)


def _touch(metric: Any) -> None:
    match metric:
        case Histogram():
            metric.observe(0.5)
        case Counter():
            metric.inc(12_345.0)
        case Gauge():
            metric.set(12_345.678)


def _sources(metrics: Metrics, count: int) -> None:
    vitals = Vitals(metrics)
    for number in range(count):
        ident = f"source-{number:04d}"
        state = HealthState.BLIND if number % 2 else HealthState.FAILING
        vitals.see(Health(ident, ident, state, NOW, "", outcome="no_answer"))
        vitals.polled(ident, 3)
        metrics["feed_last_success_timestamp_seconds"].labels(ident).set(NOW / 1000 + number)


def _alerts(metrics: Metrics, count: int) -> None:
    show(_deps(metrics), [cases_of(count)])


def _deps(metrics: Metrics) -> Deps:
    return Deps(Settings(), Clock(NOW, 0, 0.0), metrics, RuleStore(_book()))


def _book() -> RuleBook:
    from agents.rule_files import load_book, starter_dir

    return load_book(starter_dir(), "Asia/Shanghai")


def cases_of(count: int) -> Cases:
    """Open events with their alerts and clocks, of all statuses."""
    cases, statuses = Cases(), [each for each in AlertStatus if each is not AlertStatus.ENDED]
    for number in range(count):
        ident = f"e{number}"
        decision = LevelDecision(2, 1, Why.RAISED, Evidence(10, 4, HOUR, NOW), NOW, "较大")
        head = EventHead(
            id=ident, subject="polling", key="polling", version=1, status=EventStatus.OPEN, level=2, level_name="较大",
            peak=2, decision=decision, book="b" * 16, title="投票站几点关门", first_item_at=NOW, last_item_at=NOW,
            opened_at=NOW, changed_at=NOW)
        state = AlertState(event_id=ident, alert_id=f"a{number}", event_version=1, revision=1, level=2,
                           status=statuses[number % len(statuses)], raised_at=NOW)
        clocks = tuple(EventClock(each, each, NOW, NOW + (number - 50) * HOUR // 10) for each in CLOCKS)
        cases[ident] = Case(ident, state=state, head=head,
                            clocks=EventClocks(event_id=ident, revision=1, clocks=clocks))
    return cases


# ---------------------------------------------------------------- measuring


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    scrapes = 3 if args.quick else SCRAPES
    rows, total = [], 0
    slowest = ("", 0.0)
    for role in EVERY:
        metrics = filled(role)
        series, size, times = asyncio.run(_scrapes(metrics, scrapes))
        total += series
        slowest = max(slowest, (role, max(times)), key=lambda each: each[1])
        rows.append((f"role {role}", f"{series:,} series, {size / 1024:,.0f} KiB, {_times(times)}, "
                     f"CPU {_processor(metrics.registry, scrapes):.1f} ms"))
    rows.append(("all roles, a process each", f"{total:,} series (goal 5,000); slowest scrape {slowest[1] * 1000:.0f} "
                 f"ms: {slowest[0]} (goal 200 ms)"))
    largest = filled("collect")
    count = samples(largest.registry)
    rows.append((f"reference: prometheus_client alone, {count:,} series", _bare(count, scrapes)))
    again = asyncio.run(_scrapes(largest, scrapes))[2]
    rows.append(("  role collect once more beside it", _times(again)))
    return rows + _sensor(20_000 if args.quick else 200_000)


def samples(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


async def _scrapes(metrics: Metrics, count: int) -> tuple[int, int, list[float]]:
    """Series, bytes and seconds of each scrape, by HTTP."""
    async with health.serving(("127.0.0.1", 0), metrics, health.Health()) as port:
        times, text = await asyncio.to_thread(_get, port, count)
    return sum(bool(line) and not line.startswith(b"#") for line in text.splitlines()), len(text), times


def _get(port: int, count: int) -> tuple[list[float], bytes]:
    """Seconds of each, and the text. The standard library's client: what asks is to cost little beside what answers."""
    times, text = [], b""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as client:
        for _ in range(count + 1):
            begun = time.perf_counter()
            client.request("GET", "/metrics")
            text = client.getresponse().read()
            times.append(time.perf_counter() - begun)
    return times[1:], text                              # the first one makes the connection


def _processor(registry: CollectorRegistry, count: int) -> float:
    """Median milliseconds of processor time for the text alone: what a busy machine does not change much."""
    found = []
    for _ in range(count):
        begun = time.process_time()
        generate_latest(registry)
        found.append(time.process_time() - begun)
    return statistics.median(found) * 1000


def _bare(series: int, count: int) -> str:
    registry = CollectorRegistry()
    gauge = Gauge("bare_seconds", "One gauge.", ("source",), registry=registry)
    for number in range(series):
        gauge.labels(f"source-{number:04d}").set(NOW / 1000 + number)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        return f"{_times(_get(server.server_port, count)[0])}, CPU {_processor(registry, count):.1f} ms"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _times(times: Sequence[float]) -> str:
    return f"median {statistics.median(times) * 1000:.1f} ms, worst {max(times) * 1000:.1f} ms"


# ---------------------------------------------------------------- the sensor


def _sensor(count: int) -> list[tuple[str, str]]:
    """Microseconds of processor time per record: what a Faust app calls for each that it reads and each that it sends.
    Reference: Faust's own Monitor, which every app has."""
    sensor = RoleSensor(Metrics(roles=("track",)), "track")
    none, ours, faust = _delegate(), _delegate(sensor), _delegate(Monitor())
    costs: dict[str, list[float]] = {"none": [], "ours": [], "faust": [], "send": []}
    for _ in range(5):                                  # in turns: what else the machine does meets all alike
        costs["none"].append(_work(none, count))
        costs["ours"].append(_work(ours, count))
        costs["faust"].append(_work(faust, count))
        costs["send"].append(_send(sensor, count))
    median = {name: statistics.median(found) * 1e6 for name, found in costs.items()}
    return [("sensor: per record read", f"{median['ours'] - median['none']:.2f} us"),
            ("sensor: per record sent", f"{median['send']:.2f} us"),
            ("reference: Faust's Monitor, per record read", f"{median['faust'] - median['none']:.2f} us")]


def _delegate(*sensors: Any) -> Any:
    made = SensorDelegate(SimpleNamespace(beacon=SimpleNamespace(new=lambda sensor: None)))
    made._sensors.update(sensors)
    return made


class _Stream:
    """What Faust's Monitor wants of one."""

    def __init__(self) -> None:
        self.task_owner = self


PLACE = TP(topics.ITEMS_SCORED, 0)


def _work(sensors: Any, count: int) -> float:
    stream, event = _Stream(), SimpleNamespace(message=SimpleNamespace(topic=PLACE.topic, time_in=0.0))
    begun = time.process_time()
    for offset in range(count):
        state = sensors.on_stream_event_in(PLACE, offset, stream, event)
        sensors.on_stream_event_out(PLACE, offset, stream, event, state)
    return (time.process_time() - begun) / count


class _Done:
    def cancelled(self) -> bool:
        return False

    def exception(self) -> None:
        return None


def _send(sensor: RoleSensor, count: int) -> float:
    done: Any = _Done()
    begun = time.process_time()
    for _ in range(count):
        sensor.sent(time.perf_counter(), done)
    return (time.process_time() - begun) / count
