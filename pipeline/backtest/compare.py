"""What a candidate book would change, from what both sides made of the same history. Plain values: printed by the
command, written as JSON."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from pipeline.backtest.match import Matched, matched
from pipeline.backtest.pages import Page
from pipeline.backtest.values import Played, PlayedEvent
from pipeline.model import SHADOW, Millis, VerdictKind
from pipeline.rulebook.schema import DAY, RuleBook
from pipeline.rulebook.shadow import live_name


@dataclass(slots=True)
class Matches:
    """How many contents (an edit is one more) a subject matched under the live and the candidate book, under one of
    them only, and titles of the first few of these."""

    live: int = 0
    candidate: int = 0
    gained: int = 0
    lost: int = 0
    gained_titles: tuple[str, ...] = ()
    lost_titles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """What a person said of an event of the archive. items: its members. said_of: its title."""

    event_id: str
    subject: str
    kind: VerdictKind
    title: str
    items: frozenset[str]


@dataclass(frozen=True, slots=True)
class Side:
    """What one book made of the history."""

    book: RuleBook
    played: tuple[Played, ...]
    pages: tuple[Page, ...]


class Kind(StrEnum):
    GAINED = "gained"
    LOST = "lost"
    RAISED = "raised"                # another, higher level at its peak
    LOWERED = "lowered"
    MOVED = "moved"                  # of another subject
    MERGED = "merged"                # its items are part of another event
    SPLIT = "split"                  # its items were part of another event


class EventChange(msgspec.Struct, frozen=True):
    """An event of which the two books make something else. before, after: names of its highest level, empty without.
    relevant: a person said that it is relevant. to: the subject that it is of now."""

    kind: Kind
    subject: str
    title: str
    at: Millis
    items: int
    before: str
    after: str
    relevant: bool = False
    to: str = ""


class PageRate(msgspec.Struct, frozen=True):
    """Messages of one level to the same people. first: without those about events that nobody answered."""

    tell: tuple[str, ...]
    level: str
    first: int
    all: int


class PageDay(msgspec.Struct, frozen=True):
    day: str
    live: int
    candidate: int


class RuleChange(msgspec.Struct, frozen=True):
    """A subject under both books, or under one. matches, events, pages: (live, candidate). pages: first ones only.
    noisier: people said of its events that they are not relevant, and it has more of them now."""

    subject: str
    title: str
    matches: tuple[int, int]
    matches_gained: int
    matches_lost: int
    gained_titles: tuple[str, ...]
    lost_titles: tuple[str, ...]
    events: tuple[int, int]
    gained: int
    lost: int
    raised: int
    lowered: int
    pages: tuple[int, int]
    shadow: bool = False
    not_relevant: int = 0
    noisier: bool = False


class Comparison(msgspec.Struct, frozen=True):
    """refused: events that people said are relevant and that the candidate loses. unknown: those that the live book
    does not find in this history either, so that nothing can be said of them. weaker: relevant ones whose level falls
    or whose items go into another event."""

    rules: tuple[RuleChange, ...]
    events: tuple[EventChange, ...]
    pages: tuple[tuple[PageRate, ...], tuple[PageRate, ...]]
    days: tuple[PageDay, ...]
    refused: tuple[EventChange, ...]
    weaker: tuple[EventChange, ...]
    unknown: tuple[str, ...]

    @property
    def recommended(self) -> bool:
        return not self.refused


def compare(
    live: Side, candidate: Side, matches: dict[str, Matches], marks: Sequence[Mark], span: tuple[Millis, Millis]
) -> Comparison:
    """span: from the first to the last item."""
    events = tuple(_events(side) for side in (live, candidate))
    pairs = matched(*events)
    relevant, unknown = _relevant(events[0], [mark for mark in marks if mark.kind is VerdictKind.RELEVANT])
    changes = sorted(_changes(pairs, relevant), key=lambda each: (each.at, each.subject, each.kind, each.title))
    shown = [each for each in changes if not each.subject.startswith(SHADOW)]
    marked = [each for each in shown if each.relevant]
    return Comparison(
        rules=tuple(_rules(live, candidate, matches, marks, shown)),
        events=tuple(shown),
        pages=(_rates(live.pages), _rates(candidate.pages)),
        days=tuple(_days(live, candidate, span)),
        refused=tuple(each for each in marked if each.kind is Kind.LOST),
        weaker=tuple(each for each in marked if each.kind in (Kind.LOWERED, Kind.MERGED, Kind.MOVED)),
        unknown=unknown)


def _events(side: Side) -> list[PlayedEvent]:
    found = [event for played in side.played for event in played.events]
    return sorted(found, key=lambda event: (event.changes[0].at, event.subject, event.id))


def _relevant(live: list[PlayedEvent], marks: list[Mark]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Ids of played events that are the marked ones, and titles of marked ones that were not found."""
    having: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for event in live:
        for item in event.items:
            having[live_name(event.subject), item].add(event.id)
    known = {event.id for event in live}
    found: set[str] = set()
    unknown = []
    for mark in marks:
        of_mark = {mark.event_id} & known
        for item in mark.items if not of_mark else ():
            of_mark |= having.get((live_name(mark.subject), item), set())
        found |= of_mark
        if not of_mark:
            unknown.append(mark.title)
    return frozenset(found), tuple(unknown)


def _changes(pairs: Matched, relevant: frozenset[str]) -> Iterable[EventChange]:
    for kind, events in ((Kind.LOST, pairs.lost), (Kind.MERGED, pairs.merged)):
        yield from (_change(kind, event, event.peak_name, "", event.id in relevant) for event in events)
    for kind, events in ((Kind.GAINED, pairs.gained), (Kind.SPLIT, pairs.split)):
        yield from (_change(kind, event, "", event.peak_name, relevant=False) for event in events)
    for one, other in pairs.moved:
        yield _change(Kind.MOVED, one, one.peak_name, other.peak_name, one.id in relevant, to=other.subject)
    for one, other in (*pairs.pairs, *pairs.moved):
        if one.peak != other.peak:
            kind = Kind.RAISED if other.peak > one.peak else Kind.LOWERED
            yield _change(kind, other, one.peak_name, other.peak_name, one.id in relevant)


def _change(
    kind: Kind, event: PlayedEvent, before: str, after: str, relevant: bool, to: str = ""
) -> EventChange:
    return EventChange(kind, event.subject, event.title, event.changes[0].at, len(event.items), before, after,
                       relevant, to)


def _rules(
    live: Side, candidate: Side, matches: dict[str, Matches], marks: Sequence[Mark], changes: list[EventChange]
) -> Iterable[RuleChange]:
    """Subjects that match anything: in the order of the candidate, then what only the live book has."""
    counted = [Counter(event.subject for event in _events(side)) for side in (live, candidate)]
    paged = [Counter(name for page in side.pages if page.first for name in page.subjects) for side in (live, candidate)]
    kinds = Counter((each.subject, each.kind) for each in changes)
    against = Counter(live_name(mark.subject) for mark in marks if mark.kind is VerdictKind.NOT_RELEVANT)
    titles = _titles(live.book) | _titles(candidate.book)
    for subject in dict.fromkeys((*_titles(candidate.book), *_titles(live.book), *sorted(matches))):
        got = matches.get(subject)
        if got is None:
            continue
        events = counted[0][subject], counted[1][subject]
        bad = against[live_name(subject)]
        yield RuleChange(
            subject=subject, title=titles.get(live_name(subject), ""), matches=(got.live, got.candidate),
            matches_gained=got.gained, matches_lost=got.lost, gained_titles=got.gained_titles,
            lost_titles=got.lost_titles, events=events, gained=kinds[subject, Kind.GAINED],
            lost=kinds[subject, Kind.LOST], raised=kinds[subject, Kind.RAISED], lowered=kinds[subject, Kind.LOWERED],
            pages=(paged[0][subject], paged[1][subject]), shadow=subject.startswith(SHADOW), not_relevant=bad,
            noisier=bool(bad) and (events[1] > events[0] or got.candidate > got.live))


def _titles(book: RuleBook) -> dict[str, str]:
    return {each.id: each.title for each in book.subjects}


def _rates(pages: Iterable[Page]) -> tuple[PageRate, ...]:
    """By level and who is told, the most first."""
    counted: dict[tuple[tuple[str, ...], str], list[int]] = {}
    for page in pages:
        if not page.shadow:
            counts = counted.setdefault((page.tell, page.level), [0, 0])
            counts[0] += page.first
            counts[1] += 1
    return tuple(PageRate(tell, level, *counts) for (tell, level), counts in sorted(
        counted.items(), key=lambda each: (-each[1][1], each[0])))


def _days(live: Side, candidate: Side, span: tuple[Millis, Millis]) -> Iterable[PageDay]:
    """First pages of each day in the candidate's zone, from the first item's day to the last page's."""
    zone = ZoneInfo(candidate.book.timezone)
    counts = [Counter(_day(page.at, zone) for page in side.pages if page.first and not page.shadow)
              for side in (live, candidate)]
    names = {_day(at, zone) for at in (*range(span[0], span[1], DAY), span[1])}
    for name in sorted({*names, *counts[0], *counts[1]}):
        yield PageDay(name, counts[0][name], counts[1][name])


def _day(at: Millis, zone: ZoneInfo) -> str:
    return dt.datetime.fromtimestamp(at / 1000, zone).date().isoformat()
