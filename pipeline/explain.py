"""Why an item matches what it matches, and why an event has its level: values that the command and the desk both show.

The words for them are in explain_words.py. Like replay.py this module may know all stages; it decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.model import EventHead, Millis, RawItem, Sentiment
from pipeline.rulebook.schema import Source, Threshold
from pipeline.score.explained import Explained, Unmet
from pipeline.score.score import Scorer


@dataclass(frozen=True, slots=True)
class TextExplained:
    """An item under a rule book. source: None of one that the book does not have.

    rules: those that match, heaviest first; then those of which something occurs, the nearest miss first.
    """

    item: RawItem
    book: str
    source: Source | None
    sentiment: Sentiment
    question: bool
    rules: tuple[Explained, ...]

    @property
    def matched(self) -> tuple[Explained, ...]:
        return tuple(each for each in self.rules if each.matched)

    @property
    def missed(self) -> tuple[Explained, ...]:
        return tuple(each for each in self.rules if not each.matched)


@dataclass(frozen=True, slots=True)
class FactorNow:
    """A factor of a threshold: what there is and what is asked for."""

    name: str
    value: float
    need: float

    @property
    def reached(self) -> bool:
        return self.value >= self.need

    @property
    def missing(self) -> float:
        return max(0.0, self.need - self.value)


@dataclass(frozen=True, slots=True)
class ThresholdNow:
    """One way into a level: reached when all its factors are."""

    threshold: Threshold
    factors: tuple[FactorNow, ...]

    @property
    def reached(self) -> bool:
        return all(each.reached for each in self.factors)

    @property
    def share(self) -> float:
        """How near it is: the least share of a need that is there, 0 to 1."""
        return min((min(1.0, each.value / each.need) for each in self.factors if each.need), default=1.0)


@dataclass(frozen=True, slots=True)
class LevelNow:
    """A level and its ways in, any of which suffices. exists: whether figures can reach it at all for this subject (an
    override may leave it out). by_report: an urgent report alone reaches it."""

    rank: int
    name: str
    response: str
    ways: tuple[ThresholdNow, ...]
    exists: bool = True
    by_report: bool = False

    @property
    def reached(self) -> bool:
        return any(each.reached for each in self.ways)

    @property
    def nearest(self) -> ThresholdNow | None:
        """The way in of which least is missing."""
        return max(self.ways, key=lambda way: way.share, default=None)


@dataclass(frozen=True, slots=True)
class EventExplained:
    """An event's figures at a time under a rule book. levels: lowest first."""

    head: EventHead
    at: Millis
    book: str
    levels: tuple[LevelNow, ...]

    @property
    def next(self) -> LevelNow | None:
        """The lowest level above the event's that figures can reach."""
        return next((each for each in self.levels if each.rank > self.head.level and each.ways), None)


def explain_text(scorer: Scorer, item: RawItem, subjects: Collection[str] = ()) -> TextExplained:
    """subjects: ids that are explained even when nothing of them occurs."""
    seen = next(iter(scorer.score(item).values()))
    rules = sorted(scorer.explain(item, subjects), key=_nearness)
    return TextExplained(item, scorer.book.hash, scorer.book.source(item.source_id), seen.sentiment, seen.question,
                         tuple(rules))


def _nearness(each: Explained) -> tuple[float, ...]:
    """What matches comes first, then what one thing keeps from it, and of these the one that lacks least weight."""
    gap = max(0.0, each.rule.threshold - each.weight) if Unmet.THRESHOLD in each.unmet else 0.0
    return len(each.unmet), gap, -each.weight
