"""The tracker of one partition: events, levels, time, repeats."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from pipeline.model import Close, EventHead, EventStatus, Tick, WarmEvent, Why
from pipeline.rulebook.schema import HOUR, MINUTE
from pipeline.track.tracker import Outcome, Tracker
from tests.builders import NOON, book, scored_batch, scored_item

BOOK = book()


def play(tracker: Tracker, *records: object) -> list[EventHead]:
    return [head for record in records for head in tracker.handle(record, BOOK).heads]  # type: ignore[arg-type]


def spread(count: int, origins: int, *, step: int = MINUTE, start: int = NOON, prefix: str = "i") -> list:
    return [scored_batch(scored_item(f"{prefix}{n}", origin=f"site{n % origins}", at=start + n * step))
            for n in range(count)]


def rows_after(tracker: Tracker, *records: object) -> dict[bytes, bytes]:
    rows: dict[bytes, bytes] = {}
    for record in records:
        outcome: Outcome = tracker.handle(record, BOOK)  # type: ignore[arg-type]
        for key, value in outcome.puts.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
    return rows


def test_a_lone_item_is_watched_and_not_sent_on():
    assert play(Tracker(0, 4), scored_batch(scored_item())) == []


def test_two_like_items_are_one_event_with_both_members():
    heads = play(Tracker(0, 4), scored_batch(scored_item("a")), scored_batch(scored_item("b", origin="luntan")))
    assert [head.status for head in heads] == [EventStatus.WATCHING]
    assert {row.item_id for row in heads[0].joined} == {"a", "b"}


def test_unlike_items_are_two_events():
    tracker = Tracker(0, 4)
    play(tracker, scored_batch(scored_item("a"), scored_item("b", terms=(7, 8, 9))))
    assert play(tracker, scored_batch(scored_item("c", terms=(7, 8, 10))))[0].items == 2


def test_items_of_different_subjects_never_meet():
    tracker = Tracker(0, 4)
    play(tracker, scored_batch(scored_item("a"), subject="polling"))
    assert play(tracker, scored_batch(scored_item("b"), subject="queue")) == []


def test_items_further_apart_than_join_within_do_not_meet():
    tracker = Tracker(0, 4)
    play(tracker, scored_batch(scored_item("a")))
    assert play(tracker, scored_batch(scored_item("b", at=NOON + 25 * HOUR))) == []


def test_the_level_rises_with_items_and_independent_sources():
    heads = play(Tracker(0, 4), *spread(40, 9))
    raised = [head for head in heads if head.decision.why is Why.RAISED and head.level > head.decision.previous]
    assert [head.level_name for head in {head.raises: head for head in raised}.values()] == ["一般", "较大", "重大"]
    first = next(head for head in heads if head.level == 1)
    assert (first.decision.evidence.items, first.decision.evidence.sources, first.short) == (3, 3, "E-0001")


def test_many_items_of_one_source_raise_nothing():
    assert all(head.level == 0 for head in play(Tracker(0, 4), *spread(50, 1)))


def test_negative_sentiment_alone_raises_nothing():
    items = [scored_batch(scored_item(f"n{n}", negative=True)) for n in range(40)]
    heads = play(Tracker(0, 4), *items)
    assert {head.level for head in heads} == {0} and heads[-1].negative == 40


def test_slow_spread_raises_nothing():
    assert all(head.level == 0 for head in play(Tracker(0, 4), *spread(20, 9, step=40 * MINUTE)))


@pytest.mark.parametrize("changes", [{"backfill": True}, {"published_at": NOON - 30 * HOUR}, {"official": True}])
def test_backfill_old_and_official_items_raise_nothing(changes):
    tracker = Tracker(0, 4)
    batches = [scored_batch(scored_item(f"m{n}", origin=f"s{n}", **changes)) for n in range(12)]
    heads = play(tracker, *batches)
    assert heads and {head.level for head in heads} == {0}


def test_official_items_are_kept_as_statements():
    heads = play(Tracker(0, 4), *spread(3, 3), scored_batch(scored_item("fix", origin="gov", official=True)))
    assert [statement.item_id for statement in heads[-1].statements] == ["fix"]


def test_an_event_of_announcements_begins_with_what_others_say():
    notice, fix = (scored_item(name, origin="gov", official=True, title=title, at=NOON + later)
                   for name, title, later in (("notice", "投票站八点开门", 0), ("fix", "八点关门", 5 * HOUR)))
    heads = play(Tracker(0, 4), scored_batch(notice), *spread(3, 3, start=NOON + 4 * HOUR), scored_batch(fix))
    last = heads[-1]
    assert [one.item_id for one in last.statements] == ["notice", "fix"] and last.first_item_at == NOON
    assert (last.title, last.opened_at) == (scored_item().item.title, NOON + 4 * HOUR)


def test_the_level_is_held_until_the_figures_lay_under_leave_for_the_hold_time():
    tracker = Tracker(0, 4)
    play(tracker, *spread(3, 3))
    quiet = NOON + HOUR + 5 * MINUTE
    started = play(tracker, Tick(at=quiet))
    assert [(head.level, head.below_since) for head in started] == [(1, quiet)]
    assert play(tracker, Tick(at=quiet + 29 * MINUTE)) == []
    ended = play(tracker, Tick(at=quiet + 30 * MINUTE))
    assert [(head.status, head.decision.why) for head in ended] == [(EventStatus.CALM, Why.CALMED)]


def test_nothing_calms_down_while_unread_items_wait():
    tracker = Tracker(0, 4)
    play(tracker, *spread(3, 3))
    assert play(tracker, Tick(at=NOON + 9 * HOUR, behind=True), Tick(at=NOON + 20 * HOUR, behind=True)) == []


def test_a_calm_event_comes_back_with_the_same_number():
    tracker = Tracker(0, 4)
    play(tracker, *spread(3, 3), Tick(at=NOON + 2 * HOUR), Tick(at=NOON + 3 * HOUR))
    back = play(tracker, *spread(3, 3, start=NOON + 4 * HOUR, prefix="again"))[-1]
    assert (back.status, back.short, back.raises) == (EventStatus.OPEN, "E-0001", 2)


def test_a_level_falls_to_the_highest_that_still_holds():
    tracker = Tracker(0, 4)
    play(tracker, *spread(12, 6, step=5 * MINUTE))
    fall = NOON + 140 * MINUTE
    play(tracker, *spread(3, 3, start=fall, prefix="late"), *spread(2, 2, start=fall + 25 * MINUTE, prefix="later"))
    play(tracker, Tick(at=fall + 36 * MINUTE))
    heads = play(tracker, Tick(at=fall + 66 * MINUTE))
    assert (heads[-1].level_name, heads[-1].decision.why) == ("一般", Why.LOWERED)


def test_a_repeat_changes_no_state_and_emits_again():
    tracker, records = Tracker(0, 4), spread(5, 5)
    first = play(tracker, *records)[-1]
    again = tracker.handle(records[-1], BOOK)
    assert [head.version for head in again.heads] == [first.version]
    assert set(again.puts) == {b"t"}


def test_a_restored_tracker_goes_on_as_if_nothing_had_happened():
    records = spread(30, 9)
    whole = play(Tracker(1, 4), *records)
    first = Tracker(1, 4)
    rows = rows_after(first, *records[:17])
    second = Tracker.restore(1, 4, rows.items())
    assert play(second, *records[17:])[-1] == whole[-1]


def test_an_item_row_takes_at_most_two_hundred_bytes():
    terms = tuple(range(4_000_000_000, 4_000_000_016))
    for origin in ("a-rather-long-host-name.example.cn", "o" * 28, "o" * 29):
        item = replace(scored_item("f" * 20, origin=origin, terms=terms, official=True, negative=True), question=True,
                       group="本地论坛", region="石桥镇", terms=tuple((term, 255) for term in terms))
        rows = rows_after(Tracker(0, 4), scored_batch(item))
        assert 190 < max(len(value) for key, value in rows.items() if key.startswith(b"i|")) <= 200


def test_an_event_has_the_groups_and_regions_of_all_its_sources_whenever_they_came():
    said = [("本地论坛", "石桥镇"), ("", ""), ("新闻", ""), ("本地论坛", "云溪街道")]
    items = [replace(scored_item(f"a{n}", origin=f"s{n}"), group=group, region=region)
             for n, (group, region) in enumerate(said)]
    for order in (items, items[::-1]):
        head = play(Tracker(0, 4), *(scored_batch(item) for item in order))[-1]
        assert (head.groups, head.regions) == (("新闻", "本地论坛"), ("云溪街道", "石桥镇"))
    first = Tracker(0, 4)
    again = Tracker.restore(0, 4, rows_after(first, scored_batch(*items)).items())
    head = play(again, scored_batch(replace(scored_item("b", origin="s9"), region="北关镇")))[-1]
    assert (head.groups, head.regions) == (("新闻", "本地论坛"), ("云溪街道", "北关镇", "石桥镇"))


def test_numbers_of_different_partitions_never_meet():
    numbers = {play(Tracker(partition, 4), *spread(3, 3))[-1].number for partition in range(4)}
    assert numbers == {1, 2, 3, 4}


def test_a_person_closes_an_event_and_new_items_bring_it_back():
    tracker = Tracker(0, 4)
    head = play(tracker, *spread(3, 3))[-1]
    close = Close(id="c", event_id=head.id, key=head.key, by="wang", at=NOON + 5 * MINUTE, reason="已处置")
    closed = play(tracker, close)[-1]
    assert (closed.status, closed.level, closed.closed_by) == (EventStatus.CLOSED, 0, "wang")
    assert play(tracker, close)[-1].version == closed.version
    assert play(tracker, *spread(2, 2, start=NOON + 10 * MINUTE, prefix="x"))[-1].status is EventStatus.CLOSED
    back = play(tracker, *spread(3, 3, start=NOON + 15 * MINUTE, prefix="y"))[-1]
    assert (back.status, back.closed_by) == (EventStatus.OPEN, "")


def test_an_event_closed_as_irrelevant_stays_closed():
    tracker = Tracker(0, 4)
    head = play(tracker, *spread(3, 3))[-1]
    play(tracker, Close(id="c", event_id=head.id, key=head.key, by="w", at=NOON + HOUR, reason="不相关:广告"))
    heads = play(tracker, *spread(30, 9, start=NOON + 2 * HOUR, prefix="z"))
    assert {head.status for head in heads} == {EventStatus.CLOSED}


def test_what_is_past_is_forgotten_with_all_its_rows():
    tracker = Tracker(0, 4)
    records = [*spread(3, 3), Tick(at=NOON + 2 * HOUR), Tick(at=NOON + 3 * HOUR), Tick(at=NOON + 80 * HOUR),
               Tick(at=NOON + 90 * HOUR)]
    assert set(rows_after(tracker, *records)) == {b"t"}


def test_members_of_a_long_event_age_while_it_goes_on():
    tracker = Tracker(0, 4)
    rows = rows_after(tracker, *spread(200, 9, step=15 * MINUTE), Tick(at=NOON + 50 * HOUR))
    assert 80 <= sum(key.startswith(b"i|") for key in rows) <= 110
    again = Tracker.restore(0, 4, rows.items())
    nxt = scored_batch(scored_item("next", origin="s1", at=NOON + 50 * HOUR))
    assert play(again, nxt) == play(tracker, nxt)


def test_a_warm_event_is_taken_over_whole():
    source = Tracker(2, 4)
    heads = play(source, *spread(12, 5))
    rows = {row.item_id: row for head in heads for row in head.joined}
    warm = Tracker(2, 4)
    play(warm, WarmEvent(head=heads[-1], rows=tuple(rows.values())))
    nxt = scored_batch(scored_item("next", origin="s1", at=NOON + 20 * MINUTE))
    assert play(warm, nxt) == play(source, nxt)


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_input_gives_the_same_members_and_the_same_highest_level(seed):
    def outcome(records: list) -> tuple[int, set[str]]:
        heads = play(Tracker(0, 4), *records)
        return max(head.peak for head in heads), {row.item_id for head in heads for row in head.joined}

    records = spread(40, 9, step=4 * MINUTE)
    shuffled = records[:]
    random.Random(seed).shuffle(shuffled)
    assert outcome(shuffled) == outcome(records)


def test_a_head_says_when_what_raised_it_was_first_seen_however_long_it_waited():
    waiting = [Tick(at=NOON + HOUR), *spread(3, 2)]                 # items read an hour late, behind a tick
    heads = play(Tracker(0, 4), *waiting)
    assert heads[-1].level == 1 and heads[-1].seen_at == NOON + 2 * MINUTE < heads[-1].decision.at
    assert play(Tracker(0, 4), *spread(2, 2))[-1].seen_at == 0      # nothing was raised
