"""Words that somebody pulled apart so that they are not found: 投.票.站, 投 票 站, c-d-c.

What stands between two characters may also be the border of two clauses or headlines, so it is looked at:

* a single strong sign (`. * \\ ^`) between any characters of a word pulls it apart;
* spaces, runs of signs, and signs that often stand between names, clauses or headlines (`- _ / | ~ • · + = &`, as in
  补选｜民进党, where nobody wrote 选民) do so only between all of its characters: with three or more of them; with two
  only where the word stands alone, as in 请 投 票 吧;
* Latin words need three letters and something between all of them.

Full stops, commas, question marks, brackets, quotes, `#` and line breaks always end a word.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

_HAN = "\u3400-\u9fff\U00020000-\U0003ffff"
_LETTER = "a-zA-Z"
_STRONG = r".*\\^"
_SIGNS = _STRONG + r"\-_/|~•·・‧+=& "
_RUN = re.compile(f"[{_SIGNS}]+")
_BETWEEN = re.compile(f"[{_HAN}]|(?<![{_LETTER}0-9])[{_LETTER}](?![{_LETTER}0-9])")
"""A Chinese character, or a letter that stands alone."""
MAX_SIGNS = 3
LATIN = "z"
_SINGLE = re.compile(f"[{_STRONG}]")
_BESIDE = re.compile(f"[{_HAN}{_LETTER}0-9]")


class Rejoined:
    """A text without the signs between its characters; says where a word of it stands in the text as it is."""

    __slots__ = ("_at", "_places", "_strong", "_whole", "text")

    def __init__(self, whole: str, gaps: list[tuple[int, int]]) -> None:
        self._whole = whole
        self._at: list[int] = []
        self._strong: list[bool] = []
        parts: list[str] = []
        self._places: list[int] = []
        last = 0
        for start, end in gaps:
            parts.append(whole[last:start])
            self._places.extend(range(last, start))
            self._at.append(len(self._places))
            self._strong.append(end - start == 1 and _SINGLE.match(whole, start) is not None)
            last = end
        parts.append(whole[last:])
        self._places.extend(range(last, len(whole)))
        self.text = "".join(parts)

    def place(self, start: int, end: int) -> tuple[int, int] | None:
        """Where [start, end) of `text` stands in the whole text; None when it is no word that was pulled apart."""
        first, last = bisect_right(self._at, start), bisect_left(self._at, end)
        if first >= last:
            return None
        place = self._places[start], self._places[end - 1] + 1
        return place if self._is_word(first, last, end - start, *place) else None

    def _is_word(self, first: int, last: int, length: int, start: int, end: int) -> bool:
        complete = last - first == length - 1
        if self._whole[start] <= LATIN:
            return complete and length > 2
        if all(self._strong[first:last]):
            return True
        return complete and (length > 2 or self._alone(start, end))

    def _alone(self, start: int, end: int) -> bool:
        whole = self._whole
        return not (start and _BESIDE.match(whole, start - 1)) and not _BESIDE.match(whole, end)


def rejoined(text: str) -> Rejoined | None:
    """The text put together again; None for most texts: nothing in them is pulled apart."""
    if _RUN.search(text) is None:
        return None
    gaps = [span for found in _RUN.finditer(text) if _pulls(text, *(span := found.span()))]
    return Rejoined(text, gaps) if gaps else None


def _pulls(text: str, start: int, end: int) -> bool:
    """Whether signs may stand inside a word: few, and of one script on both sides."""
    if not start or end == len(text) or end - start > MAX_SIGNS:
        return False
    if (text[start - 1] <= LATIN) != (text[end] <= LATIN):
        return False
    return _BETWEEN.match(text, start - 1) is not None and _BETWEEN.match(text, end) is not None
