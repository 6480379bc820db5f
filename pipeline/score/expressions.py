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
SET_MEMORY = 64 * 1024 * 1024

_RANGE = re.compile(r"([^\\\[\]-])-([^\\\[\]-])")
_ANCHOR = re.compile("[\u3400-\u9fff]+")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|.", re.DOTALL)


class Expression:
    """A rule's expression, folded and compiled. anchor: Chinese characters that every match has; may be empty."""

    __slots__ = ("_compiled", "anchor", "size", "source")

    def __init__(self, regex: str, spelling: Spelling) -> None:
        how = options()
        how.case_sensitive = not spelling.case
        self.source = fold_regex(regex, spelling)
        self._compiled = re2.compile(self.source, how)
        self.size: int = self._compiled.programsize
        self.anchor = anchor(self.source)

    def find(self, text: str, base: int) -> Iterator[tuple[int, int]]:
        """Places, `base` added to each; not the empty ones."""
        for number, found in enumerate(self._compiled.finditer(text)):
            if number == MAX_FOUND:
                return
            if found.start() < found.end():
                yield found.start() + base, found.end() + base


class Together:
    """Expressions without an anchor: one pass says which of them match. spelling.case as in Expression."""

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


def anchor(regex: str) -> str:
    """The longest run of Chinese characters outside of groups that every match must have; empty if none is certain."""
    depth = 0
    run, best = "", ""
    for found in _TOKEN.finditer(regex):
        sign = found[0]
        if depth == 0 and _ANCHOR.fullmatch(sign):
            run += sign
            continue
        if sign in ("?", "*", "{"):
            run = run[:-1]
        best, run = max(best, run, key=len), ""
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and depth == 0 or sign == "\\Q":
            return ""
    return max(best, run, key=len)
