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
    """The members that count, in order of event time; their origins, the sources, each with its times.

    Figures are found by halving, so that an item costs the same in an event of ten members and of ten thousand.
    """

    __slots__ = ("_marks", "_origins")

    def __init__(self) -> None:
        self._marks: list[tuple[Millis, str]] = []
        self._origins: dict[str, list[Millis]] = {}

    def add(self, at: Millis, origin: str) -> None:
        insort(self._marks, (at, origin))
        insort(self._origins.setdefault(origin, []), at)

    def remove(self, at: Millis, origin: str) -> None:
        del self._marks[bisect_left(self._marks, (at, origin))]
        times = self._origins[origin]
        del times[bisect_left(times, at)]
        if not times:
            del self._origins[origin]

    def total(self) -> Figures:
        return Figures(len(self._marks), len(self._origins))

    def within(self, window: Millis, now: Millis, floor: Millis = 0) -> Figures:
        """Figures of (now - window, now], of members after `floor`."""
        return self._between(max(now - window, floor), now)

    def _between(self, after: Millis, until: Millis) -> Figures:
        """Figures of (after, until]."""
        return Figures(self.items(after, until), self.sources(after, until))

    def items(self, after: Millis, until: Millis) -> int:
        """Of (after, until]."""
        return max(0, self._after(until) - self._after(after))

    def sources(self, after: Millis, until: Millis) -> int:
        """Of items of (after, until]."""
        return self.sources_up_to(len(self._origins), after, until)

    def sources_up_to(self, enough: int, after: Millis, until: Millis) -> int:
        """The same, but counted no further than this: whether it is reached is mostly known after a few."""
        found = 0
        if until <= after:
            return found
        for times in self._origins.values():
            if found >= enough:
                break
            newest = times[-1]
            if newest > after and (newest <= until or bisect_right(times, until) > bisect_right(times, after)):
                found += 1
        return found

    def first_from(self, at: Millis) -> Millis | None:
        """When the first item at this time or later was."""
        where = bisect_left(self._marks, (at, ""))
        return self._marks[where][0] if where < len(self._marks) else None

    def best_around(self, at: Millis, window: Millis, floor: Millis, items: int, sources: int) -> Figures | None:
        """Figures of the earliest window of this length that holds `at` and reaches both needs; None without one.

        In order of arrival the first window tried is the last there is. A late item may complete a burst whose later
        members are known already: so the highest level does not depend on the order of arrival.
        """
        if len(self._marks) < items or len(self._origins) < sources:
            return None
        begin = max(at - window, floor)
        found = self._between(begin, at)
        if found.items >= items and found.sources >= sources:
            return found
        widest = self._between(begin, at + window - 1)
        if widest.items < items or widest.sources < sources:
            return None
        start, end, last = self._after(begin), self._after(at), self._after(at + window - 1)
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
        return bisect_left(self._marks, (at + 1, ""))
