"""Counts that grow, reports of people: how they raise levels, what a repeat changes, what a restart brings back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.model import Close, Counts, CountsBatch, CountsRow, EventHead, EventStatus, Tick, WarmEvent, Why
from pipeline.rulebook.schema import (
    HOUR,
    MINUTE,
    EventRules,
    Level,
    Levels,
    RuleBook,
    Source,
    SourceKind,
    Threshold,
)
from pipeline.track import growth, level
from pipeline.track.growth import MAX_STEPS, Series, begun, encode_series, extended
from tests.builders import NOON, book, scored_batch, scored_item
from tests.pipeline.test_track_state import Table

DAY = 24 * HOUR


def ladder(*needs: tuple[int, int]) -> tuple[Level, ...]:
    """Levels that 50, 60 … items reach, or so much growth on items of so many sources within an hour."""
    names = ("一般", "较大", "重大")
    return tuple(Level(name=names[n], response="响应", hold=30 * MINUTE, enter=(
        Threshold(items=50 + 10 * n, sources=2 + n, window=HOUR),
        *((Threshold(growth=amount, growth_sources=sources, window=HOUR),) if amount else ())))
        for n, (amount, sources) in enumerate(needs))


def rules(*needs: tuple[int, int], urgent: str = "") -> RuleBook:
    return book(levels=Levels(ladder=ladder(*needs), events=EventRules(urgent_level=urgent)), sources=(
        Source(id="hotline", name="热线", kind=SourceKind.INTAKE, origin="hotline"),))


def counted(item_id: str, at: int, comments: int, **more: int) -> CountsBatch:
    return CountsBatch(source_id="xinwen", at=at, items=(CountsRow(item_id, at, Counts(comments=comments, **more)),))


def unread(item_id: str, at: int, comments: int, since: int) -> CountsBatch:
    return replace(counted(item_id, at, comments), since=since)


def items(*ids: str, **raw: object) -> list:
    return [scored_batch(scored_item(each, origin=f"site-{each}", counts=Counts(comments=10), **raw)) for each in ids]


def why(heads: list[EventHead]) -> tuple[int, Why]:
    return heads[-1].level, heads[-1].decision.why


# ---------------------------------------------------------------- a series


def series_of(points: Sequence[tuple[int, int]], resolution: int = MINUTE) -> Series:
    series = begun(Counts(comments=points[0][1]), points[0][0])
    assert series is not None
    for at, comments in points[1:]:
        series = extended(series, Counts(comments=comments), at, resolution) or series
    return series


def read_late(grown: int, minutes: int, window: int = HOUR) -> growth.Growth:
    """What so much growth is to the sums, of an item that nobody read for so long."""
    sums, series = growth.Growth(), begun(Counts(comments=0), NOON)
    assert series is not None
    late = extended(series, Counts(comments=grown), NOON + minutes * MINUTE, window // MAX_STEPS, DAY, NOON)
    assert late is not None and late.total == grown and len(late.steps) <= MAX_STEPS
    sums.shift(series, late, "site")
    return sums


@pytest.mark.parametrize(("points", "marks"), [
    ([(0, 5)], []),
    ([(0, 5), (5, 9), (10, 12)], [(5, 4), (10, 3)]),
    ([(0, 5), (5, 9), (10, 7), (15, 9), (20, 10)], [(5, 4), (20, 1)]),     # a decrease, and back again
    ([(10, 5), (5, 9), (20, 6)], [(20, 1)]),                               # older than what is known
    ([(0, 5), (0, 8)], [(0, 3)]),
])
def test_only_a_total_above_the_last_one_is_growth(points: list[tuple[int, int]], marks: list[tuple[int, int]]):
    assert list(series_of([(at * MINUTE, total) for at, total in points]).marks()) == marks


def test_growth_soon_after_a_step_becomes_part_of_it_and_so_is_never_taken_for_younger():
    series = series_of([(0, 0), (10 * MINUTE, 5), (14 * MINUTE, 8), (16 * MINUTE, 9)], resolution=5 * MINUTE)
    assert list(series.marks()) == [(10, 8), (16, 1)]


def test_a_burst_in_a_short_window_is_seen_beside_a_level_with_a_long_one():
    """A trickle, then 300 comments in half an hour: no step of the day's window swallows them."""
    short, long = Threshold(window=30 * MINUTE, growth=250), Threshold(window=DAY, growth=100_000)
    book_of_both = book(levels=Levels(ladder=(
        Level(name="一般", response="响应", hold=HOUR, enter=(short,)),
        Level(name="较大", response="响应", hold=HOUR, enter=(long,)))))
    table = Table(book_of_both)
    table(*items("a"))
    for minute in range(1, 71):
        table(counted("a", NOON + minute * MINUTE, 11 + 10 * max(0, minute - 40)))
    (raised,) = table.tracker.open_events
    assert raised.decision.why is Why.GROWING and raised.decision.evidence.growth >= 250


@pytest.mark.parametrize("window", [30, 60, 180, DAY // MINUTE])
def test_a_row_reaches_past_the_widest_window_and_is_fine_where_it_is_young(window: int):
    series, sums = begun(Counts(comments=0), 0), growth.Growth()
    assert series is not None
    for minute in range(1, 3_001):
        after = extended(series, Counts(comments=minute), minute * MINUTE, 30 * MINUTE // MAX_STEPS, DAY)
        if after is not None:
            sums.shift(series, after, "site")
            series = after
    assert 0.6 * window <= sums.within(window * MINUTE, 3_000 * MINUTE).amount <= window
    assert series.total == 3_000 and len(encode_series(series)) <= 200


def test_counts_that_the_feed_did_not_give_at_first_are_not_growth():
    series = begun(Counts(comments=3), 0)
    assert series is not None
    assert extended(series, Counts(comments=3, likes=5_000, views=9), HOUR, MINUTE) is None
    assert begun(Counts(views=5), 0) is None and begun(Counts(), 0) is None


@given(st.lists(st.tuples(st.integers(0, 40 * DAY), st.integers(0, 2**40)), min_size=1, max_size=80), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_row_takes_at_most_two_hundred_bytes_and_growth_is_the_greatest_less_the_first(
    points: list[tuple[int, int]], ordered: bool,
):
    points = sorted(points) if ordered else points
    series = series_of([(NOON + at, total) for at, total in points])
    assert len(encode_series(series)) <= 200 and len(series.steps) <= MAX_STEPS
    assert all(amount > 0 for _, amount in series.marks())
    if ordered:
        assert series.total == min(max(total for _, total in points), growth.MAX_TOTAL)


@pytest.mark.parametrize("grown", [1, 7, 160, 96_000])
@pytest.mark.parametrize("minutes", [5, 30, 61, 8 * 60, 3 * 24 * 60])
def test_growth_that_nobody_saw_is_spread_over_the_time_and_never_taken_for_younger(minutes: int, grown: int):
    sums = read_late(grown, minutes)
    for window in (3, 17, 60, 480, minutes, DAY // MINUTE):
        found = sums.within(window * MINUTE, NOON + minutes * MINUTE).amount
        share = min(1.0, window / minutes)
        assert found <= -(-grown * share // 1)
        assert share < 1 or minutes * MINUTE > DAY or found == grown
        if window >= 17 and grown > 1_000:
            assert found >= 0.6 * grown * share


@given(st.lists(st.tuples(st.integers(0, 3 * DAY), st.integers(0, 2**33), st.integers(-HOUR, 4 * DAY)),
                min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_row_keeps_its_size_and_its_sum_whatever_gaps_there_were(points: list[tuple[int, int, int]]):
    at, top, series = NOON, 0, begun(Counts(comments=0), NOON)
    assert series is not None
    for wait, total, unread_for in points:
        at, top = at + wait, max(top, total)
        series = extended(series, Counts(comments=total), at, 3 * MINUTE, DAY, at - unread_for) or series
        assert extended(series, Counts(comments=total), at, 3 * MINUTE, DAY, at - unread_for) is None
        assert len(encode_series(series)) <= 200 and series.total == min(top, growth.MAX_TOTAL)
        assert all(amount > 0 for _, amount in series.marks()) and series.last * MINUTE <= at


# ---------------------------------------------------------------- levels


@pytest.mark.parametrize(("needs", "grown", "reached"), [
    (((0, 1),), [(30, "a", 10**6)], None),                                  # 0: growth does not count
    (((500, 1),), [(30, "a", 499)], None),
    (((500, 1),), [(30, "a", 500)], (1, Why.GROWING, 500)),
    (((500, 2),), [(30, "a", 900)], None),                                  # one source only
    (((500, 2),), [(30, "a", 400), (31, "b", 100)], (1, Why.GROWING, 500)),
    (((500, 1),), [(30, "a", 300), (91, "a", 300)], None),                  # not within an hour
    (((100, 1), (500, 2), (900, 2)), [(30, "a", 80), (31, "b", 450)], (2, Why.GROWING, 530)),
    (((100, 1), (0, 1), (900, 2)), [(30, "a", 80), (31, "b", 950)], (3, Why.GROWING, 1030)),
])
def test_a_level_is_reached_by_growth_within_its_window(
    needs: tuple[tuple[int, int], ...], grown: list[tuple[int, str, int]], reached: tuple[int, Why, int] | None,
):
    signs, found = level.Signs(), None
    rungs = level.Ladder(level.ladder_for(Levels(ladder=ladder(*needs)), "polling"))
    for minute, origin, amount in grown:
        at = minute * MINUTE
        signs.grow(None, Series(1, 0, 0, ((minute, amount),)), origin)
        decision = level.rise(signs, 0, rungs, at=at, now=at, floor=0, came=level.Came.GROWTH)
        found = (decision.level, decision.why, decision.evidence.growth) if decision else found
    assert found == reached


def test_growth_raises_an_event_and_says_so():
    table = Table(rules((500, 2)))
    table(*items("a", "b"))
    assert table(counted("a", NOON + MINUTE, 300))[-1].level == 0
    head = table(counted("b", NOON + 2 * MINUTE, 300))[-1]
    assert (head.level, head.decision.why, head.growth, head.short) == (1, Why.GROWING, 580, "E-0001")
    assert (head.decision.evidence.growth, head.decision.evidence.need_growth) == (580, 500)
    assert head.decision.evidence.items == 2


def test_what_grew_over_an_outage_raises_nothing_that_it_would_not_have_raised_in_its_time():
    """160 comments of eight hours are twenty an hour; of five minutes they are a burst."""
    outage, ordinary = Table(rules((100, 1))), Table(rules((100, 1)))
    for table in (outage, ordinary):
        table(*items("a"), counted("a", NOON + 5 * MINUTE, 12))
    back = NOON + 8 * HOUR
    assert outage(unread("a", back, 172, NOON + 5 * MINUTE))[-1:] == []      # a lone item, and no level
    assert outage.tracker.open_events == []
    assert why(outage(unread("a", back + 5 * MINUTE, 352, back))) == (1, Why.GROWING)
    assert why(ordinary(unread("a", NOON + 10 * MINUTE, 172, NOON + 5 * MINUTE))) == (1, Why.GROWING)
    assert ordinary.tracker.open_events[0].growth == 162


def test_an_edit_after_an_outage_brings_counts_of_all_that_time():
    table = Table(rules((100, 1)))
    table(*items("a"))
    edit = scored_item("a", origin="site-a", at=NOON + 8 * HOUR, revision="1" * 16, counts=Counts(comments=170))
    late = replace(edit, item=replace(edit.item, counts_since=NOON))
    table(scored_batch(late))
    assert table.tracker.open_events == [] and next(iter(table.tracker._events.values())).head.growth == 160


def test_first_counts_are_where_growth_begins_however_long_nobody_looked():
    table = Table(rules((100, 1)))
    first = scored_item("a", counts=Counts(comments=900))
    table(scored_batch(replace(first, item=replace(first.item, counts_since=NOON - 8 * HOUR))))
    assert table.tracker.open_events == [] and next(iter(table.tracker._events.values())).head.growth == 0


def test_a_repeat_of_what_grew_over_an_outage_changes_no_row_and_a_restart_brings_the_same_back():
    table = Table(rules((500, 1)))
    table(*items("a", "b"))
    batch = unread("a", NOON + 8 * HOUR, 810, NOON)
    first, rows = table(batch)[-1], dict(table.rows)
    for _ in range(2):
        assert [(head.id, head.version) for head in table(batch)] == [(first.id, first.version)]
        assert table.rows == rows
        table.restart()
    whole = Table(rules((500, 1)))
    whole(*items("a", "b"), batch)
    nxt = counted("b", NOON + 8 * HOUR + MINUTE, 430)
    assert table(nxt) == whole(nxt) and table.rows == whole.rows
    assert why(table(counted("b", NOON + 8 * HOUR + 2 * MINUTE, 470))) == (1, Why.GROWING)


def test_one_post_alone_can_reach_a_level_by_growth_and_is_sent_on_with_its_item():
    table = Table(rules((500, 1)))
    table(*items("a"))
    head = table(counted("a", NOON + MINUTE, 700))[-1]
    assert (head.level, [row.item_id for row in head.joined]) == (1, ["a"])


@pytest.mark.parametrize("changes", [{"backfill": True}, {"official": True}, {"published_at": NOON - 30 * HOUR}])
def test_growth_of_old_and_official_items_raises_nothing(changes: dict[str, object]):
    table = Table(rules((5, 1)))
    heads = table(*items("a", "b", **changes), counted("a", NOON + MINUTE, 999), counted("b", NOON + MINUTE, 999))
    assert {head.level for head in heads} == {0}


def test_growth_before_a_close_does_not_count_after_it():
    table = Table(rules((500, 1)))
    table(*items("a", "b"))
    head = table(counted("a", NOON + MINUTE, 700))[-1]
    closed = table(Close(id="c", event_id=head.id, key=head.key, by="wang", at=NOON + 5 * MINUTE, reason="已处置"))[-1]
    assert closed.status is EventStatus.CLOSED
    assert table(counted("a", NOON + 6 * MINUTE, 900))[-1].level == 0
    assert table(counted("b", NOON + 9 * MINUTE, 400))[-1].level == 1


def test_a_level_reached_by_growth_is_held_by_it_and_falls_when_it_stops():
    table = Table(rules((500, 1)))
    table(*items("a", "b"), counted("a", NOON + MINUTE, 700))
    assert table(Tick(at=NOON + 50 * MINUTE)) == []
    below = table(Tick(at=NOON + 62 * MINUTE))[-1]
    assert (below.level, below.below_since) == (1, NOON + 62 * MINUTE)
    ended = table(Tick(at=NOON + 92 * MINUTE))[-1]
    assert (ended.status, ended.decision.why, ended.growth) == (EventStatus.CALM, Why.CALMED, 690)


def test_counts_of_items_that_nobody_holds_change_nothing():
    table = Table(rules((5, 1)))
    table(*items("a"))
    before = dict(table.rows)
    assert table(counted("unknown", NOON + HOUR, 10**6)) == [] and table.rows == before
    assert table.tracker.now == NOON


def test_an_edit_brings_the_counts_of_its_time():
    table = Table(rules((500, 1)))
    table(*items("a", "b"))
    edited = scored_item("a", origin="site-a", at=NOON + MINUTE, revision="1" * 16, counts=Counts(comments=900))
    assert table(scored_batch(edited))[-1].decision.why is Why.GROWING


def test_counts_go_with_their_items():
    table = Table(rules((5000, 1)))
    table(*items("a", "b"), counted("a", NOON + MINUTE, 700))
    assert sum(key.startswith(b"c|") for key in table.rows) == 2
    table(Tick(at=NOON + 60 * HOUR), Tick(at=NOON + 62 * HOUR))
    assert list(table.rows) == [b"t"]


# ---------------------------------------------------------------- repeats, order, restarts

polls = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 400)), min_size=1, max_size=25)


def day(polled: list[tuple[str, int]]) -> dict[str, list[CountsBatch]]:
    """Of each item its own records in order: totals that mostly grow, a poll every few minutes."""
    totals, made = dict.fromkeys("abcd", 10), {each: [] for each in "abcd"}
    for number, (item_id, more) in enumerate(polled):
        totals[item_id] += more - 30
        made[item_id].append(counted(item_id, NOON + (number + 1) * 3 * MINUTE, totals[item_id]))
    return made


def outcome(table: Table) -> tuple[dict[bytes, bytes], int]:
    heads = [event.head for event in table.tracker._events.values()]
    return {key: value for key, value in table.rows.items() if key.startswith(b"c|")}, heads[0].growth


@given(polls, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_repeats_and_the_order_of_sources_change_neither_the_counts_nor_the_highest_level(
    polled: list[tuple[str, int]], chance: object,
):
    """A source's own records stay in order; the rest may come in any, and each again."""
    made, rule = day(polled), rules((200, 1), (700, 2))
    plain, mixed = Table(rule), Table(rule)
    first = plain(*items(*"abcd"), *sorted((one for each in made.values() for one in each), key=lambda one: one.at))
    again = mixed(*items(*"abcd"))
    queues = [list(each) for each in made.values() if each]
    while queues:
        queue = chance.choice(queues)                                       # type: ignore[attr-defined]
        again += mixed(queue[0], *([queue[0]] * chance.randrange(2)))       # type: ignore[attr-defined]
        del queue[0]
        queues = [each for each in queues if each]
    for each in made.values():
        again += mixed(*each)
    assert outcome(mixed) == outcome(plain)
    assert max((head.peak for head in again), default=0) == max((head.peak for head in first), default=0)


@given(polls, st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_a_tracker_restarted_among_counts_decides_as_one_that_was_not(polled: list[tuple[str, int]], when: int):
    rule = rules((200, 1), (700, 2))
    records = sorted((one for each in day(polled).values() for one in each), key=lambda one: one.at)
    records += [Tick(at=NOON + 3 * HOUR), Tick(at=NOON + 4 * HOUR)]         # type: ignore[list-item]
    whole, broken = Table(rule), Table(rule)
    whole(*items(*"abcd")), broken(*items(*"abcd"))
    for number, record in enumerate(records):
        if number == when:
            broken.restart()
        found, expected = broken(record), whole(record)
        assert found == expected or isinstance(record, Tick)                # a first tick may say things again
    assert broken.rows == whole.rows


def test_a_repeat_of_counts_changes_no_state_and_emits_again():
    table = Table(rules((500, 1)))
    table(*items("a", "b"))
    batch = counted("a", NOON + MINUTE, 700)
    first, rows = table(batch)[-1], dict(table.rows)
    assert [(head.id, head.version) for head in table(batch)] == [(first.id, first.version)]
    assert table.rows == rows


def test_views_alone_are_no_growth_and_send_nothing_on():
    table = Table(rules((5, 1)))
    table(*items("a", "b"))
    assert table(counted("a", NOON + MINUTE, 10, views=10**6)) == []


def test_a_warm_event_brings_its_counts():
    rule = rules((500, 1))
    source, warm = Table(rule), Table(rule)
    heads = source(*items("a", "b"), counted("a", NOON + MINUTE, 300), counted("b", NOON + 2 * MINUTE, 150))
    rows = {row.item_id: row for head in heads for row in head.joined}
    grown = (CountsRow("a", NOON, Counts(comments=10)), CountsRow("b", NOON, Counts(comments=10)),
             CountsRow("a", NOON + MINUTE, Counts(comments=300)),
             CountsRow("b", NOON + 2 * MINUTE, Counts(comments=150)))
    warm(WarmEvent(head=heads[-1], rows=tuple(rows.values()), counts=grown))
    nxt = counted("b", NOON + 3 * MINUTE, 260)
    expected = source(nxt)
    assert warm(nxt) == expected and expected[-1].decision.why is Why.GROWING


def test_counts_cost_the_same_however_many_items_the_event_has():
    """Figures are kept by minute and source: an event of many items has no more of them to look at."""
    few, many = level.Signs(), level.Signs()
    for signs, count in ((few, 20), (many, 5_000)):
        for n in range(count):
            signs.grow(None, Series(1, n % 60, 0, ((1, 5), (3, 2))), f"s{n % 9}")
    assert len(many.growth._all._minutes) <= 64 and len(few.growth._all._minutes) <= 64
    assert many.growth.within(2 * HOUR, 2 * HOUR).amount == 35_000
