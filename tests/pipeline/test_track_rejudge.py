"""Rules that change under events that are there: each is judged again once, at the first tick, for that reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline import topics
from pipeline.model import Close, EventHead, EventStatus, Tick, WarmEvent, Why
from pipeline.replay import Input, Replay
from pipeline.rulebook.schema import HOUR, MINUTE, EventRules, Level, LevelOverride, Levels, RuleBook, Status, Threshold
from pipeline.track.rejudge import rejudged
from tests.builders import NOON, book, levels, scored_batch
from tests.pipeline.test_track_factors import BAD, FINE, growing, grown, item, monotone, stories, told
from tests.pipeline.test_track_state import Table, rule_books, spread

BOOK = book()
THREE = BOOK.levels.ladder


def with_ladder(*ladder: Level, mark: str = "n", **changes: Any) -> RuleBook:
    return book(levels=levels(ladder=ladder, **{"overrides": (), **changes}), hash=mark * 16)


def asking(
    items: int, sources: int = 2, rank: int = 0, window: int = HOUR, mark: str = "n", **changes: Any,
) -> RuleBook:
    """The book with another threshold for one level, lowest first."""
    ladder = list(THREE)
    ladder[rank] = replace(ladder[rank], enter=(Threshold(items=items, sources=sources, window=window),), **changes)
    return with_ladder(*ladder, mark=mark)


def ticked(table: Table, rules: RuleBook, at: int) -> list[EventHead]:
    table.rules = rules
    return table(Tick(at=at))


def said(head: EventHead) -> tuple[int, int, Why, str]:
    return head.decision.previous, head.level, head.decision.why, head.decision.name


AT = NOON + 10 * MINUTE


# ---------------------------------------------------------------- up, down, and not at all


def test_lower_thresholds_raise_an_event_at_the_next_tick():
    table = Table()
    assert table(*spread(2, 2))[-1].level == 0
    (head,) = ticked(table, asking(2), AT)
    assert said(head) == (0, 1, Why.RULES, "一般") and (head.short, head.raises, head.book) == ("E-0001", 1, "n" * 16)
    assert [(each.name, each.value, each.need) for each in head.decision.evidence.factors] == [
        ("items", 2, 2), ("sources", 2, 2)]
    assert ticked(table, table.rules, AT + MINUTE) == []


def test_a_lone_item_that_the_new_rules_raise_is_sent_with_its_row():
    table = Table()
    assert table(scored_batch(item(1))) == []
    (head,) = ticked(table, asking(1, 1), AT)
    assert said(head) == (0, 1, Why.RULES, "一般") and [row.item_id for row in head.joined] == ["i1"]


def test_higher_thresholds_lower_an_event_at_once_and_the_hold_time_is_not_waited_for():
    table = Table()
    assert table(*spread(12, 6))[-1].level == 2
    (head,) = ticked(table, asking(30, 4, rank=1, window=2 * HOUR, hold=6 * HOUR), AT + 2 * MINUTE)
    assert said(head) == (2, 1, Why.RULES, "一般")
    (gone,) = ticked(table, with_ladder(*asking(30, 4).levels.ladder[:1], mark="m"), AT + 3 * MINUTE)
    assert said(gone) == (1, 0, Why.RULES, "") and gone.status is EventStatus.CALM
    assert (gone.number, gone.ladder) == (1, "")


def test_an_event_that_reached_the_new_threshold_once_keeps_its_level_while_leave_holds():
    table = Table()
    table(*spread(12, 6))
    quieter = NOON + 50 * MINUTE                                           # of 12 items, 8 are of the last 47 minutes
    assert ticked(table, asking(11, 4, rank=1, window=47 * MINUTE), quieter)[-1].level == 2
    assert ticked(table, asking(13, 4, rank=1, window=47 * MINUTE, mark="m"), quieter + 1)[-1].level == 1


def test_rules_that_say_the_same_about_levels_touch_no_event():
    table = Table()
    table(*spread(3, 3), *spread(2, 2, start=NOON + 9 * HOUR, prefix="w"))
    other = replace(BOOK, hash="n" * 16, subjects=(*BOOK.subjects, replace(BOOK.subjects[0], id="queue")))
    before = dict(table.rows)
    assert ticked(table, other, AT) == []
    assert {**table.rows, b"t": b""} == {**before, b"t": b""}


def test_a_level_above_that_changes_leaves_the_level_and_marks_the_event_once():
    table = Table()
    before = table(*spread(3, 3))[-1]
    (head,) = ticked(table, asking(40, 9, rank=2, window=3 * HOUR), AT)
    assert (head.level, head.decision, head.version) == (1, before.decision, before.version + 1)
    assert head.ladder != before.ladder
    assert ticked(table, table.rules, AT + MINUTE) == []


def test_nothing_is_judged_again_while_items_wait():
    table = Table()
    table(*spread(2, 2))
    table.rules = asking(2)
    assert table(Tick(at=AT, behind=True)) == []
    assert [head.level for head in table(Tick(at=AT + MINUTE))] == [1]


def test_a_running_hold_goes_on_under_the_new_rules():
    table = Table()
    table(*spread(3, 3))
    started = table(Tick(at=NOON + HOUR + 5 * MINUTE))[-1].below_since
    assert started is not None
    (kept,) = ticked(table, asking(9, 2, rank=1, hold=HOUR), NOON + HOUR + 15 * MINUTE)
    assert (kept.level, kept.below_since) == (1, started)
    assert table(Tick(at=started + 30 * MINUTE))[-1].decision.why is Why.CALMED


def test_what_the_event_fell_from_is_not_given_back_without_anything_new():
    """It fell to a level below; rules that change something else do not lift it again by what was before."""
    table = Table()
    table(*spread(12, 6), *spread(3, 3, start=NOON + 140 * MINUTE, prefix="late"))
    fallen = table(*(Tick(at=NOON + minute * MINUTE) for minute in range(141, 215, 5)))[-1]
    assert said(fallen) == (2, 1, Why.LOWERED, "一般")
    late = spread(3, 3, start=NOON + 200 * MINUTE, prefix="later")
    table(*late)
    heads = ticked(table, asking(31, 8, rank=2, window=3 * HOUR), NOON + 216 * MINUTE)
    assert {head.level for head in heads} == {1}


@pytest.mark.parametrize("items", [300, 13])
def test_rules_that_are_taken_back_give_back_what_they_took(items: int):
    """A slip of the hand that ends an event or lowers it, and its rollback: nothing new has to come."""
    table = Table()
    assert table(*spread(12, 6))[-1].level == 2
    slip = asking(items, rank=1) if items == 13 else with_ladder(*(
        replace(each, enter=(Threshold(items=items, sources=2, window=HOUR),)) for each in THREE), mark="m")
    (fallen,) = ticked(table, slip, NOON + 55 * MINUTE)
    assert said(fallen)[:3] == (2, 1 if items == 13 else 0, Why.RULES)
    table.restart()
    back = [head for head in ticked(table, BOOK, NOON + 70 * MINUTE) if head.version > fallen.version]
    assert [said(head)[1:] for head in back] == [(2, Why.RULES, "较大")] and back[0].number == fallen.number


# ---------------------------------------------------------------- events that stay


@pytest.mark.parametrize("reason", ["不相关：广告", "重复", "已处置"])
def test_an_event_that_a_person_closed_stays_closed(reason: str):
    table = Table(asking(9))
    head = table(*spread(9, 3))[-1]
    table(Close(id="c", event_id=head.id, key=head.key, by="wang", at=AT, reason=reason))
    assert ticked(table, asking(1, 1, mark="m"), AT + MINUTE) == []


def test_a_calm_event_is_not_brought_back():
    table = Table()
    table(*spread(3, 3), Tick(at=NOON + 2 * HOUR), Tick(at=NOON + 3 * HOUR))
    assert ticked(table, asking(1, 1, window=6 * HOUR), NOON + 3 * HOUR + MINUTE) == []


@pytest.mark.parametrize(("changed", "ref"), [
    ({"subjects": ()}, "removed"),
    ({"subjects": tuple(replace(each, status=Status.RETIRED) for each in BOOK.subjects)}, "retired"),
    ({"subjects": tuple(replace(each, status=Status.SHADOW) for each in BOOK.subjects)}, "removed"),
])
def test_an_event_whose_subject_is_gone_is_judged_by_the_thresholds_of_all_and_says_so(changed: dict, ref: str):
    own = LevelOverride(subject="polling", enter={"一般": (Threshold(items=2, sources=1, window=HOUR),)})
    table = Table(book(levels=levels(overrides=(own,))))
    assert table(*spread(3, 3))[-1].level == 1
    (head,) = ticked(table, book(hash="n" * 16, **changed), AT)
    assert said(head) == (1, 1, Why.RULES, "一般") and head.decision.ref == ref
    assert ticked(table, table.rules, AT + MINUTE) == []
    lone = Table(book(levels=levels(overrides=(own,))))
    lone(*spread(2, 2))
    (fallen,) = ticked(lone, book(hash="n" * 16, **changed), AT)
    assert said(fallen) == (1, 0, Why.RULES, "") and fallen.decision.ref == ref


# ---------------------------------------------------------------- another ladder


def test_a_level_is_the_same_one_if_it_has_the_same_name():
    """A new level below shifts the ranks: the event is not raised by that, and nobody is paged."""
    table = Table()
    table(*spread(3, 3))
    low = Level(name="关注", response="四级响应", enter=(Threshold(items=2, sources=1, window=HOUR),))
    (head,) = ticked(table, with_ladder(low, *THREE), AT)
    assert said(head) == (2, 2, Why.RULES, "一般") and (head.level_name, head.raises) == ("一般", 1)
    assert ticked(table, table.rules, AT + MINUTE) == []
    (back,) = ticked(table, with_ladder(*THREE, mark="m"), AT + 2 * MINUTE)
    assert (back.level, back.level_name, back.raises) == (1, "一般", 1)


def test_an_event_whose_level_is_gone_has_the_highest_that_stands():
    table = Table()
    table(*spread(12, 6))
    (head,) = ticked(table, with_ladder(THREE[0]), AT + 3 * MINUTE)
    assert said(head) == (2, 1, Why.RULES, "一般")


def test_an_urgent_report_counts_under_the_new_rules_too():
    report = scored_batch(replace(item(1, origin="intake"), item=replace(
        item(1).item, source_id="intake", ref="12345-1", urgent=True)))
    table = Table()
    table(report)
    (head,) = ticked(table, with_ladder(*THREE, events=EventRules(urgent_level="较大")), AT)
    assert said(head) == (0, 2, Why.RULES, "较大")


# ---------------------------------------------------------------- once, also after a restart


@pytest.mark.parametrize("before_tick", [True, False])
def test_a_restart_neither_repeats_nor_forgets_it(before_tick: bool):
    whole, broken = Table(), Table()
    for table in (whole, broken):
        table(*spread(12, 6), Tick(at=AT))
        table.rules = asking(20, 4, rank=1, window=2 * HOUR)
    if before_tick:
        broken.restart()
    first, again = Tick(at=AT + 5 * MINUTE), Tick(at=AT + 6 * MINUTE)
    assert broken(first) == whole(first) and whole.tracker.open_events[0].level == 1
    if not before_tick:
        broken.restart()
    assert [head for head in broken(again) if head.changed_at > AT + 5 * MINUTE] == whole(again) == []
    assert broken.rows == whole.rows


def test_an_event_that_came_from_the_archive_is_judged_by_the_rules_that_are_in_force_now():
    source = Table()
    heads = source(*spread(12, 6))
    rows = tuple({row.item_id: row for head in heads for row in head.joined}.values())
    warm = WarmEvent(head=replace(heads[-1], joined=()), rows=rows)
    same, other = Table(), Table(asking(20, 4, rank=1, window=2 * HOUR))
    assert same(warm, Tick(at=AT + 3 * MINUTE)) == []
    assert [said(head) for head in other(warm, Tick(at=AT + 3 * MINUTE))] == [(2, 1, Why.RULES, "一般")]
    decision = rejudged(warm, other.rules, AT + 3 * MINUTE)
    assert decision == other.tracker.open_events[0].decision
    assert rejudged(warm, source.rules, AT + 3 * MINUTE) is None


@pytest.mark.parametrize("archived", [True, False])
def test_that_neutral_items_left_the_window_while_nothing_came_is_no_reason_to_raise(archived: bool):
    """A share grows by that; only something new may raise a level, or rules that changed."""
    need = with_ladder(replace(THREE[0], enter=(Threshold(items=2, sources=2, negative=0.5, window=HOUR),)))
    story = [item(n, minute=0 if n < 4 else 50, mood=FINE if n < 4 else BAD) for n in range(8)]
    table = Table(need)
    heads = table(*(scored_batch(each) for each in story), Tick(at=NOON + 51 * MINUTE))
    assert {head.level for head in heads} == {0}
    if archived:
        (warm,) = warm_of(table, [replace(head, book="o" * 16) for head in heads])
        table = Table(need)
        table(warm)
    else:
        table.restart()
    assert table(Tick(at=NOON + 61 * MINUTE)) == []
    easier = with_ladder(replace(THREE[0], enter=(Threshold(items=2, sources=2, negative=0.2, window=HOUR),)), mark="m")
    assert [said(head) for head in ticked(table, easier, NOON + 62 * MINUTE)] == [(0, 1, Why.RULES, "一般")]


def warm_of(table: Table, heads: list[EventHead], counts: tuple = ()) -> list[WarmEvent]:
    """What an archive would have of these events."""
    last = {head.id: head for head in heads}
    rows: dict[str, dict[str, Any]] = {ident: {} for ident in last}
    for head in heads:
        rows[head.id].update({row.item_id: row for row in head.joined})
    return [WarmEvent(head=replace(head, joined=()), rows=tuple(rows[ident].values()),
                      counts=tuple(each for each in counts if each.item_id in rows[ident]))
            for ident, head in last.items()]


@given(rule_books(), stories, growing, st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_judging_again_under_the_same_rules_changes_nothing(rules: RuleBook, story: list, counts: list, later: int):
    """Whatever the hash, and whether the tracker was restarted or the events come from the archive."""
    grow = [grown(number, minute, total) for number, minute, total in sorted(counts, key=lambda each: each[1])]
    table, plain = Table(rules), Table(rules)
    records = [*(scored_batch(each) for each in told(story)), *grow, Tick(at=NOON + 261 * MINUTE),
               Tick(at=NOON + 262 * MINUTE + later * MINUTE)]
    heads = table(*records)
    plain(*records)
    now = table.tracker.now
    assert [rejudged(each, replace(rules, hash="n" * 16), now) for each in warm_of(table, heads)] == [None] * len(
        {head.id for head in heads})
    after = Tick(at=now + 1)
    expected = [(head.id, head.level, head.decision) for head in plain(after)]
    table.rules = replace(rules, hash="n" * 16)
    assert [(head.id, head.level, head.decision) for head in table(after)] == expected
    table.restart()
    assert [head for head in table(Tick(at=now + 2)) if head.decision.why is Why.RULES] == []


@given(st.lists(monotone, min_size=1, max_size=2), st.lists(monotone, min_size=1, max_size=2), stories)
@settings(max_examples=80, deadline=None)
def test_the_archive_and_the_tracker_come_to_the_same(before: list[Threshold], after: list[Threshold], story: list):
    """What `rules` counts before it publishes a book is what the trackers then do."""
    def of(enter: list[Threshold], mark: str) -> RuleBook:
        ladder = (Level(name="一般", response="响应", enter=tuple(enter)),)
        return book(levels=Levels(ladder=ladder, events=EventRules(similarity=0.05)), hash=mark * 16)

    table = Table(of(before, "a"))
    counts = tuple(each for batch in (grown(n, 160, 0) for n in range(len(story))) for each in batch.items)
    heads = table(*(scored_batch(each) for each in told(story)))
    now, known = NOON + 151 * MINUTE, warm_of(table, heads, counts)
    decisions = {each.head.id: rejudged(each, of(after, "b"), now) for each in known}
    expected = {ident: decision for ident, decision in decisions.items() if decision is not None}
    table.rules = of(after, "b")
    told_again = {head.id: head for head in table(Tick(at=now))}
    lone = {ident for ident in told_again if ident not in {each.head.id for each in known}}
    assert {ident: head.decision for ident, head in told_again.items()
            if head.decision.why is Why.RULES and ident not in lone} == expected


def test_replay_of_a_book_that_changed_gives_what_the_stream_gave():
    records: list[object] = [*spread(12, 6), *spread(5, 5, start=NOON + 5 * MINUTE, prefix="x")]
    flow = Replay(BOOK, 1, frozenset({topics.ITEMS_RAW, topics.ITEMS_SCORED, topics.EVENTS}))
    steps: list[object] = [*records, Tick(at=AT), asking(20, 4, rank=1, window=2 * HOUR), Tick(at=AT + 15 * MINUTE),
                           *spread(9, 5, start=AT + 16 * MINUTE, prefix="y"), BOOK, Tick(at=AT + 30 * MINUTE)]
    streamed, replayed = [], []
    tracker = Table()
    tracker.tracker._partitions = 1
    for each in steps:
        if isinstance(each, RuleBook):
            tracker.rules = each
            assert list(flow.feed(Input(topics.RULES, each))) == []
            continue
        streamed += tracker(each)
        replayed += [head for head in flow.feed(Input(topics.ITEMS_SCORED, each, 0)) if isinstance(head, EventHead)]
    assert replayed == streamed
    assert [said(head)[:2] for head in streamed if head.decision.why is Why.RULES][0] == (2, 1)


def test_sentiment_is_judged_again_too():
    lenient = replace(THREE[0], enter=(Threshold(items=2, sources=2, negative=0.2, window=HOUR),))
    strict = replace(THREE[0], enter=(Threshold(items=2, sources=2, negative=0.8, window=HOUR),))
    table = Table(with_ladder(lenient))
    assert table(*(scored_batch(item(n, mood=FINE if n == 4 else BAD)) for n in range(5)))[-1].level == 1
    (head,) = ticked(table, with_ladder(strict, mark="m"), AT)
    assert said(head) == (1, 0, Why.RULES, "")
