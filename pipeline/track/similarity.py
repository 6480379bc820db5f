"""How alike an item and an event are: cosine of term weights, with an inverted index to find candidates.

Sums are integers, so a centroid rebuilt from its rows is the same to the last bit as the one that grew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import sqrt

Terms = tuple[tuple[int, int], ...]

COMMON = 512
"""A term that more events of a subject have than this finds no candidates: it tells nothing apart."""


class Centroid:
    """Sum of the members' term weights."""

    __slots__ = ("sums", "square")

    def __init__(self) -> None:
        self.sums: dict[int, int] = {}
        self.square = 0

    def add(self, terms: Terms, sign: int = 1) -> None:
        """Add a member's terms, or take them out again with sign -1."""
        for term, weight in terms:
            old = self.sums.get(term, 0)
            new = old + sign * weight
            self.square += new * new - old * old
            if new:
                self.sums[term] = new
            else:
                self.sums.pop(term, None)

    def cosine(self, terms: Terms) -> float:
        """Between 0 (nothing shared, or nothing to compare) and 1."""
        dot = sum(self.sums.get(term, 0) * weight for term, weight in terms)
        if not dot:
            return 0.0
        return dot / sqrt(self.square * sum(weight * weight for _, weight in terms))


class Index:
    """Term -> ids of the events that have it, for one subject key."""

    __slots__ = ("_postings",)

    def __init__(self) -> None:
        self._postings: dict[int, set[str]] = {}

    def add(self, event_id: str, terms: Iterable[int]) -> None:
        for term in terms:
            self._postings.setdefault(term, set()).add(event_id)

    def discard(self, event_id: str, terms: Iterable[int]) -> None:
        for term in terms:
            posting = self._postings.get(term)
            if posting is not None:
                posting.discard(event_id)
                if not posting:
                    del self._postings[term]

    def candidates(self, terms: Terms) -> Iterator[str]:
        """Events that share a telling term, each once, in no particular order."""
        seen: set[str] = set()
        for term, _ in terms:
            posting = self._postings.get(term)
            if posting is None or len(posting) > COMMON:
                continue
            for event_id in posting:
                if event_id not in seen:
                    seen.add(event_id)
                    yield event_id

    def __bool__(self) -> bool:
        return bool(self._postings)
