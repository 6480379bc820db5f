"""Level decisions: enter and leave thresholds, hold times, each decision with its figures and its reason.

Only figures of spread and speed are read here: negative sentiment cannot raise a level.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from pipeline.model import Evidence, LevelDecision, Millis, Why
from pipeline.rulebook.schema import Levels, Threshold
from pipeline.track.heat import Figures, Heat


@dataclass(frozen=True, slots=True)
class Rung:
    """A level as it applies to one subject."""

    rank: int
    name: str
    enter: Threshold
    leave_ratio: float
    hold: Millis

    def holds(self, figures: Figures) -> bool:
        """Not under leave. Leave is a share of enter, rounded up, so that it is never 0."""
        return (figures.items >= ceil(self.enter.items * self.leave_ratio)
                and figures.sources >= ceil(self.enter.sources * self.leave_ratio))


def ladder_for(levels: Levels, subject: str) -> tuple[Rung, ...]:
    """The rungs of a subject, lowest first; an override names the only ones it has."""
    override = next((each.enter for each in levels.overrides if each.subject == subject), None)
    return tuple(
        Rung(rank, level.name, level.enter if override is None else override[level.name], level.leave_ratio, level.hold)
        for rank, level in enumerate(levels.ladder, start=1)
        if override is None or level.name in override
    )


def rise(
    heat: Heat, current: int, ladder: tuple[Rung, ...], *, at: Millis, now: Millis, floor: Millis
) -> LevelDecision | None:
    """The decision that a member at event time `at` brings about, if it raises the level."""
    for rung in reversed(ladder):
        if rung.rank <= current:
            return None
        need = rung.enter
        figures = heat.best_around(at, need.window, floor, need.items, need.sources)
        if figures is not None:
            return _decision(Why.RAISED, rung, current, figures, now)
    return None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tick found: a decision if the level falls, else since when the figures lie under leave."""

    decision: LevelDecision | None
    below_since: Millis | None


def settle(
    heat: Heat, current: int, ladder: tuple[Rung, ...], *, now: Millis, floor: Millis, below_since: Millis | None
) -> Standing:
    """A level falls when its figures have lain under leave for the hold time; then to the highest that still holds."""
    rung = next((each for each in reversed(ladder) if each.rank <= current), None)
    if rung is None:                     # the rule book no longer has a level this low: nothing holds it
        return Standing(_fallen(ladder, current, None, heat, now, floor), None)
    figures = heat.within(rung.enter.window, now, floor)
    if rung.holds(figures):
        gone = rung.rank < current       # the rule book has no such level any more: the event has the next lower one
        return Standing(_decision(Why.LOWERED, rung, current, figures, now) if gone else None, None)
    if below_since is None:
        return Standing(None, now)
    if now - below_since < rung.hold:
        return Standing(None, below_since)
    return Standing(_fallen(ladder, current, rung, heat, now, floor), None)


def _fallen(
    ladder: tuple[Rung, ...], current: int, left: Rung | None, heat: Heat, now: Millis, floor: Millis
) -> LevelDecision:
    for rung in reversed(ladder):
        if rung.rank < current and rung is not left:
            figures = heat.within(rung.enter.window, now, floor)
            if rung.holds(figures):
                return _decision(Why.LOWERED, rung, current, figures, now)
    window = left.enter.window if left else 0
    figures = heat.within(window, now, floor)
    evidence = Evidence(figures.items, figures.sources, window, now,
                        left.enter.items if left else 0, left.enter.sources if left else 0)
    return LevelDecision(0, current, Why.CALMED, evidence, now)


def _decision(why: Why, rung: Rung, previous: int, figures: Figures, now: Millis) -> LevelDecision:
    need = rung.enter
    evidence = Evidence(figures.items, figures.sources, need.window, now, need.items, need.sources)
    return LevelDecision(rung.rank, previous, why, evidence, now, rung.name)
