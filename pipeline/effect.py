"""What two rule books make of the same items: which match otherwise, which events reach another level, who is told.

Each item is read by both books and played through the whole flow twice: for cases and files of some thousand items.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.model import OPEN_SUBJECT, CountsBatch, EscalationKind, EventHead, Millis, RawItem, ScoredItem
from pipeline.rehearse import Rehearsal
from pipeline.rulebook.schema import HOUR, RuleBook
from pipeline.score.score import Scorer

SETTLE = HOUR
"""Items are followed this long after the last one."""


@dataclass(frozen=True, slots=True)
class ItemEffect:
    """An item that matches otherwise. before, after: subjects, `~x` of shadow rules; without `*`."""

    item: RawItem
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventEffect:
    """An event whose highest level differs, by the item that founds it. before, after: level names; empty for an event
    that the other book does not make, or whose level is none."""

    id: str
    subject: str
    title: str
    items: int
    before: str
    after: str


@dataclass(slots=True)
class Effect:
    """items: how many were looked at. pages: messages that ask for an answer, before and after."""

    items: int = 0
    matches: list[ItemEffect] = field(default_factory=list)
    events: list[EventEffect] = field(default_factory=list)
    pages: tuple[int, int] = (0, 0)

    @property
    def none(self) -> bool:
        return not self.matches and not self.events and self.pages[0] == self.pages[1]


class _Listening(Scorer):
    """A scorer that remembers what it found."""

    def __init__(self, book: RuleBook) -> None:
        super().__init__(book)
        self.heard: dict[tuple[str, str], tuple[str, ...]] = {}

    def score(self, item: RawItem) -> dict[str, ScoredItem]:
        found = super().score(item)
        self.heard[item.id, item.revision] = tuple(each for each in found if each.strip("~") != OPEN_SUBJECT)
        return found


class Comparison:
    """Two books, compiled once, over several plays (each case is one, a file of items another)."""

    def __init__(self, before: RuleBook, after: RuleBook) -> None:
        self._books = before, after
        self._scorers = _Listening(before), _Listening(after)
        self.effect = Effect()

    def play(self, items: Sequence[RawItem], counts: Iterable[CountsBatch] = (), until: Millis = 0) -> None:
        """Add what these items, in order of time, come to. until: default an hour after the last."""
        if not items:
            return
        batches = list(counts)
        until = until or max(item.first_seen_at for item in items) + SETTLE
        sides = []
        for book, scorer in zip(self._books, self._scorers, strict=True):
            rehearsal = Rehearsal(book, scorer)
            rehearsal.play(items, batches, until)
            sides.append(rehearsal)
        self._add(items, sides[0], sides[1])

    def _add(self, items: Sequence[RawItem], before: Rehearsal, after: Rehearsal) -> None:
        effect, (old, new) = self.effect, self._scorers
        effect.items += len(items)
        for item in items:
            key = item.id, item.revision
            if set(old.heard[key]) != set(new.heard[key]):
                effect.matches.append(ItemEffect(item, old.heard[key], new.heard[key]))
        for ident in dict.fromkeys((*before.events, *after.events)):
            first, second = before.events.get(ident), after.events.get(ident)
            names = self._name(0, first), self._name(1, second)
            if names[0] != names[1] and (shown := second or first) is not None:
                size = max(head.items for head in (first, second) if head is not None)
                effect.events.append(EventEffect(ident, shown.subject, shown.title, size, *names))
        effect.pages = effect.pages[0] + _pages(before), effect.pages[1] + _pages(after)

    def _name(self, side: int, head: EventHead | None) -> str:
        rank = max(head.peak, head.level) if head is not None else 0
        return self._books[side].levels.name(rank) if rank else ""


def _pages(rehearsal: Rehearsal) -> int:
    return sum(each.kind is EscalationKind.PAGE for each in rehearsal.told)
