"""A backtest from end to end: read all parts, play all subjects, compare. The result does not depend on how many
processes there are."""

from __future__ import annotations

import multiprocessing
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import msgspec

from agents.backtest import work
from agents.backtest.history import Part
from agents.backtest.spill import Segment, Spool, encode, merged
from agents.backtest.work import BOTH, CANDIDATE, LIVE, Found, Job, Stream, Tally, Task
from pipeline.backtest.compare import Comparison, Mark, Matches, Side, compare
from pipeline.backtest.pages import escalated, pages
from pipeline.backtest.play import judged_alike
from pipeline.backtest.values import Entry, Grid, Played
from pipeline.errors import WenxunError
from pipeline.model import Millis
from pipeline.rulebook.schema import RuleBook

TASKS_OF = 2_000
"""Entries that are worth a call to another process; smaller buckets go together."""


class Progress(Protocol):
    def read(self, items: int) -> None:
        """So many items were read, in all."""

    def played(self, done: int, of: int) -> None:
        """So many entries of those that matched are played."""


@dataclass(frozen=True, slots=True)
class Result:
    """first, last: times of the first and the last item. items: with edits. counts: records of them."""

    comparison: Comparison
    live: Side
    candidate: Side
    first: Millis
    last: Millis
    items: int
    counts: int


@dataclass(slots=True)
class _History:
    items: int = 0
    counts: int = 0
    first: Millis = 0
    last: Millis = 0
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    segments: dict[Stream, list[Segment]] = field(default_factory=lambda: defaultdict(list))
    buckets_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    grown: list[Segment] = field(default_factory=list)

    def add(self, found: Found) -> None:
        self.counts += found.counts
        if found.times is not None:
            self.first = min(self.first, found.times[0]) if self.items else found.times[0]
            self.last = max(self.last, found.times[1])
        self.items += found.items
        for subject, tally in found.tallies.items():
            self.tallies[subject].add(tally)
        for stream, segment in found.segments.items():
            self.segments[stream].append(segment)
        for (_, bucket), ids in found.ids.items():
            for ident in ids:
                known = self.buckets_of.get(ident, ())
                if bucket not in known:
                    self.buckets_of[ident] = (*known, bucket)
        if found.grown is not None:
            self.grown.append(found.grown)


def backtest(
    live: RuleBook, candidate: RuleBook, parts: Iterable[Part], marks: Sequence[Mark] = (), *, jobs: int = 1,
    progress: Progress, **how: Any
) -> Result | None:
    """None if the span has no items. how: see work.Job. WenxunError of a part that cannot be read."""
    encoder = msgspec.msgpack.Encoder()
    with TemporaryDirectory(prefix="wenxun-backtest-") as folder:
        job = Job(encoder.encode(live), encoder.encode(candidate), Path(folder), **how)
        with _crew(job, jobs) as crew:
            history = _read(crew, parts, progress)
            if not history.items:
                return None
            _spread_counts(history, Path(folder))
            grid = Grid.of(history.first, history.last)
            played = _play(crew, list(_tasks(history, live, candidate)), grid, progress)
    old, new = _side(live, played[LIVE], grid), _side(candidate, played[CANDIDATE], grid)
    matches = {subject: _matches(tally) for subject, tally in sorted(history.tallies.items())}
    comparison = compare(old, new, matches, marks, (history.first, history.last))
    return Result(comparison, old, new, history.first, history.last, history.items, history.counts)


def _side(book: RuleBook, played: list[Played], grid: Grid) -> Side:
    steps = [step for each in played for step in each.steps]
    return Side(book, tuple(played), tuple(pages(escalated(steps, book, grid))))


def _matches(tally: Tally) -> Matches:
    live, candidate, gained, lost = tally.counts
    return Matches(live, candidate, gained, lost, tuple(title for _, title in tally.gained),
                   tuple(title for _, title in tally.lost))


# ---------------------------------------------------------------- read


def _read(crew: Crew, parts: Iterable[Part], progress: Progress) -> _History:
    history = _History()
    for found in crew.each(work.read, ((part,) for part in parts)):
        history.add(found)
        progress.read(history.items)
    return history


def _spread_counts(history: _History, folder: Path) -> None:
    """Counts name an item, not a subject: each goes to the buckets that have the item."""
    if not history.grown:
        return
    spool = Spool(folder)
    waiting: defaultdict[str, list[Any]] = defaultdict(list)
    for entry in merged(history.grown):
        for bucket in _buckets(history, entry):
            rows = waiting[bucket]
            rows.append(((entry.at, entry.place), encode(entry)))
            if len(rows) == TASKS_OF:
                history.segments[BOTH, bucket].append(spool.write(rows))
                del waiting[bucket]
    for bucket, rows in waiting.items():
        history.segments[BOTH, bucket].append(spool.write(rows))
    spool.close()


def _buckets(history: _History, entry: Entry) -> Iterator[str]:
    if entry.counts is not None:
        for row in entry.counts.items:
            yield from history.buckets_of.get(row.item_id, ())


# ---------------------------------------------------------------- play


def _tasks(history: _History, live: RuleBook, candidate: RuleBook) -> Iterator[Task]:
    """A bucket in which both books see the same, and judge it by the same rules, is played once."""
    alike = judged_alike(live, candidate)
    for bucket in sorted({bucket for _, bucket in history.segments}):
        both, old, new = (tuple(history.segments.get((side, bucket), ())) for side in (BOTH, LIVE, CANDIDATE))
        if not old and not new and alike(bucket.partition("/")[0]):
            yield Task(BOTH, bucket, both)
            continue
        yield Task(LIVE, bucket, both + old)
        yield Task(CANDIDATE, bucket, both + new)


def _play(crew: Crew, tasks: list[Task], grid: Grid, progress: Progress) -> dict[str, list[Played]]:
    """By side, in order of bucket; the largest are begun first."""
    tasks.sort(key=lambda task: (-task.size, task.bucket, task.side))
    of, done = sum(task.size for task in tasks), 0
    found: list[tuple[Task, Played]] = []
    for some in crew.each(work.play_all, ((group, grid) for group in _grouped(tasks))):
        found += some
        done += sum(task.size for task, _ in some)
        progress.played(done, of)
    found.sort(key=lambda each: each[0].bucket)
    return {side: [played for task, played in found if task.side in (side, BOTH)] for side in (LIVE, CANDIDATE)}


def _grouped(tasks: Iterable[Task]) -> Iterator[tuple[Task, ...]]:
    group: list[Task] = []
    for task in tasks:
        group.append(task)
        if sum(each.size for each in group) >= TASKS_OF or len(group) >= 200:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)


# ---------------------------------------------------------------- processes


@contextmanager
def _crew(job: Job, jobs: int) -> Iterator[Crew]:
    if jobs == 1:
        work.start(job)
        try:
            yield Crew(None, 1)
        finally:
            work.stop()
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), work.start_alone, (job,))
    try:
        yield Crew(pool, jobs)
    except BrokenProcessPool:
        raise WenxunError(f"{jobs} 个进程中有一个被系统结束了，多半是内存不够：用 --jobs 1 再试") from None
    finally:
        pool.shutdown(cancel_futures=True)


class Crew:
    """Calls in other processes, results in the order of the calls; without a pool they are made here."""

    def __init__(self, pool: ProcessPoolExecutor | None, jobs: int) -> None:
        self._pool, self._jobs = pool, jobs

    def each(self, call: Callable[..., Any], args: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """At most a few calls ahead of what was taken, so that what waits stays small."""
        waiting: deque[Future[Any]] = deque()
        for given in args:
            if self._pool is None:
                yield call(*given)
                continue
            waiting.append(self._pool.submit(call, *given))
            if len(waiting) > 2 * self._jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
