"""All patterns of some subjects, each once, whoever uses it: what occurs in an item is found for all together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import takewhile
from typing import Any

from pipeline.fold import Spelling, fold_term
from pipeline.rulebook.schema import Fold, Pattern, Subject, Term
from pipeline.score.expressions import Expression
from pipeline.score.fields import TITLE, Fields, Spelled
from pipeline.score.near import Nearness
from pipeline.score.patterns import field_of, patterns_in
from pipeline.score.scan import Found, Scanner
from pipeline.score.segment import Segmenter

ROUNDING = 1e-9
"""Weights that add up to the threshold reach it, whatever binary fractions make of them."""


class Role(Enum):
    """What a pattern means to a subject. SHOWN: in `match`, where it helps to make it true; HIDDEN: hinders."""

    TERM = auto()
    EXCLUDE = auto()
    SHOWN = auto()
    HIDDEN = auto()


@dataclass(frozen=True, slots=True)
class Use:
    """A subject's use of a slot. field: `title` or `text` only; empty: both."""

    subject: int
    slot: int
    role: Role
    weight: float
    name: str
    field: str


class Sight:
    """What occurs in one item."""

    __slots__ = ("_index", "_shown", "_spelled", "found")

    def __init__(self, found: Found, spelled: list[Spelled], index: Index) -> None:
        self.found, self._spelled, self._index = found, spelled, index
        self._shown: dict[tuple[int, str], list[tuple[str, int, int]]] = {}

    @classmethod
    def of_nothing(cls, index: Index) -> Sight:
        return cls({}, [], index)

    def occurs(self, slot: int, field: str = "") -> bool:
        spots = self.found.get(slot)
        if not spots or not field:
            return bool(spots)
        cut = self._spelled[self._index.scanner_of[slot]].cut
        return any((start < cut) is (field == TITLE) for start, _ in spots)

    def spelled(self, slot: int) -> Spelled:
        """The texts in the spelling that the slot is looked for in. Something occurs in them."""
        return self._spelled[self._index.scanner_of[slot]]

    def places(self, slot: int, field: str = "") -> Iterator[tuple[str, int, int]]:
        """Field and place in the original of each occurrence, in their order; in one field if one is given."""
        if slot not in self.found:
            return
        spelled = self._spelled[self._index.scanner_of[slot]]
        for spot in sorted(set(self.found.get(slot, ()))):
            place = spelled.place(*spot)
            if not field or place[0] == field:
                yield place


    def shown(self, slot: int, field: str) -> list[tuple[str, int, int]]:
        """What evidence shows of a slot: its first place, of a `near` each word of it. Many subjects may share it."""
        if (slot, field) not in self._shown:
            self._shown[slot, field] = self._first(slot, field)
        return self._shown[slot, field]

    def _first(self, slot: int, field: str) -> list[tuple[str, int, int]]:
        if slot in self._index.near:
            places = list(self.places(slot, field))
            return [each for each in places if each[0] == places[0][0]]
        spelled = self._spelled[self._index.scanner_of[slot]]
        spots = (spot for spot in self.found[slot] if not field or (spot[0] < spelled.cut) is (field == TITLE))
        return [spelled.place(*min(spots))]


class Index:
    """Compiled from subjects; `look` finds what occurs in an item. lists: id -> words."""

    def __init__(self, subjects: Iterable[Subject], lists: Mapping[str, tuple[str, ...]]) -> None:
        self._lists = lists
        self._slots: dict[Any, int] = {}
        self._scanners: dict[Spelling, tuple[int, Scanner]] = {}
        self.scanner_of: list[int] = []
        self.uses: list[list[Use]] = []
        self.near: dict[int, tuple[int, ...]] = {}         # slot -> slots of its words
        for number, subject in enumerate(subjects):
            self._add(number, subject)
        self._all = [scanner for _, scanner in self._scanners.values()]
        for scanner in self._all:
            scanner.ready()

    def look(self, fields: Fields, segmenter: Callable[[], Segmenter]) -> Sight | None:
        """None for most items: nothing occurs in them. segmenter: cuts where a pattern asks for word edges."""
        found: Found = {}
        spelled = [scanner.scan(fields, found, segmenter) for scanner in self._all]
        return Sight(found, spelled, self) if found else None

    def slot(self, pattern: Pattern, fold: Fold) -> int:
        """The number of a pattern under a subject's folding; a new one the first time."""
        spelling = Spelling(fold.width, fold.case, fold.marks, fold.variants)
        text = fold_term(pattern.text, spelling)
        key = (text, pattern.regex, pattern.list, pattern.near, pattern.word, spelling, fold.evasion)
        known = self._slots.get(key)
        return self._made(key, pattern, fold, spelling) if known is None else known

    def _made(self, key: Any, pattern: Pattern, fold: Fold, spelling: Spelling) -> int:
        if spelling not in self._scanners:
            self._scanners[spelling] = len(self._scanners), Scanner(spelling)
        number, scanner = self._scanners[spelling]
        slot = self._slots[key] = self._number(number)
        if pattern.near is not None:
            near = pattern.near
            words = tuple(self.slot(Pattern(text=word, word=pattern.word), fold) for word in near.words)
            self.near[slot] = words
            scanner.add_near(slot, Nearness(words, near.within, near.sentence, near.ordered))
            return slot
        if pattern.regex:
            scanner.add_regex(slot, self._number(number), Expression(pattern.regex, spelling))
        else:
            words_of = self._lists.get(pattern.list, ()) if pattern.list else (pattern.text,)
            scanner.add_words(slot, words_of, evasion=fold.evasion)
        if pattern.word:
            scanner.only_words(slot)
        return slot

    def _number(self, scanner: int) -> int:
        self.scanner_of.append(scanner)
        self.uses.append([])
        return len(self.uses) - 1

    def _add(self, number: int, subject: Subject) -> None:
        for term in subject.terms:
            self._use(number, subject, term, Role.TERM)
        for pattern in subject.exclude:
            self._use(number, subject, pattern, Role.EXCLUDE)
        for pattern, helps in patterns_in(subject.match):
            self._use(number, subject, pattern, Role.SHOWN if helps else Role.HIDDEN)

    def _use(self, number: int, subject: Subject, pattern: Pattern, role: Role) -> None:
        slot = self.slot(pattern, subject.fold)
        field = field_of(pattern, subject)
        if field is None:
            return                                      # looked at nowhere
        uses = self.uses[slot]
        for each in takewhile(lambda use: use.subject == number, reversed(uses)):
            if role is Role.TERM and (each.role, each.field) == (role, field):
                return                                  # written twice, counted once
        weight = pattern.weight if isinstance(pattern, Term) else 0.0
        uses.append(Use(number, slot, role, weight, pattern.name, field))
