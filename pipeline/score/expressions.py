"""Regular expressions of rules on folded texts: RE2, so linear in the text. Which of them can match is told first, by a
word that each match must have or by one pass of all others together; only these are run for their places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import re2

from pipeline.fold import Spelling, fold
from pipeline.rulebook.regexes import options

MAX_FOUND = 50
"""Places of one expression in one field."""

MAX_IN_SET, MAX_PROGRAMS = 250, 20_000
"""Expressions of a set, and instructions of their programs: a set that is too large throws its states away all the
time, or finds nothing without a word."""
MAX_ANCHORS = 20
SET_MEMORY = 64 * 1024 * 1024

_RANGE = re.compile(r"([^\\\[\]-])-([^\\\[\]-])")
_HAN = re.compile("[\u3400-\u9fff]")
OPTIONAL = ("?", "*", "{")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|.", re.DOTALL)


class Expression:
    """A rule's expression, folded and compiled. anchors: Chinese words one of which every match has; may be empty."""

    __slots__ = ("_compiled", "anchors", "size", "source")

    def __init__(self, regex: str, spelling: Spelling) -> None:
        how = options()
        how.case_sensitive = not spelling.case
        self.source = fold_regex(regex, spelling)
        self._compiled = re2.compile(self.source, how)
        self.size: int = self._compiled.programsize
        self.anchors = anchors(self.source)

    def find(self, text: str, base: int) -> Iterator[tuple[int, int]]:
        """Places, `base` added to each; not the empty ones."""
        for number, found in enumerate(self._compiled.finditer(text)):
            if number == MAX_FOUND:
                return
            if found.start() < found.end():
                yield found.start() + base, found.end() + base


class Together:
    """Expressions without anchors: one pass says which of them match. spelling.case as in Expression."""

    def __init__(self, expressions: dict[int, Expression], spelling: Spelling) -> None:
        self._sets: list[tuple[Any, list[int]]] = []
        room = programs = 0
        how = options()
        how.max_mem = SET_MEMORY
        how.case_sensitive = not spelling.case
        for slot, each in expressions.items():
            if room == 0 or programs + each.size > MAX_PROGRAMS:
                self._sets.append((re2.Set.SearchSet(how), []))
                room, programs = MAX_IN_SET, 0
            self._sets[-1][0].Add(each.source)
            self._sets[-1][1].append(slot)
            room, programs = room - 1, programs + each.size
        for made, _ in self._sets:
            made.Compile()

    @property
    def any(self) -> bool:
        return bool(self._sets)

    def candidates(self, text: str) -> Iterator[int]:
        """Slots of the expressions that match."""
        for made, slots in self._sets:
            for index in made.Match(text) or ():
                yield slots[index]


def fold_regex(regex: str, spelling: Spelling) -> str:
    """The expression as it is to be run on folded texts: its own characters folded, signs that become ASCII escaped."""
    if regex.isascii() or r"\Q" in regex:
        return regex
    return "".join(_token(found[0], spelling) for found in _TOKEN.finditer(regex))


def _token(token: str, spelling: Spelling) -> str:
    if token.isascii() or token[0] == "\\":
        return token
    if token[0] != "[" or len(token) == 1:
        folded = fold(token, spelling).text
        return _escaped(folded) if len(folded) < 2 else f"(?:{''.join(map(_escaped, folded))})"
    kept: list[str] = []
    last = 1
    for found in _RANGE.finditer(token, 1, len(token) - 1):
        kept += [_in_class(each, spelling) for each in token[last:found.start()]]
        first, final = (_in_class(each, spelling) for each in found.groups())
        kept.append(f"{first}-{final}" if first.lstrip("\\") <= final.lstrip("\\") else found[0])
        last = found.end()
    kept += [_in_class(each, spelling) for each in token[last:-1]]
    return f"[{''.join(kept)}]"


def _in_class(character: str, spelling: Spelling) -> str:
    """A character of a class; one that folds to several stays as it is."""
    folded = character if character.isascii() else fold(character, spelling).text
    return character if character.isascii() or len(folded) != 1 else _escaped(folded)


def _escaped(folded: str) -> str:
    return f"\\{folded}" if folded.isascii() and folded and not folded.isalnum() and not folded.isspace() else folded


def anchors(regex: str) -> tuple[str, ...]:
    """Words of Chinese characters one of which every match has; empty if none are certain."""
    if r"\Q" in regex or "(?P<" in regex or "(?<" in regex:
        return ()
    return _Anchors([found[0] for found in _TOKEN.finditer(regex)]).alternatives()


class _Anchors:
    """Reads an expression once, from its beginning."""

    def __init__(self, signs: list[str]) -> None:
        self._signs = signs
        self._next = 0

    def alternatives(self) -> tuple[str, ...]:
        """Of what stands here, up to the bracket that ends it: the words of all its branches."""
        branches = [self._branch()]
        while self._peek() == "|":
            self._next += 1
            branches.append(self._branch())
        every = tuple(dict.fromkeys(word for branch in branches for word in branch))
        return every if all(branches) and len(every) <= MAX_ANCHORS else ()

    def _branch(self) -> tuple[str, ...]:
        """The best of what must be there one after another: the longest."""
        best: tuple[str, ...] = ()
        run = ""
        while (sign := self._peek()) not in ("", "|", ")"):
            self._next += 1
            if _HAN.fullmatch(sign):
                run += sign
                continue
            if sign in OPTIONAL:
                run = run[:-1]
            best, run = _better(best, (run,)), ""
            if sign == "(":
                inside = self.alternatives()
                self._next += 1
                best = best if self._peek() in OPTIONAL else _better(best, inside)
        return _better(best, (run,))

    def _peek(self) -> str:
        return self._signs[self._next] if self._next < len(self._signs) else ""


def _better(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return max(one, other, key=lambda words: min(map(len, words), default=0)) if any(other) else one
