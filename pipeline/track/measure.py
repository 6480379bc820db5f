"""The factors of levels.yml: what each comes to in a window, and the earliest window that reaches a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import sqrt
from zoneinfo import ZoneInfo

from pipeline.model import Evidence, Factor, Millis
from pipeline.rulebook.factors import written
from pipeline.rulebook.schema import HOUR, Threshold
from pipeline.track.signs import Signs

_Z = 1.6448536269514722
"""Of a two-sided interval of 90 %."""
_SLACK = 1e-6
"""What a product of floats may come out above the whole number that is meant."""


def lower_share(found: int, judged: int) -> float:
    """What the share of `found` among so many can be said to be at least: the lower end of Wilson's 90 % interval."""
    if not judged:
        return 0.0
    share, z = found / judged, _Z * _Z / judged
    return max(0.0, (share + z / 2 - sqrt(z * share * (1 - share) + z * z / 4)) / (1 + z))


@lru_cache(maxsize=64)
def _day(zone: str, at_hour: int) -> tuple[Millis, Millis]:
    """Begin of the local day that this hour (since the epoch) begins in, and of the next."""
    begin = datetime.fromtimestamp(at_hour * HOUR / 1000, ZoneInfo(zone)).replace(
        hour=0, minute=0, second=0, microsecond=0)
    return int(begin.timestamp() * 1000), int((begin + timedelta(days=1)).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Measure:
    """What the rules say of a subject's factors: its impact, an interaction in items, the zone of days."""

    impact: int = 1
    interaction: float = 0.01
    zone: str = "Asia/Shanghai"

    def day(self, at: Millis) -> tuple[Millis, Millis]:
        """Begin of its local day, and of the next."""
        begin, end = _day(self.zone, at // HOUR)
        return (begin, end) if at < end else _day(self.zone, at // HOUR + 1)

    def reaches(self, signs: Signs, need: Threshold, end: Millis, floor: Millis) -> bool:
        """Whether the window that ends there reaches all of it, of what came after `floor`."""
        return self._could(signs, need, end, end, floor)

    def search(self, signs: Signs, need: Threshold, first: Millis, last: Millis, floor: Millis) -> Millis | None:
        """The end of the earliest window that reaches it, of those that end at `first`, or in (first, last] where
        something came. Times between are halved, and halves in which no window could reach it are left out."""
        if self._could(signs, need, first, first, floor):
            return first
        todo = [(first + 1, last)]
        while todo:
            low, high = todo.pop()
            begin = self._came(signs, need, low)
            if begin is None or begin > high or not self._could(signs, need, begin, high, floor):
                continue
            if begin == high or self._could(signs, need, begin, begin, floor):
                return begin
            middle = (begin + high) // 2
            todo.append((middle + 1, high))
            if middle > begin:
                todo.append((begin + 1, middle))
        return None

    def _came(self, signs: Signs, need: Threshold, at: Millis) -> Millis | None:
        """When, at this time or later, something came that the threshold may count."""
        times = [signs.heat.first_from(at)]
        if need.growth or need.heat:
            times.append(signs.growth.first_from(at))
        if need.official:
            times.append(signs.details.official.first_from(at))
        return min((each for each in times if each is not None), default=None)

    def _could(self, signs: Signs, need: Threshold, first: Millis, last: Millis, floor: Millis) -> bool:
        """Whether a window that ends in [first, last] might reach it; of one end: whether it does.

        What only grows is counted over all these windows together, what lowers a share over what they have in common.
        """
        after = max(first - need.window, floor)
        items = signs.heat.items(after, last)
        if items < need.items or items * HOUR < need.speed * need.window - _SLACK or self.impact < need.impact:
            return False
        if need.sources and signs.heat.sources_up_to(need.sources, after, last) < need.sources:
            return False
        if need.growth or need.heat:
            grown = signs.growth.between(after, last)
            if grown.amount < need.growth or items + self.interaction * grown.amount < need.heat - _SLACK:
                return False
            if need.growth and grown.sources < need.growth_sources:
                return False
        if need.groups and signs.details.groups(after, last) < need.groups:
            return False
        if need.official and self._official(signs, first, last, floor) < need.official:
            return False
        return not need.negative or _share(signs, after, last, max(last - need.window, floor), first) >= need.negative

    def _official(self, signs: Signs, first: Millis, last: Millis, floor: Millis) -> int:
        return signs.details.official.between(max(self.day(first)[0] - 1, floor), last)

    def factors(self, signs: Signs, need: Threshold, end: Millis, floor: Millis) -> tuple[Factor, ...]:
        """What each factor of the threshold comes to in the window that ends there."""
        return tuple(Factor(name, float(self._value(name, signs, need.window, end, floor)), float(asked))
                     for name, asked in written(need).items())

    def _value(self, name: str, signs: Signs, window: Millis, end: Millis, floor: Millis) -> float:
        after = max(end - window, floor)
        match name:
            case "items":
                return signs.heat.items(after, end)
            case "sources":
                return signs.heat.sources(after, end)
            case "groups":
                return signs.details.groups(after, end)
            case "speed":
                return round(signs.heat.items(after, end) * HOUR / window, 2)
            case "heat":
                grown = signs.growth.between(after, end).amount
                return round(signs.heat.items(after, end) + self.interaction * grown, 2)
            case "growth":
                return signs.growth.between(after, end).amount
            case "growth_sources":
                return signs.growth.between(after, end).sources
            case "negative":
                return round(_share(signs, after, end, after, end), 4)
            case "impact":
                return self.impact
            case "official":
                return self._official(signs, end, end, floor)
        raise ValueError(f"no factor is called {name}")

    def evidence(self, signs: Signs, need: Threshold, end: Millis, floor: Millis, now: Millis) -> Evidence:
        """The figures of the window that ends there, beside what the threshold asks for. now: of the decision."""
        figures, grown = signs.heat.within(need.window, end, floor), signs.growth.within(need.window, end, floor)
        return Evidence(
            figures.items, figures.sources, need.window, now, need.items, need.sources, grown.amount, need.growth,
            self.factors(signs, need, end, floor))


def _share(signs: Signs, after: Millis, until: Millis, common_after: Millis, common_until: Millis) -> float:
    """What the negative share is at least: of negative items of the one span and of others of the other."""
    negative = signs.details.negative.between(after, until)
    return lower_share(negative, negative + signs.details.others.between(common_after, common_until))
