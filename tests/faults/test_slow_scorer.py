"""A scorer slowed to a crawl: the embedded broker would drop the oldest records, so the collector waits instead."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from agents import collector
from agents.bus import consumer
from agents.clock import Clock
from agents.collector import role
from agents.deps import Deps, RuleStore
from agents.embedded import embedded_broker
from agents.feeds.parsing import ParsePool
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.model import RawBatch
from pipeline.rulebook.schema import Source
from tests.builders import NOON, book
from tests.feed_servers import reply, site
from tests.feed_texts import entry, rss

pytestmark = [pytest.mark.embedded, pytest.mark.fault]

ENTRIES, CHARACTERS = 460, 1500                                  # 2.1 MB a document
PAUSE = 0.2
NAMES = [f"s{n}" for n in range(60) if topics.partition_of(f"s{n}", 4) == 2][:5]


CHANCE = random.Random(3)


def noise() -> str:
    """Text that no compression makes small."""
    return "".join(chr(CHANCE.randrange(0x4E00, 0x9FA5)) for _ in range(CHARACTERS))


async def read(settings: Settings, group: str, wanted: int, pause: float) -> set[str]:
    """One record at a time, committed, with a rest after each: the items that came."""
    reader = consumer(settings, topics.ITEMS_RAW, group=group)
    await reader.start()
    seen: set[str] = set()
    try:
        async with asyncio.timeout(240):
            while len(seen) < wanted:
                for records in (await reader.getmany(timeout_ms=500, max_records=1)).values():
                    for record in records:
                        found = codec.decode(record.value, record.headers)
                        if isinstance(found, RawBatch):     # beats come once a minute
                            seen.update(item.id for item in found.items)
                    await reader.commit()
                    await asyncio.sleep(pause)
    finally:
        await reader.stop()
    return seen


async def test_a_scorer_slowed_to_a_crawl_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 MB for one partition, of which the broker keeps about five."""
    monkeypatch.setattr(role, "ParsePool", lambda: ParsePool(seconds=120.0))     # 2 MB a document, on a busy machine
    text = {name: rss(*(entry(n, f"{name} 第 {n} 条", noise()) for n in range(ENTRIES))).encode() for name in NAMES}
    pages = {name: reply(200, body, "Content-Type: application/rss+xml") for name, body in text.items()}
    assert sum(len(body) for body in text.values()) > 10_000_000 and len(NAMES) == 5
    with embedded_broker() as address:
        async with site(**pages) as here:
            sources = tuple(Source(id=name, name=name, url=here.url(f"/{name}")) for name in NAMES)
            settings = Settings(bootstrap=address, embedded=True, allow_private=here.allow)
            clock = Clock(NOON, time.time_ns() // 1_000_000, 1.0)
            deps = Deps(settings, clock, Metrics(), RuleStore(book(sources=sources)))
            task = asyncio.create_task(collector.run(deps))
            try:
                _, seen = await asyncio.gather(
                    read(settings, "wenxun-archive", ENTRIES * len(NAMES), 0),
                    read(settings, "wenxun-score", ENTRIES * len(NAMES), PAUSE))
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=60)
    assert len(seen) == ENTRIES * len(NAMES)
