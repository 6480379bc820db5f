"""The tracker's state: restored, aged, warmed up, repeated; rule books that change; rows and costs that do not grow."""

from __future__ import annotations

import random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.model import (
    OPEN_SUBJECT,
    Close,
    EventHead,
    EventStatus,
    Polarity,
    ScoredBatch,
    ScoredItem,
    Sentiment,
    Tick,
    WarmEvent,
    Why,
)
from pipeline.rulebook.schema import HOUR, MINUTE, EventRules, Level, Levels, RuleBook, Threshold
from pipeline.topics import item_key
from pipeline.track.heat import Figures, Heat
from pipeline.track.tracker import Tracker
from tests.builders import NOON, book, levels, scored_batch, scored_item

BOOK = book()


class Table:
    """A tracker with the rows it wrote, which can be started again from them at any time."""

    def __init__(self, rules: RuleBook = BOOK) -> None:
        self.tracker, self.rows, self.rules = Tracker(0, 4), dict[bytes, bytes](), rules

    def __call__(self, *records: object) -> list[EventHead]:
        heads = []
        for record in records:
            out = self.tracker.handle(record, self.rules)  # type: ignore[arg-type]
            heads += out.heads
            for key, value in out.puts.items():
                if value is None:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = value
        return heads

    def restart(self) -> None:
        rows = list(self.rows.items())
        random.Random(7).shuffle(rows)
        self.tracker = Tracker.restore(0, 4, rows)


def spread(count: int, origins: int, *, step: int = MINUTE, start: int = NOON, prefix: str = "i") -> list[ScoredBatch]:
    return [scored_batch(scored_item(f"{prefix}{n}", origin=f"site{n % origins}", at=start + n * step))
            for n in range(count)]


# ---------------------------------------------------------------- repeats and restarts


def test_a_restart_while_a_calm_event_has_no_members_left_does_not_stop_the_ticks():
    """It is remembered a while longer than its members are."""
    table, plain, empty = Table(), Table(), 0
    for each in (table, plain):
        each(*spread(3, 3))
    for minute in range(5, 60 * 60, 20):
        assert table(Tick(at=NOON + minute * MINUTE)) == plain(Tick(at=NOON + minute * MINUTE))
        if any(not event.members for event in table.tracker._events.values()):
            empty += 1
            table.restart()
        assert table.rows == plain.rows
    assert empty and not table.tracker._events


def test_a_tick_repeated_after_a_kill_says_again_what_only_the_rows_know():
    table = Table()
    table(*spread(3, 3), Tick(at=NOON + 2 * HOUR))
    calmed = table(Tick(at=NOON + 3 * HOUR))
    table.restart()
    assert table(Tick(at=NOON + 3 * HOUR)) == calmed
    assert calmed[0].decision.why is Why.CALMED
    assert table(Tick(at=NOON + 3 * HOUR + 1)) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_tracker_restarted_at_any_record_decides_as_one_that_was_not(seed: int):
    """Over days, so that members and events age in between."""
    chance = random.Random(seed)
    records: list[object] = []
    at = NOON
    for n in range(260):
        at += chance.randrange(1, 50) * MINUTE
        terms = chance.choice(((1, 2, 3, 4), (1, 2, 5, 6), (7, 8, 9, 10), (7, 8, 3, 11)))
        records.append(scored_batch(scored_item(f"i{n}", origin=f"s{chance.randrange(9)}", at=at, terms=terms)))
        records += [Tick(at=at + 20_000, behind=chance.random() < 0.3)] * (n % 3 == 0)
    whole, broken = Table(), Table()
    for number, record in enumerate(records):
        assert [head for head in broken(record) if head.changed_at == broken.tracker.now] == whole(record)
        if number % 9 == seed:
            broken.restart()
    assert broken.rows == whole.rows


def test_the_same_item_edited_after_its_event_is_forgotten_founds_another_event():
    table = Table()
    first = table(*spread(3, 3), Tick(at=NOON + 2 * HOUR), Tick(at=NOON + 3 * HOUR))[-1]
    table(Tick(at=NOON + 60 * HOUR), Tick(at=NOON + 62 * HOUR))
    assert list(table.rows) == [b"t"]
    later = NOON + 70 * HOUR
    edited = scored_batch(scored_item("i0", origin="site0", at=later, published_at=NOON))
    back = table(edited, *spread(3, 3, start=later, prefix="again"))[-1]
    assert back.level == 1 and back.id != first.id and back.number != first.number


def test_an_event_has_the_same_id_when_its_first_item_is_collected_again():
    late = scored_item("i0", origin="site0", at=NOON + HOUR, published_at=NOON)
    assert ({head.id for head in Table()(*spread(3, 3))}
            == {head.id for head in Table()(scored_batch(late), *spread(3, 3)[1:])})


def test_an_edit_that_moves_an_open_item_to_another_key_leaves_its_first_event_whole():
    one = scored_item("x", terms=(2, 40, 41, 42))
    other = replace(one, terms=((1, 100), (50, 100), (51, 100), (52, 100)))
    assert item_key(one, OPEN_SUBJECT) != item_key(other, OPEN_SUBJECT)
    table = Table()
    table(scored_batch(one, subject=OPEN_SUBJECT), scored_batch(other, subject=OPEN_SUBJECT))
    joined = table(scored_batch(scored_item("y", terms=(2, 40, 41, 42)), subject=OPEN_SUBJECT))
    assert {row.item_id for row in joined[-1].joined} == {"x", "y"}
    assert table(scored_batch(one, subject=OPEN_SUBJECT))[-1].items == 2
    moved = table(scored_batch(scored_item("z", terms=(1, 50, 51, 52)), subject=OPEN_SUBJECT))[-1]
    assert moved.items == 2 and moved.id != joined[-1].id


def test_an_item_that_a_warm_up_brings_in_two_events_stays_known_when_one_of_them_ages():
    source = Table()
    old = source(*spread(2, 2))[-1]
    new = Table()(*spread(2, 2, start=NOON + 20 * HOUR, prefix="j"))[-1]
    table = Table()
    there = tuple(replace(row, at=NOON + 20 * HOUR) for row in old.joined)
    table(WarmEvent(head=old, rows=old.joined), WarmEvent(head=new, rows=(*new.joined, *there)))
    table(Tick(at=NOON + 30 * HOUR), Tick(at=NOON + 32 * HOUR))
    again = table(spread(2, 2)[0])
    assert [(head.id, head.items) for head in again] == [(new.id, new.items)]


def test_a_warm_event_with_more_voices_than_an_event_may_have_is_taken_over():
    source = Table()
    heads = source(*spread(100, 9, step=1000))
    rows = {row.item_id: row for head in heads for row in head.joined}
    loud = [replace(row, terms=((1, 100), (2, 100), (3, 100), (4, 100))) for row in rows.values()]
    table = Table()
    table(WarmEvent(head=heads[-1], rows=tuple(loud)))
    table.restart()
    nxt = scored_batch(scored_item("next", origin="s1", at=NOON + 5 * MINUTE))
    assert [head.id for head in table(nxt)] == [heads[-1].id]


def test_warm_ups_and_restarts_leave_one_entry_in_the_ageing_of_each_event():
    table = Table()
    head = table(*spread(3, 3))[-1]
    for version in range(2, 30):
        table(WarmEvent(head=replace(head, version=head.version + version), rows=head.joined))
    table(Tick(at=NOON + 2 * HOUR), Tick(at=NOON + 3 * HOUR))
    assert len(table.tracker._ageing) == 1


def test_a_close_from_a_desk_whose_clock_is_ahead_decides_at_its_own_time():
    table = Table()
    head = table(*spread(3, 3))[-1]
    at = NOON + 5 * MINUTE
    closed = table(Close(id="c", event_id=head.id, key=head.key, by="wang", at=at, reason="已处置"))[-1]
    assert (closed.decision.at, closed.changed_at, closed.floor_at) == (at, at, at)


def test_a_calm_event_whose_tick_came_while_items_waited_stays_until_one_that_did_not():
    table = Table()
    table(*spread(3, 3), Tick(at=NOON + 2 * HOUR), Tick(at=NOON + 3 * HOUR))
    table(Tick(at=NOON + 90 * HOUR, behind=True))
    assert any(key.startswith(b"h|") for key in table.rows)
    table(Tick(at=NOON + 90 * HOUR + MINUTE))
    assert list(table.rows) == [b"t"]


# ---------------------------------------------------------------- rule books that change


def test_an_event_whose_level_is_gone_from_the_rules_falls_to_the_next_that_holds():
    table = Table()
    assert table(*spread(12, 6))[-1].level_name == "较大"
    table.rules = book(levels=levels(ladder=BOOK.levels.ladder[:1], overrides=()), hash="c" * 16)
    head = table(Tick(at=NOON + 13 * MINUTE))[-1]
    assert (head.level, head.level_name, head.decision.why, head.book) == (1, "一般", Why.RULES, "c" * 16)
    assert table(Tick(at=NOON + 14 * MINUTE)) == []


def test_every_decision_carries_the_hash_of_the_book_it_was_made_with():
    table = Table()
    for number, record in enumerate(spread(40, 9)):
        table.rules = book(hash=f"{number:016d}")
        assert {head.book for head in table(record)} <= {table.rules.hash}


# ---------------------------------------------------------------- what never raises a level

moments = st.integers(NOON, NOON + 3 * HOUR)


@st.composite
def rule_books(draw: st.DrawFn) -> RuleBook:
    items, sources = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    ladder = []
    for name in ("一般", "较大", "重大")[:draw(st.integers(1, 3))]:
        ladder.append(Level(
            name=name, response="响应", leave_ratio=draw(st.floats(0.1, 1.0)), hold=draw(st.integers(0, HOUR)),
            enter=(Threshold(items=items, sources=sources, window=draw(st.integers(MINUTE, 4 * HOUR))),)))
        items, sources = items + draw(st.integers(0, 5)), sources + draw(st.integers(0, 3))
    rules = EventRules(similarity=draw(st.floats(0.05, 0.9)), join_within=draw(st.integers(HOUR, 48 * HOUR)))
    return book(levels=Levels(ladder=tuple(ladder), events=rules))


@st.composite
def days(draw: st.DrawFn, **changes: object) -> list[ScoredItem]:
    words = st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True).map(tuple)
    return [scored_item(f"i{number}", at=at, origin=draw(st.sampled_from("abcdefgh")), terms=draw(words), **changes)
            for number, at in enumerate(sorted(draw(st.lists(moments, min_size=1, max_size=25))))]


def felt(items: list[ScoredItem], feelings: list[Polarity]) -> list[ScoredItem]:
    return [replace(item, sentiment=Sentiment(feelings[number % len(feelings)], 1.0), question=number % 2 == 0)
            for number, item in enumerate(items)]


def decisions(rules: RuleBook, items: list[ScoredItem]) -> list[object]:
    table = Table(rules)
    heads = table(*(scored_batch(item) for item in items), Tick(at=NOON + 5 * HOUR), Tick(at=NOON + 9 * HOUR))
    return [(head.id, head.version, head.decision, head.status, head.items) for head in heads]


@given(rule_books(), days(), st.lists(st.sampled_from(list(Polarity)), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_no_level_depends_on_sentiment_whatever_the_rules_and_the_items(
    rules: RuleBook, items: list[ScoredItem], feelings: list[Polarity],
):
    assert decisions(rules, felt(items, feelings)) == decisions(rules, felt(items, [Polarity.POSITIVE]))


@given(rule_books(), st.sampled_from([{"backfill": True}, {"published_at": NOON - 25 * HOUR}, {"official": True}]),
       st.data())
@settings(max_examples=40, deadline=None)
def test_backfill_items_older_than_a_day_and_the_offices_own_words_never_raise_a_level(
    rules: RuleBook, changes: dict[str, object], data: st.DataObject,
):
    items = data.draw(days(**changes))
    heads = Table(rules)(*(scored_batch(item) for item in items))
    assert {head.level for head in heads} <= {0} and {head.status for head in heads} <= {EventStatus.WATCHING}


@given(rule_books(), days(), st.integers(0, 30 * 24 * 60))
@settings(max_examples=40, deadline=None)
def test_no_tick_lowers_a_level_while_items_wait(rules: RuleBook, items: list[ScoredItem], later: int):
    table = Table(rules)
    table(*(scored_batch(item) for item in items))
    before = dict(table.rows)
    assert table(Tick(at=NOON + 3 * HOUR + later * MINUTE, behind=True)) == []
    assert {**table.rows, b"t": b""} == {**before, b"t": b""}


# ---------------------------------------------------------------- rows and costs


@given(st.text(min_size=1, max_size=300), st.integers(0, 40))
def test_an_item_row_takes_at_most_two_hundred_bytes_whatever_its_source_is_called(origin: str, terms: int):
    words = tuple(range(4_294_967_295 - min(terms, 16), 4_294_967_295))
    item = replace(scored_item("f" * 20, origin=origin, negative=True), terms=tuple((word, 255) for word in words),
                   group="本地论坛和贴吧")
    table = Table()
    table(scored_batch(item))
    assert max(len(value) for key, value in table.rows.items() if key.startswith(b"i|")) <= 200


def test_sources_with_long_names_are_still_told_apart():
    names = [f"{'very-' * 20}long-{n}.example.cn" for n in range(3)]
    heads = Table()(*(scored_batch(scored_item(f"i{n}", origin=name)) for n, name in enumerate(names)))
    assert (heads[-1].level, heads[-1].sources) == (1, 3)


def cost(members: int) -> float:
    """CPU seconds of 200 items that join an event of so many members and reach no level, the least of three tries.

    Nine sources in all, but too few of them in any window: the case in which every rung is looked at."""
    rules = book(levels=levels(ladder=(
        replace(BOOK.levels.ladder[0], enter=(Threshold(items=3, sources=8, window=3 * HOUR),)),), overrides=()))
    table = Table(rules)
    table(*spread(9, 9, step=HOUR, start=NOON - 22 * HOUR, prefix="early"))
    for n in range(0, members, 50):
        table(scored_batch(*(scored_item(f"m{n + k}", origin=f"site{k % 4}", at=NOON + n + k) for k in range(50))))
    least = 1e9
    for attempt in range(3):
        items = spread(200, 4, step=1, start=NOON + members + attempt * 1000, prefix=f"x{attempt}-")
        began = process_time()
        heads = table(*items)
        least = min(least, process_time() - began)
        assert heads[-1].level == 0
    return least


def test_an_item_costs_the_same_however_large_the_event_it_joins():
    assert cost(10_000) < 3 * cost(300)


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from("abcd")), min_size=1, max_size=40),
       st.integers(1, 30), st.integers(0, 40), st.integers(1, 8), st.integers(1, 4))
def test_the_best_window_around_an_item_is_the_first_that_counting_finds(
    marks: list[tuple[int, str]], window: int, floor: int, items: int, sources: int,
):
    heat = Heat()
    for mark in marks:
        heat.add(*mark)
    at = marks[-1][0]
    if at <= floor:
        return

    def counted(end: int) -> Figures:
        inside = [mark for mark in marks if max(end - window, floor) < mark[0] <= end]
        return Figures(len(inside), len({origin for _, origin in inside}))

    ends = (counted(end) for end in range(at, at + window))
    reached = [found for found in ends if found.items >= items and found.sources >= sources]
    found = heat.best_around(at, window, floor, items, sources)
    assert (found is None) == (not reached)
    if found is not None:
        assert found.items >= items and found.sources >= sources
