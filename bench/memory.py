"""Memory of `wenxun up` (embedded broker, SQLite, all roles) after 200,000 items from real HTTP feeds."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from bench.broker import process
from bench.latency import rules
from bench.texts import items

SOURCES = 40
PER_POLL = 250


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    count = 4_000 if args.quick else 200_000
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder), list(titles(args.data, count))))


def titles(data: str, count: int) -> Iterator[str]:
    """Real headlines if a folder with them is given, else made ones."""
    path = Path(data or ".") / "headlines" / "weibo_hot_first_seen_2024_2025.jsonl.gz"
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line)["title"] for line, _ in zip(lines, range(count), strict=False))
    else:
        yield from (item.title for item in items(count, 0, SOURCES))


class Feeds:
    """A server whose every source shows the next PER_POLL headlines at each request, until they are used up."""

    def __init__(self, load: list[str]) -> None:
        self.pages = [load[at:at + PER_POLL] for at in range(0, len(load), PER_POLL)]
        self.served = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = self.pages[self.served] if self.served < len(self.pages) else self.pages[-1]
        at = min(self.served, len(self.pages) - 1) * PER_POLL
        self.served += 1
        entries = "".join(f"<item><guid>{at + n}</guid><title>{escape(title)}</title></item>"
                          for n, title in enumerate(page))
        body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{entries}</channel></rss>'.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()


async def _run(folder: Path, load: list[str]) -> list[tuple[str, str]]:
    feeds = Feeds(load)
    server = await asyncio.start_server(feeds.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = rules(folder, port)
    sources = "".join(f"  - {{id: s{n}, name: 来源{n}, url: 'http://127.0.0.1:{port}/{n}', origin: s{n}, interval: 2s, "
                      "min_interval: 1s, max_interval: 10s}\n" for n in range(SOURCES))
    (target / "sources.yml").write_text("sources:\n" + sources, "utf-8")
    environ = {"WENXUN_FEED_ALLOW_PRIVATE_CIDRS": f"127.0.0.1:{port}", "WENXUN_METRICS_BIND": "127.0.0.1:0",
               "WENXUN_DESK_BIND": "127.0.0.1:0"}
    command = ("-m", "agents", "up", "--rules", str(target), "--data", str(folder / "data"))
    with process(*command, environ=environ, log=folder / "up.log") as parent:
        started = time.perf_counter()
        stored = await _until_stored(folder / "data" / "wenxun.db", len(load) - PER_POLL, parent.pid)
        took, sizes = time.perf_counter() - started, [resident(pid) for pid in family(parent.pid)]
    server.close()
    return [("items stored", f"{stored:,}"), ("items/s, feed to SQLite, all roles", f"{stored / took:,.0f}"),
            ("memory of all its processes", f"{sum(sizes):,.0f} MB"), ("  largest", f"{max(sizes):,.0f} MB")]


async def _until_stored(database: Path, wanted: int, pid: int) -> int:
    stored, still = 0, time.perf_counter()
    while stored < wanted and time.perf_counter() - still < 120:
        await asyncio.sleep(2)
        if database.exists():
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as store:
                now = store.execute("select count(*) from items").fetchone()[0]
            if now > stored:
                stored, still = now, time.perf_counter()
    return stored


def family(pid: int) -> list[int]:
    """A process and all below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in below for each in family(int(child)))]


def resident(pid: int) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
