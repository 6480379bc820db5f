"""Levels that the configured sources can never reach: a warning, as sources may come later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import Problem
from pipeline.model import OPEN_SUBJECT
from pipeline.rulebook.places import Places
from pipeline.rulebook.schema import INTAKE, RuleBook, Source, SourceKind, Status, Subject, Threshold

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Supply:
    """What can come of a subject: independent sources and groups of them, and the office's own."""

    origins: int
    groups: int
    official: int


def reachability(book: RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """A warning for each level that no way leads to, with the subjects that it is so for."""
    if not any(each.polled for each in book.sources):
        return                                          # said already, and then everything is out of reach
    found: dict[tuple[tuple[str, str, str], str], list[str]] = {}
    subjects = [each for each in book.subjects if each.status is not Status.RETIRED]
    for subject in (*subjects, None):
        ident = subject.id if subject is not None else OPEN_SUBJECT
        for where, lack in _lacking(book, ident, subject):
            found.setdefault((where, lack), []).append(ident)
    for (where, lack), idents in found.items():
        whom = "" if len(idents) == len(subjects) + 1 else f"对{_list(idents)}，"
        yield places.warning("level-out-of-reach", where, f"{whom}{lack}", "启用更多来源，或把阈值写低")


def supply(book: RuleBook, subject: Subject | None) -> Supply:
    """Of the enabled sources whose items count for it. None: of what matches no subject."""
    sources = [each for each in (*book.sources, INTAKE) if each.enabled and _counts(each, subject)]
    public = [each for each in sources if not each.official]
    return Supply(len({_origin(each) for each in public}), len({each.group for each in public}),
                  sum(each.official for each in sources))


def _counts(source: Source, subject: Subject | None) -> bool:
    return subject is None or not subject.groups or source.group in subject.groups


def _origin(source: Source) -> str:
    return INTAKE.origin if source.kind is SourceKind.INTAKE and not source.origin else source.origin or source.id


def _lacking(book: RuleBook, ident: str, subject: Subject | None) -> Iterator[tuple[tuple[str, str, str], str]]:
    """Place and words of each level that the subject cannot reach."""
    have, impact = supply(book, subject), subject.impact if subject is not None else 1
    index, override = next(((n, each) for n, each in enumerate(book.levels.overrides) if each.subject == ident),
                           (0, None))
    for level in book.levels.ladder:
        if override is not None and level.name not in override.enter:
            continue
        ways = override.enter[level.name] if override is not None else level.enter
        lacks = [_lack(each, have) for each in ways if each.impact <= impact]
        if lacks and all(lacks):
            where = ("levels.yml", "", f"overrides[{index}].enter.{level.name}") if override is not None else (
                "level", level.name, "enter")
            yield where, f"级别“{level.name}”永远达不到：{'；或'.join(dict.fromkeys(lacks))}。"


def _lack(need: Threshold, have: Supply) -> str:
    """Why the sources cannot reach this threshold; empty if they can."""
    sources = max(need.sources, need.growth_sources if need.growth else 0)
    if sources > have.origins:
        return f"要 {sources} 个独立来源，启用的只有 {have.origins} 个"
    if need.groups > have.groups:
        return f"要 {need.groups} 个来源分组，启用的来源只有 {have.groups} 个分组"
    if need.official and not have.official:
        return "要官方发布，但没有启用 official: true 的来源"
    return ""


def _list(idents: list[str]) -> str:
    names = ["未归类话题" if each == OPEN_SUBJECT else f"主题 {each}" for each in idents]
    return "、".join(names[:_NAMED]) + (f" 等 {len(names)} 个主题" if len(names) > _NAMED else "")
