"""How fast the archive writes: raw and scored items into a fresh SQLite file, in its own transactions."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine

from agents.archivist import MAX_RECORDS
from agents.store.engine import open_store, upgrade
from agents.store.projection import Entry, project
from pipeline.ids import digest
from pipeline.model import Polarity, RawBatch, RawItem, ScoredBatch, ScoredItem, Sentiment, Span

NOON = 1_795_320_000_000
WORDS = "投票站 开放 时间 排队 社区 公告 关门 八点 三点 有人 听说 选民 登记 名册 县城 街道 办公室 回应".split()


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    """An item is two rows: as it was collected and as it was scored. Again: all of it once more, as a restart may."""
    items = 2_000 if args.quick else 20_000
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/wenxun.db"
        upgrade(url)
        engine = open_store(url)
        batches = list(_transactions(items))
        first, again = _seconds(engine, batches), _seconds(engine, batches)
        engine.dispose()
        size = (Path(folder) / "wenxun.db").stat().st_size
    return [("archive to SQLite", f"{items / first:,.0f} items/s"), ("the same again", f"{items / again:,.0f} items/s"),
            ("on disk", f"{size / items:,.0f} bytes/item")]


def _seconds(engine: Engine, batches: list[list[Entry]]) -> float:
    started = time.perf_counter()
    for batch in batches:
        project(engine, batch)
    return time.perf_counter() - started


def _transactions(items: int) -> Iterator[list[Entry]]:
    """Half of the records are raw batches, half what score made of them: 20 items each."""
    chance, records = random.Random(1), []
    for start in range(0, items, 20):
        raw = [_item(chance, n) for n in range(start, min(start + 20, items))]
        records.append(Entry(RawBatch(source_id=raw[0].source_id, polled_at=NOON, items=tuple(raw)), NOON))
        scored = tuple(_scored(chance, item) for item in raw)
        records.append(Entry(ScoredBatch(subject="polling", book="b" * 16, items=scored), NOON))
        if len(records) >= MAX_RECORDS:
            yield records
            records = []
    if records:
        yield records


def _item(chance: random.Random, number: int) -> RawItem:
    text = "".join(chance.choice(WORDS) for _ in range(80))
    return RawItem(id=digest("bench", number), revision=digest(text, size=8), source_id=f"source-{number // 20 % 50}",
                   title=text[:24], text=text, url=f"http://news.example/{number}", first_seen_at=NOON + number,
                   published_at=NOON + number)


def _scored(chance: random.Random, item: RawItem) -> ScoredItem:
    return ScoredItem(item=item, origin="news.example", source_name="新闻网", weight=2.0,
                      spans=(Span("polling", "投票站", "text", 0, 3),), sentiment=Sentiment(Polarity.NEUTRAL, 0.6),
                      terms=tuple((chance.getrandbits(32), chance.randint(1, 255)) for _ in range(16)))

