"""Words that stand near each other."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass

Spot = tuple[int, int]
"""[start, end) of a folded text."""

STOP = re.compile(r"[。!?…\n｡]|\.(?=\s|$)")
"""Ends a sentence, in a folded text."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """A `near` with its words as slots: see `Near` of the rule book."""

    words: tuple[int, ...]
    within: int
    sentence: bool
    ordered: bool

    def find(self, spots: dict[int, list[Spot]], stops: list[int]) -> list[Spot]:
        """The first place where all words stand near each other, word by word; empty if there is none.

        spots: of each word, in the order of the text, in one field. stops: where that text's sentences end.
        """
        starts = {word: [spot[0] for spot in spots[word]] for word in set(self.words)}
        leading = self.words[:1] if self.ordered else tuple(starts)
        for first, leader in sorted((spot, word) for word in leading for spot in spots[word]):
            if found := self._from(first, leader, spots, starts, self._limit(first, stops)):
                return found
        return []

    def _limit(self, first: Spot, stops: list[int]) -> int:
        """Where the last word begins at the latest."""
        end = first[1]
        limit = end + self.within if self.within else 1 << 62
        if self.sentence and (place := bisect_left(stops, end)) < len(stops):
            limit = min(limit, stops[place])
        return limit

    def _from(self, first: Spot, word: int, spots: dict[int, list[Spot]], starts: dict[int, list[int]],
              limit: int) -> list[Spot]:
        """The words from `first` on, each as soon as the one before has ended; empty if they are too far."""
        found, end = [first], first[1]
        needed = Counter(self.words)
        needed[word] -= 1
        for turn in range(1, len(self.words)):
            wanted = self.words[turn:turn + 1] if self.ordered else [each for each, count in needed.items() if count]
            nexts = [(*spots[each][place], each) for each in wanted
                     if (place := bisect_left(starts[each], end)) < len(starts[each])]
            start, end, chosen = min(nexts, default=(limit + 1, 0, 0))
            if start > limit:
                return []
            found.append((start, end))
            needed[chosen] -= 1
        return found
