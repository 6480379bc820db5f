"""Drill files, the items they make, and the score sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import drill
from pipeline.drill import Facts, Line
from pipeline.errors import RuleBookError
from pipeline.rulebook.drills import Drill, read_drill, read_drills
from pipeline.rulebook.schema import MINUTE
from tests.builders import NOON, book

RULES = Path(__file__).parent.parent.parent / "rules"
TEXT = """
id: rumour
title: 谣言
owner: 监测组
reason: 试
sources: [{id: a, name: 演练甲}, {id: b, name: 演练乙, group: 媒体, region: 石桥镇, official: true}]
items:
  - {at: 1m, sources: [a, b], title: 投票站几点关门, times: 3, every: 20s}
  - {at: 70s, sources: [b], title: 电话 13800138000 问投票站}
targets: {event: 2m, levels: {较大: 5m}, page: 1m, ack: 5m, statement: 30m}
"""


def script(**changes: str) -> Drill:
    text = TEXT
    for before, after in changes.values():                          # type: ignore[misc]
        text = text.replace(before, after)
    return read_drill("rumour.yml", text, book())


def test_items_come_in_order_from_their_sources_in_turn_and_without_personal_data() -> None:
    turns = drill.turns(script())
    assert [(turn.at, turn.source.id) for turn in turns] == [
        (60_000, "a"), (70_000, "b"), (80_000, "b"), (100_000, "a")]
    item = drill.item(turns[1], "run1", 1, NOON)
    assert item.drill is not None and (item.drill.run, item.drill.source_name, item.drill.group, item.drill.region,
                                       item.drill.official) == ("run1", "演练乙", "媒体", "石桥镇", True)
    assert "13800138000" not in item.title and item.published_at == item.first_seen_at == NOON
    assert drill.item(turns[1], "run1", 1, NOON + 5).id == item.id != drill.item(turns[1], "run2", 1, NOON).id


@pytest.mark.parametrize(("before", "after", "says"), [
    ("sources: [a, b]", "sources: [a, c]", "sources 里没有 c"),
    ("times: 3", "times: 501", "500"),
    ("较大: 5m", "特大: 5m", "没有名为“特大”的级别"),
    ("targets: {event: 2m, levels: {较大: 5m}, page: 1m, ack: 5m, statement: 30m}", "targets: {}", "没有写任何目标"),
    ("owner: 监测组\n", "", "owner"),
    ("at: 1m", "at: soon", "时长"),
    ("title: 谣言", "title: 谣言\nauthor: 张三", "author"),
])
def test_a_bad_drill_says_what_to_write(before: str, after: str, says: str) -> None:
    with pytest.raises(RuleBookError) as caught:
        read_drill("rumour.yml", TEXT.replace(before, after), book())
    assert says in "".join(str(each) for each in caught.value.problems)


def test_an_empty_drill_and_a_broken_one_are_both_told() -> None:
    with pytest.raises(RuleBookError) as caught:
        read_drills({"drills/a.yml": "", "drills/b.yml": "id: [", "drills/c.yml": TEXT, "levels.yml": "x"}, book())
    assert {each.file for each in caught.value.problems} == {"drills/a.yml", "drills/b.yml"}


def at(**minutes: int) -> Facts:
    known: dict[str, Any] = {name: NOON + value * MINUTE for name, value in minutes.items() if name != "larger"}
    levels = {"较大": NOON + minutes["larger"] * MINUTE} if "larger" in minutes else {}
    return Facts(began=NOON, levels=levels, **known)


@pytest.mark.parametrize(("facts", "now", "met"), [
    (at(), 1, [None, None, None, None, None]),
    (at(), 3, [False, None, None, None, None]),
    (at(event=2, larger=4, paged_from=4), 5, [True, True, None, None, None]),
    (at(event=2, larger=6, paged_from=6, page=6), 7, [True, False, True, None, None]),
    (at(event=2, larger=5, paged_from=5, page=6, ack=11, statement=30), 40, [True, True, True, True, True]),
    (at(event=2, larger=5, paged_from=5, page=7, ack=13, statement=31), 40, [True, True, False, False, False]),
    (at(event=1, larger=5, paged_from=5), 60, [True, True, False, False, False]),
])
def test_a_target_is_met_missed_or_still_open(facts: Facts, now: int, met: list[bool | None]) -> None:
    lines = drill.sheet(script(), facts, NOON + now * MINUTE)
    assert [line.met for line in lines] == met
    assert [line.what for line in lines] == [
        "首条到形成事件", "首条到较大", "达级到通知送达", "送达到确认", "首条到权威回应"]


@pytest.mark.parametrize(("lines", "over"), [
    ([Line("a", 5, 3, True), Line("b", 5, 9, False)], True), ([Line("a", 5, None, False)], True),
    ([Line("a", 5, 3, True), Line("b", 5, None, None)], False)])
def test_it_is_over_when_nothing_can_change_any_more(lines: list[Line], over: bool) -> None:
    assert drill.over(lines) is over


def test_what_counts_from_something_that_can_not_come_any_more_is_over_too() -> None:
    """Nobody was paged in time, so nobody's answer is waited for."""
    lines = drill.sheet(script(), at(event=2), NOON + 90 * MINUTE)
    assert drill.over(lines)


def test_the_shipped_drills_are_right() -> None:
    from agents.rule_files import load_book

    files = {f"drills/{path.name}": path.read_text("utf-8") for path in sorted((RULES / "drills").glob("*.yml"))}
    assert len(read_drills(files, load_book(RULES, "Asia/Shanghai"))) == len(files) == 2
