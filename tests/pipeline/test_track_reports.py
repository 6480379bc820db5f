"""Reports that people file: what an urgent one raises, and what it brings back."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pipeline.model import Close, EventStatus, Tick, Why
from pipeline.rulebook.schema import HOUR, MINUTE, LevelOverride, Threshold
from pipeline.track import level
from tests.builders import NOON, scored_batch, scored_item
from tests.pipeline.test_track_growth import items, rules, why
from tests.pipeline.test_track_state import Table, spread


def report(item_id: str = "r", *, at: int = NOON, **raw: object) -> object:
    return scored_batch(scored_item(item_id, origin="hotline", at=at, source_id="hotline", ref="12345-0601", **raw))


def test_a_lone_report_is_sent_on_though_it_reaches_no_level():
    head = Table(rules((0, 1), urgent="一般"))(report())[-1]
    assert (head.level, head.status, [row.item_id for row in head.joined]) == (0, EventStatus.WATCHING, ["r"])


def test_an_urgent_report_reaches_the_level_of_the_rules_alone():
    head = Table(rules((0, 1), (0, 1), urgent="较大"))(report(urgent=True))[-1]
    assert (head.level, head.decision.why, head.decision.ref) == (2, Why.REPORTED, "12345-0601")
    assert head.status is EventStatus.OPEN and head.number


def test_an_urgent_report_raises_the_event_it_joins():
    table = Table(rules((0, 1), urgent="一般"))
    assert table(*items("a", "b"))[-1].level == 0
    assert why(table(report(urgent=True))) == (1, Why.REPORTED)


def test_a_report_that_becomes_urgent_raises_its_event_once():
    table = Table(rules((0, 1), urgent="一般"))
    table(report())
    edited = report(at=NOON + MINUTE, published_at=NOON, revision="1" * 16, urgent=True)
    assert why(table(edited)) == (1, Why.REPORTED)
    table.restart()
    assert table(edited)[-1].raises == 1


def test_when_somebody_first_asked_for_an_answer_is_kept():
    table = Table(rules((0, 1)))                                    # no level is reached by it: clocks run from it
    assert table(report())[-1].urgent_at is None
    edited = report(at=NOON + MINUTE, published_at=NOON, revision="1" * 16, urgent=True)
    assert table(edited)[-1].urgent_at == NOON + MINUTE
    table.restart()
    assert table(report("r2", at=NOON + HOUR, urgent=True))[-1].urgent_at == NOON + MINUTE
    assert table(report("r3", at=NOON - HOUR, urgent=True))[-1].urgent_at == NOON - HOUR
    assert Table(rules((0, 1)))(report(urgent=True, backfill=True))[-1].urgent_at is None


def test_an_urgent_report_of_no_subject_reaches_its_level_too_and_nothing_else_does():
    named = rules((3, 1), (4, 1), urgent="较大")
    only_low = LevelOverride(subject="*", enter={"一般": (Threshold(items=3, sources=1, window=HOUR),)})
    capped = replace(named, levels=replace(named.levels, overrides=(only_low,)))
    assert why(Table(capped)(report(urgent=True))) == (2, Why.REPORTED)
    assert [rung.by_spread for rung in level.ladder_for(capped.levels, "*")] == [True, False]
    signs = level.Signs()
    for number in range(20):
        signs.heat.add(NOON + number, f"{number}.example")
    rungs = level.Ladder(level.ladder_for(capped.levels, "*"))
    risen = level.rise(signs, 0, rungs, at=NOON + 19, now=NOON + 19, floor=0)
    assert risen is not None and risen.level == 1


def closed_for_good(reason: str, *before: object) -> Table:
    """An event of two items and these, which a person closed five minutes later."""
    table = Table(rules((0, 1), urgent="一般"))
    head = table(*items("a", "b"), *before)[-1]
    done = table(Close(id="c", event_id=head.id, key=head.key, by="wang", at=NOON + 5 * MINUTE, reason=reason))[-1]
    assert done.muted and done.status is EventStatus.CLOSED
    return table


@pytest.mark.parametrize("reason", ["不相关", "重复"])
@pytest.mark.parametrize("filed", [NOON + 9 * MINUTE, NOON + 4 * MINUTE])   # or it was on its way when the event closed
def test_an_urgent_report_brings_an_event_back_that_was_closed_for_good(reason: str, filed: int):
    table = closed_for_good(reason)
    assert {head.level for head in table(*items("c", at=NOON + 8 * MINUTE))} == {0}
    head = table(report(at=filed, urgent=True))[-1]
    assert why([head]) == (1, Why.REPORTED)
    assert (head.status, head.muted, head.closed_reason, head.raises) == (EventStatus.OPEN, False, "", 1)
    rows = dict(table.rows)
    table.restart()
    again = table(report(at=filed, urgent=True))[-1]
    assert (again.version, again.raises, table.rows) == (head.version, 1, rows)


def test_a_report_that_was_known_at_the_closing_brings_nothing_back_by_a_repeat_or_an_edit():
    before = report(at=NOON + MINUTE, published_at=NOON + MINUTE)
    table = closed_for_good("重复", before)
    edited = report(at=NOON + 9 * MINUTE, published_at=NOON + MINUTE, revision="1" * 16, urgent=True)
    for record in (before, edited, edited):
        head = table(record)[-1]
        assert (head.level, head.muted, head.status) == (0, True, EventStatus.CLOSED)
        table.restart()
    urgent = report("r2", at=NOON + MINUTE, urgent=True)
    assert table(urgent)[-1].level == 1                                     # another one is news


def test_an_urgent_report_that_was_known_at_the_closing_brings_nothing_back():
    urgent = report(at=NOON + MINUTE, urgent=True)
    table = closed_for_good("不相关", urgent)
    assert table(urgent, replace(urgent, book="b" * 16))[-1].muted


def test_a_report_filed_after_the_closing_that_becomes_urgent_brings_the_event_back():
    table = closed_for_good("不相关")
    assert table(report(at=NOON + 7 * MINUTE, published_at=NOON))[-1].muted
    table.restart()
    edited = report(at=NOON + 9 * MINUTE, published_at=NOON, revision="1" * 16, urgent=True)
    assert why(table(edited)) == (1, Why.REPORTED)


@pytest.mark.parametrize(("urgent", "raw"), [
    ("", {"urgent": True}),                                                 # no such rule
    ("一般", {"urgent": False}),
    ("一般", {"urgent": True, "backfill": True}),
    ("一般", {"urgent": True, "published_at": NOON - 30 * HOUR}),
])
def test_what_raises_nothing_alone(urgent: str, raw: dict[str, object]):
    assert {head.level for head in Table(rules((0, 1), urgent=urgent))(report(**raw))} == {0}


def test_a_feed_that_says_it_is_urgent_is_not_believed():
    table = Table(rules((0, 1), urgent="一般"))
    heads = table(*(scored_batch(scored_item(each, urgent=True)) for each in "ab"))
    assert [head.level for head in heads] == [0]


def test_a_negative_report_that_is_not_urgent_reaches_no_level():
    assert {head.level for head in Table(rules((0, 1), urgent="一般"))(report(negative=True))} == {0}


def test_an_urgent_report_holds_the_level_for_the_window_and_then_the_event_calms():
    table = Table(rules((0, 1), urgent="一般"))
    table(report(urgent=True))
    assert table(Tick(at=NOON + 59 * MINUTE)) == []
    table(Tick(at=NOON + 61 * MINUTE))
    assert why(table(Tick(at=NOON + 91 * MINUTE))) == (0, Why.CALMED)


def test_an_urgent_report_that_comes_again_after_the_event_calmed_raises_nothing():
    table = Table(rules((0, 1), urgent="一般"))
    table(report(urgent=True), Tick(at=NOON + 61 * MINUTE), Tick(at=NOON + 95 * MINUTE))
    assert table(report(urgent=True))[-1].status is EventStatus.CALM


def test_items_that_come_again_after_the_event_calmed_raise_nothing():
    table = Table()
    table(*spread(3, 3), Tick(at=NOON + 2 * HOUR), Tick(at=NOON + 3 * HOUR))
    assert {head.status for head in table(*spread(3, 3))} == {EventStatus.CALM}
