"""Level decisions: enter and leave thresholds, hold times, each decision with its figures and its reason.

A threshold that reads sentiment asks for spread too (rulebook/checks_levels.py): sentiment alone cannot raise a level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from math import ceil

import msgspec

from pipeline.ids import digest
from pipeline.model import Evidence, Factor, LevelDecision, Millis, Why
from pipeline.rulebook.factors import SPREAD
from pipeline.rulebook.schema import Level, Levels, Threshold
from pipeline.track.heat import Figures
from pipeline.track.measure import Measure
from pipeline.track.signs import Signs


class Came(Enum):
    """What may have completed a threshold."""

    ITEM = "item"
    GROWTH = "growth"
    OFFICIAL = "official"


@dataclass(frozen=True, slots=True)
class Rung:
    """A level as it applies to one subject. enter, leave: any of these reaches it, keeps it.

    by_report: an urgent report alone reaches it. by_spread: False where the subject's override does not name it: then
    nothing else reaches it.
    """

    rank: int
    name: str
    enter: tuple[Threshold, ...]
    leave: tuple[Threshold, ...]
    hold: Millis
    by_report: bool = False
    by_spread: bool = True

    @property
    def window(self) -> Millis:
        """Of its first threshold: how long a report keeps it, and what its figures are shown of."""
        return self.enter[0].window

    def holds(self, signs: Signs, measure: Measure, now: Millis, floor: Millis) -> bool:
        """Not under leave."""
        if self.by_report and signs.reported(max(now - self.window, floor), now):
            return True
        return self.by_spread and any(measure.reaches(signs, need, now, floor) for need in self.leave)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs of a subject, lowest first, and how its factors are measured."""

    rungs: tuple[Rung, ...]
    measure: Measure = Measure()

    def __iter__(self) -> Iterator[Rung]:
        return iter(self.rungs)

    def __reversed__(self) -> Iterator[Rung]:
        return reversed(self.rungs)

    @property
    def mark(self) -> str:
        """Of two ladders the same when they judge alike."""
        return digest("ladder", msgspec.json.encode((self.rungs, self.measure)).decode(), size=4)


def share(need: Threshold, ratio: float) -> Threshold:
    """What is left of a threshold when its level is left: this share of each factor that time changes; of counts
    rounded up, so that none is 0."""
    counts = {name: ceil(getattr(need, name) * ratio)
              for name in ("items", "sources", "groups", "growth", "growth_sources", "official")}
    rates = {name: getattr(need, name) * ratio for name in ("speed", "heat", "negative")}
    return msgspec.structs.replace(need, **counts, **rates)


def ladder_for(levels: Levels, subject: str) -> tuple[Rung, ...]:
    """The rungs of a subject, lowest first; an override names the only ones it has.

    But the level that the rules name for urgent reports is there for them: people, not figures, say that it matters.
    """
    override = next((each.enter for each in levels.overrides if each.subject == subject), None)
    urgent = next((rank for rank, level in enumerate(levels.ladder, 1) if level.name == levels.events.urgent_level), 0)
    return tuple(
        _rung(rank, level, (override or {}).get(level.name), rank <= urgent, override is None or level.name in override)
        for rank, level in enumerate(levels.ladder, start=1)
        if override is None or level.name in override or rank == urgent
    )


def _rung(rank: int, level: Level, own: tuple[Threshold, ...] | None, by_report: bool, by_spread: bool) -> Rung:
    """own: the subject's thresholds for this level, if it has any."""
    enter = own or level.enter
    leave = level.leave if own is None and level.leave else tuple(share(each, level.leave_ratio) for each in enter)
    return Rung(rank, level.name, enter, leave, level.hold, by_report, by_spread)


# ---------------------------------------------------------------- up


def rise(
    signs: Signs, current: int, ladder: Ladder, *, at: Millis, now: Millis, floor: Millis, came: Came = Came.ITEM
) -> LevelDecision | None:
    """The decision that what came at event time `at` brings about, if it raises the level.

    Every window that holds `at` is looked at, those that end later too: a late item may complete one whose later
    members are known already, so the highest level does not depend on the order of arrival.
    """
    for rung in reversed(ladder):
        if rung.rank <= current:
            return None
        for need in rung.enter if rung.by_spread else ():
            if came not in completed_by(need):
                continue
            found = _around(signs, need, ladder.measure, at, floor, came, now)
            if found is not None:
                return LevelDecision(rung.rank, current, reason(need), found, now, rung.name)
    return None


@lru_cache(maxsize=4096)
def completed_by(need: Threshold) -> frozenset[Came]:
    """What can be the last that this threshold wanted."""
    found = {Came.ITEM} if need.negative or any(getattr(need, name) for name in SPREAD) else set()
    if need.growth or need.heat:
        found.add(Came.GROWTH)
    if need.official:
        found.add(Came.OFFICIAL)
    return frozenset(found)


def reason(need: Threshold) -> Why:
    """Why a level rises that this threshold reaches: by items, or by what people did with them."""
    return Why.RAISED if any(getattr(need, name) for name in SPREAD) else Why.GROWING


def _around(
    signs: Signs, need: Threshold, measure: Measure, at: Millis, floor: Millis, came: Came, now: Millis
) -> Evidence | None:
    """Of the earliest window that holds `at` and reaches all of it. Items and sources alone have a way of their own."""
    if came is Came.ITEM and _plain(need):
        figures = signs.heat.best_around(at, need.window, floor, need.items, need.sources)
        return None if figures is None else _spread(need, figures, now)
    last = measure.day(at)[1] - 1 if came is Came.OFFICIAL else at + need.window - 1
    end = measure.search(signs, need, at, last, floor)
    return None if end is None else measure.evidence(signs, need, end, floor, now)


def _plain(need: Threshold) -> bool:
    return not (need.groups or need.speed or need.heat or need.growth or need.negative or need.impact or need.official)


def _spread(need: Threshold, figures: Figures, now: Millis) -> Evidence:
    factors = tuple(Factor(name, float(have), float(asked)) for name, have, asked in (
        ("items", figures.items, need.items), ("sources", figures.sources, need.sources)) if asked)
    return Evidence(figures.items, figures.sources, need.window, now, need.items, need.sources, factors=factors)


def rise_by_report(
    signs: Signs, current: int, ladder: Ladder, *, ref: str, now: Millis, floor: Millis
) -> LevelDecision | None:
    """The decision that an urgent report brings about, if the rules give it a level above this one. ref: its ticket."""
    rung = next((each for each in reversed(ladder) if each.by_report), None)
    if rung is None or rung.rank <= current:
        return None
    found = ladder.measure.evidence(signs, rung.enter[0], now, floor, now)
    return LevelDecision(rung.rank, current, Why.REPORTED, found, now, rung.name, ref)


def higher(one: LevelDecision | None, other: LevelDecision | None) -> LevelDecision | None:
    """The decision for the higher level, the first of two for the same."""
    return other if one is None or (other is not None and other.level > one.level) else one


# ---------------------------------------------------------------- down


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tick found: a decision if the level falls, else since when the figures lie under leave."""

    decision: LevelDecision | None
    below_since: Millis | None


def settle(
    signs: Signs, current: int, ladder: Ladder, *, now: Millis, floor: Millis, below_since: Millis | None
) -> Standing:
    """A level falls when its figures have lain under leave for the hold time; then to the highest that still holds."""
    rung = next((each for each in reversed(ladder) if each.rank <= current), None)
    if rung is None:                     # the rule book no longer has a level this low: nothing holds it
        return Standing(_fallen(ladder, current, None, signs, now, floor), None)
    if rung.holds(signs, ladder.measure, now, floor):
        gone = rung.rank < current       # the rule book has no such level any more: the event has the next lower one
        return Standing(_lowered(rung, current, ladder, signs, now, floor) if gone else None, None)
    if below_since is None:
        return Standing(None, now)
    if now - below_since < rung.hold:
        return Standing(None, below_since)
    return Standing(_fallen(ladder, current, rung, signs, now, floor), None)


def _fallen(
    ladder: Ladder, current: int, left: Rung | None, signs: Signs, now: Millis, floor: Millis
) -> LevelDecision:
    for rung in reversed(ladder):
        if rung.rank < current and rung is not left and rung.holds(signs, ladder.measure, now, floor):
            return _lowered(rung, current, ladder, signs, now, floor)
    need = left.enter[0] if left else Threshold(window=0)
    return LevelDecision(0, current, Why.CALMED, ladder.measure.evidence(signs, need, now, floor, now), now)


def _lowered(
    rung: Rung, previous: int, ladder: Ladder, signs: Signs, now: Millis, floor: Millis
) -> LevelDecision:
    found = ladder.measure.evidence(signs, rung.enter[0], now, floor, now)
    return LevelDecision(rung.rank, previous, Why.LOWERED, found, now, rung.name)
