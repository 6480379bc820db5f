"""How long the dashboards' queries take on 30 days of made data: goal p95 <= 1 s in PostgreSQL and in Prometheus."""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from agents.store.engine import upgrade
from bench import dashboard_data
from deploy.grafana.asking import Sources, Window
from deploy.grafana.boards import POSTGRES, PROMETHEUS, queries
from deploy.grafana.build.__main__ import boards
from tests import postgres_server
from tests.postgres_server import Server

LARGE = ("items", "scored", "members", "timeline", "counts", "escalations", "deliveries")
"""Tables that no query may read whole."""
TIMES = 5
SCRAPE = 15
COARSE = 300
"""Seconds between two samples before the last day: 30 days of every 15 s would be 20 times as many to make."""


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    items, events, days = (30_000, 300, 3) if args.quick else (300_000, 3_000, dashboard_data.DAYS)
    now = time.time_ns() // 1_000_000
    found = [("made", f"{items:,} items, {events:,} events in 30 days; {dashboard_data.series_count():,} series, "
              f"{days} days every {COARSE} s, the last every {SCRAPE} s")]
    with tempfile.TemporaryDirectory() as folder, _filled(items, events, now) as (server, connection):
        with _prometheus(Path(folder), now // 1000, days) as prometheus:
            sources = Sources(prometheus, connection)
            for title, length in (("30 days" if days == dashboard_data.DAYS else f"{days} days", days), ("24 h", 1)):
                window = Window(now - length * dashboard_data.DAY_MS, now, SCRAPE)
                found += _figures(sources, window, title)
            found += _scans(sources, Window(now - dashboard_data.DAY_MS, now, SCRAPE))
    return found


def _figures(sources: Sources, window: Window, title: str) -> list[tuple[str, str]]:
    """p95 over all queries, each asked TIMES times, and which is slowest."""
    taken: dict[str, list[tuple[float, str]]] = {POSTGRES: [], PROMETHEUS: []}
    empty = []
    for board in (json.loads(each.json()) for each in boards()):
        values = sources.values(board, window)
        for query in queries(board):
            answers = [sources.ask(query, values, window) for _ in range(TIMES)]
            taken[query.uid] += [(answer.seconds, query.where) for answer in answers]
            if not answers[0].rows:
                empty.append(query.where)
    found = []
    for uid, figures in taken.items():
        ordered = sorted(figures)
        p95, (worst, where) = ordered[int(len(ordered) * 0.95)][0], ordered[-1]
        found.append((f"{uid.removeprefix('wenxun-')}, {title}", f"{len(ordered) // TIMES} queries, p50 "
                      f"{ordered[len(ordered) // 2][0] * 1000:,.0f} ms, p95 {p95 * 1000:,.0f} ms, slowest "
                      f"{worst * 1000:,.0f} ms ({where})"))
    return [*found, (f"without an answer, {title}", f"{len(empty)}: {', '.join(empty)}" if empty else "0")]


def _scans(sources: Sources, window: Window) -> list[tuple[str, str]]:
    """What EXPLAIN ANALYZE says: queries that read a large table from end to end for a window that is a part of it."""
    whole, asked = [], 0
    for board in (json.loads(each.json()) for each in boards()):
        values = sources.values(board, window)
        for query in queries(board):
            if query.uid != POSTGRES:
                continue
            asked += 1
            plan = sources.plan(sources.ask(query, values, window).asked)
            read = sorted(set(re.findall(rf"Seq Scan on ({'|'.join(LARGE)})\b", plan)))
            whole += [f"{query.where}: {', '.join(read)}"] if read else []
    return [("read a large table whole for 24 h", f"{len(whole)} of {asked}" + "".join(f"\n{each}" for each in whole))]


@contextmanager
def _filled(items: int, events: int, now: int) -> Iterator[tuple[Server, psycopg.Connection[tuple[object, ...]]]]:
    """PostgreSQL as it comes, read as grafana_ro."""
    with postgres_server.running(durable=True) as server:
        server.create("dashboards")
        with server.connect("dashboards") as connection:
            connection.execute(sql.SQL("CREATE ROLE grafana_ro LOGIN PASSWORD {}").format(sql.Literal(server.password)))
        upgrade(server.url("dashboards"))
        with server.connect("dashboards") as connection:
            dashboard_data.fill(connection, items, events, now)
        with server.connect("dashboards", user="grafana_ro") as connection:
            yield server, connection


@contextmanager
def _prometheus(folder: Path, now: int, days: int) -> Iterator[str]:
    """Prometheus on blocks of made series; its address."""
    made, data = folder / "series.om", folder / "data"
    dashboard_data.write_series(made, dashboard_data.times(now, days, COARSE, SCRAPE))
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "--quiet", "--max-block-duration=744h", "openmetrics",
                    made, data], check=True, capture_output=True)
    made.unlink()
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n", "utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={data}",
             "--storage.tsdb.retention.time=90d", f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 120
        while not _ready(f"http://{address}/-/ready"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            time.sleep(0.2)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
