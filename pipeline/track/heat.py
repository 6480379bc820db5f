"""How many distinct items of how many independent sources an event has in a window of event time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from dataclasses import dataclass

from pipeline.model import Millis


@dataclass(frozen=True, slots=True)
class Figures:
    items: int
    sources: int


class Heat:
    """The members that count, in order of event time. Their origins are the sources."""

    __slots__ = ("_marks", "_origins")

    def __init__(self) -> None:
        self._marks: list[tuple[Millis, str]] = []
        self._origins: Counter[str] = Counter()

    def add(self, at: Millis, origin: str) -> None:
        insort(self._marks, (at, origin))
        self._origins[origin] += 1

    def remove(self, at: Millis, origin: str) -> None:
        del self._marks[bisect_left(self._marks, (at, origin))]
        self._origins[origin] -= 1
        if not self._origins[origin]:
            del self._origins[origin]

    def total(self) -> Figures:
        return Figures(len(self._marks), len(self._origins))

    def within(self, window: Millis, now: Millis, floor: Millis = 0) -> Figures:
        """Figures of (now - window, now], of members after `floor`."""
        marks = self._marks[self._after(max(now - window, floor)):self._after(now)]
        return Figures(len(marks), len({origin for _, origin in marks}))

    def best_around(self, at: Millis, window: Millis, floor: Millis, items: int, sources: int) -> Figures | None:
        """Figures of the earliest window of this length that holds `at` and reaches both needs; None without one.

        In order of arrival the first window tried is the last there is. A late item may complete a burst whose later
        members are known already: so the highest level does not depend on the order of arrival.
        """
        if len(self._marks) < items or len(self._origins) < sources:
            return None
        end = self._after(at)
        last = bisect_left(self._marks, (at + window,))
        start = self._after(max(at - window, floor))
        inside = Counter(origin for _, origin in self._marks[start:end])
        while True:
            if end - start >= items and len(inside) >= sources:
                return Figures(end - start, len(inside))
            if end >= last:
                return None
            newest, origin = self._marks[end]
            inside[origin] += 1
            end += 1
            while self._marks[start][0] <= newest - window:
                gone = self._marks[start][1]
                inside[gone] -= 1
                if not inside[gone]:
                    del inside[gone]
                start += 1

    def _after(self, at: Millis) -> int:
        return bisect_right(self._marks, at, key=lambda mark: mark[0])
