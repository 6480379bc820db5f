"""What a partition holds: memory and rows of a tracker with 100,000 items in its windows, and its restoring."""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path

from bench.chain import SOURCES, batches, book_with_sources
from bench.texts import items
from pipeline import topics
from pipeline.model import ScoredBatch
from pipeline.score.score import Scorer
from pipeline.track.tracker import Tracker

APART = 20
"""Milliseconds between two items: 100,000 lie within the widest window, so that none has aged."""


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    count, book = 10_000 if args.quick else 100_000, book_with_sources()
    scorer, tracker, rows = Scorer(book), Tracker(0, 1), dict[bytes, bytes]()
    before, busy = _resident(), 0.0
    for batch in batches(list(items(count, 1_795_000_000_000, SOURCES, apart=APART))):
        groups = topics.Groups(1)
        for item in batch.items:
            groups.add(scorer.score(item))
        for _, subject, some in groups:
            began = time.process_time()
            outcome = tracker.handle(ScoredBatch(subject=subject, book=book.hash, items=some), book)
            busy += time.process_time() - began
            for key, value in outcome.puts.items():
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
    gc.collect()
    held = _resident() - before
    began = time.process_time()
    Tracker.restore(0, 1, rows.items())
    restored = time.process_time() - began
    return [(f"one tracker with {count:,} items: memory, its rows included", f"{held / 1e6:,.0f} MB"),
            ("  rows in its table", f"{len(rows):,}, {sum(map(len, rows)) / 1e6:,.1f} + "
                                    f"{sum(map(len, rows.values())) / 1e6:,.1f} MB (keys + values)"),
            ("  tracking, processor time", f"{count / busy:,.0f} items/s"),
            ("  restoring it from its rows, processor time", f"{restored:.1f} s"),
            ("load at the end", f"{os.getloadavg()[0]:.1f}")]


def _resident() -> int:
    """Bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
