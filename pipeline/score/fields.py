"""An item's title and text as they are matched: folded once, joined for one pass, each place known in the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.fold import SAME, Folded, Spelling, fold
from pipeline.model import RawItem
from pipeline.score.segment import Segmenter

MAX_MATCHED_CHARS = 20_000
"""Of a text: what is looked through. Feeds that carry whole articles stay below it."""

TITLE, TEXT = "title", "text"
BETWEEN = "\n"


class Spelled:
    """Title and text in one spelling. joined: title, a line break, text. cut: where that break is."""

    __slots__ = ("cut", "joined", "text", "title")

    def __init__(self, title: Folded, text: Folded) -> None:
        self.title, self.text = title, text
        self.cut = len(title.text)
        self.joined = f"{title.text}{BETWEEN}{text.text}"

    def place(self, start: int, end: int) -> tuple[str, int, int]:
        """Field and place in the original of [start, end) of `joined`; it lies in one field."""
        if start < self.cut:
            return TITLE, *self.title.span(start, end)
        return TEXT, *self.text.span(start - self.cut - 1, end - self.cut - 1)


class Fields:
    """What is matched of an item. Other spellings than the usual one are made when a rule asks for them."""

    __slots__ = ("_inside", "_others", "_text", "_title", "usual")

    def __init__(self, title: str, text: str) -> None:
        self._title, self._text = title, text[:MAX_MATCHED_CHARS]
        self.usual = Spelled(fold(title), fold(self._text))
        self._others: dict[Spelling, Spelled] | None = None
        self._inside: dict[str, set[int]] | None = None

    def spelled(self, spelling: Spelling) -> Spelled:
        if spelling == SAME:
            return self.usual
        if self._others is None:
            self._others = {}
        if spelling not in self._others:
            self._others[spelling] = Spelled(fold(self._title, spelling), fold(self._text, spelling))
        return self._others[spelling]

    def original(self, field: str) -> str:
        return self._title if field == TITLE else self._text

    def at_word_edges(self, spelled: Spelled, spot: tuple[int, int], segmenter: Callable[[], Segmenter]) -> bool:
        """Whether the tokenizer cuts where `spot` begins and where it ends. The cuts are made at the first question."""
        if self._inside is None:
            self._inside = {name: _inside_words(folded, segmenter()) for name, folded in self}
        field, start, end = spelled.place(*spot)
        return start not in self._inside[field] and end not in self._inside[field]

    def __iter__(self) -> Iterator[tuple[str, Folded]]:
        yield TITLE, self.usual.title
        yield TEXT, self.usual.text


def _inside_words(folded: Folded, segmenter: Segmenter) -> set[int]:
    """Places of the original that are inside a word."""
    inside: set[int] = set()
    for start, end in segmenter.places(folded.text):
        first, last = folded.span(start, end)
        inside.update(range(first + 1, last))
    return inside


def folded_fields(item: RawItem) -> Fields:
    """The item's title and text as they are matched."""
    return Fields(item.title, item.text)
