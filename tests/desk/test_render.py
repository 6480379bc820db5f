"""What a page is made of: marks, excerpts, times, links, colours, the chart, sentences."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.desk import describe, diff, level_words, timeline_words
from agents.desk.diff import changes
from agents.desk.render import (
    Times,
    chart,
    excerpt,
    figure,
    highlight,
    kind_name,
    levels_css,
    link,
    spark,
)
from agents.store.readmodel import Kind, Line
from pipeline.model import AlertStatus, Counts, CountsRow, EventStatus, Factor, Span
from pipeline.rulebook.schema import HOUR, MINUTE, LevelOverride, Levels, Threshold
from tests import builders
from tests.desk import seed
from tests.desk.seed import NOW

TIMES = Times(NOW, ZoneInfo("Asia/Shanghai"))
NAMES = describe.Names(seed.book())
SILENCE = seed.silence()


def span(start: int, end: int, term: str = "词", field: str = "title") -> Span:
    return Span("polling", term, field, start, end)


def test_a_span_is_marked_in_the_characters_of_the_original_text() -> None:
    assert highlight("城东投票站关门", [span(2, 5, "投票站")], "title") == (
        '城东<mark title="命中：投票站">投票站</mark>关门')


def test_spans_that_overlap_become_one_mark_and_other_fields_are_left_alone() -> None:
    marked = highlight("abcdef", [span(1, 4, "x"), span(2, 6, "y"), span(0, 1, "z", "text")], "title")
    assert marked == 'a<mark title="命中：x、y">bcdef</mark>'


def test_marked_text_is_escaped_inside_and_outside_of_marks() -> None:
    hostile = "<b>&\"'<script>"
    marked = highlight(hostile, [span(2, 9, '"><script>')], "title")
    assert "<script>" not in marked and "<b>" not in marked and "&lt;" in marked
    assert 'title="命中：&#34;&gt;&lt;script&gt;"' in marked


@pytest.mark.parametrize("bad", [span(-3, 2), span(4, 400), span(90, 95), span(3, 3), span(4, 2)])
def test_spans_outside_of_the_text_break_nothing(bad: Span) -> None:
    assert "".join(c for c in highlight("abcdef", [bad], "title").striptags() if c in "abcdef") == "abcdef"


def test_an_excerpt_shows_the_first_match_of_a_long_text() -> None:
    text = "前" * 500 + "投票站" + "后" * 500
    shown = excerpt(text, [span(500, 503, "投票站", "text")], "text")
    assert '<mark title="命中：投票站">投票站</mark>' in shown
    assert shown.startswith("…") and shown.endswith("…") and len(shown.striptags()) < 240


@pytest.mark.parametrize(("url", "shown"), [
    ("https://a.example/x", True), ("http://a.example", True), ("javascript:alert(1)", False),
    ("data:text/html,x", False), ("//a.example", False), ("https://", False), ("", False), ("http://[bad", False),
    (" javascript:alert(1)", False)])
def test_only_web_addresses_become_links(url: str, shown: bool) -> None:
    assert bool(link(url)) is shown


@pytest.mark.parametrize(("at", "text"), [
    (NOW, "刚刚"), (NOW - 59_000, "刚刚"), (NOW - 8 * MINUTE, "8 分钟前"), (NOW + 4 * MINUTE, "4 分钟后"),
    (NOW + 1000, "马上"), (NOW - 3 * HOUR, "3 小时前"), (NOW - 50 * HOUR, "2 天前")])
def test_times_are_said_as_people_say_them(at: int, text: str) -> None:
    assert TIMES.ago(at) == text


def test_times_are_of_the_installations_zone_and_name_the_day_when_it_is_another() -> None:
    assert TIMES.clock(NOW) == "03:12"
    assert TIMES.clock(NOW - 4 * HOUR) == "11-21 23:12"
    assert TIMES.clock(NOW - 400 * 24 * HOUR).startswith("2025-")
    assert Times(NOW, ZoneInfo("UTC")).clock(NOW) == "19:12"
    assert "2026-11-22 03:12:00" in TIMES.when(NOW) and "从未" in TIMES.when(None)


def test_level_colours_come_from_the_ladder_and_are_readable_on() -> None:
    css = levels_css(seed.book().levels.ladder)
    assert ".level-3{--level:#c62828;--on-level:#fff}" in css and ".level-2{--level:#e08a1e;--on-level:#000}" in css


def test_a_colour_that_is_no_colour_cannot_reach_the_style_sheet() -> None:
    import msgspec

    evil = msgspec.structs.replace(builders.levels().ladder[0], color="red}body{display:none")
    assert levels_css([evil]) == ".level-1{--level:#888888;--on-level:#000}\n"


def test_the_chart_counts_every_item_once() -> None:
    times = [(NOW + minute * MINUTE, "a") for minute in (0, 0, 1, 7, 7, 7, 300)]
    bars = chart(times, TIMES)
    assert sum(bar.count for bar in bars) == 7
    assert all(0 <= bar.y and bar.y + bar.height <= 60.01 and 0 <= bar.x <= 480 for bar in bars)
    assert chart([], TIMES) == []


# ---------------------------------------------------------------- sentences


def test_what_is_missing_for_the_next_level_is_counted() -> None:
    have = seed.Evidence(items=8, sources=3, window=2 * HOUR, at=NOW, need_items=3, need_sources=2)
    one = seed.head(1, 1)
    decision = seed.LevelDecision(level=1, previous=0, why=seed.Why.RAISED, evidence=have, at=NOW, name="一般")
    gap = level_words.next_level(seed.head(1, 1, decision=decision), NAMES.levels)
    assert gap is not None and (gap.name, gap.missing) == ("较大", "还差 2 条、1 个独立来源")
    other = level_words.next_level(one, NAMES.levels)
    assert other is not None and "另行统计" in other.missing, "figures of one hour do not count for two"
    assert level_words.next_level(seed.head(1, 3), NAMES.levels) is None


def test_a_subjects_own_thresholds_are_what_is_missing() -> None:
    only = LevelOverride(subject="polling", enter={"重大": (Threshold(items=99, sources=9, window=HOUR),)})
    gap = level_words.next_level(seed.head(1, 1), Levels(ladder=seed.book().levels.ladder, overrides=(only,)))
    assert gap is not None and (gap.name, gap.need) == ("重大", ("1 小时内 99 条、9 个独立来源",))


@pytest.mark.parametrize(("changes", "text"), [
    ({"step": 1}, "通知 领导小组"), ({"step": 0, "repeat": 1}, "重新通知 值班组、带班领导"),
    ({"route": "gone"}, "通知 带班领导"), ({"route": "general", "step": 0}, "发出汇总"),
    ({"status": AlertStatus.SNOOZED}, "恢复提醒"),
    ({"due_at": None}, "")])
def test_who_is_next_is_said_by_name(changes: dict[str, object], text: str) -> None:
    assert describe.next_step(seed.alert(seed.head(), **changes), NAMES, seed.book()) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "detail", "says"), [
    (Kind.OPENED, {"number": 317, "subject": "polling"}, "成为事件 E-0317"),
    (Kind.STATUS, {"status": "closed", "by": "王强", "reason": "重复"}, "已关闭 王强：重复"),
    (Kind.STATUS, {"status": "open"}, "重新打开"),
    (Kind.OPENED, {"number": 4, "subject": "!polling"}, "成为事件 D-0004"),
    (Kind.STATEMENT, {"item_id": "x", "source_name": "县政府公告"}, "待确认 县政府公告"),
    (Kind.ANSWERED, {"by": "李敏", "title": "说明", "url": "https://x.example"}, "李敏 确认了官方回应 说明"),
    (Kind.REJECTED, {"by": "李敏", "source_name": "县政府公告"}, "李敏 认为不是官方回应 县政府公告"),
    (Kind.HAND_OVER, {"by": "李敏", "to": "leaders", "note": "在会上"}, "李敏 转交给 领导小组 在会上"),
    (Kind.COMMENT, {"by": "李敏", "text": "已到现场"}, "李敏 备注 已到现场"),
    (Kind.SUPPRESSED, {"kind": "page", "tell": ["duty"], "suppressed_by": f"silence:{SILENCE.id}"},
     "没有通知 值班组 静默（供水检修，已公告，负责人 值班组）"),
    (Kind.SUPPRESSED, {"kind": "page", "tell": ["duty"], "suppressed_by": "quiet"}, "没有通知 值班组 安静时段"),
    (Kind.SILENCE, {"by": "王强", "starts_at": NOW, "ends_at": NOW + 60 * MINUTE, "reason": "检修"},
     "王强 静默了这个事件 1 小时 检修"),
    (Kind.SILENCE, {"by": "王强", "starts_at": NOW, "ends_at": NOW, "expired_at": NOW}, "王强 结束了静默"),
    (Kind.CLOCK_STARTED, {"id": "answer", "name": "首次权威回应", "why": "level"}, "开始计时：首次权威回应 达到级别"),
    (Kind.CLOCK_STOPPED, {"id": "answer", "name": "首次权威回应", "by": "李敏", "why": "statement", "late": 0},
     "停止计时：首次权威回应 李敏 登记了官方回应"),
    (Kind.CLOCK_STOPPED, {"id": "answer", "name": "首次权威回应", "why": "closed", "late": 5 * MINUTE},
     "停止计时：首次权威回应，超时 5 分钟 关闭了事件"),
    (Kind.ESCALATION, {"kind": "clock", "tell": ["leaders"], "clock": "answer", "percent": 80},
     "时限提醒 领导小组 首次权威回应已过 80%"),
    (Kind.ESCALATION, {"kind": "clock", "tell": ["leaders"], "clock": "answer", "percent": 100}, "已超时"),
    (Kind.ESCALATION, {"kind": "page", "why": "handed", "tell": ["leaders"]}, "通知 领导小组 他人转交，请确认"),
    (Kind.ACK, {"by": "李敏", "at": NOW, "note": "在路上"}, "李敏 确认了提醒 在路上"),
    (Kind.SNOOZE, {"by": "李敏", "at": NOW, "until": NOW + 30 * MINUTE}, "李敏 暂缓提醒 30 分钟"),
    (Kind.CLOSE, {"by": "李敏", "reason": "已处置"}, "李敏 关闭了事件 已处置"),
    (Kind.ESCALATION, {"kind": "page", "tell": ["leaders"], "step": 1, "repeat": 1}, "通知 领导小组 第 2 步，第 2 轮"),
    (Kind.ESCALATION, {"kind": "inform", "tell": ["duty"]}, "通报 值班组"),
    (Kind.DELIVERY, {"person": "duty-a", "channel": "console", "status": "dead", "error": "550"}, "未能送达：值班员甲"),
    (Kind.DELIVERY, {"person": "duty-a", "channel": "console", "status": "suppressed", "suppressed_by": "acked:李敏"},
     "已抑制：值班员甲，console（控制台） 李敏 已确认"),
    (Kind.LEVEL, {"unknown": 1}, "记录（level）"), (Kind.ACK, {}, "记录（ack）")])
def test_every_kind_of_line_has_a_sentence(kind: Kind, detail: dict[str, object], says: str) -> None:
    told = timeline_words.line(Line(NOW, kind, detail), NAMES, {SILENCE.id: SILENCE})
    assert says in f"{told.title} {told.text}"


SPREAD = Threshold(items=10, sources=4, window=HOUR)
GROWTH = Threshold(growth=200, window=HOUR)
COSTLY = Threshold(items=10, negative=0.5, impact=3, window=HOUR)


@pytest.mark.parametrize(("have", "ways", "says"), [
    ((8, 4, 0), (SPREAD,), "还差 2 条"), ((8, 3, 0), (SPREAD,), "还差 2 条、1 个独立来源"),
    ((8, 3, 80), (SPREAD, GROWTH), "还差 2 条、1 个独立来源，或 120 次评论、转发、点赞"),
    ((8, 3, 200), (SPREAD, GROWTH), "条件已满足，等待下一次判定"),
    ((10, 4, 0), (SPREAD, GROWTH), "条件已满足，等待下一次判定"),
    ((8, 4, 0), (COSTLY,), "按这一级的时间窗口另行统计"),
    ((8, 4, 0, Factor("negative", 0.3, 0.2), Factor("impact", 3, 1)), (COSTLY,), "还差 2 条、负面占比 20%")])
def test_the_gap_to_the_next_level_names_each_way_in(
        have: tuple[Any, ...], ways: tuple[Threshold, ...], says: str) -> None:
    items, sources, growth, *factors = have
    found = seed.Evidence(items=items, sources=sources, growth=growth, window=HOUR, at=NOW, factors=tuple(factors))
    assert level_words.missing(found, ways) == says


@pytest.mark.parametrize(("need", "says"), [
    (SPREAD, "1 小时内 10 条、4 个独立来源"),
    (Threshold(growth=5000, growth_sources=2, impact=3, window=2 * HOUR),
     "2 小时内 5,000 次评论、转发、点赞、2 个来源有增长，主题影响 3 级"),
    (Threshold(speed=6.5, negative=0.5, official=1, window=HOUR), "1 小时内 6.5 条/小时、负面占比 50%，1 条官方发布")])
def test_a_threshold_is_read_as_a_sentence(need: Threshold, says: str) -> None:
    assert level_words.threshold(need) == says


@pytest.mark.parametrize(("count", "text"), [
    (0, "0"), (9999, "9999"), (10_000, "1 万"), (12_345, "1.2 万"), (340_000_000, "3.4 亿")])
def test_large_counts_are_written_as_people_read_them(count: int, text: str) -> None:
    assert figure(count) == text


@pytest.mark.parametrize(("kind", "text"), [
    ("rss20", "RSS 2.0"), ("rss091u", "RSS 0.91"), ("atom10", "Atom 1.0"), ("jsonfeed", "JSON Feed"),
    ("discourse", "Discourse")])
def test_a_document_is_named_as_people_name_it(kind: str, text: str) -> None:
    assert kind_name(kind) == text


def test_a_line_through_counts_stays_in_its_box_and_passes_over_what_was_not_said() -> None:
    said = [5, None, 9, 7]
    rows = [CountsRow("a", NOW + at * MINUTE, Counts(comments=value)) for at, value in enumerate(said)]
    drawn = spark(rows, "comments")
    assert (drawn.first, drawn.last) == (5, 7)
    points = [tuple(map(float, point.split(","))) for point in drawn.points.split()]
    assert len(points) == 3 and all(0 <= x <= 160 and 0 <= y <= 40 for x, y in points)
    assert spark([CountsRow("a", NOW, Counts(comments=5))], "comments").points == ""
    assert spark([], "likes").last == 0


def pieces(before: str, after: str) -> list[tuple[str, str]]:
    return [(piece.kind, piece.text) for piece in changes(before, after)]


@pytest.mark.parametrize(("before", "after", "found"), [
    ("投票站三点关门", "投票站五点关门", [("same", "投票站"), ("del", "三"), ("ins", "五"), ("same", "点关门")]),
    ("", "新的", [("ins", "新的")]), ("旧的", "", [("del", "旧的")]), ("一样", "一样", []),
    ("at 3 pm", "at 15 pm", [("same", "at "), ("del", "3"), ("ins", "15"), ("same", " pm")])])
def test_what_changed_is_told_by_word_and_character(before: str, after: str, found: list[tuple[str, str]]) -> None:
    assert pieces(before, after) == found


def test_long_stretches_that_stayed_are_left_out_with_their_length() -> None:
    same = "不变的话" * 200
    assert pieces(same + "三点" + same, same + "五点" + same) == [
        ("gap", str(800 - 60)), ("same", same[-60:]), ("del", "三"), ("ins", "五"), ("same", ("点" + same)[:60]),
        ("gap", str(801 - 60))]


@given(st.text("ab。三五\n ", max_size=80), st.text("ab。三五\n ", max_size=80), st.sampled_from((4_000_000, 30, 4)))
def test_both_texts_can_be_read_from_the_pieces(before: str, after: str, most: int) -> None:
    whole = list(diff._joined(diff._pieces(before, after, most)))
    assert "".join(piece.text for piece in whole if piece.kind != "ins") == before
    assert "".join(piece.text for piece in whole if piece.kind != "del") == after


def test_long_texts_without_anything_in_common_are_told_without_long_work() -> None:
    one, other = ("".join(chr(first + n % 5000) for n in range(60_000)) for first in (0x4E00, 0x6500))
    assert {kind for kind, _ in pieces(one, other)} <= {"del", "ins", "same", "gap"}


def test_the_reason_of_a_closed_event_names_who_closed_it() -> None:
    have = seed.head().decision.evidence
    closed = seed.LevelDecision(level=0, previous=2, why=seed.Why.CLOSED, evidence=have, at=NOW)
    one = seed.head(status=EventStatus.CLOSED, decision=closed, closed_by="王强", closed_reason="重复")
    assert describe.why(one, NAMES) == "由 王强 关闭：重复"
