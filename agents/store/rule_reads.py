"""How rules do: what each subject matched and came to, what people said of it, and shadow rules beside the live ones.

A subject is named as it matches: `x`, or `~x` in shadow. Every question goes by an index, however large the archive is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from agents.store import schema
from agents.store.upsert import chunks
from pipeline.model import Millis, VerdictKind
from pipeline.rulebook.schema import DAY
from pipeline.rulebook.shadow import live_name, name_in_shadow

MIN_SAMPLE = 5
"""Verdicts under which a ratio would say nothing."""
VERDICTS_BACK = 90 * DAY
"""Older verdicts were about other rules."""
SAME_SHARE = 0.5
"""Of the items of the smaller of two events, from which they are one event seen by two rules."""
MAX_EVENTS = 1_000
"""Compared of each side, the latest."""


@dataclass(frozen=True, slots=True)
class Spans:
    """How many in the last 24 hours, 7 days and 30 days."""

    day: int = 0
    week: int = 0
    month: int = 0


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What people said, the last word on each event or match, of the last 90 days."""

    relevant: int = 0
    not_relevant: int = 0
    duplicate: int = 0
    wrong_level: int = 0

    @property
    def judged(self) -> int:
        return self.relevant + self.not_relevant + self.duplicate + self.wrong_level

    @property
    def false_positives(self) -> float | None:
        """Share of what was judged that did not belong there; None while fewer than MIN_SAMPLE were judged."""
        return self.not_relevant / self.judged if self.judged >= MIN_SAMPLE else None


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """Of one subject. matches: items. events: that reached a level. pages: first messages of raises; a live rule's were
    sent, a shadow rule's would have been."""

    subject: str
    matches: Spans = Spans()
    events: Spans = Spans()
    pages: Spans = Spans()
    verdicts: Verdicts = Verdicts()


@dataclass(frozen=True, slots=True)
class Known:
    """An event of one side of a comparison."""

    id: str
    short: str
    subject: str
    title: str
    items: int
    peak: int
    opened_at: Millis


@dataclass(frozen=True, slots=True)
class Both:
    """An event that both sides have. common: items in both; share: of the smaller one's."""

    shadow: Known
    live: Known
    common: int
    share: float


@dataclass(frozen=True, slots=True)
class Against:
    """Shadow beside live over one span of time. since: from when on both were running; None: nothing ran in shadow."""

    since: Millis | None
    until: Millis
    both: tuple[Both, ...] = ()
    only_shadow: tuple[Known, ...] = ()
    only_live: tuple[Known, ...] = ()
    shadow_pages: int = 0
    live_pages: int = 0

    @property
    def days(self) -> float:
        return max(self.until - self.since, 1) / DAY if self.since is not None else 0.0

    def per_day(self, pages: int) -> float:
        """Pages per day; of less than a day, as many as there were."""
        return pages / max(self.days, 1.0)


# ---------------------------------------------------------------- figures


def rule_figures(connection: Connection, now: Millis, subjects: Iterable[str]) -> dict[str, RuleFigures]:
    """Figures of these subjects, in their order."""
    wanted = list(dict.fromkeys(subjects))
    scored, event = schema.scored.c, schema.events.c
    matches: dict[str, Spans] = {}
    events: dict[str, Spans] = {}
    said: dict[str, Verdicts] = {}
    for some in chunks(wanted):
        matches |= _spans(connection, now, scored.subject, scored.first_seen_at, scored.subject.in_(some))
        events |= _spans(connection, now, event.subject, event.opened_at, event.subject.in_(some), event.number > 0)
        said |= verdicts(connection, some, now - VERDICTS_BACK)
    pages = _pages(connection, now)
    nothing = Spans()
    return {each: RuleFigures(each, matches.get(each, nothing), events.get(each, nothing), pages.get(each, nothing),
                              said.get(each, Verdicts())) for each in wanted}


def verdicts(connection: Connection, subjects: Sequence[str], since: Millis = 0) -> dict[str, Verdicts]:
    """By subject, of each event or match the last verdict."""
    table = schema.verdicts.c
    latest = (
        select(table.subject, table.kind, func.row_number().over(
            partition_by=(table.subject, table.event_id, table.item_id),
            order_by=(table.at.desc(), table.id.desc())).label("place"))
        .where(table.subject.in_(subjects), table.at >= since).subquery())
    rows = connection.execute(
        select(latest.c.subject, latest.c.kind, func.count()).where(latest.c.place == 1)
        .group_by(latest.c.subject, latest.c.kind))
    found: dict[str, dict[str, int]] = {}
    for subject, kind, count in rows:
        if kind in list(VerdictKind):
            found.setdefault(subject, {})[kind] = count
    return {subject: Verdicts(**counts) for subject, counts in found.items()}


def _spans(
    connection: Connection, now: Millis, key: ColumnElement[str], at: ColumnElement[int], *where: ColumnElement[bool],
) -> dict[str, Spans]:
    """Rows by key within each span."""
    rows = connection.execute(
        select(key, *_counted(at, now)).where(*where, at >= now - 30 * DAY).group_by(key))
    return {each: Spans(day, week, month) for each, day, week, month in rows}


def _pages(connection: Connection, now: Millis) -> dict[str, Spans]:
    message, event = schema.escalations.c, schema.events.c
    rows = connection.execute(
        select(event.subject, *_counted(message.at, now))
        .where(message.at >= now - 30 * DAY, message.kind == "page", message.first.is_(True),
               event.id == message.event_id)
        .group_by(event.subject))
    return {each: Spans(day, week, month) for each, day, week, month in rows}


def _counted(at: ColumnElement[int], now: Millis) -> tuple[ColumnElement[int], ...]:
    return (func.sum(case((at >= now - DAY, 1), else_=0)), func.sum(case((at >= now - 7 * DAY, 1), else_=0)),
            func.count())


# ---------------------------------------------------------------- shadow against live


_SHOWN: list[ColumnElement[Any]] = [schema.events.c[name] for name in (
    "id", "number", "subject", "title", "items", "peak", "opened_at")]


def against(
    connection: Connection, now: Millis, subjects: Sequence[str], *, span: Millis = 7 * DAY, whole: bool = False,
) -> Against:
    """These subjects (`x` or `~x`) in shadow beside what is live, over `span` or since they run in shadow.

    An event in shadow is compared with the live events of any subject; what only the live side has is told of the same
    subjects, or with `whole` (a whole book runs in shadow) of all.
    """
    shadow = [name_in_shadow(each) for each in subjects]
    began = _began(connection, shadow, now - span)
    if began is None:
        return Against(None, now)
    own = None if whole else [live_name(each) for each in subjects]
    ours = _events(connection, began, shadow, shadow=True)
    theirs = _events(connection, began, own, shadow=False)
    pairs = _pairs(connection, ours)
    paired = {each.live.id for each in pairs} | {each.shadow.id for each in pairs}
    return Against(
        began, now, tuple(pairs),
        tuple(each for ident, each in ours.items() if ident not in paired),
        tuple(each for ident, each in theirs.items() if ident not in paired),
        _paged(connection, began, shadow, shadow=True), _paged(connection, began, own, shadow=False))


def _began(connection: Connection, subjects: Sequence[str], since: Millis) -> Millis | None:
    """When the first item of that time was matched by one of them."""
    table = schema.scored.c
    found = []
    for some in chunks(subjects):
        found += [at for at, in connection.execute(
            select(func.min(table.first_seen_at)).where(table.subject.in_(some), table.first_seen_at >= since)
            .group_by(table.subject))]
    return min(found, default=None)


def _events(
    connection: Connection, since: Millis, subjects: Sequence[str] | None, *, shadow: bool,
) -> dict[str, Known]:
    """Events of that side with a level, that began since, the latest first."""
    table = schema.events.c
    query = (select(*_SHOWN)
             .where(table.shadow.is_(shadow), table.drill.is_(False), table.number > 0, table.opened_at >= since))
    found: list[Known] = []
    for some in chunks(subjects) if subjects is not None else (None,):
        asked = query if some is None else query.where(table.subject.in_(some))
        rows = connection.execute(asked.order_by(table.opened_at.desc(), table.id).limit(MAX_EVENTS))
        found += [_known(row, "S" if shadow else "E") for row in rows.mappings()]
    return {each.id: each for each in sorted(found, key=lambda one: (-one.opened_at, one.id))[:MAX_EVENTS]}


def _pairs(connection: Connection, events: dict[str, Known]) -> list[Both]:
    """Of each event in shadow the live event with the most common items, if these are most of one of the two."""
    mine, other, event = schema.members.alias("mine").c, schema.members.alias("other").c, schema.events.c
    best: dict[str, Both] = {}
    for some in chunks(list(events)):
        rows = connection.execute(
            select(mine.event_id.label("own"), func.count().label("common"), *_SHOWN)
            .where(mine.event_id.in_(some), other.item_id == mine.item_id, event.id == other.event_id,
                   event.shadow.is_(False), event.drill.is_(False), event.number > 0)
            .group_by(mine.event_id, *_SHOWN).order_by(func.count(), event.id))
        for row in rows.mappings():                     # the one with the most in common comes last
            own, live = events[row["own"]], _known(row, "E")
            share = min(1.0, row["common"] / max(1, min(own.items, live.items)))
            if share >= SAME_SHARE:
                best[own.id] = Both(own, live, row["common"], share)
    return [best[ident] for ident in events if ident in best]


def _known(row: Mapping[Any, Any], letter: str) -> Known:
    return Known(row["id"], f"{letter}-{row['number']:04d}", row["subject"], row["title"], row["items"], row["peak"],
                 row["opened_at"])


def _paged(connection: Connection, since: Millis, subjects: Sequence[str] | None, *, shadow: bool) -> int:
    message, event = schema.escalations.c, schema.events.c
    query = (select(event.subject, func.count())
             .where(message.at >= since, message.kind == "page", message.first.is_(True), message.shadow.is_(shadow),
                    message.drill.is_(False), event.id == message.event_id).group_by(event.subject))
    wanted = None if subjects is None else set(subjects)
    return sum(count for subject, count in connection.execute(query) if wanted is None or subject in wanted)
