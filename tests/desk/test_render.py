"""What a page is made of: marks, excerpts, times, links, colours, the chart, sentences."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from agents.desk import describe
from agents.desk.render import Times, chart, excerpt, highlight, levels_css, link
from agents.store.readmodel import Kind, Line, SourceRow
from pipeline.model import AlertStatus, EventStatus, Span
from pipeline.rulebook.schema import HOUR, MINUTE, LevelOverride, Levels, Threshold
from tests import builders
from tests.desk import seed
from tests.desk.seed import NOW

TIMES = Times(NOW, ZoneInfo("Asia/Shanghai"))
NAMES = describe.Names(seed.book())


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
    gap = describe.next_level(seed.head(1, 1, decision=decision), NAMES)
    assert gap is not None and (gap.name, gap.missing) == ("较大", "还差 2 条、1 个独立来源")
    other = describe.next_level(one, NAMES)
    assert other is not None and "另行统计" in other.missing, "figures of one hour do not count for two"
    assert describe.next_level(seed.head(1, 3), NAMES) is None


def test_a_subjects_own_thresholds_are_what_is_missing() -> None:
    only = LevelOverride(subject="polling", enter={"重大": Threshold(items=99, sources=9, window=HOUR)})
    names = describe.Names(seed.book(levels=Levels(ladder=seed.book().levels.ladder, overrides=(only,))))
    gap = describe.next_level(seed.head(1, 1), names)
    assert gap is not None and (gap.name, gap.items[1]) == ("重大", 99)


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
    (Kind.STATEMENT, {"item_id": "x", "source_name": "县政府公告"}, "官方回应 县政府公告"),
    (Kind.ACK, {"by": "李敏", "at": NOW, "note": "在路上"}, "李敏 确认了提醒 在路上"),
    (Kind.SNOOZE, {"by": "李敏", "at": NOW, "until": NOW + 30 * MINUTE}, "李敏 暂缓提醒 30 分钟"),
    (Kind.CLOSE, {"by": "李敏", "reason": "已处置"}, "李敏 关闭了事件 已处置"),
    (Kind.ESCALATION, {"kind": "page", "tell": ["leaders"], "step": 1, "repeat": 1}, "通知 领导小组 第 2 步，第 2 轮"),
    (Kind.ESCALATION, {"kind": "inform", "tell": ["duty"]}, "通报 值班组"),
    (Kind.DELIVERY, {"person": "duty-a", "channel": "console", "status": "dead", "error": "550"}, "未能送达：值班员甲"),
    (Kind.LEVEL, {"unknown": 1}, "记录（level）"), (Kind.ACK, {}, "记录（ack）")])
def test_every_kind_of_line_has_a_sentence(kind: Kind, detail: dict[str, object], says: str) -> None:
    told = describe.line(Line(NOW, kind, detail), NAMES)
    assert says in f"{told.title} {told.text}"


def row(**changes: object) -> SourceRow:
    values: dict[str, object] = {
        "id": "xinwen", "url": "", "polled_at": NOW, "next_poll_at": NOW + MINUTE, "outcome": "ok", "error": "",
        "failures": 0, "succeeded_at": NOW, "new_item_at": NOW, "backfilled": True, "items": 3, **changes}
    return SourceRow(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("changes", "tone"), [
    ({}, "good"), ({"failures": 3}, "bad"), ({"next_poll_at": NOW - HOUR}, "bad"),
    ({"next_poll_at": NOW - MINUTE}, "good")])
def test_a_source_is_bad_when_it_fails_or_when_nobody_asks_it(changes: dict[str, object], tone: str) -> None:
    assert describe.source_state(seed.book().sources[0], row(**changes), NOW)[1] == tone


def test_the_intake_counts_what_is_switched_on() -> None:
    sources = (seed.source("a", "甲", "新闻"), seed.source("b", "乙", "新闻"),
               seed.source("c", "丙", "新闻", enabled=False))
    lines = describe.source_lines(seed.book(sources=sources), {"a": row(id="a")}, {}, NOW)
    found = describe.intake(lines)
    assert (found.total, found.good, found.bad, found.waiting, found.blind) == (2, 1, 0, 1, False)
    failing = {"a": row(id="a", failures=2), "b": row(id="b", failures=2)}
    assert describe.intake(describe.source_lines(seed.book(sources=sources), failing, {}, NOW)).blind


def test_the_reason_of_a_closed_event_names_who_closed_it() -> None:
    have = seed.head().decision.evidence
    closed = seed.LevelDecision(level=0, previous=2, why=seed.Why.CLOSED, evidence=have, at=NOW)
    one = seed.head(status=EventStatus.CLOSED, decision=closed, closed_by="王强", closed_reason="重复")
    assert describe.why(one, NAMES) == "由 王强 关闭：重复"
