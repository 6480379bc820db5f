"""One spelling for matching: width, case, compatibility forms, marks and traditional characters folded, and the way
back to the places in the original text."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

from opencc import OpenCC

_KEEP = {"…": "…", "‥": "‥"}
"""NFKC makes three dots of an ellipsis; it is kept, so that common Chinese texts keep their length."""

_INVISIBLE = {"Cf", "Mn"}
"""Zero-width characters and combining marks: put between characters to hide a word, or left by an editor."""

_LATIN = range(0xC0, 0x250)
_HAN = (range(0x3400, 0xA000), range(0xF900, 0xFB00), range(0x20000, 0x2FA20))


class Spelling(NamedTuple):
    """What counts as the same. width: full and half width and other compatibility forms. marks: invisible characters
    and accents are nothing. variants: traditional characters as simplified."""

    width: bool = True
    case: bool = True
    marks: bool = True
    variants: bool = True


SAME = Spelling()


@cache
def simplified() -> dict[str, str]:
    """Traditional character -> simplified one, one to one, so that places stay; OpenCC's words of several are not used:
    the same character folds the same way everywhere."""
    converter = OpenCC("t2s")
    found: dict[str, str] = {}
    for block in _HAN:
        characters = "\n".join(map(chr, block))
        found.update(pair for pair in zip(characters, converter.convert(characters), strict=True) if pair[0] != pair[1])
    return {character: found.get(other, other) for character, other in found.items()}


class _Table(dict[int, str]):
    """Code point -> folded text, worked out at first use. odd: characters whose folded text is not one character."""

    def __init__(self, spelling: Spelling) -> None:
        super().__init__()
        self.odd: set[str] = set()
        self._spelling = spelling

    def __missing__(self, code: int) -> str:
        folded = _folded(chr(code), self._spelling)
        if len(folded) != 1:
            self.odd.add(chr(code))
        self[code] = folded
        return folded


def _folded(character: str, spelling: Spelling) -> str:
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"                             # half a character: no UTF-8, and the automata read UTF-8
    folded = character
    if spelling.width:
        folded = _KEEP.get(character) or unicodedata.normalize("NFKC", folded)
    if spelling.case:
        folded = folded.lower()
    if spelling.marks:
        if folded and ord(folded[0]) in _LATIN:
            folded = unicodedata.normalize("NFD", folded)
        folded = "".join(each for each in folded if unicodedata.category(each) not in _INVISIBLE)
    if spelling.variants:
        folded = "".join(simplified().get(each, each) for each in folded)
    return folded


@cache
def _table(spelling: Spelling) -> _Table:
    return _Table(spelling)


_DEFAULT = _table(SAME)


class Folded:
    """A folded text and, worked out when it is asked for, where its characters stand in the original."""

    __slots__ = ("_offsets", "_original", "_table", "text")

    def __init__(self, original: str, table: _Table) -> None:
        self.text = original.translate(table)
        self._original, self._table = original, table
        self._offsets: list[int] | None = None

    @property
    def offsets(self) -> list[int]:
        """Entry i is where character i begins in the original; empty when nothing moved."""
        if self._offsets is None:
            original, table = self._original, self._table
            moved = len(self.text) != len(original) or not table.odd.isdisjoint(original)
            self._offsets = [index for index, each in enumerate(original) for _ in table[ord(each)]] if moved else []
        return self._offsets

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original text of [start, end) here; not of an empty place."""
        offsets = self.offsets
        return (offsets[start], offsets[end - 1] + 1) if offsets else (start, end)


def fold(text: str, spelling: Spelling = SAME) -> Folded:
    """Fold a text, remembering places."""
    return Folded(text, _DEFAULT if spelling is SAME else _table(spelling))


def fold_term(text: str, spelling: Spelling = SAME) -> str:
    """A rule's word, folded as the texts are."""
    return text.translate(_table(spelling)).strip()
