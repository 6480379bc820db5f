"""How comments, forwards and likes grow: a short series per item, and its sums by minute per event.

Counts come as totals, so a total that is not above the last one changes nothing: repeats and decreases cannot add up.
Views are left out: they are nobody speaking.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

import msgspec

from pipeline.model import Counts, Millis
from pipeline.rulebook.schema import MINUTE

MAX_STEPS = 20
"""Of an item. The newest are a twentieth of the narrowest window apart, older ones further, so that they reach past the
widest one."""
MAX_TOTAL = 2**32 - 1


class Series(msgspec.Struct, frozen=True, array_like=True):
    """An item's totals as they grew; its row takes at most 200 bytes.

    said: which counts the feed gave at first (bits of `_FIELDS`). Only these are summed ever after, so that a feed
    which begins to give likes is not taken for growth. minute, base: when, and the total, at the first sight.
    steps: (minutes since the step before, growth since it), oldest first.
    """

    said: int
    minute: int
    base: int
    steps: tuple[tuple[int, int], ...] = ()

    @property
    def total(self) -> int:
        return self.base + sum(growth for _, growth in self.steps)

    @property
    def last(self) -> int:
        """The minute of the last step."""
        return self.minute + sum(gap for gap, _ in self.steps)

    def marks(self) -> Iterator[tuple[int, int]]:
        """(minute, growth) of each step."""
        minutes = accumulate((gap for gap, _ in self.steps), initial=self.minute)
        next(minutes)
        return zip(minutes, (growth for _, growth in self.steps), strict=True)


_ENCODER = msgspec.msgpack.Encoder()
_SERIES = msgspec.msgpack.Decoder(Series)


def encode_series(series: Series) -> bytes:
    return _ENCODER.encode(series)


def decode_series(row: bytes) -> Series:
    return _SERIES.decode(row)


def begun(counts: Counts, at: Millis) -> Series | None:
    """The series that these first counts begin; None if they give nothing that is summed."""
    said = sum(1 << bit for bit, each in enumerate(_summed(counts)) if each is not None)
    return Series(said, at // MINUTE, _total(counts, said)) if said else None


def extended(
    series: Series, counts: Counts, at: Millis, resolution: Millis, reach: Millis = 0, since: Millis | None = None
) -> Series | None:
    """The series with this record, or None if it says nothing new: no growth, or older than what is known.

    since: when nobody looked from then on. What grew over more than a step is spread evenly over that time.
    """
    growth, minute = _total(counts, series.said) - series.total, at // MINUTE
    if growth <= 0 or minute < series.last:
        return None
    begin = minute if since is None else max(series.last, since // MINUTE)
    if (minute - begin) * MINUTE <= resolution:
        return _stepped(series, minute, growth, resolution, reach)
    for when, part in _spread(growth, begin, minute, -(-resolution // MINUTE)):
        series = _stepped(series, when, part, MINUTE, reach)
    return series


def _spread(growth: int, begin: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    """(minute, growth) of parts of (begin, end], oldest first: the youngest a step long, older ones longer by half.

    A part is put at its first minute, and what cannot be divided goes to older parts: never taken for younger.
    """
    span, ages = end - begin, [0]
    while (age := ages[-1] + max(step, ages[-1] // 2)) < span:
        ages.append(age)
    ages.append(span)
    for older, younger in pairwise(reversed(ages)):
        grown = (-(growth * (younger - span) // span)) - (-(growth * (older - span) // span))
        if grown:
            yield end - older + 1, grown


def _stepped(series: Series, minute: int, growth: int, resolution: Millis, reach: Millis) -> Series:
    """The series with this growth.

    Growth less than `resolution` after the last step becomes part of that step, and so counts as a little older than it
    is, never younger. Where the row has no room for a step more, the oldest goes if it is older than `reach`, the
    widest window; else one becomes part of the step before it.
    """
    last = series.last
    steps, base, start = series.steps, series.base, series.minute
    if steps and (minute - last) * MINUTE < resolution:
        steps = (*steps[:-1], (steps[-1][0], steps[-1][1] + growth))
    else:
        steps = (*steps, (minute - last, growth))
    if len(steps) > MAX_STEPS:
        oldest = start + steps[0][0]
        if (minute - oldest) * MINUTE < reach:
            steps = _coarser(steps)
        else:
            start, base, steps = oldest, base + steps[0][1], steps[1:]
    return Series(series.said, start, base, steps)


def _coarser(steps: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """One step less: the one that ages least by it, in proportion to its age."""
    best, found, age = 0.0, 1, 0
    for at in range(len(steps) - 1, 0, -1):
        gap = steps[at][0]
        if at == len(steps) - 1 or gap / (age + 1) < best:
            best, found = gap / (age + 1), at
        age += gap
    gap, growth = steps[found]
    merged = [*steps[:found - 1], (steps[found - 1][0], steps[found - 1][1] + growth), *steps[found + 1:]]
    if found < len(steps) - 1:
        merged[found] = (merged[found][0] + gap, merged[found][1])
    return tuple(merged)


def _summed(counts: Counts) -> tuple[int | None, ...]:
    return counts.comments, counts.forwards, counts.likes


def _total(counts: Counts, said: int) -> int:
    known = (max(0, each or 0) for bit, each in enumerate(_summed(counts)) if said >> bit & 1)
    return min(sum(known), MAX_TOTAL)


@dataclass(frozen=True, slots=True)
class Grown:
    """amount: comments, forwards and likes that came. sources: independent ones on whose items they came."""

    amount: int
    sources: int


class _Sums:
    """Growth by minute."""

    __slots__ = ("_minutes", "_sums")

    def __init__(self) -> None:
        self._minutes: list[int] = []
        self._sums: dict[int, int] = {}

    def add(self, minute: int, growth: int) -> None:
        """Negative takes out again."""
        new = self._sums.get(minute, 0) + growth
        if minute not in self._sums:
            insort(self._minutes, minute)
        if new:
            self._sums[minute] = new
        else:
            del self._minutes[bisect_left(self._minutes, minute)]
            del self._sums[minute]

    def minutes(self, after: Millis, until: Millis) -> list[int]:
        """Those of (after, until] in which anything grew."""
        first, last = (bisect_right(self._minutes, at // MINUTE) for at in (after, until))
        return self._minutes[first:last]

    def first_from(self, minute: int) -> int | None:
        where = bisect_left(self._minutes, minute)
        return self._minutes[where] if where < len(self._minutes) else None

    def between(self, after: Millis, until: Millis) -> int:
        return sum(self._sums[minute] for minute in self.minutes(after, until))

    def __bool__(self) -> bool:
        return bool(self._minutes)


class Growth:
    """The growth of an event's items, of those that count. It costs by minutes and sources, not by items."""

    __slots__ = ("_all", "_origins")

    def __init__(self) -> None:
        self._all = _Sums()
        self._origins: dict[str, _Sums] = {}

    def shift(self, before: Series | None, after: Series | None, origin: str) -> None:
        """An item's series became another one: only steps that changed are counted anew."""
        old = dict(before.marks()) if before is not None else {}
        new = dict(after.marks()) if after is not None else {}
        own = self._origins.setdefault(origin, _Sums())
        for minute in old.keys() | new.keys():
            if more := new.get(minute, 0) - old.get(minute, 0):
                self._all.add(minute, more)
                own.add(minute, more)
        if not own:
            del self._origins[origin]

    def within(self, window: Millis, now: Millis, floor: Millis = 0) -> Grown:
        """Growth of (now - window, now], of what came after `floor`."""
        return self.between(max(now - window, floor), now)

    def between(self, after: Millis, until: Millis) -> Grown:
        """Of (after, until]. Times are minutes, begun ones included."""
        if not self._all or until <= after:
            return Grown(0, 0)
        sources = sum(bool(own.minutes(after, until)) for own in self._origins.values())
        return Grown(self._all.between(after, until), sources)

    def first_from(self, at: Millis) -> Millis | None:
        """When the first minute at this time or later begins in which anything grew."""
        minute = self._all.first_from(-(-at // MINUTE))
        return None if minute is None else minute * MINUTE
