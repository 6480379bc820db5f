"""Why an item matches what it matches, and why an event has its level: values that the command and the desk both show.

The words for them are in explain_words.py. Like replay.py this module may know all stages; it decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from msgspec.structs import replace

from pipeline.model import EventHead, Millis, RawItem, Sentiment, WarmEvent
from pipeline.rulebook.schema import RuleBook, Source, Threshold
from pipeline.rulebook.shadow import judging
from pipeline.score.explained import Explained, Unmet
from pipeline.score.score import Scorer
from pipeline.track.cluster import Cluster
from pipeline.track.in_force import InForce
from pipeline.track.level import Ladder, Rung


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
    """A level and its ways in, any of which suffices; none where the subject's own thresholds leave the level out.
    by_report: an urgent report alone reaches it."""

    rank: int
    name: str
    response: str
    ways: tuple[ThresholdNow, ...]
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
    """An event's figures at a time under a rule book. levels: all of the book, lowest first. What was decided, and on
    which figures, is in `head.decision`."""

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


def explain_event(event: WarmEvent, book: RuleBook, at: Millis) -> EventExplained:
    """What each factor of each level comes to in the windows that end at this time. The event's rows may reach back
    further than its windows; members after `at` are left out."""
    head = replace(event.head, joined=())
    judge = judging(book) if head.shadow else book
    rules = InForce(judge)
    cluster = Cluster(head)
    for row in (row for row in event.rows if row.at <= at):
        cluster.add(row)
    for counts in (counts for counts in event.counts if counts.item_id in cluster.members and counts.at <= at):
        cluster.grow(counts, rules.resolution, rules.widest, counts.since)
    ladder = rules.ladder(head.subject)
    rungs = {rung.rank: rung for rung in ladder}
    levels = tuple(
        _level(rank, each.name, each.response, rungs.get(rank), ladder, cluster, at)
        for rank, each in enumerate(judge.levels.ladder, 1))
    return EventExplained(head, at, judge.hash, levels)


def _level(
    rank: int, name: str, response: str, rung: Rung | None, ladder: Ladder, cluster: Cluster, at: Millis
) -> LevelNow:
    if rung is None:
        return LevelNow(rank, name, response, ())
    floor, measure = cluster.head.floor_at, ladder.measure
    ways = tuple(
        ThresholdNow(need, tuple(FactorNow(each.name, each.value, each.need)
                                 for each in measure.factors(cluster.signs, need, at, floor)))
        for need in (rung.enter if rung.by_spread else ()))
    return LevelNow(rank, name, response, ways, rung.by_report)


def _nearness(each: Explained) -> tuple[float, ...]:
    """What matches comes first, then what one thing keeps from it, and of these the one that lacks least weight."""
    gap = max(0.0, each.rule.threshold - each.weight) if Unmet.THRESHOLD in each.unmet else 0.0
    return len(each.unmet), gap, -each.weight
