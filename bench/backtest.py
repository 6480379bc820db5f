"""`wenxun rules backtest` from a file to the comparison, against `pipeline.replay` of the same items under both books.

The candidate differs from the starter rules by two words of one subject and an exclusion of another. Made items are 200
characters, one in twenty about voting, over thirty days. With --data the first-seen headlines, nineteen months of them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from agents.backtest.history import parts_of_file
from agents.backtest.run import Result, backtest
from agents.commands.replay import load
from agents.rule_files import load_book, starter_dir
from bench.texts import items
from pipeline.replay import replay
from pipeline.rulebook.schema import DAY, Pattern, RuleBook, Term

ZONE = "Asia/Shanghai"
START = 1_795_000_000_000
HEADLINES = "headlines/weibo_hot_first_seen_2024_2025.jsonl.gz"
MADE = 1_000_000
SAMPLE = 10_000
EVERY = 20


class Quiet:
    def read(self, items: int) -> None:
        """Nobody looks."""

    def played(self, done: int, of: int) -> None:
        """Nobody looks."""


def measure(args: argparse.Namespace) -> Iterable[tuple[str, str]]:
    live = load_book(starter_dir(), ZONE)
    jobs = len(os.sched_getaffinity(0))
    with TemporaryDirectory() as folder:
        if args.data:
            path = _headlines(Path(args.data) / HEADLINES, Path(folder) / "headlines.jsonl")
            yield _timed("headlines", path, live, jobs)
        made = _made(Path(folder) / "made.jsonl", MADE // 10 if args.quick else MADE)
        yield _timed("made items", made, live, jobs)
        made.unlink()
        yield from _against_replay(_made(Path(folder) / "sample.jsonl", SAMPLE // 10 if args.quick else SAMPLE), live)


def _timed(name: str, path: Path, live: RuleBook, jobs: int) -> tuple[str, str]:
    started = time.perf_counter()
    result = _backtest(path, live, jobs)
    seconds = time.perf_counter() - started
    matches = sum(rule.matches[1] for rule in result.comparison.rules)
    return (f"{result.items:,} {name}, {jobs} processes",
            f"{seconds:.1f} s, {result.items / seconds:,.0f} items/s; {matches:,} matches")


def _backtest(path: Path, live: RuleBook, jobs: int) -> Result:
    result = backtest(live, candidate_of(live), parts_of_file(path, ZONE, lambda _: None), jobs=jobs, progress=Quiet())
    assert result is not None
    return result


def candidate_of(live: RuleBook) -> RuleBook:
    """As an operator would change it: more words here, an exclusion there."""
    first, second, *rest = live.subjects
    first = replace(first, terms=(*first.terms, Term(text="排队"), Term(text="截止", weight=0.5)))
    second = replace(second, exclude=(*second.exclude, Pattern(text="辟谣")))
    return replace(live, subjects=(first, second, *rest), hash="candidate")


def _against_replay(path: Path, live: RuleBook) -> Iterator[tuple[str, str]]:
    started = time.perf_counter()
    count = _backtest(path, live, 1).items
    ours = count / (time.perf_counter() - started)
    started = time.perf_counter()
    for book in (live, candidate_of(live)):
        for _ in replay(load(path, starter_dir()).inputs, book):
            pass
    whole = count / (time.perf_counter() - started)
    yield f"{count:,} of them, one process", f"{ours:,.0f} items/s"
    yield "the same by replay, once for each book", f"{whole:,.0f} items/s"
    yield "ratio", f"{ours / whole:,.1f} x"


def _made(path: Path, count: int) -> Path:
    """Over thirty days, however many."""
    made = ({"source": each.source_id, "title": each.title, "text": each.text, "at": each.first_seen_at}
            for each in items(count, START, 200, apart=30 * DAY // count, every=EVERY))
    return _written(path, made)


def _headlines(data: Path, path: Path) -> Path:
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        rows = map(json.loads, lines)
        return _written(path, ({"source": f"hot-{row['category'] or ''}", "title": row["title"], "at": row["ts"]}
                               for row in rows))


def _written(path: Path, rows: Iterable[dict[str, object]]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path
