"""The items of one subject under one book, in order of time: its events and their levels."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from pipeline.backtest.values import TICK, Change, Entry, Grid, Played, PlayedEvent, Step
from pipeline.model import SHADOW, EventHead, Millis, ScoredBatch, Tick
from pipeline.rulebook.schema import RuleBook, SourceKind
from pipeline.rulebook.shadow import judging
from pipeline.track.in_force import InForce
from pipeline.track.tracker import Tracker

_FORGET_EVERY = 50_000
"""Heads between two looks at which clusters without a level are past."""


def play(entries: Iterable[Entry], book: RuleBook, subject: str, grid: Grid) -> Played:
    """What a tracker makes of these entries, in order of (at, place), and of the ticks between and after them."""
    run = _Run(book, subject, grid)
    for entry in entries:
        run.take(entry)
    return run.end()


def judged_alike(live: RuleBook, candidate: RuleBook) -> Callable[[str], bool]:
    """Whether the same items of a subject come to the same events under both books."""
    pairs = {shadow: [InForce(judging(book) if shadow else book) for book in (live, candidate)]
             for shadow in (False, True)}
    reports = [{each.id for each in book.sources if each.kind is SourceKind.INTAKE} for book in (live, candidate)]

    def alike(subject: str) -> bool:
        one, other = pairs[subject.startswith(SHADOW)]
        return (reports[0] == reports[1] and one.mark(subject) == other.mark(subject)
                and (one.events, one.widest, one.resolution) == (other.events, other.widest, other.resolution))

    return alike


class _Run:
    """members: of each cluster that may yet reach a level, as its heads announce them."""

    def __init__(self, book: RuleBook, subject: str, grid: Grid) -> None:
        self._book = judging(book) if subject.startswith(SHADOW) else book
        self._subject, self._grid = subject, grid
        self._tracker = Tracker(0, 1)
        self._ticked = grid.start
        self._members: dict[str, tuple[Millis, dict[str, None]]] = {}
        self._events: dict[str, PlayedEvent] = {}
        self._stands: dict[str, tuple[int, int]] = {}
        self._steps: list[Step] = []
        self._heads = 0

    def take(self, entry: Entry) -> None:
        self._let_pass(self._grid.last(entry.at))
        if entry.item is not None:
            batch = ScoredBatch(subject=self._subject, book=self._book.hash, items=(entry.item,))
            self._handle(batch, entry.at, entry.place)
        elif entry.counts is not None:
            self._handle(entry.counts, entry.at, entry.place)

    def end(self) -> Played:
        self._let_pass(self._grid.end)
        for event in self._events.values():
            event.items = list(self._members[event.id][1])
        return Played(self._subject, list(self._events.values()), self._steps)

    def _let_pass(self, until: Millis) -> None:
        """The ticks up to `until`, of which most change nothing and are left out: where no event has a level, only
        those at which something has aged count, and the last, from which the next hour is reckoned."""
        while (due := self._tracker.due_at) is not None:
            tick = max(self._ticked + TICK, self._grid.first(due))
            if tick > until:
                break
            self._tick(tick)
        if self._ticked < until:
            self._tick(until)

    def _tick(self, at: Millis) -> None:
        self._ticked = at
        self._handle(Tick(at=at), at, None)

    def _handle(self, record: object, at: Millis, place: int | None) -> None:
        for head in self._tracker.handle(record, self._book).heads:  # type: ignore[arg-type]
            self._note(head, at, place)

    def _note(self, head: EventHead, at: Millis, place: int | None) -> None:
        _, members = self._members.get(head.id, (0, {}))
        self._members[head.id] = head.changed_at, members
        members.update((row.item_id, None) for row in head.joined)
        if head.number and self._stands.get(head.id) != (head.level, head.raises):
            self._stands[head.id] = head.level, head.raises
            self._changed(replace(head, joined=(), excerpts=(), statements=()), at, place)
        self._heads += 1
        if self._heads % _FORGET_EVERY == 0:
            self._forget(at)

    def _changed(self, head: EventHead, at: Millis, place: int | None) -> None:
        event = self._events.get(head.id)
        if event is None:
            event = self._events[head.id] = PlayedEvent(head.id, self._subject, head.title, [], [])
        event.changes.append(Change(at, head.level, head.level_name))
        if head.level > event.peak:
            event.peak, event.peak_name = head.level, head.level_name
        self._steps.append(Step(at, place, head))

    def _forget(self, now: Millis) -> None:
        """Clusters that never reached a level and that the tracker has forgotten long ago."""
        past = now - 2 * self._book.levels.events.join_within
        self._members = {ident: (at, members) for ident, (at, members) in self._members.items()
                         if at > past or ident in self._events}
