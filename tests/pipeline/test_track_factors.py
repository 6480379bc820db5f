"""The factors of levels.yml in the tracker: what each counts, in which window; sentiment alone raises nothing."""

from __future__ import annotations

import json
import random
from datetime import datetime
from math import sqrt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.errors import RuleBookError
from pipeline.model import (
    Counts,
    CountsBatch,
    CountsRow,
    EventHead,
    Factor,
    MemberRow,
    Polarity,
    ScoredItem,
    Sentiment,
    Tick,
    Why,
)
from pipeline.rulebook.checks_levels import implies
from pipeline.rulebook.factors import SPREAD
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import HOUR, MINUTE, EventRules, Level, Levels, RuleBook, Subject, Threshold
from pipeline.track import members
from pipeline.track.growth import Series
from pipeline.track.level import Ladder, ladder_for, rise
from pipeline.track.measure import Measure, lower_share
from pipeline.track.signs import Signs
from tests.builders import NOON, book, scored_batch, scored_item
from tests.pipeline.test_track_state import Table
from tests.rules.test_parse import GOOD, ZONE

MIDNIGHT = NOON - 12 * HOUR


def rules(*enter: Threshold, more: tuple[Threshold, ...] = (), impact: int = 1, **events: Any) -> RuleBook:
    """A book with one level that any of these reaches, and perhaps one above it."""
    ladder = [Level(name="一般", response="响应", enter=enter)]
    ladder += [Level(name="较大", response="响应", enter=more)] if more else []
    known = book()
    return book(levels=Levels(ladder=tuple(ladder), events=EventRules(**events)),
                subjects=tuple(replace(each, impact=impact) for each in known.subjects))


def item(number: int, *, minute: float = 0, origin: str = "", group: str = "", mood: Polarity | None = None,
         official: bool = False, comments: int | None = None) -> ScoredItem:
    counts = None if comments is None else Counts(comments=comments)
    made = scored_item(f"i{number}", origin=origin or f"site{number}", at=NOON + int(minute * MINUTE),
                       official=official, counts=counts)
    made = replace(made, group=group)
    return made if mood is None else replace(made, sentiment=Sentiment(mood, 0.0 if mood is Polarity.UNSURE else 0.9))


def grown(number: int, minute: int, comments: int) -> CountsBatch:
    row = CountsRow(f"i{number}", NOON + minute * MINUTE, Counts(comments=comments))
    return CountsBatch(source_id="xinwen", at=row.at, items=(row,))


def decided(book: RuleBook, *records: Any) -> EventHead:
    table = Table(book)
    return table(*(scored_batch(each) if isinstance(each, ScoredItem) else each for each in records))[-1]


def levels_of(book: RuleBook, *records: Any) -> list[int]:
    """The level after each record."""
    table = Table(book)
    found = []
    for each in records:
        heads = table(scored_batch(each) if isinstance(each, ScoredItem) else each)
        found.append(heads[-1].level if heads else (found or [0])[-1])
    return found


BAD, FINE, UNSURE = Polarity.NEGATIVE, Polarity.NEUTRAL, Polarity.UNSURE


# ---------------------------------------------------------------- each factor


def test_groups_are_those_of_the_sources_and_an_unknown_one_is_none():
    need = rules(Threshold(groups=2, window=HOUR))
    assert levels_of(need, item(1, group="新闻"), item(2, group="新闻"), item(3), item(4, group="论坛")) == [0, 0, 0, 1]
    assert members.tag_hash("") == 0 and 0 < members.tag_hash("新闻") < 65536


def test_speed_is_items_per_hour_over_the_whole_window():
    need = rules(Threshold(speed=2, sources=1, window=2 * HOUR))
    assert levels_of(need, item(1), item(2), item(3), item(4)) == [0, 0, 0, 1]
    assert levels_of(rules(Threshold(speed=1.1, sources=1, window=10 * HOUR)), *(item(n) for n in range(11)))[-1] == 1


def test_heat_is_items_and_what_people_did_with_them():
    need = rules(Threshold(heat=5, sources=2, window=HOUR), interaction=0.1)
    first = (item(1, comments=0), item(2, comments=0))
    assert levels_of(need, *first, grown(1, 3, 20), grown(2, 4, 9), grown(2, 9, 10)) == [0, 0, 0, 0, 1]
    assert levels_of(need, *first, grown(1, 3, 29), item(3)) == [0, 0, 0, 1]
    head = decided(need, *first, grown(1, 3, 30))
    assert (head.decision.why, head.decision.evidence.factors) == (Why.RAISED, (Factor("sources", 2, 2),
                                                                                 Factor("heat", 5, 5)))


def test_growth_and_items_in_one_threshold_both_have_to_be_there():
    need = rules(Threshold(items=2, sources=2, growth=50, growth_sources=2, window=HOUR))
    items = (item(1, comments=0), item(2, comments=0))
    assert levels_of(need, *items, grown(1, 2, 60), grown(2, 3, 1)) == [0, 0, 0, 1]
    assert levels_of(need, item(1, comments=0), grown(1, 2, 60), item(2, comments=0), grown(2, 3, 1)) == [0, 0, 0, 1]
    assert levels_of(need, *items, grown(1, 2, 60)) == [0, 0, 0]
    assert levels_of(need, *items, grown(1, 61, 60), grown(2, 62, 1)) == [0, 0, 0, 0], "an hour later"


@pytest.mark.parametrize(("impact", "level"), [(1, 0), (2, 0), (3, 1), (5, 1)])
def test_impact_is_the_subjects(impact: int, level: int):
    need = rules(Threshold(items=2, sources=2, impact=3, window=HOUR), impact=impact)
    head = decided(need, item(1), item(2))
    assert head.level == level
    if level:
        assert head.decision.evidence.factors[-1] == Factor("impact", impact, 3)


def test_the_open_subject_has_impact_one():
    need = rules(Threshold(items=2, sources=2, impact=2, window=HOUR), impact=5)
    heads = Table(need)(*(scored_batch(item(n), subject="*") for n in (1, 2)))
    assert heads[-1].level == 0


def test_official_is_counted_since_local_midnight_and_is_no_spread():
    need = rules(Threshold(items=2, sources=2, official=2, window=HOUR))
    public, office = (item(1), item(2)), [item(n, minute=-60 * 11.9, official=True) for n in (8, 9)]
    assert levels_of(need, *office, *public) == [0, 0, 0, 1]
    assert levels_of(need, *public, *office) == [0, 0, 0, 1], "the last of them may be the office's"
    before = [item(n, minute=-60 * 12.1, official=True) for n in (8, 9)]
    assert levels_of(need, *before, *public) == [0, 0, 0, 0], "yesterday"
    assert levels_of(rules(Threshold(items=2, sources=2, window=HOUR)), *office, item(1)) == [0, 0, 0]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_a_day_begins_at_midnight_of_the_books_zone(zone: str):
    for at in range(NOON, NOON + 26 * HOUR, 7 * MINUTE):
        begin, end = Measure(zone=zone).day(at)
        assert begin <= at < end and end - begin == 24 * HOUR
        assert datetime.fromtimestamp(begin / 1000, ZoneInfo(zone)).strftime("%H:%M:%S") == "00:00:00"


@pytest.mark.parametrize(("moods", "level"), [
    ([BAD] * 5, 1), ([BAD] * 2, 0), ([BAD] * 8 + [FINE] * 2, 1), ([BAD] * 6 + [FINE] * 4, 0),
    ([BAD] * 3 + [UNSURE] * 9, 1), ([UNSURE] * 12, 0), ([FINE] * 12, 0),
])
def test_negative_is_the_least_that_the_share_among_judged_items_can_be(moods: list[Polarity], level: int):
    """With few items even all of them say little; those that could not be judged say nothing."""
    need = rules(Threshold(items=2, sources=2, negative=0.5, window=HOUR))
    neutral_first = sorted(moods, key=lambda mood: mood is BAD)
    head = decided(need, *(item(n, minute=n, mood=mood) for n, mood in enumerate(neutral_first)))
    assert head.level == level


def test_rows_of_before_the_share_was_counted_are_not_judged():
    signs = Signs({"a": members.encode_member(MemberRow("a", NOON, "x", members.NEGATIVE, ()))})
    need = Threshold(items=2, sources=2, negative=0.05, window=HOUR)
    assert Measure().factors(signs, need, NOON, 0)[-1] == Factor("negative", 0, 0.05)


def test_the_least_share_is_honest():
    shares = [round(lower_share(*each), 3)
              for each in ((1, 1), (2, 2), (5, 5), (50, 50), (5, 10), (500, 1000), (0, 9), (0, 0))]
    assert shares == [0.27, 0.425, 0.649, 0.949, 0.269, 0.474, 0.0, 0.0]
    for judged in range(1, 40):
        shares = [lower_share(found, judged) for found in range(judged + 1)]
        assert shares == sorted(shares) and all(low <= found / judged for found, low in enumerate(shares))


# ---------------------------------------------------------------- several ways, and leaving


def test_any_of_several_thresholds_is_enough_and_the_one_that_decided_is_told():
    need = rules(Threshold(items=9, sources=9, window=HOUR), Threshold(groups=2, window=2 * HOUR))
    head = decided(need, item(1, group="新闻"), item(2, group="论坛"))
    found = head.decision.evidence
    assert (head.level, found.window, found.factors) == (1, 2 * HOUR, (Factor("groups", 2, 2),))
    assert (found.items, found.sources, found.need_items, found.need_sources) == (2, 2, 0, 0)


def test_a_level_is_kept_while_any_leave_threshold_holds():
    ladder = (Level(name="一般", response="响应", hold=0, enter=(Threshold(items=3, sources=2, window=HOUR),), leave=(
        Threshold(items=2, window=HOUR), Threshold(groups=2, window=3 * HOUR))),)
    table = Table(book(levels=Levels(ladder=ladder)))
    table(*(scored_batch(item(n, group=f"g{n % 2}")) for n in range(3)))
    assert table(Tick(at=NOON + 2 * HOUR)) == []
    fallen = table(Tick(at=NOON + 3 * HOUR + 1), Tick(at=NOON + 3 * HOUR + 2))
    assert [head.decision.why for head in fallen][-1] is Why.CALMED


@given(st.builds(Threshold, window=st.just(HOUR), items=st.integers(0, 50), sources=st.integers(0, 9),
                 groups=st.integers(0, 5), speed=st.floats(0, 9), heat=st.floats(0, 90), growth=st.integers(0, 900),
                 growth_sources=st.integers(1, 5), negative=st.floats(0, 0.9), impact=st.integers(0, 5),
                 official=st.integers(0, 3)), st.floats(0.05, 1))
def test_what_is_left_of_a_threshold_is_implied_by_it(need: Threshold, ratio: float):
    (rung,) = ladder_for(Levels(ladder=(Level(name="一般", response="响应", enter=(need,), leave_ratio=ratio),)), "x")
    assert implies(need, rung.leave[0])


# ---------------------------------------------------------------- the earliest window, by counting

moment = st.integers(0, 90)
rows = st.lists(st.tuples(moment, st.sampled_from("abcd"), st.integers(0, 3), st.sampled_from([
    0, members.JUDGED, members.JUDGED | members.NEGATIVE, members.OFFICIAL, members.MUTE])), min_size=1, max_size=25)
needs = st.builds(
    Threshold, window=st.sampled_from([20 * MINUTE, 60 * MINUTE]), items=st.integers(0, 5), sources=st.integers(0, 3),
    groups=st.integers(0, 3), speed=st.sampled_from([0, 2.0, 9.0]), heat=st.sampled_from([0, 2.0, 6.0]),
    growth=st.sampled_from([0, 0, 30]), growth_sources=st.integers(1, 2), negative=st.sampled_from([0, 0, 0.2, 0.5]),
    official=st.integers(0, 2), impact=st.integers(0, 1))


def counted(marks: list, steps: list, need: Threshold, end: int, floor: int) -> bool:
    """By going through all of them."""
    after = max(end - need.window, floor)
    inside = [mark for mark in marks if after < mark[0] <= end and not mark[3] & (members.MUTE | members.OFFICIAL)]
    office = [mark for mark in marks if mark[3] == members.OFFICIAL
              and max(MIDNIGHT + (0 if end >= MIDNIGHT else -24 * HOUR) - 1, floor) < mark[0] <= end]
    growth = [step for step in steps if after // MINUTE < step[0] // MINUTE <= end // MINUTE]
    amount, judged = sum(step[2] for step in growth), [mark for mark in inside if mark[3]]
    bad = sum(mark[3] != members.JUDGED for mark in judged)
    n = len(judged)
    share = 0.0
    if n:
        z, p = 1.6448536269514722, bad / n
        share = (p + z * z / (2 * n) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    return (len(inside) >= need.items and len({mark[1] for mark in inside}) >= need.sources
            and len({mark[2] for mark in inside} - {0}) >= need.groups
            and len(inside) >= need.speed * need.window / HOUR - 1e-9
            and len(inside) + 0.01 * amount >= need.heat - 1e-9 and amount >= need.growth
            and (not need.growth or len({step[1] for step in growth}) >= need.growth_sources)
            and share >= need.negative - 1e-12 and len(office) >= need.official)


@given(rows, st.lists(st.tuples(moment, st.sampled_from("abcd"), st.integers(1, 60)), max_size=8), needs,
       moment, st.integers(0, 90), st.sampled_from([0, NOON + 10 * MINUTE]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_the_window_found_is_the_earliest_that_counting_finds(
    drawn: list, drawn_steps: list, need: Threshold, first: int, length: int, floor: int, across_midnight: bool,
):
    begin = MIDNIGHT - 45 * MINUTE if across_midnight else NOON
    assert_earliest(begin, drawn, drawn_steps, need, first, length, floor)


judged = st.lists(st.tuples(st.integers(0, 200), st.just("a"), st.just(0), st.sampled_from([
    members.JUDGED, members.JUDGED | members.NEGATIVE, members.JUDGED | members.NEGATIVE])), min_size=3, max_size=40)


@given(judged, st.sampled_from([0.2, 0.3, 0.4, 0.5, 0.6]), st.sampled_from([5, 20, 60]), st.integers(0, 60))
@settings(max_examples=400, deadline=None)
def test_the_earliest_window_of_a_share_is_found_though_a_share_also_falls(
    drawn: list, share: float, minutes: int, first: int,
):
    need = Threshold(window=minutes * MINUTE, items=2, negative=share)
    assert_earliest(NOON, drawn, [], need, first, 150, 0)


def test_what_the_office_says_at_midnight_is_of_the_day_that_begins():
    need = rules(Threshold(items=2, sources=2, official=1, window=HOUR))
    assert levels_of(need, item(1), item(2), item(9, minute=-60 * 12, official=True))[-1] == 1
    assert levels_of(need, item(1), item(2), item(9, minute=-60 * 12 - 1, official=True))[-1] == 0


def assert_earliest(
    begin: int, drawn: list, drawn_steps: list, need: Threshold, first: int, length: int, floor: int,
) -> None:
    marks = [(begin + at * MINUTE, origin, group, flags) for at, origin, group, flags in drawn]
    steps = [(begin + at * MINUTE, origin, amount) for at, origin, amount in drawn_steps]
    made = {f"i{n}": members.encode_member(MemberRow(f"i{n}", at, origin, flags, (), group))
            for n, (at, origin, group, flags) in enumerate(marks)}
    signs = Signs(made)
    for row in made.values():
        signs.add(members.decode_member(row))
    for at, origin, amount in steps:
        signs.grow(None, Series(1, 0, 0, ((at // MINUTE, amount),)), origin)
    start, last = begin + first * MINUTE, begin + (first + length) * MINUTE
    office = [mark for mark in marks if mark[3] == members.OFFICIAL and need.official]
    public = [mark for mark in marks if not mark[3] & (members.MUTE | members.OFFICIAL)]
    came = {start, *(mark[0] for mark in (*public, *office)), *(step[0] for step in steps if need.growth or need.heat)}
    expected = next((end for end in sorted(came) if start <= end <= last and counted(marks, steps, need, end, floor)),
                    None)
    assert Measure().search(signs, need, start, last, floor) == expected


# ---------------------------------------------------------------- the order of arrival


def outcome(table: Table, records: list) -> tuple[int, set[str]]:
    heads = table(*records)
    return max((head.peak for head in heads), default=0), {row.item_id for head in heads for row in head.joined}


stories = st.lists(st.tuples(st.integers(0, 150), st.sampled_from("abcde"), st.sampled_from(["", "新闻", "论坛"]),
                             st.sampled_from([BAD, FINE, UNSURE]), st.booleans()), min_size=2, max_size=16)
growing = st.lists(st.tuples(st.integers(0, 15), st.integers(151, 260), st.integers(1, 400)), max_size=6)
monotone = st.builds(
    Threshold, window=st.sampled_from([30 * MINUTE, HOUR, 2 * HOUR]), items=st.integers(0, 6),
    sources=st.integers(0, 3), groups=st.integers(0, 2), speed=st.sampled_from([0, 3.0]),
    heat=st.sampled_from([0, 0, 5.0]),
    growth=st.sampled_from([0, 0, 100]), growth_sources=st.integers(1, 2), official=st.sampled_from([0, 0, 1, 2]),
).filter(lambda need: any(getattr(need, name) for name in (*SPREAD, "growth")))


def told(story: list) -> list[ScoredItem]:
    return [item(n, minute=minute, origin=origin, group=group, mood=mood, official=official, comments=0)
            for n, (minute, origin, group, mood, official) in enumerate(sorted(story, key=lambda each: each[0]))]


@given(st.lists(monotone, min_size=1, max_size=2), monotone, stories, growing, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_highest_level_does_not_depend_on_the_order_of_arrival(
    enter: list[Threshold], above: Threshold, story: list, counts: list, chance: random.Random,
):
    """Of items; the counts of one item come in their own order, after it."""
    need = rules(*enter, more=(above,), similarity=0.05)
    items = [scored_batch(each) for each in told(story)]
    later = [grown(number, minute, total) for number, minute, total in sorted(counts, key=lambda each: each[1])]
    shuffled = items[:]
    chance.shuffle(shuffled)
    assert outcome(Table(need), shuffled + later) == outcome(Table(need), items + later)


@given(monotone, st.sampled_from([0.2, 0.4, 0.6]), stories, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_what_arrives_late_misses_no_level_that_sentiment_is_part_of(
    base: Threshold, share: float, story: list, chance: random.Random,
):
    """A share can be higher while its neutral items are still under way: in another order a level may be reached that
    would not be in order of time, never the other way round."""
    need = rules(replace(base, negative=share, items=max(2, base.items), sources=max(2, base.sources)), similarity=0.05)
    items = [scored_batch(each) for each in told(story)]
    shuffled = items[:]
    chance.shuffle(shuffled)
    assert outcome(Table(need), shuffled)[0] >= outcome(Table(need), items)[0]


@given(st.lists(monotone, min_size=1, max_size=2), stories, growing, st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_a_restart_at_any_record_changes_no_decision(enter: list[Threshold], story: list, counts: list, every: int):
    need = rules(*enter, more=tuple(replace(each, window=each.window * 2, negative=0.2) for each in enter))
    records = [*(scored_batch(each) for each in told(story)),
               *(grown(number, minute, total) for number, minute, total in sorted(counts, key=lambda each: each[1])),
               *(Tick(at=NOON + minute * MINUTE) for minute in range(261, 600, 60))]
    whole, broken = Table(need), Table(need)
    for number, record in enumerate(records):
        expected = whole(record)
        assert [head for head in broken(record) if head in expected] == expected
        if number % every == 0:
            broken.restart()
    assert broken.rows == whole.rows


# ---------------------------------------------------------------- sentiment alone

written = st.fixed_dictionaries({"window": st.sampled_from(["30m", "1h", "6h"]), "negative": st.sampled_from(
    [0.05, 0.2, 0.5])}, optional={
    "items": st.integers(1, 4), "sources": st.integers(1, 3), "groups": st.integers(1, 2),
    "speed": st.sampled_from([0.5, 2]), "heat": st.sampled_from([1, 3]), "growth": st.integers(0, 50),
    "growth_sources": st.integers(1, 3), "impact": st.integers(1, 3), "official": st.integers(1, 2)})
plain = st.fixed_dictionaries({"window": st.sampled_from(["1h", "6h"]), "items": st.integers(1, 9),
                               "sources": st.integers(1, 3)})


def taken(enter: list[dict[str, Any]]) -> RuleBook | None:
    """The book with a level that any of these reaches; None if it is refused."""
    document = {"ladder": [{"name": "一般", "response": "响应", "enter": enter}], "events": {"similarity": 0.05}}
    try:
        read = parse_book({**GOOD, "levels.yml": json.dumps(document, ensure_ascii=False)}, ZONE)
    except RuleBookError:
        return None
    return book(levels=read.levels, subjects=tuple(replace(each, impact=5) for each in book().subjects))


def seen(need: RuleBook, items: list[ScoredItem], feelings: list[Polarity]) -> list[object]:
    table = Table(need)
    felt = [replace(each, sentiment=Sentiment(feelings[n % len(feelings)], 0.9)) for n, each in enumerate(items)]
    more = [grown(n, 200 + n, 300) for n in range(len(items))]
    heads = table(*(scored_batch(each) for each in felt), *more, Tick(at=NOON + 5 * HOUR), Tick(at=NOON + 20 * HOUR))
    return [(head.id, head.version, head.level, head.decision.why, head.status) for head in heads]


@given(st.lists(st.one_of(written, plain), min_size=1, max_size=3), st.integers(1, 12),
       st.lists(st.sampled_from(list(Polarity)), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_whatever_book_is_taken_one_item_or_one_source_reaches_nothing_by_its_sentiment(
    enter: list[dict[str, Any]], count: int, feelings: list[Polarity],
):
    """A level of one source, if there is one, is the same whatever the items feel like."""
    need = taken(enter)
    assume(need is not None)
    assert need is not None
    items = [item(n, minute=n, origin="one", group="新闻", comments=0) for n in range(count)]
    assert seen(need, items, feelings) == seen(need, items, [Polarity.POSITIVE])


@given(st.lists(st.one_of(written, plain), min_size=1, max_size=3), stories)
@settings(max_examples=200, deadline=None)
def test_whatever_book_is_taken_where_sentiment_was_part_of_it_so_was_spread(enter: list[dict[str, Any]], story: list):
    need = taken(enter)
    assume(need is not None)
    assert need is not None
    items = told(story)
    for head in Table(need)(*(scored_batch(each) for each in items),
                            *(grown(n, 160 + n, 300) for n in range(len(items)))):
        found = {each.name: each.value for each in head.decision.evidence.factors}
        if "negative" in found and head.decision.why in (Why.RAISED, Why.GROWING):
            spread = found.get("items", 0) >= 2 and found.get("sources", 0) >= 2
            assert spread or found.get("growth_sources", 0) >= 2


def test_the_same_threshold_with_spread_is_reached_through_sentiment():
    """So that the two properties above are not true of everything."""
    need = taken([{"items": 3, "sources": 2, "negative": 0.2, "window": "1h"}])
    assert need is not None
    items = [item(n, minute=n, comments=0) for n in range(4)]
    assert seen(need, items, [BAD]) != seen(need, items, [Polarity.POSITIVE])


def test_a_subject_is_never_asked_who_wrote_an_item():
    """No factor knows an author: all that a member's row keeps is listed here."""
    assert MemberRow.__struct_fields__ == ("item_id", "at", "origin", "flags", "terms", "group", "region")
    assert "author" not in {*Subject.__struct_fields__, *Threshold.__struct_fields__}


# ---------------------------------------------------------------- cost


def test_a_late_item_does_not_look_at_each_window_of_a_large_event():
    """The share stays short of what the level asks, so nothing stops the search but that no window could reach it."""
    need = Threshold(items=2, sources=2, negative=0.6, window=2 * HOUR)
    looked: dict[int, int] = {}
    for count in (500, 20_000):
        made = {f"i{n}": members.encode_member(MemberRow(
            f"i{n}", NOON + n * 3 * HOUR // count, f"s{n % 9}",
            members.JUDGED | (members.NEGATIVE if n % 2 else 0), ())) for n in range(count)}
        signs, measure = Signs(made), _Counting()
        for row in made.values():
            signs.add(members.decode_member(row))
        ladder = Ladder(ladder_for(rules(need).levels, "polling"), measure)
        assert rise(signs, 0, ladder, at=NOON + 30 * MINUTE, now=NOON + 3 * HOUR, floor=0) is None
        looked[count] = measure.looked.count
    assert looked[20_000] < 3 * looked[500] < 600


class _Calls:
    def __init__(self) -> None:
        self.count = 0


class _Counting(Measure):
    looked: _Calls

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "looked", _Calls())

    def _could(self, *args: Any) -> bool:
        self.looked.count += 1
        return super()._could(*args)


def test_the_offices_words_are_kept_for_the_day_though_all_windows_are_shorter():
    """Whatever the rules say of how long items are kept together."""
    need = rules(Threshold(items=2, sources=2, official=1, window=HOUR), join_within=4 * HOUR)
    table = Table(need)
    table(scored_batch(item(9, minute=-60 * 11, official=True)))
    for hour in range(-10, 1):
        table(scored_batch(item(100 + hour, minute=60 * hour, origin="one")), Tick(at=NOON + hour * HOUR + MINUTE))
    assert table(scored_batch(item(2, minute=2)))[-1].level == 1
