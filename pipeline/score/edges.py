"""Where the tokenizer cuts an item, worked out when a pattern that asks for it has occurred."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.fold import Folded
from pipeline.score.fields import Fields, Spelled
from pipeline.score.near import Spot
from pipeline.score.segment import Segmenter


class Edges:
    """Word edges of one item, in places of the original."""

    __slots__ = ("_fields", "_inside", "_segmenter")

    def __init__(self, fields: Fields, segmenter: Callable[[], Segmenter]) -> None:
        self._fields, self._segmenter = fields, segmenter
        self._inside: dict[str, set[int]] | None = None

    def at(self, spelled: Spelled, spot: Spot) -> bool:
        """Whether a word begins where `spot` begins, and one ends where it ends."""
        if self._inside is None:
            self._inside = {name: self._within_words(folded) for name, folded in self._fields}
        field, start, end = spelled.place(*spot)
        inside = self._inside[field]
        return start not in inside and end not in inside

    def _within_words(self, folded: Folded) -> set[int]:
        inside: set[int] = set()
        for start, end in self._segmenter().places(folded.text):
            first, last = folded.span(start, end)
            inside.update(range(first + 1, last))
        return inside
