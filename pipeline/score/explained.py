"""Why an item matches a subject or does not, as values: what `Scorer.explain(item)` gives, for people to read.

`Scorer.explain(item: RawItem, subjects: Collection[str] = ()) -> list[Explained]`: the subjects of the book, in its
order, of which anything occurs in the item; those named in `subjects` in any case. Far slower than matching.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.rulebook.schema import Pattern, Subject

MAX_PLACES = 50
"""Kept per pattern and field."""


class Unmet(StrEnum):
    """What keeps a subject from matching."""

    RETIRED = "retired"              # its status
    EXPIRED = "expired"              # first seen after its last day
    INACTIVE = "inactive"            # first seen outside its active times
    GROUP = "group"                  # the source is in none of its groups
    EXCLUDED = "excluded"            # something of `exclude` occurs
    THRESHOLD = "threshold"          # the terms' weights do not reach the threshold
    CONDITION = "condition"          # `match` is not true


class Apart(StrEnum):
    """What keeps words that all occur from standing near each other."""

    ORDER = "order"                  # not in the order in which they are written
    SENTENCE = "sentence"            # never in one sentence
    FAR = "far"                      # more characters apart than `within`
    FIELDS = "fields"                # never all in one field
    OVERLAP = "overlap"              # one inside another, or a word that is asked for twice is there once


@dataclass(frozen=True, slots=True)
class Place:
    """[start, end) of the original `title` or `text`, in characters, and what stands there."""

    field: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class NearMiss:
    """Of a `near` that does not occur: each of its words with its places where the pattern looks, and what is wrong.

    why: empty when a word is missing. distance: characters between the first and the last word, where they are too far.
    """

    words: tuple[tuple[str, tuple[Place, ...]], ...]
    why: tuple[Apart, ...] = ()
    distance: int = 0

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(word for word, places in self.words if not places)


@dataclass(frozen=True, slots=True)
class Seen:
    """A pattern and where it occurs. weight: of a term, whether it occurs or not; None of other patterns.

    miss: of a `near` that does not occur where it looks.
    elsewhere: occurrences in a field that the subject's scope or the pattern leaves out; they count for nothing.
    """

    pattern: Pattern
    places: tuple[Place, ...]
    elsewhere: tuple[Place, ...] = ()
    weight: float | None = None
    miss: NearMiss | None = None

    @property
    def partly(self) -> bool:
        """Whether it does not occur while words of it do."""
        return self.miss is not None and any(places for _, places in self.miss.words)

    @property
    def name(self) -> str:
        return self.pattern.name

    @property
    def occurs(self) -> bool:
        return bool(self.places)


@dataclass(frozen=True, slots=True)
class Truth:
    """A condition and whether it is true: a pattern (`seen`), or what is under `all`, `any` and `none`."""

    value: bool
    seen: Seen | None = None
    all: tuple[Truth, ...] = ()
    any: tuple[Truth, ...] = ()
    none: tuple[Truth, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """A subject and an item. unmet: all that keeps it from matching; empty when it matches.

    weight: sum of the terms that occur, to be held against `rule.threshold`; 1 for a subject without terms whose
    condition is true. terms, exclude: each pattern as it is written, whether it occurs or not. group: of the source.
    """

    rule: Subject
    unmet: tuple[Unmet, ...]
    weight: float
    terms: tuple[Seen, ...]
    exclude: tuple[Seen, ...]
    condition: Truth | None
    group: str

    @property
    def subject(self) -> str:
        return self.rule.id

    @property
    def matched(self) -> bool:
        return not self.unmet

    @property
    def excluded_by(self) -> tuple[Seen, ...]:
        return tuple(each for each in self.exclude if each.occurs)
