"""Which watch subjects an item matches, and where: one pass over all patterns, then only the subjects that were hit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from zoneinfo import ZoneInfo

from pipeline.model import Millis, Span
from pipeline.rulebook.schema import RuleBook, Status, Subject
from pipeline.score.conditions import Test, compiled
from pipeline.score.explain import explained
from pipeline.score.explained import Explained
from pipeline.score.fields import Fields
from pipeline.score.gates import Gate, gate_of
from pipeline.score.index import ROUNDING, Index, Role, Sight, Use
from pipeline.score.segment import Segmenter

MAX_SPANS = 16
"""Kept per item and subject: enough to show why, small enough for a record."""

_TELLING = frozenset({Role.TERM, Role.SHOWN})


@dataclass(frozen=True, slots=True)
class Match:
    """A subject that an item matches. weight: sum over its distinct terms; 1 when it has none, only a condition."""

    subject: str
    weight: float
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    """A subject, ready to be judged."""

    id: str
    counts: bool
    threshold: float
    test: Test | None
    gate: Gate


class Matcher:
    """Compiled once per rule book. Shadow subjects match like live ones, under their own ids; retired ones never.

    segmenter: whose cuts are the word edges of patterns with `word`; one of this book where none is given.
    """

    def __init__(self, book: RuleBook, segmenter: Segmenter | None = None) -> None:
        self._book = book
        self._segmenter = segmenter
        self._subjects = [each for each in book.subjects if each.status is not Status.RETIRED]
        self._index = Index(self._subjects, _lists(book))
        zone = ZoneInfo(book.timezone)
        self._rules = [self._rule(each, zone) for each in self._subjects]
        nothing = Sight.of_nothing(self._index)
        self._always = [number for number, rule in enumerate(self._rules)
                        if not rule.counts and rule.test is not None and rule.test(nothing)]

    def match(self, fields: Fields, at: Millis, group: str = "") -> list[Match]:
        """Matches of an item of this source group, first seen `at`, in the book's order of subjects."""
        sight = self._index.look(fields, self._words)
        if sight is None:
            if not self._always:
                return []
            sight = Sight.of_nothing(self._index)
        touched: dict[int, list[Use]] = {number: [] for number in self._always}
        uses_of = self._index.uses
        for slot in sight.found:
            for use in uses_of[slot]:
                if not use.field or sight.occurs(slot, use.field):
                    touched.setdefault(use.subject, []).append(use)
        return [made for number in sorted(touched)
                if (made := self._judged(self._rules[number], touched[number], sight, at, group)) is not None]

    def explain(self, fields: Fields, at: Millis, group: str = "", subjects: Collection[str] = ()) -> list[Explained]:
        """Every subject of the book, retired ones too, of which anything occurs in the item, and those named.

        Of words that should stand near each other all occur, also where they do not stand so."""
        index = self._whole_index
        sight = index.look(fields, self._words) or Sight.of_nothing(index)
        touched = {use.subject for slot in sight.found for use in index.uses[slot]}
        touched |= {use.subject for slot, words in index.near.items() if all(word in sight.found for word in words)
                    for use in index.uses[slot] if use.role in _TELLING}
        zone = ZoneInfo(self._book.timezone)
        return [explained(each, index, sight, fields, gate_of(each, zone).unmet(at, group), group)
                for number, each in enumerate(self._book.subjects) if number in touched or each.id in subjects]

    def _words(self) -> Segmenter:
        """Built when it is first needed: few books ask for word edges."""
        if self._segmenter is None:
            self._segmenter = Segmenter(self._book)
        return self._segmenter

    @cached_property
    def _whole_index(self) -> Index:
        if len(self._subjects) == len(self._book.subjects):
            return self._index
        return Index(self._book.subjects, _lists(self._book))

    def _rule(self, subject: Subject, zone: ZoneInfo) -> _Rule:
        test = None if subject.match is None else compiled(subject.match, subject, self._index)
        return _Rule(subject.id, bool(subject.terms), subject.threshold - ROUNDING, test, gate_of(subject, zone))

    def _judged(self, rule: _Rule, uses: list[Use], sight: Sight, at: Millis, group: str) -> Match | None:
        weight = 0.0 if rule.counts else 1.0
        for use in uses:
            if use.role is Role.EXCLUDE:
                return None
            weight += use.weight
        if rule.counts and weight < rule.threshold or not rule.counts and rule.test is None:
            return None
        if rule.test is not None and not rule.test(sight) or not rule.gate.open(at, group):
            return None
        return Match(rule.id, weight, _spans(rule.id, uses, sight))


def _spans(subject: str, uses: list[Use], sight: Sight) -> tuple[Span, ...]:
    """The first place of each pattern that helped; every word of a `near`."""
    named: dict[tuple[int, str], str] = {}
    for use in uses:
        if use.role in _TELLING:
            named.setdefault((use.slot, use.field), use.name)
    spans = (Span(subject, name, *place) for (slot, field), name in named.items()
             for place in sight.shown(slot, field))
    return tuple(islice(dict.fromkeys(spans), MAX_SPANS))


def _lists(book: RuleBook) -> dict[str, tuple[str, ...]]:
    return {each.id: each.words for each in book.lists}
