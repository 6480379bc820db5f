"""One spelling for matching: width, case and compatibility forms folded (NFKC), invisible characters dropped, and the
way back to the places in the original text."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_KEEP = {"…": "…", "‥": "‥"}
"""NFKC makes three dots of an ellipsis; it is kept, so that common Chinese texts keep their length."""

_INVISIBLE = {"Cf", "Mn"}
"""Zero-width characters and combining marks: put between characters to hide a word, or left by an editor."""


class _Table(dict[int, str]):
    """Code point -> folded text, worked out at first use. odd: characters whose folded text is not one character."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: set[str] = set()

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = _KEEP.get(character) or unicodedata.normalize("NFKC", character).lower()
        if unicodedata.category(character) in _INVISIBLE:
            folded = ""
        elif "\ud800" <= character <= "\udfff":
            folded = "\ufffd"                       # half a character: no UTF-8, and the automata read UTF-8
        if len(folded) != 1:
            self.odd.add(character)
        self[code] = folded
        return folded


_TABLE = _Table()


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded text; `offsets[i]` is where its character i begins in the original, None when nothing moved."""

    text: str
    offsets: list[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original text of [start, end) here."""
        if self.offsets is None:
            return start, end
        return self.offsets[start], self.offsets[end - 1] + 1


def fold(text: str) -> Folded:
    """Fold a text, remembering places. Most texts fold one to one and need no offsets."""
    folded = text.translate(_TABLE)
    if len(folded) == len(text) and _TABLE.odd.isdisjoint(text):
        return Folded(folded, None)
    return Folded(folded, [index for index, character in enumerate(text) for _ in _TABLE[ord(character)]])


def fold_term(text: str) -> str:
    """A rule's word, folded as the texts are."""
    return text.translate(_TABLE).strip()
