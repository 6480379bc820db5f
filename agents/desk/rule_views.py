"""What the pages about rules show, put together: the table of subjects, one subject, the books that were."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agents.desk import rule_words
from agents.desk.paging import Page
from agents.desk.rule_figures import FigureCache
from agents.desk.rule_words import Expiry, Node, Said
from agents.store.rule_reads import RuleFigures
from pipeline.model import SHADOW, Millis
from pipeline.rulebook.schema import RuleBook, Status, Subject, Threshold, WordList

PAGE = 100
_FIRST = {"bad": 0, "wait": 1, "": 2}
_ORDER = {Status.LIVE: 0, Status.SHADOW: 1, Status.RETIRED: 2}


@dataclass(frozen=True, slots=True)
class Row:
    """A subject in the table. key: the name under which it matches, `~x` of one in shadow."""

    subject: Subject
    expiry: Expiry
    figures: RuleFigures

    @property
    def key(self) -> str:
        return key_of(self.subject)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter of the table. status: a Status or empty. text: in id, title or owner."""

    status: str = ""
    text: str = ""

    def fits(self, subject: Subject) -> bool:
        if self.status and subject.status != self.status:
            return False
        sought = self.text.casefold()
        return not sought or any(sought in each.casefold() for each in (subject.id, subject.title, subject.owner))


@dataclass(frozen=True, slots=True)
class Table:
    """A page of the subjects that fit a filter: those that expire first, then live, shadow, retired."""

    rows: tuple[Row, ...]
    paging: Page


@dataclass(frozen=True, slots=True)
class Definition:
    """A subject in readable form. same, apart: spellings that count as the same, and that are told apart."""

    terms: tuple[tuple[Said, float], ...]
    condition: Node | None
    exclude: tuple[Said, ...]
    lists: tuple[WordList, ...]
    scope: str
    active: str
    same: tuple[str, ...]
    apart: tuple[str, ...]


def key_of(subject: Subject) -> str:
    return f"{SHADOW}{subject.id}" if subject.status is Status.SHADOW else subject.id


def table(book: RuleBook | None, figures: FigureCache, now: Millis, today: dt.date, wanted: Wanted,
          number: int = 1) -> Table:
    """The subjects that fit, with the figures of those on this page. Blocks."""
    found = [(each, rule_words.expiry(each, today)) for each in (book.subjects if book else ()) if wanted.fits(each)]
    found.sort(key=lambda one: (
        _FIRST[one[1].tone] if one[0].status is not Status.RETIRED else 3, _ORDER[one[0].status], one[0].title))
    page = Page.of(len(found), number, PAGE)
    some = found[page.rows]
    known = figures.of((key_of(each) for each, _ in some), now)
    return Table(tuple(Row(each, until, known[key_of(each)]) for each, until in some), page)


def ending(book: RuleBook | None, today: dt.date) -> list[tuple[Subject, Expiry]]:
    """Subjects in use that are over, or about to be, the most pressing first."""
    used = [each for each in (book.subjects if book else ()) if each.status is not Status.RETIRED]
    found = [(each, until) for each in used if (until := rule_words.expiry(each, today)).tone]
    return sorted(found, key=lambda one: one[0].expires)


def definition(book: RuleBook | None, subject: Subject) -> Definition:
    lists = rule_words.lists_of(book)
    same, apart = rule_words.folds(subject.fold)
    return Definition(
        terms=tuple((rule_words.pattern(each, lists), each.weight) for each in subject.terms),
        condition=rule_words.condition(subject.match, lists) if subject.match is not None else None,
        exclude=tuple(rule_words.pattern(each, lists) for each in subject.exclude),
        lists=tuple(rule_words.used_lists(subject, lists)), scope=rule_words.scope(subject),
        active=rule_words.active(subject.active), same=tuple(same), apart=tuple(apart))


def own_levels(book: RuleBook | None, subject: Subject) -> list[tuple[str, tuple[Threshold, ...]]]:
    """(level, ways in) of a subject that has thresholds of its own; empty: it has those of all."""
    overrides = book.levels.overrides if book else ()
    return next((list(each.enter.items()) for each in overrides if each.subject == subject.id), [])


def today(now: Millis, zone: ZoneInfo) -> dt.date:
    return dt.datetime.fromtimestamp(now / 1000, zone).date()


def counted(subjects: Sequence[Subject]) -> dict[Status, int]:
    """How many subjects have which status."""
    return {status: sum(each.status is status for each in subjects) for status in Status}
