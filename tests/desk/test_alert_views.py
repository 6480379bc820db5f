"""Clocks, rota, silences and reasons as people read them: pure, no store."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from agents.desk import clock_views, held_words, silence_views
from agents.desk.clock_views import Standing
from agents.desk.describe import Names
from agents.desk.rota import rota
from agents.desk.silence_views import Typed
from pipeline.model import Ack, Comment, HandOver, Statement
from pipeline.notify import said
from pipeline.rulebook.schema import HOUR, MINUTE
from tests.desk import seed, seed_alerts
from tests.desk.seed import NOW

ZONE = ZoneInfo("Asia/Shanghai")
NAMES = Names(seed_alerts.book())


@pytest.mark.parametrize(("minutes_ago", "standing", "percent", "left"), [
    (0, Standing.RUNNING, 0, "还剩 1 小时 40 分钟"), (49, Standing.RUNNING, 49, "还剩 51 分钟"),
    (50, Standing.HALF, 50, "还剩 50 分钟"), (79, Standing.HALF, 79, "还剩 21 分钟"),
    (80, Standing.NEAR, 80, "还剩 20 分钟"), (99.5, Standing.NEAR, 99, "还剩 不到 1 分钟"),
    (100, Standing.OVER, 100, "超时 不到 1 分钟"), (165, Standing.OVER, 100, "超时 1 小时 5 分钟")])
def test_a_clock_says_in_words_how_much_of_it_is_over(
        minutes_ago: float, standing: Standing, percent: int, left: str) -> None:
    start = NOW - int(minutes_ago * MINUTE)
    one = clock_views.view(seed.clock(started_at=start, due_at=start + 100 * MINUTE), NOW)
    assert (one.standing, one.percent, one.left_text, one.running) == (standing, percent, left, True)
    assert one.word and one.why == ""


@pytest.mark.parametrize(("stopped", "standing", "why"), [
    ({"stopped_at": NOW - 30 * MINUTE, "stopped_by": "李敏", "stopped_why": "statement"}, Standing.STOPPED,
     "李敏 登记了官方回应"),
    ({"stopped_at": NOW, "stopped_by": "王强", "stopped_why": "closed", "ref": "重复"}, Standing.LATE,
     "王强 关闭了事件（重复）")])
def test_a_stopped_clock_says_who_stopped_it_why_and_whether_in_time(
        stopped: dict[str, object], standing: Standing, why: str) -> None:
    one = clock_views.view(seed.clock(minutes_ago=90, hours=1.25, **stopped), NOW + 9 * HOUR)
    assert (one.standing, one.why, one.running) == (standing, why, False)
    assert one.left_text.startswith("用时 1 小时"), "time does not go on for it"


@pytest.mark.parametrize(("after", "shown"), [(10, "（02:12 李敏 登记了官方回应）"),
                                              (40, "（02:12 李敏 登记了官方回应，登记于 02:52）")])
def test_a_message_says_when_a_stop_was_registered_that_was_said_long_before(after: int, shown: str) -> None:
    stop = NOW - HOUR
    one = seed.clock(minutes_ago=200, stopped_at=stop, stopped_by="李敏", stopped_why="statement", ref="st",
                     registered_at=stop + after * MINUTE)
    assert said.clock(one, NOW, ZONE).endswith(shown)


def test_the_clock_that_is_due_first_stands_first_and_stopped_ones_last() -> None:
    done = seed.clock("answer", stopped_at=NOW)
    clocks = [done, seed.clock("reply", 48), seed.clock("briefing", 24)]
    assert [one.clock.id for one in clock_views.views(clocks, NOW)] == ["briefing", "reply", "answer"]


def test_who_is_on_duty_now_and_who_comes_next() -> None:
    duty, leaders, ops = rota(NAMES, NOW, ZONE)
    morning = NOW + 4 * HOUR + 48 * MINUTE
    assert (duty.now, duty.change, duty.then) == (("夜班值班员",), morning, ("带班领导",)), "an override is next"
    assert (leaders.now, leaders.then, leaders.fallback) == ((), ("带班领导",), "带班领导")
    assert (ops.now, ops.change) == (("系统运维",), None)
    assert rota(Names(None), NOW, ZONE) == []


@pytest.mark.parametrize(("code", "says"), [
    ("quiet", "安静时段"), ("acked:李敏", "李敏 已确认"), ("snoozed", "提醒已暂缓"), ("closed", "事件已平息或关闭"),
    ("raised:0123", "级别有变，改发新的提醒"), ("stopped:李敏", "时限已由 李敏 停止"),
    ("silence:gone", "静默 gone"), ("something-new", "something-new")])
def test_every_reason_not_to_send_has_words(code: str, says: str) -> None:
    assert held_words.why(code, {}) == says


def test_a_silence_is_told_by_its_reason_and_owner() -> None:
    one = seed.silence(owner="李敏")
    assert held_words.why(f"silence:{one.id}", {one.id: one}) == "静默（供水检修，已公告，负责人 李敏）"


@pytest.mark.parametrize(("command", "says"), [
    (Ack(id="1", event_id="e", alert_id="a", by="x", at=NOW), "已提交确认"),
    (HandOver(id="1", event_id="e", alert_id="a", by="x", at=NOW, to="leaders"), "已提交转交给 领导小组"),
    (Comment(id="1", event_id="e", by="x", at=NOW, text="t"), "已提交备注"),
    (Statement(id="1", event_id="e", by="x", at=NOW, title="t", published_at=NOW), "已提交官方回应"),
    (Statement(id="1", event_id="e", by="x", at=NOW, title="t", published_at=NOW, rejected=True),
     "已提交：不是官方回应")])
def test_a_decision_under_way_is_named(command: Ack, says: str) -> None:
    assert held_words.pending(command, NAMES) == says


def test_a_silence_says_what_it_matches_and_whether_it_holds_back_the_highest_level() -> None:
    one = silence_views.view(
        seed.silence(event_id="e1", subjects=("polling",), levels=("一般", "较大"), groups=("论坛",),
                     regions=("石桥镇",)),
        NOW, NAMES, {"e1": "E-0317"})
    assert one.what == ("事件 E-0317", f"主题 {NAMES.subject('polling')}", "级别 一般、较大", "来源分组 论坛",
                        "地区 石桥镇")
    assert one.active and not one.top
    early = silence_views.view(seed.silence(expired_at=NOW - MINUTE), NOW, NAMES, {})
    assert (early.active, early.ended_at, early.top) == (False, NOW - MINUTE, True), "no levels: all of them"


def test_what_was_typed_into_the_form_stays_in_it() -> None:
    typed = Typed.of({"event": " E-0317 ", "level-1": "yes", "level-3": "yes", "reason": "x" * 999, "minutes": "30"},
                     ["一般", "较大", "重大"])
    assert (typed.event, typed.levels, len(typed.reason), typed.minutes) == ("E-0317", ("一般", "重大"), 200, "30")
