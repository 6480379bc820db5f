"""What events that are there come to under another rule book: up or down at once, the reason is the rules.

A level stands under a book if some window of what is kept of the event reaches it, and the figures have not left it
since. The hold time of the new rules is not waited for, but one that runs already goes on.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from pipeline.model import EventHead, EventStatus, Evidence, LevelDecision, Millis, WarmEvent, Why
from pipeline.rulebook.schema import RuleBook, Threshold
from pipeline.rulebook.shadow import judging
from pipeline.track.cluster import Cluster
from pipeline.track.in_force import InForce
from pipeline.track.level import Ladder, Rung


def rejudged(warm: WarmEvent, book: RuleBook, now: Millis) -> LevelDecision | None:
    """What an open or watching event comes to at this time under the book; None if its level stays, or a person closed
    it for good. A level is the same one under another book if it has the same name: `previous` is its rank there."""
    rules = _in_force(_Same(book), warm.head.shadow)
    decision = judged(rebuilt(warm, rules), rules, now)
    return None if decision is None or decision.level == decision.previous else decision


def rebuilt(warm: WarmEvent, rules: InForce) -> Cluster:
    """The event in memory."""
    event = Cluster(replace(warm.head, joined=()))
    for row in warm.rows:
        event.add(row)
    for counts in warm.counts:
        if counts.item_id in event.members:
            event.grow(counts, rules.resolution, rules.widest, counts.since)
    return event


class _Same:
    """A book by its identity, so that what is worked out of it can be kept."""

    __slots__ = ("book",)

    def __init__(self, book: RuleBook) -> None:
        self.book = book

    def __hash__(self) -> int:
        return id(self.book)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.book is other.book


@lru_cache(maxsize=4)
def _in_force(same: _Same, shadow: bool) -> InForce:
    return InForce(judging(same.book) if shadow else same.book)


# ---------------------------------------------------------------- one event


def concerns(head: EventHead) -> bool:
    """Whether other rules can change its level: it goes on, or only rules ended it, and nobody closed it for good."""
    calmed_by_rules = head.status is EventStatus.CALM and head.decision.why is Why.RULES
    return (calmed_by_rules or head.status in (EventStatus.OPEN, EventStatus.WATCHING)) and not head.muted


def judged(event: Cluster, rules: InForce, now: Millis) -> LevelDecision | None:
    """The decision under these rules; of the same level if only its rank moved, or if its subject is gone from them.
    None: it stays as it is."""
    head = event.head
    if not concerns(head) or head.ladder == rules.mark(head.subject):
        return None
    ladder, gone = rules.ladder(head.subject), rules.gone(head.subject)
    current = _rank(head, ladder)
    level, found = _level(event, ladder, current, now)
    if level == current == head.level and not (gone and level):
        return None
    return LevelDecision(level, current, Why.RULES, found, now, _name(ladder, level), gone)


def _rank(head: EventHead, ladder: Ladder) -> int:
    """Of its level, under a ladder that may have more or fewer of them."""
    if not head.level:
        return 0
    return next((rung.rank for rung in ladder if rung.name == head.level_name), head.level)


def _name(ladder: Ladder, rank: int) -> str:
    return next((rung.name for rung in ladder if rung.rank == rank), "")


def _level(event: Cluster, ladder: Ladder, current: int, now: Millis) -> tuple[int, Evidence]:
    """The highest level that stands, and the figures that show it: of the window that reached it where it is higher
    than before, else of what is not reached any more."""
    lost: Rung | None = None
    for rung in reversed(ladder):
        end = _stands(event, rung, ladder, current, now)
        if end is not None and rung.rank > current:
            return rung.rank, _entered(event, rung, ladder, end, now)
        if end is not None:
            return rung.rank, _evidence(event, lost or rung, ladder, now)
        if rung.rank <= current:
            lost = lost or rung
    lost = lost or next(iter(ladder), None)
    return 0, _evidence(event, lost, ladder, now)


def _stands(event: Cluster, rung: Rung, ladder: Ladder, current: int, now: Millis) -> Millis | None:
    """The end of a window by which the event has this level; None if it has not, or not any more."""
    head, signs, measure = event.head, event.signs, ladder.measure
    running = rung.rank <= current and head.below_since is not None
    if not running and not rung.holds(signs, measure, now, head.floor_at):
        return None
    if rung.by_report and signs.reported(max(now - rung.window, head.floor_at), now):
        return now
    if not rung.by_spread:
        return None
    if rung.rank <= current and head.items > len(event.members):
        return now                              # what raised it may have aged: nobody can say that it did not
    if any(measure.reaches(signs, need, now, head.floor_at) for need in rung.enter
           if rung.rank <= current or not need.negative):      # a share can grow while time goes by: that is no news
        return now
    since = _since(event, rung, current)
    ends = (measure.search(signs, need, since, now, head.floor_at) for need in rung.enter)
    return min((end for end in ends if end is not None), default=None)


def _since(event: Cluster, rung: Rung, current: int) -> Millis:
    """From when on windows count: a level that the event has fallen from needs something new, unless other rules took
    it away: who takes them back has it back."""
    head = event.head
    begin = max(head.floor_at + 1, head.first_item_at)
    fell = head.decision.level < head.decision.previous and head.decision.why is not Why.RULES
    return max(begin, head.level_since + 1) if fell and rung.rank > current else begin


def _entered(event: Cluster, rung: Rung, ladder: Ladder, end: Millis, now: Millis) -> Evidence:
    """Of the threshold that the window reaches; an urgent report reaches the first."""
    floor = event.head.floor_at
    need = next((need for need in rung.enter if ladder.measure.reaches(event.signs, need, end, floor)), rung.enter[0])
    return ladder.measure.evidence(event.signs, need, end, floor, now)


def _evidence(event: Cluster, rung: Rung | None, ladder: Ladder, now: Millis) -> Evidence:
    need = rung.enter[0] if rung is not None else Threshold(window=0)
    return ladder.measure.evidence(event.signs, need, now, event.head.floor_at, now)
