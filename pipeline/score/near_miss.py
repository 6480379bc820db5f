"""Why words that should stand near each other do not: which of them occur, and the rules that keep them from it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import combinations

from pipeline.rulebook.schema import Near
from pipeline.score.explained import Apart
from pipeline.score.fields import Spelled
from pipeline.score.near import STOP, Nearness, Spot


def apart(near: Near, words: Sequence[int], spots: dict[int, list[Spot]], spelled: Spelled,
          in_title: Iterable[bool]) -> tuple[tuple[Apart, ...], int]:
    """The fewest rules without which the words would do, and how many characters lie between the first and the last
    of them when they are too far (else 0). Every word occurs; in_title: the fields that count, True the title."""
    stops = [each.start() for each in STOP.finditer(spelled.joined)]
    found: list[tuple[tuple[Apart, ...], int]] = []
    for side in in_title:
        here = {word: sorted({each for each in spots[word] if (each[0] < spelled.cut) is side}) for word in words}
        if all(here.values()):
            found.append(_in_field(near, tuple(words), here, stops, len(spelled.joined)))
    return min(found, key=lambda one: len(one[0]), default=((Apart.FIELDS,), 0))


def _in_field(near: Near, words: tuple[int, ...], spots: dict[int, list[Spot]], stops: list[int],
              size: int) -> tuple[tuple[Apart, ...], int]:
    rules = [Apart.ORDER] * near.ordered + [Apart.SENTENCE] * near.sentence + [Apart.FAR] * bool(near.within)

    def fits(without: tuple[Apart, ...], within: int) -> bool:
        test = Nearness(words, within, near.sentence and Apart.SENTENCE not in without,
                        near.ordered and Apart.ORDER not in without)
        return bool(test.find(spots, stops))

    for count in range(1, len(rules) + 1):
        for without in combinations(rules, count):
            if Apart.FAR not in without:
                if fits(without, near.within):
                    return without, 0
            elif fits(without, 0):
                return without, bisect_left(range(size), True, 1, key=lambda within: fits(without, within))
    return (Apart.OVERLAP,), 0
