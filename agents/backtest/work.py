"""What each process of a backtest does: read a part of the history under both books, then play subjects.

Processes are started anew, not forked, so a job is plain values; what they find goes to their spool, and only where it
is comes back.
"""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from agents.backtest.history import Part
from agents.backtest.spill import Key, Segment, Spool, encode, merged
from pipeline.backtest.play import play
from pipeline.backtest.read import Reader, Seen
from pipeline.backtest.values import Entry, Grid, Played
from pipeline.model import OPEN_SUBJECT, Millis
from pipeline.rulebook.schema import RuleBook
from pipeline.topics import item_key

LIVE, CANDIDATE, BOTH = "live", "candidate", "both"
"""Whose entries a stream holds. BOTH: the books see the same in them."""
EXAMPLES = 3

Stream = tuple[str, str]
"""(side, bucket). A bucket is a subject, or a slice of the open subject (`*/17`)."""


@dataclass(frozen=True, slots=True)
class Job:
    """since, until: of a file, what lies outside is left out. with_ids: counts have to find the items they are of."""

    live: bytes
    candidate: bytes
    folder: Path
    open_subject: bool = False
    since: Millis | None = None
    until: Millis | None = None
    with_ids: bool = False


def examples(titles: Iterable[tuple[Key, str]]) -> list[tuple[Key, str]]:
    """The first few titles that differ, each where it first came."""
    first: dict[str, Key] = {}
    for key, title in sorted(titles):
        first.setdefault(title, key)
    return [(key, title) for title, key in islice(first.items(), EXAMPLES)]


@dataclass(slots=True)
class Tally:
    """Of a subject: contents that live, candidate, candidate alone and live alone match; the first titles of the last
    two, with their keys."""

    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    gained: list[tuple[Key, str]] = field(default_factory=list)
    lost: list[tuple[Key, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.gained = examples(self.gained + other.gained)
        self.lost = examples(self.lost + other.lost)


@dataclass(slots=True)
class Found:
    """What a part held. times: of its first and last item in the span. ids: of a stream's items."""

    items: int = 0
    counts: int = 0
    times: tuple[Millis, Millis] | None = None
    tallies: dict[str, Tally] = field(default_factory=dict)
    segments: dict[Stream, Segment] = field(default_factory=dict)
    ids: dict[Stream, list[str]] = field(default_factory=dict)
    grown: Segment | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A bucket to play under one book."""

    side: str
    bucket: str
    segments: tuple[Segment, ...]

    @property
    def size(self) -> int:
        return sum(segment.count for segment in self.segments)


class Worker:
    """In a process of its own, or in the caller's."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._books = {LIVE: msgspec.msgpack.decode(job.live, type=RuleBook),
                       CANDIDATE: msgspec.msgpack.decode(job.candidate, type=RuleBook)}
        self._books[BOTH] = self._books[LIVE]
        self._reader: Reader | None = None
        self._spool = Spool(job.folder)

    def read(self, part: Part) -> Found:
        if self._reader is None:
            self._reader = Reader(self._books[LIVE], self._books[CANDIDATE], open_subject=self._job.open_subject)
        found, rows = Found(), _Rows()
        first, last = 0, 0
        for place, item in part.items():
            at = item.first_seen_at
            if not self._inside(at):
                continue
            first, last = (min(first, at), max(last, at)) if found.items else (at, at)
            found.items += 1
            seen = self._reader.read(item)
            if seen is not None:
                _count(found, (at, place), *seen)
                rows.add((at, place), *seen)
        found.times = (first, last) if found.items else None
        found.segments = {stream: self._spool.write(entries) for stream, entries in rows.streams.items()}
        if self._job.with_ids:
            found.ids = rows.ids
            found.grown = self._grown(part, found)
        return found

    def play(self, tasks: Iterable[Task], grid: Grid) -> list[tuple[Task, Played]]:
        """Each under the book of its side."""
        return [(task, play(merged(task.segments), self._books[task.side], task.bucket.partition("/")[0], grid))
                for task in tasks]

    def close(self) -> None:
        self._spool.close()

    def _grown(self, part: Part, found: Found) -> Segment | None:
        rows = [((counts.at, place), encode(Entry(counts.at, place, counts=counts))) for place, counts in part.counts()]
        found.counts = len(rows)
        return self._spool.write(rows) if rows else None

    def _inside(self, at: Millis) -> bool:
        since, until = self._job.since, self._job.until
        return (since is None or at >= since) and (until is None or at < until)


class _Rows:
    """Encoded entries by stream; an item that several subjects match is encoded once."""

    def __init__(self) -> None:
        self.streams: defaultdict[Stream, list[tuple[Key, bytes]]] = defaultdict(list)
        self.ids: defaultdict[Stream, list[str]] = defaultdict(list)

    def add(self, key: Key, live: Seen, candidate: Seen) -> None:
        if live.base is candidate.base:
            both = [subject for subject in live.subjects if subject in candidate.subjects]
            self._put(BOTH, key, live, both)
            self._put(LIVE, key, live, [each for each in live.subjects if each not in both])
            self._put(CANDIDATE, key, live, [each for each in candidate.subjects if each not in both])
        else:
            self._put(LIVE, key, live, live.subjects)
            self._put(CANDIDATE, key, candidate, candidate.subjects)

    def _put(self, side: str, key: Key, seen: Seen, subjects: Iterable[str]) -> None:
        encoded = None
        for subject in subjects:
            encoded = encoded or encode(Entry(*key, seen.base))
            stream = side, item_key(seen.base, subject) if subject == OPEN_SUBJECT else subject
            self.streams[stream].append((key, encoded))
            self.ids[stream].append(seen.base.item.id)


def _count(found: Found, key: Key, live: Seen, candidate: Seen) -> None:
    for subject in dict.fromkeys((*live.subjects, *candidate.subjects)):
        tally = found.tallies.get(subject)
        if tally is None:
            tally = found.tallies[subject] = Tally()
        old, new = subject in live.subjects, subject in candidate.subjects
        tally.counts[0] += old
        tally.counts[1] += new
        tally.counts[2] += new and not old
        tally.counts[3] += old and not new
        if old != new:
            titles = tally.gained if new else tally.lost
            titles.append((key, live.base.item.title or live.base.item.text))
            if len(titles) > 20 * EXAMPLES:     # a file may be out of order: the first are known at its end
                titles[:] = examples(titles)


# ---------------------------------------------------------------- in a pool

_worker: Worker | None = None


def start(job: Job) -> None:
    """Before anything is asked of this process."""
    global _worker
    _worker = Worker(job)


def start_alone(job: Job) -> None:
    """The same in a process of a pool: who interrupts the command is answered by its parent alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start(job)


def stop() -> None:
    global _worker
    if _worker is not None:
        _worker.close()
    _worker = None


def read(part: Part) -> Found:
    assert _worker is not None
    return _worker.read(part)


def play_all(tasks: tuple[Task, ...], grid: Grid) -> list[tuple[Task, Played]]:
    assert _worker is not None
    return _worker.play(tasks, grid)
