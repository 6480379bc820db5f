"""Replay, the executable specification: of the demo's day as it was collected, in any order; and `wenxun replay`."""

from __future__ import annotations

import json
import random
from argparse import Namespace
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents.commands import replay as command
from agents.demo.book import write_rules
from agents.demo.formats import Page, render
from agents.demo.scenario import ZONE, Part, Scenario, load
from pipeline import topics
from pipeline.collect.entries import Reading
from pipeline.collect.feed import parse_feed
from pipeline.errors import WenxunError
from pipeline.model import (
    Counts,
    CountsBatch,
    CountsRow,
    EscalationKind,
    EventHead,
    RawBatch,
    RawItem,
    Tick,
    Why,
)
from pipeline.replay import Input, Replay, replay
from pipeline.rulebook.schema import DAY, HOUR, MINUTE, Level, RuleBook, Threshold
from pipeline.score.score import Scorer
from tests.builders import NOON, book, levels, raw_batch, raw_item

STARTER = Path(__file__).parent.parent.parent / "rules"
PARTITIONS = 4


class Day:
    """The demo's day, collected every five minutes from what its sites serve."""

    def __init__(self) -> None:
        self.scenario: Scenario = load()
        with TemporaryDirectory() as folder:
            ports = {site.id: 1024 + number for number, site in enumerate(self.scenario.sites)}
            self.book: RuleBook = write_rules(Path(folder) / "rules", self.scenario, ports, 9, "key", 5)
        self.scorer = Scorer(self.book)
        self.batches: list[RawBatch] = list(self._collected())
        self.items: list[RawItem] = [item for batch in self.batches for item in batch.items]

    def _collected(self) -> Iterable[RawBatch]:
        seen: set[tuple[str, str]] = set()
        for now in range(self.scenario.opens, self.scenario.closes + 1, 5 * MINUTE):
            for source in self.book.sources:
                items = [item for item in self._page(source.id, now) if (item.id, item.revision) not in seen]
                seen.update((item.id, item.revision) for item in items)
                if items:
                    yield RawBatch(source_id=source.id, polled_at=now, items=tuple(items))

    def _page(self, site_id: str, now: int) -> tuple[RawItem, ...]:
        site = next(each for each in self.scenario.sites if each.id == site_id)
        source = next(each for each in self.book.sources if each.id == site_id)
        page = Page(site, f"http://{site.origin}", self.scenario.nickname, self.scenario.visible(site_id, now))
        kind, body = render(page)
        how = Reading(site_id, source.url, self.zone, now, backfill=now == self.scenario.opens)
        return parse_feed(body, how, content_type=kind, form=source.format).items

    @property
    def zone(self) -> ZoneInfo:
        return ZONE

    def play(self, inputs: Iterable[Input]) -> list[EventHead]:
        flow = Replay(self.book, PARTITIONS, build=lambda _: self.scorer)
        return [each for one in inputs for each in flow.feed(one) if isinstance(each, EventHead)]


@cache
def day() -> Day:
    return Day()


def in_order(items: Iterable[RawItem]) -> list[Input]:
    return [Input(topics.ITEMS_RAW, RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,)))
            for item in items]


def groups(heads: list[EventHead]) -> set[frozenset[str]]:
    """Items of watched subjects by the event they are in."""
    joined: dict[str, set[str]] = {}
    for head in heads:
        if head.subject != "*":
            joined.setdefault(head.id, set()).update(row.item_id for row in head.joined)
    return {frozenset(items) for items in joined.values()}


def highest(heads: list[EventHead]) -> dict[frozenset[str], int]:
    joined = {head.id: frozenset(row.item_id for each in heads if each.id == head.id for row in each.joined)
              for head in heads if head.subject != "*"}
    return {joined[head.id]: max(each.peak for each in heads if each.id == head.id)
            for head in heads if head.id in joined}


def test_the_days_rumour_is_one_event_that_climbs_the_whole_ladder():
    heads = day().play(in_order(day().items))
    rumours = {post.title for post in day().scenario.posts if post.part is Part.RUMOUR}
    top = max(heads, key=lambda head: head.peak)
    assert day().book.levels.name(top.peak) == "重大" and top.title in rumours
    levels = [head.level for head in heads if head.id == top.id]
    assert [level for level in (1, 2, 3) if level in levels] == [1, 2, 3] and levels == sorted(levels)


@pytest.mark.parametrize("seed", range(12))
def test_shuffled_items_of_the_day_are_in_the_same_events_with_the_same_highest_level(seed: int):
    straight = day().play(in_order(day().items))
    items = day().items[:]
    random.Random(seed).shuffle(items)
    shuffled = day().play(in_order(items))
    assert groups(shuffled) == groups(straight)
    assert highest(shuffled) == highest(straight)


def test_however_the_items_are_batched_the_events_are_the_same():
    one_by_one = day().play(in_order(day().items))
    whole = day().play(Input(topics.ITEMS_RAW, batch) for batch in day().batches)
    assert highest(whole) == highest(one_by_one)


def test_the_day_repeated_from_any_poll_on_changes_nothing():
    inputs = [Input(topics.ITEMS_RAW, batch) for batch in day().batches]
    straight, repeated = day().play(inputs), day().play([*inputs, *inputs[len(inputs) // 3:]])
    assert {(head.id, head.version) for head in repeated} == {(head.id, head.version) for head in straight}


def test_two_replays_decide_the_same_to_the_last_byte():
    inputs = [*in_order(day().items), *(Input(topics.ITEMS_SCORED, Tick(at=day().scenario.closes + n * 30 * MINUTE))
                                        for n in range(30))]
    assert list(replay(inputs, day().book)) == list(replay(inputs, day().book))


def test_no_item_of_a_sources_first_poll_and_none_older_than_a_day_raises_a_level():
    from msgspec.structs import replace as changed
    first = [changed(item, backfill=True) for item in day().items]
    old = [changed(item, published_at=item.first_seen_at - DAY - 1) for item in day().items]
    assert {head.peak for items in (first, old) for head in day().play(in_order(items))} == {0}


# ---------------------------------------------------------------- the command


def lines(path: Path, *objects: Any) -> Path:
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
                              for each in objects), "utf-8")
    return path


def rumour(number: int, **changes: Any) -> dict[str, Any]:
    return {"source": f"s{number}", "title": "网传投票站下午三点提前关门",
            "text": "有人说投票站今天下午三点就关门，是真的吗",
            "at": f"2026-11-22T09:{number * 5:02d}:00", "url": f"http://s{number}.example/1", **changes}


def run(path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> str:
    assert command.run(Namespace(file=path, rules=STARTER, json=as_json)) == 0
    return capsys.readouterr().out


def test_plain_items_are_decided_with_their_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = run(lines(tmp_path / "a.jsonl", *(rumour(n) for n in range(6))), capsys)
    assert "E-" in out and "一般" in out and "网传投票站" in out
    assert "共" in out.splitlines()[-1] and "规则版本" in out.splitlines()[-1]


def test_decisions_as_json_lines_name_their_kind_and_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = run(lines(tmp_path / "a.jsonl", *(rumour(n) for n in range(6))), capsys, as_json=True)
    decided = [json.loads(line) for line in out.splitlines()]
    assert {"event.head", "escalation", "alert.state"} <= {each["type"] for each in decided}
    assert all(each["book"] for each in decided)
    assert EscalationKind.DIGEST in {each.get("kind") for each in decided}


def test_the_order_of_plain_lines_does_not_matter_and_numbers_are_milliseconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
):
    wanted = run(lines(tmp_path / "a.jsonl", *(rumour(n) for n in range(6))), capsys)
    stamped = [rumour(n, at=1_795_309_200_000 + n * 300_000) for n in reversed(range(6))]
    assert run(lines(tmp_path / "b.jsonl", *stamped), capsys) == wanted


@pytest.mark.parametrize(("line", "said"), [
    ("{not json", ":2: 不是 JSON"),
    ("[1, 2]", ":2: 应为一个 JSON 对象"),
    ({"title": "无来源", "at": "2026-11-22T09:00:00"}, ":2: 需要 source 和 title"),
    ({"source": 5, "title": "来源不是文字", "at": "2026-11-22T09:00:00"}, ":2: 需要 source 和 title"),
    ({"source": "s", "at": "2026-11-22T09:00:00"}, ":2: 需要 source 和 title"),
    (rumour(1, at="今天上午"), ":2: 时间 '今天上午' 应写成"),
    (rumour(1, at=None), ":2: 时间 None 应写成"),
    (rumour(1, at=True), ":2: 时间 True 应写成"),
    (rumour(1, at=1e300), ":2: 时间 1e+300 应写成"),
    (rumour(1, at="0001-01-01T00:00:00+14:00"), ":2: 时间"),
    (rumour(1, published="昨天"), ":2: 时间 '昨天' 应写成"),
])
def test_a_bad_line_is_named_with_what_to_write(line: Any, said: str, tmp_path: Path):
    with pytest.raises(WenxunError, match=r"bad\.jsonl:2: ") as caught:
        command.load(lines(tmp_path / "bad.jsonl", rumour(0), line), STARTER)
    assert said in str(caught.value)


def test_a_number_that_json_does_not_have_is_a_bad_time(tmp_path: Path):
    with pytest.raises(WenxunError, match="时间 nan 应写成"):
        command.load(lines(tmp_path / "bad.jsonl", '{"source": "s", "title": "t", "at": NaN}'), STARTER)


@pytest.mark.parametrize(("content", "said"), [(b"", "空文件"), (b"\n \n", "空文件"), (b"\xff\xfe", "无法读取")])
def test_a_file_without_lines_says_what_to_write(content: bytes, said: str, tmp_path: Path):
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(WenxunError, match=said):
        command.load(tmp_path / "bad.jsonl", STARTER)


def test_a_file_that_is_not_there_and_rules_that_are_not_there_are_named(tmp_path: Path):
    with pytest.raises(WenxunError, match=r"none\.jsonl: 无法读取"):
        command.load(tmp_path / "none.jsonl", STARTER)
    with pytest.raises(WenxunError, match="no-rules"):
        command.load(lines(tmp_path / "a.jsonl", rumour(0)), tmp_path / "no-rules")


@pytest.mark.parametrize(("header", "line", "said"), [
    ({"header": 1}, {}, ":1: 首行不是录制文件的头"),
    ({"header": 1, "book": {}, "recorded": [], "partitions": 4}, {}, ":1: 首行不是录制文件的头"),
    ({"header": 1, "book": "book", "recorded": [], "partitions": "four"}, {}, ":1: 首行不是录制文件的头"),
    ({"header": 1, "book": "book", "recorded": 5, "partitions": 4}, {}, ":1: 首行不是录制文件的头"),
    ({"header": 1, "book": "book", "recorded": [], "partitions": 4}, {"topic": "events"}, ":2: 不是录制的记录"),
    ({"header": 1, "book": "book", "recorded": [], "partitions": 4},
     {"topic": "events", "type": "tick", "data": {"at": "noon"}, "partition": 0}, ":2: 不是录制的记录"),
    ({"header": 1, "book": "book", "recorded": [], "partitions": 4},
     {"topic": "events", "type": "no-such", "data": {}, "partition": 0}, ":2: 不是录制的记录"),
])
def test_a_recording_that_is_broken_says_where(header: dict[str, Any], line: Any, said: str, tmp_path: Path):
    import msgspec
    if header.get("book") == "book":
        header = {**header, "book": msgspec.to_builtins(day().book)}
    with pytest.raises(WenxunError) as caught:
        command.load(lines(tmp_path / "day.jsonl", header, line), None)
    assert said in str(caught.value)


def test_counts_raise_a_level_in_replay_whichever_partition_has_the_event() -> None:
    need = Threshold(items=30, sources=3, window=HOUR), Threshold(window=HOUR, growth=100)
    growing = book(levels=levels(ladder=(Level(name="一般", response="三级响应", enter=need),), overrides=()))
    found = [decision for decision in replay([
        Input(topics.ITEMS_RAW, raw_batch(raw_item("a", counts=Counts(comments=1)))),
        Input(topics.ITEMS_RAW, CountsBatch(source_id="xinwen", at=NOON + HOUR, items=(
            CountsRow("a", NOON + HOUR, Counts(comments=150)),)))], growing) if isinstance(decision, EventHead)]
    assert [(head.level, head.decision.why, head.growth) for head in found] == [(1, Why.GROWING, 149)]
