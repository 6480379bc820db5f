"""Which watch subjects an item matches, and where: one Aho-Corasick pass over the terms of all subjects."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ahocorasick_rs import AhoCorasick, MatchKind

from pipeline.fold import Folded, fold_term
from pipeline.model import Millis, Span
from pipeline.rulebook.schema import RuleBook, Subject

MAX_SPANS = 16
"""Kept per item and subject: enough to show why, small enough for a record."""

_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


@dataclass(frozen=True, slots=True)
class Match:
    """A subject that an item matches. weight: sum over its distinct terms."""

    subject: str
    weight: float
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Use:
    """What a pattern means to a subject. weight None: an `exclude`."""

    subject: int
    term: str
    weight: float | None


class Matcher:
    """Compiled once per rule book. A subject past its `expires` (end of that day, book's zone) matches nothing new."""

    def __init__(self, book: RuleBook) -> None:
        self._subjects = book.subjects
        self._ends = [_end_of(each, ZoneInfo(book.timezone)) for each in book.subjects]
        self._uses: list[list[_Use]] = []
        patterns = self._patterns()
        self._whole = [(text[0] in _WORD, text[-1] in _WORD) for text in patterns]
        self._automaton = AhoCorasick(patterns, matchkind=MatchKind.Standard) if patterns else None

    def match(self, fields: tuple[tuple[str, Folded], ...], at: Millis) -> list[Match]:
        """Matches of the folded fields (name, text) of an item first seen `at`, in the book's order of subjects."""
        found: dict[int, dict[str, tuple[float, Span]]] = {}
        excluded: set[int] = set()
        for name, folded in fields:
            for pattern, start, end in self._occurrences(folded.text):
                for use in self._uses[pattern]:
                    if use.weight is None:
                        excluded.add(use.subject)
                        continue
                    terms = found.setdefault(use.subject, {})
                    if use.term not in terms:
                        place = folded.span(start, end)
                        terms[use.term] = use.weight, Span(self._subjects[use.subject].id, use.term, name, *place)
        return [made for index in sorted(found) if index not in excluded and at < self._ends[index]
                and (made := self._made(index, found[index])) is not None]

    def _made(self, index: int, terms: dict[str, tuple[float, Span]]) -> Match | None:
        subject = self._subjects[index]
        weight = sum(each for each, _ in terms.values())
        if weight < subject.threshold - 1e-9:
            return None
        spans = tuple(span for _, span in terms.values())[:MAX_SPANS]
        return Match(subject.id, weight, spans)

    def _occurrences(self, text: str) -> Iterator[tuple[int, int, int]]:
        """All occurrences, overlapping ones too; Latin words and numbers only where they stand alone."""
        if self._automaton is None:
            return
        for pattern, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            first, last = self._whole[pattern]
            if first and start and text[start - 1] in _WORD or last and end < len(text) and text[end] in _WORD:
                continue
            yield pattern, start, end

    def _patterns(self) -> list[str]:
        """Distinct folded terms; `_uses` says for each whose they are."""
        places: dict[str, int] = {}
        for index, subject in enumerate(self._subjects):
            words: list[tuple[str, float | None]] = [(term.text, term.weight) for term in subject.terms]
            words += [(each.text, None) for each in subject.exclude]
            for word, weight in words:
                folded = fold_term(word)
                if not folded:
                    continue
                if folded not in places:
                    places[folded] = len(self._uses)
                    self._uses.append([])
                self._uses[places[folded]].append(_Use(index, word, weight))
        return list(places)


def _end_of(subject: Subject, zone: ZoneInfo) -> Millis:
    """The first moment after the subject's last day."""
    day = dt.date.fromisoformat(subject.expires) + dt.timedelta(days=1)
    return int(dt.datetime.combine(day, dt.time(), zone).timestamp() * 1000)
