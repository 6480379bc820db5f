"""What matched, on disk between the steps of a backtest: memory holds where it is, not what.

A spool belongs to one process and only grows. Its folder is readable by its owner alone and goes with the backtest.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pipeline.backtest.values import Entry
from pipeline.model import Millis

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Entry])

Key = tuple[Millis, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """Entries in order of (at, place), `first` the first of them."""

    path: str
    offset: int
    length: int
    first: Key
    count: int

    def read(self) -> list[Entry]:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return _DECODER.decode(file.read(self.length))


class Spool:
    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{os.getpid()}.entries"
        self._file = self._path.open("ab")
        self._at = self._path.stat().st_size

    def write(self, entries: list[tuple[Key, bytes]]) -> Segment:
        """Encoded entries with their keys; they are put in order."""
        entries.sort(key=lambda entry: entry[0])
        body = _ENCODER.encode([msgspec.Raw(encoded) for _, encoded in entries])
        self._file.write(body)
        self._file.flush()
        made = Segment(str(self._path), self._at, len(body), entries[0][0], len(entries))
        self._at += len(body)
        return made

    def close(self) -> None:
        self._file.close()


def encode(entry: Entry) -> bytes:
    return _ENCODER.encode(entry)


def merged(segments: Iterable[Segment]) -> Iterator[Entry]:
    """All entries in order. Segments are opened when their turn comes: of history in order few are open at once."""
    waiting = sorted(segments, key=lambda segment: segment.first, reverse=True)
    heap: list[tuple[Key, int, Entry, Iterator[Entry]]] = []
    opened = 0
    while waiting or heap:
        while waiting and (not heap or waiting[-1].first <= heap[0][0]):
            entries = iter(waiting.pop().read())
            entry = next(entries)
            opened += 1
            heapq.heappush(heap, ((entry.at, entry.place), opened, entry, entries))
        _, number, entry, entries = heap[0]
        yield entry
        following = next(entries, None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, ((following.at, following.place), number, following, entries))
