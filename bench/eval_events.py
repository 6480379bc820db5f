"""Which posts belong to one event: the tracker against labelled news posts of one topic, B³ precision, recall and F."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Hashable, Iterator
from pathlib import Path

from agents.rule_files import load_book, starter_dir
from pipeline.model import RawItem, ScoredBatch
from pipeline.score.score import Scorer
from pipeline.track.tracker import Tracker

START = 1_795_000_000_000
MINUTE = 60_000


def events(data: Path) -> Iterator[tuple[str, str, str]]:
    """All posts as items of one watched subject, a minute apart, under the starter rules."""
    for name in ("weibo_news", "weibo_news_hard"):
        with gzip.open(data / "events" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        precision, recall = b_cubed([row["label"] for row in rows], clusters([row["text"] for row in rows]))
        f = 2 * precision * recall / (precision + recall)
        yield "events, B³", name, f"P {precision:.3f}  R {recall:.3f}  F {f:.3f}"


def clusters(texts: list[str]) -> list[str]:
    """The event id of each text."""
    book = load_book(starter_dir(), "Asia/Shanghai")
    scorer, tracker, found = Scorer(book), Tracker(0, 1), {}
    for n, text in enumerate(texts):
        at = START + n * MINUTE
        item = RawItem(id=f"{n:020d}", revision="0" * 16, source_id=f"s{n % 9}", title="", text=text, url="",
                       first_seen_at=at, published_at=at)
        scored = next(iter(scorer.score(item).values()))
        tracker.handle(ScoredBatch(subject="topic", book=book.hash, items=(scored,)), book)
        found[item.id] = tracker.event_of("topic", item.id)
    return list(found.values())


def b_cubed(gold: list[str], found: list[str]) -> tuple[float, float]:
    """B³ precision and recall over items."""
    by_gold, by_found = groups(gold), groups(found)
    precision = recall = 0.0
    for n, (label, cluster) in enumerate(zip(gold, found, strict=True)):
        shared = len(by_gold[label] & by_found[cluster])
        precision += shared / len(by_found[cluster])
        recall += shared / len(by_gold[label])
        assert n in by_gold[label]
    return precision / len(gold), recall / len(gold)


def groups(labels: list[str]) -> dict[Hashable, set[int]]:
    members: dict[Hashable, set[int]] = defaultdict(set)
    for n, label in enumerate(labels):
        members[label].add(n)
    return members
