"""What changed between two texts, as pieces a page can mark: by word and character, bounded for long texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MAX_PAIRS = 4_000_000
"""Tokens before times tokens after, past which sentences are compared first: some tenths of a second of work."""
CONTEXT = 60
"""Characters of what stayed that are shown beside a change."""
_TOKEN = re.compile(r"[A-Za-z]+|\d+|\s+|.", re.DOTALL)
_SENTENCE = re.compile(r"[^\n。！？；]*[\n。！？；]|[^\n。！？；]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """kind: same, del, ins, or gap (text that stayed and is left out; `text` says how much)."""

    kind: str
    text: str


def changes(before: str, after: str) -> list[Piece]:
    """The two texts as one, in pieces; long stretches that stayed are left out. Empty when nothing changed."""
    if before == after:
        return []
    return list(_shortened(_joined(_pieces(before, after))))


def _pieces(before: str, after: str, most: int = MAX_PAIRS) -> Iterator[Piece]:
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    old, new = before[start:len(before) - end], after[start:len(after) - end]
    yield Piece("same", before[:start])
    yield from _compared(old, new, most)
    yield Piece("same", before[len(before) - end:])


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _compared(old: str, new: str, most: int) -> Iterator[Piece]:
    """By word and character where that is bounded work, else by sentence, and inside of changed sentences by word."""
    for pattern in (_TOKEN, _SENTENCE):
        one, other = pattern.findall(old), pattern.findall(new)
        if len(one) * len(other) <= most:
            for was, now in _matched(one, other):
                if was == now:
                    yield Piece("same", was)
                elif pattern is _SENTENCE and was and now and len(was) + len(now) < len(old) + len(new):
                    yield from _compared(was, now, most)
                else:
                    yield from (Piece("del", was), Piece("ins", now))
            return
    yield from (Piece("del", old), Piece("ins", new))


def _matched(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What stands on both sides, piece by piece, in order."""
    many = len(one) * len(other) > MAX_PAIRS // 64
    for _, i, j, k, m in SequenceMatcher(None, one, other, autojunk=many).get_opcodes():
        yield "".join(one[i:j]), "".join(other[k:m])


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Changes that only a character or two of the same keeps apart become one: a person reads words, not letters."""
    waiting: list[Piece] = []
    for piece in pieces:
        if not piece.text:
            continue
        if piece.kind == "same" and (len(piece.text) > 1 or "\n" in piece.text or not waiting):
            yield from _run(waiting)
            waiting = []
            yield piece
        else:
            waiting.append(piece)
    yield from _run(waiting)


def _run(waiting: list[Piece]) -> Iterator[Piece]:
    tail = []
    while waiting and waiting[-1].kind == "same":
        tail.append(waiting.pop())
    old = "".join(piece.text for piece in waiting if piece.kind != "ins")
    new = "".join(piece.text for piece in waiting if piece.kind != "del")
    yield from (Piece(kind, text) for kind, text in (("del", old), ("ins", new)) if text)
    yield from reversed(tail)


def _shortened(pieces: Iterator[Piece]) -> Iterator[Piece]:
    found = list(pieces)
    for place, piece in enumerate(found):
        if piece.kind != "same" or len(piece.text) <= 3 * CONTEXT:
            yield piece
            continue
        head = piece.text[:CONTEXT] if place else ""
        tail = piece.text[-CONTEXT:] if place < len(found) - 1 else ""
        if head:
            yield Piece("same", head)
        yield Piece("gap", f"{len(piece.text) - len(head) - len(tail)}")
        if tail:
            yield Piece("same", tail)
