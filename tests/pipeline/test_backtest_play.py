"""Which event is which under two books, and what a person's verdict makes of the difference."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.backtest.compare import Comparison, Kind, Mark, Matches, Side, compare
from pipeline.backtest.match import matched
from pipeline.backtest.pages import Page
from pipeline.backtest.values import SETTLE, TICK, Change, Grid, Played, PlayedEvent
from pipeline.model import VerdictKind
from pipeline.rulebook.schema import DAY, HOUR
from tests.builders import NOON, book


def event(ident: str, items: str, *, peak: int = 1, subject: str = "polling", at: int = NOON) -> PlayedEvent:
    name = ("", "一般", "较大", "重大")[peak]
    return PlayedEvent(ident, subject, f"事件{ident}", list(items), [Change(at, peak, name)], peak, name)


def side(*events: PlayedEvent, pages: tuple[Page, ...] = ()) -> Side:
    return Side(book(), (Played("polling", list(events), []),), pages)


def compared(live: Side, candidate: Side, *marks: Mark, **matches: Matches) -> Comparison:
    return compare(live, candidate, matches, marks, (NOON, NOON + DAY))


def mark(kind: VerdictKind = VerdictKind.RELEVANT, **changes: Any) -> Mark:
    values = {"event_id": "other", "subject": "polling", "title": "有人看过的", "items": frozenset("a"), **changes}
    return Mark(kind=kind, **values)


@pytest.mark.parametrize(("live", "candidate", "expected"), [
    ([event("1", "abc")], [event("2", "bcd")], {"pairs": ["12"]}),
    ([event("1", "abc")], [], {"lost": ["1"]}),
    ([], [event("2", "abc")], {"gained": ["2"]}),
    ([event("1", "abc")], [event("2", "def")], {"lost": ["1"], "gained": ["2"]}),
    ([event("1", "abcdef")], [event("2", "ab"), event("3", "cdef")], {"pairs": ["13"], "split": ["2"]}),
    ([event("1", "ab"), event("2", "cdef")], [event("3", "abcdef")], {"pairs": ["23"], "merged": ["1"]}),
    ([event("1", "abc")], [event("2", "abc", subject="safety")], {"moved": ["12"]}),
    ([event("1", "abc"), event("2", "abc", subject="safety")], [event("3", "abc", subject="safety")],
     {"pairs": ["23"], "lost": ["1"]}),
    ([event("1", "abc"), event("2", "cd")], [event("3", "cd"), event("4", "ab")], {"pairs": ["14", "23"]}),
])
def test_events_are_the_same_by_the_items_they_share(
    live: list[PlayedEvent], candidate: list[PlayedEvent], expected: dict[str, list[str]]
) -> None:
    found = matched(live, candidate)
    names = {"pairs": [one.id + other.id for one, other in found.pairs],
             "moved": [one.id + other.id for one, other in found.moved],
             **{name: [each.id for each in getattr(found, name)] for name in ("lost", "gained", "merged", "split")}}
    assert {name: ids for name, ids in names.items() if ids} == expected


def test_a_lost_event_that_a_person_called_relevant_is_refused() -> None:
    live = side(event("1", "abc"), event("2", "def"))
    assert compared(live, side(event("2", "def"))).recommended
    lost = compared(live, side(event("2", "def")), mark(items=frozenset("bx")))
    assert [change.title for change in lost.refused] == ["事件1"] and not lost.recommended
    by_id = compared(live, side(event("2", "def")), mark(event_id="1", items=frozenset()))
    assert [change.title for change in by_id.refused] == ["事件1"]
    assert compared(live, side(event("2", "def")), mark(items=frozenset("d"))).recommended, "it is another one"
    assert compared(live, side(event("2", "def")), mark(VerdictKind.NOT_RELEVANT)).recommended


def test_a_relevant_event_that_is_less_now_is_said_but_not_refused() -> None:
    live = side(event("1", "abc", peak=2))
    for candidate, kind in ((side(event("9", "abc", peak=1)), Kind.LOWERED),
                            (side(event("9", "abc", peak=2, subject="safety")), Kind.MOVED)):
        found = compared(live, candidate, mark())
        assert found.recommended and [change.kind for change in found.weaker] == [kind]
    assert compared(live, side(event("9", "abc", peak=3)), mark()).weaker == ()


def test_what_the_live_book_does_not_find_either_is_unknown() -> None:
    found = compared(side(event("1", "abc")), side(), mark(items=frozenset("x")))
    assert found.unknown == ("有人看过的",) and found.recommended


@pytest.mark.parametrize(("events", "matches", "noisier"), [
    ((1, 2), (5, 5), True), ((1, 1), (5, 6), True), ((1, 1), (5, 5), False), ((2, 1), (6, 5), False)])
def test_a_subject_that_people_had_enough_of_is_not_to_get_noisier(
    events: tuple[int, int], matches: tuple[int, int], noisier: bool
) -> None:
    live, candidate = (side(*(event(str(n), f"{n}") for n in range(count))) for count in events)
    marked = mark(VerdictKind.NOT_RELEVANT)
    rule, = compared(live, candidate, marked, polling=Matches(*matches)).rules
    assert rule.noisier is noisier and rule.not_relevant == 1
    rule, = compared(live, candidate, polling=Matches(*matches)).rules
    assert not rule.noisier


def test_pages_are_counted_by_who_is_told_and_by_day() -> None:
    first = Page(NOON, True, "一般", ("duty",), ("polling",))
    again = Page(NOON + HOUR, False, "一般", ("duty",), ("polling",))
    later = Page(NOON + DAY, True, "重大", ("duty", "leaders"), ("polling",))
    shadow = Page(NOON, True, "一般", ("duty",), ("~safety",), shadow=True)
    found = compared(side(pages=(first, again)), side(pages=(first, later, shadow)), polling=Matches(1, 1))
    assert [(rate.tell, rate.level, rate.first, rate.all) for rate in found.pages[0]] == [(("duty",), "一般", 1, 2)]
    assert {(rate.level, rate.first, rate.all) for rate in found.pages[1]} == {("一般", 1, 1), ("重大", 1, 1)}
    assert [(day.live, day.candidate) for day in found.days] == [(1, 1), (0, 1)]
    assert [rule.pages for rule in found.rules] == [(1, 2)]


def test_ticks_are_where_replay_has_them() -> None:
    """Every five minutes after the first item, one at an item's time before it, for half a day after the last."""
    grid = Grid.of(NOON, NOON + 3 * TICK + 1)
    assert grid.end == NOON + 3 * TICK + SETTLE
    assert [grid.last(NOON + at) for at in (0, TICK - 1, TICK, 2 * TICK + 1)] == [
        NOON, NOON, NOON + TICK, NOON + 2 * TICK]
    assert [grid.first(NOON + at) for at in (-5, 0, 1, TICK, TICK + 1)] == [
        NOON + TICK, NOON + TICK, NOON + TICK, NOON + TICK, NOON + 2 * TICK]
