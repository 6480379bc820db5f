"""A drill's items in the stream: judged by the live rules, apart from what is live and from other drills."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from pipeline import topics
from pipeline.model import DrillMark, Escalation, EscalationKind, EventHead, RawBatch, Tick
from pipeline.replay import Input, replay
from pipeline.rulebook.schema import HOUR, MINUTE, LevelOverride, RuleBook, Threshold
from pipeline.score.pair import ScorerPair
from pipeline.track.pair import TrackerPair
from tests.builders import NOON, book, levels, raw_item, scored_batch, scored_item

TITLE, TEXT = "投票站几点关门", "听说今天投票站三点就关门"
RULES = book()


def batch(run: str = "", first: int = 0, at: int = NOON, count: int = 3) -> Input:
    """Items of as many sources; of a drill if `run` says which."""
    items = tuple(raw_item(
        f"{run}i{first + n}", source_id="drill" if run else "xinwen", title=TITLE, text=TEXT, first_seen_at=at + n,
        published_at=at + n, drill=DrillMark(run, f"演练论坛{n}", f"drill{n}.example") if run else None)
        for n in range(count))
    return Input(topics.ITEMS_RAW, RawBatch(source_id="drill" if run else "xinwen", polled_at=at, items=items))


def heads(inputs: Iterable[Input], rules: RuleBook = RULES) -> list[EventHead]:
    return [each for each in replay(inputs, rules, partitions=1) if isinstance(each, EventHead)]


def test_a_drills_items_make_an_event_of_their_own_that_is_told() -> None:
    day = [Input(topics.EVENTS, Tick(at=NOON + hour * HOUR)) for hour in range(30)]
    decided = list(replay([batch("r1"), *day], RULES, partitions=1))
    last = [each for each in decided if isinstance(each, EventHead)][-1]
    assert (last.subject, last.short, last.level_name, last.sources, last.drill) == (
        "!polling", "D-0001", "一般", 3, True)
    told = [each for each in decided if isinstance(each, Escalation)]
    assert told and all(each.drill and each.kind in (EscalationKind.PAGE, EscalationKind.DIGEST) for each in told)


def test_live_events_are_the_same_with_and_without_a_drill() -> None:
    live = [batch(), batch(first=10, at=NOON + MINUTE)]
    mixed = [batch("r1"), live[0], batch("r2", at=NOON + 1), live[1]]
    assert [each for each in heads(mixed) if not each.drill] == heads(live)
    assert {each.short for each in heads(mixed) if each.drill and each.number} == {"D-0001", "D-0002"}


def test_runs_of_one_drill_do_not_meet() -> None:
    found = heads([batch("r1"), batch("r2", at=NOON + 5 * MINUTE), batch("r1", first=10, at=NOON + 6 * MINUTE)])
    assert {each.id: each.items for each in found} == {found[0].id: 6, found[1].id: 3} and len(found) == 3


def test_a_drill_is_judged_by_its_subjects_own_thresholds_and_tries_no_shadow_rule() -> None:
    strict = levels(overrides=(LevelOverride(subject="polling", enter={"一般": (Threshold(
        items=4, sources=2, window=HOUR),)}),))
    rules = replace(RULES, levels=strict)
    assert heads([batch("r1")], rules)[-1].level == 0
    assert heads([batch("r1", count=4)], rules)[-1].level == 1
    assert set(ScorerPair(replace(rules, shadow=RULES)).score(batch("r1").record.items[0])) == {"!polling"}


@pytest.mark.parametrize("beside", ["~bus", "!polling"])
def test_rows_numbers_and_commands_of_each_side_are_its_own(beside: str) -> None:
    def three(subject: str, first: int) -> object:
        return scored_batch(*(scored_item(f"{subject}{first}{n}", origin=f"o{n}", at=NOON + n,
                                          terms=(first, first + 1)) for n in range(3)), subject=subject)

    tracker, rows = TrackerPair(0, 1), {}
    for subject in ("polling", beside):
        out = tracker.handle(three(subject, 0), RULES)  # type: ignore[arg-type]
        rows |= out.puts
        assert all(key.startswith(beside[0].encode()) for key in out.puts) is (subject == beside)
    again = TrackerPair.restore(0, 1, [(key, value) for key, value in rows.items() if value is not None])
    for subject, letter in (("polling", "E"), (beside, "S" if beside[0] == "~" else "D")):
        last = again.handle(three(subject, 50), RULES).heads[-1]  # type: ignore[arg-type]
        assert last.short == f"{letter}-0002"
        assert again.event_of(subject, f"{subject}00") and len(again.open_events) == 2
