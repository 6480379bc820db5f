"""Level decisions: enter and leave thresholds, hold times, each decision with its figures and its reason.

Only figures of spread, growth and urgent reports are read here: negative sentiment cannot raise a level.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import ceil

import msgspec

from pipeline.model import Evidence, LevelDecision, Millis, Why
from pipeline.rulebook.schema import Level, Levels, Threshold
from pipeline.track.growth import Grown, Growth, Series
from pipeline.track.heat import Figures, Heat


@dataclass(frozen=True, slots=True)
class Rung:
    """A level as it applies to one subject. by_report: an urgent report alone reaches it.

    by_spread: False where the subject's override does not name it: then nothing else reaches it.
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
        """Of its first threshold: what its figures are shown of."""
        return self.enter[0].window

    def holds(self, signs: Signs, now: Millis, floor: Millis) -> bool:
        """Not under leave."""
        if self.by_report and signs.within(self.window, now, floor).reports:
            return True
        return self.by_spread and any(_holds(need, signs.within(need.window, now, floor)) for need in self.leave)


def _holds(need: Threshold, found: Found) -> bool:
    return (found.items >= need.items and found.sources >= need.sources and found.growth >= need.growth
            and (not need.growth or found.growth_sources >= need.growth_sources))


def share(need: Threshold, ratio: float) -> Threshold:
    """What is left of a threshold when its level is left: this share of it, rounded up, so that it is never 0."""
    return msgspec.structs.replace(
        need, items=ceil(need.items * ratio), sources=ceil(need.sources * ratio), growth=ceil(need.growth * ratio),
        growth_sources=ceil(need.growth_sources * ratio))


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of an event in a window: distinct items of independent sources, growth, urgent reports."""

    items: int
    sources: int
    growth: int = 0
    growth_sources: int = 0
    reports: int = 0


_NO_GROWTH = Growth()
"""Of all events without any: most have one item and never grow, so they share it."""


class Signs:
    """What an event's level is decided on. reports: event times of its urgent reports, in order."""

    __slots__ = ("heat", "growth", "reports")

    def __init__(self) -> None:
        self.heat = Heat()
        self.growth = _NO_GROWTH
        self.reports: tuple[Millis, ...] = ()

    def grow(self, before: Series | None, after: Series | None, origin: str) -> None:
        """The series of an item that counts became another one."""
        if (before is None or not before.steps) and (after is None or not after.steps):
            return
        if self.growth is _NO_GROWTH:
            self.growth = Growth()
        self.growth.shift(before, after, origin)

    def add_report(self, at: Millis) -> None:
        self.reports = tuple(sorted((*self.reports, at)))

    def drop_report(self, at: Millis) -> None:
        where = self.reports.index(at)
        self.reports = self.reports[:where] + self.reports[where + 1:]

    def within(self, window: Millis, now: Millis, floor: Millis = 0) -> Found:
        """Of (now - window, now], of what came after `floor`."""
        figures, grown = self.heat.within(window, now, floor), self.growth.within(window, now, floor)
        reports = bisect_right(self.reports, now) - bisect_right(self.reports, max(now - window, floor))
        return Found(figures.items, figures.sources, grown.amount, grown.sources, max(0, reports))


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


def rise(
    heat: Heat, current: int, ladder: tuple[Rung, ...], *, at: Millis, now: Millis, floor: Millis
) -> LevelDecision | None:
    """The decision that a member at event time `at` brings about, if it raises the level."""
    for rung in reversed(ladder):
        if rung.rank <= current:
            return None
        for need in rung.enter if rung.by_spread else ():
            if not need.growth and (figures := heat.best_around(at, need.window, floor, need.items, need.sources)):
                return _decision(Why.RAISED, rung, need, current, figures, now)
    return None


def rise_by_growth(
    signs: Signs, current: int, ladder: tuple[Rung, ...], *, at: Millis, now: Millis, floor: Millis
) -> LevelDecision | None:
    """The decision that growth at this time brings about, if it raises the level."""
    for rung in reversed(ladder):
        if rung.rank <= current:
            return None
        for need in rung.enter if rung.by_spread else ():
            if need.growth and (grown := signs.growth.best_around(
                    at, need.window, floor, need.growth, need.growth_sources)):
                heat = signs.heat.within(need.window, at, floor)
                return _decision(Why.GROWING, rung, need, current, heat, now, grown)
    return None


def rise_by_report(
    signs: Signs, current: int, ladder: tuple[Rung, ...], *, ref: str, now: Millis, floor: Millis
) -> LevelDecision | None:
    """The decision that an urgent report brings about, if the rules give it a level above this one. ref: its ticket."""
    rung = next((each for each in reversed(ladder) if each.by_report), None)
    if rung is None or rung.rank <= current:
        return None
    figures = signs.heat.within(rung.window, now, floor)
    decided = _decision(Why.REPORTED, rung, rung.enter[0], current, figures, now)
    return LevelDecision(decided.level, current, decided.why, decided.evidence, now, rung.name, ref)


def higher(one: LevelDecision | None, other: LevelDecision | None) -> LevelDecision | None:
    """The decision for the higher level, the first of two for the same."""
    return other if one is None or (other is not None and other.level > one.level) else one


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tick found: a decision if the level falls, else since when the figures lie under leave."""

    decision: LevelDecision | None
    below_since: Millis | None


def settle(
    signs: Signs, current: int, ladder: tuple[Rung, ...], *, now: Millis, floor: Millis, below_since: Millis | None
) -> Standing:
    """A level falls when its figures have lain under leave for the hold time; then to the highest that still holds."""
    rung = next((each for each in reversed(ladder) if each.rank <= current), None)
    if rung is None:                     # the rule book no longer has a level this low: nothing holds it
        return Standing(_fallen(ladder, current, None, signs, now, floor), None)
    if rung.holds(signs, now, floor):
        gone = rung.rank < current       # the rule book has no such level any more: the event has the next lower one
        return Standing(_lowered(rung, current, signs, now, floor) if gone else None, None)
    if below_since is None:
        return Standing(None, now)
    if now - below_since < rung.hold:
        return Standing(None, below_since)
    return Standing(_fallen(ladder, current, rung, signs, now, floor), None)


def _fallen(
    ladder: tuple[Rung, ...], current: int, left: Rung | None, signs: Signs, now: Millis, floor: Millis
) -> LevelDecision:
    for rung in reversed(ladder):
        if rung.rank < current and rung is not left and rung.holds(signs, now, floor):
            return _lowered(rung, current, signs, now, floor)
    need = left.enter[0] if left else Threshold(window=0)
    return LevelDecision(0, current, Why.CALMED, _evidence(need, signs.within(need.window, now, floor), now), now)


def _lowered(rung: Rung, previous: int, signs: Signs, now: Millis, floor: Millis) -> LevelDecision:
    found = _evidence(rung.enter[0], signs.within(rung.window, now, floor), now)
    return LevelDecision(rung.rank, previous, Why.LOWERED, found, now, rung.name)


def _decision(
    why: Why, rung: Rung, need: Threshold, previous: int, figures: Figures, now: Millis, grown: Grown | None = None
) -> LevelDecision:
    evidence = Evidence(figures.items, figures.sources, need.window, now, need.items, need.sources,
                        grown.amount if grown else 0, need.growth if grown else 0)
    return LevelDecision(rung.rank, previous, why, evidence, now, rung.name)


def _evidence(need: Threshold, found: Found, now: Millis) -> Evidence:
    return Evidence(found.items, found.sources, need.window, now, need.items, need.sources, found.growth, need.growth)
