"""subjects/*.yml and words/*.yml: what is watched, and the language that says it."""

from __future__ import annotations

from enum import StrEnum

from pipeline.rulebook.schema.base import Rule

NEVER = "never"
"""`expires` of a rule that is meant to stay."""


class Status(StrEnum):
    SHADOW = "shadow"                # runs beside the live rules: recorded and shown, never sent
    LIVE = "live"
    RETIRED = "retired"              # matches nothing


class Near(Rule, frozen=True):
    """Words that stand near each other: all of them, the first and the last at most `within` characters apart (0: any
    distance), in one sentence unless `sentence` is false, in this order if `ordered`."""

    words: tuple[str, ...]
    within: int = 0
    sentence: bool = True
    ordered: bool = False


class Pattern(Rule, frozen=True):
    """One thing that may occur in an item. Exactly one of text, regex, list and near is written.

    regex: RE2, on the folded text. list: id of a word list, any of its words. word: the match begins and ends where the
    tokenizer cuts. field: `title` or `text` only; empty: the subject's scope.
    """

    text: str = ""
    regex: str = ""
    list: str = ""
    near: Near | None = None
    word: bool = False
    field: str = ""

    @property
    def name(self) -> str:
        """What messages and spans call it."""
        if self.near is not None:
            return ("…" if self.near.ordered else "～").join(self.near.words)
        return self.text or (f"/{self.regex}/" if self.regex else f"@{self.list}")


class Term(Pattern, frozen=True):
    """A pattern that counts: its weight once, however often it occurs. A list counts once, whichever words occur."""

    weight: float = 1.0


class Condition(Rule, frozen=True):
    """True when every one of `all`, at least one of `any` (if there are any) and not one of `none` is; or, with none of
    these, when `pattern` occurs."""

    pattern: Pattern | None = None
    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    none: tuple[Condition, ...] = ()


class Active(Rule, frozen=True):
    """When a subject matches, by the item's first sight in the book's zone. start, end: dates, both included, empty for
    no limit. hours: HH:MM-HH:MM, over midnight if the end is not later. days: 1 Monday … 7 Sunday."""

    start: str = ""
    end: str = ""
    hours: str = ""
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)


class Fold(Rule, frozen=True):
    """Which spellings count as the same. width: full and half width. case. marks: zero-width and combining marks are
    nothing. variants: traditional characters as simplified. evasion: a word pulled apart by punctuation or spaces."""

    width: bool = True
    case: bool = True
    marks: bool = True
    variants: bool = True
    evasion: bool = True


class Subject(Rule, frozen=True):
    """What is watched. An item matches when `match` is true (if written), its distinct terms' weights reach `threshold`
    (if there are terms) and nothing of `exclude` occurs.

    expires: the last day, or `never`. scope: the fields that are looked at. groups: source groups whose items count;
    empty: all. impact: how much is at stake, 1 to 5, a factor of levels.yml. team: whose it is, for routes; a team of
    roster.yml.
    """

    id: str
    title: str
    owner: str
    reason: str
    expires: str
    status: Status = Status.LIVE
    terms: tuple[Term, ...] = ()
    threshold: float = 1.0
    match: Condition | None = None
    exclude: tuple[Pattern, ...] = ()
    scope: tuple[str, ...] = ("title", "text")
    groups: tuple[str, ...] = ()
    active: Active | None = None
    fold: Fold = Fold()
    impact: int = 1
    team: str = ""


class WordList(Rule, frozen=True):
    """A reusable word list. words: its own and those of the lists it includes, once each."""

    id: str
    title: str
    owner: str = ""
    words: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
