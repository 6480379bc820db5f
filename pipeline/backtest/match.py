"""Which event of one side is which of the other: those of a subject that share most items, then what is left over
between subjects (a rule that was split or renamed)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.backtest.values import PlayedEvent

Overlaps = list[tuple[int, int, int]]
"""(items that both have, place in live, place in candidate)"""


@dataclass(frozen=True, slots=True)
class Matched:
    """Each event of both sides once. pairs: the same event. merged, split: it shares items with an event of the same
    subject that is the same as another one already. moved: the same event, of another subject now."""

    pairs: tuple[tuple[PlayedEvent, PlayedEvent], ...]
    moved: tuple[tuple[PlayedEvent, PlayedEvent], ...]
    merged: tuple[PlayedEvent, ...]
    split: tuple[PlayedEvent, ...]
    lost: tuple[PlayedEvent, ...]
    gained: tuple[PlayedEvent, ...]


def matched(live: Sequence[PlayedEvent], candidate: Sequence[PlayedEvent]) -> Matched:
    own, across = _overlaps(live, candidate)
    pairs = _chosen(own, {}, {})
    of_live, of_candidate = dict(pairs), {other: one for one, other in pairs}
    merged = {one for _, one, _ in own if one not in of_live}
    split = {other for _, _, other in own if other not in of_candidate}
    moved = _chosen(across, dict.fromkeys({*of_live, *merged}, -1), dict.fromkeys({*of_candidate, *split}, -1))
    gone = {*of_live, *merged, *(one for one, _ in moved)}
    known = {*of_candidate, *split, *(other for _, other in moved)}
    return Matched(
        pairs=tuple((live[one], candidate[other]) for one, other in sorted(pairs)),
        moved=tuple((live[one], candidate[other]) for one, other in sorted(moved)),
        merged=tuple(live[one] for one in sorted(merged)), split=tuple(candidate[other] for other in sorted(split)),
        lost=tuple(each for place, each in enumerate(live) if place not in gone),
        gained=tuple(each for place, each in enumerate(candidate) if place not in known))


def _overlaps(live: Sequence[PlayedEvent], candidate: Sequence[PlayedEvent]) -> tuple[Overlaps, Overlaps]:
    """Within one subject, and between two; the most items first, the rest in order of place."""
    having: defaultdict[str, list[int]] = defaultdict(list)
    for place, event in enumerate(candidate):
        for item in event.items:
            having[item].append(place)
    own: Overlaps = []
    across: Overlaps = []
    for place, event in enumerate(live):
        shared = Counter(other for item in event.items for other in having.get(item, ()))
        for other, count in shared.items():
            (own if candidate[other].subject == event.subject else across).append((count, place, other))
    for each in (own, across):
        each.sort(key=lambda overlap: (-overlap[0], overlap[1], overlap[2]))
    return own, across


def _chosen(overlaps: Overlaps, taken: dict[int, int], others: dict[int, int]) -> list[tuple[int, int]]:
    """One for one, greedily."""
    found = []
    for _, one, other in overlaps:
        if one not in taken and other not in others:
            taken[one], others[other] = other, one
            found.append((one, other))
    return found
