from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from pipeline.model import (
    AlertStatus,
    DeliveryStatus,
    EscalationKind,
    EventStatus,
    Factor,
    Polarity,
    Why,
)
from pipeline.notify import wording
from tests.builders import NOON, levels
from tests.messages import decision, head, page

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(("why", "level", "previous", "sentence"), [
    (Why.RAISED, 2, 1, "2 小时内 12 条、5 个独立来源，达到较大（10 条、4 个来源）"),
    (Why.BELOW, 0, 0, "2 小时内 12 条、5 个独立来源，未达到一般（10 条、4 个来源）"),
    (Why.LOWERED, 1, 2, "2 小时内 12 条、5 个独立来源，已低于较大并过了保持时间，降为一般"),
    (Why.CALMED, 0, 2, "2 小时内 12 条、5 个独立来源，热度已回落，由较大降级，事件平息"),
    (Why.CLOSED, 0, 2, "人工关闭"),
    (Why.GROWING, 2, 1, "2 小时内评论、转发、点赞增加 1,230（门槛 500），达到较大"),
    (Why.REPORTED, 1, 0, "部门加急上报，定为一般"),
])
def test_every_reason_is_a_sentence_with_its_figures(why: Why, level: int, previous: int, sentence: str) -> None:
    said = wording.why(decision(why, level=level, previous=previous, growth=1230, need_growth=500), levels())
    assert said == (sentence if why is not Why.CLOSED else f"由{sentence}")


@pytest.mark.parametrize(("why", "level", "previous", "factors", "sentence"), [
    (Why.RAISED, 2, 1, (("items", 12, 10), ("sources", 5, 4), ("groups", 3, 2), ("speed", 6.25, 5),
                        ("heat", 1250, 900.5), ("negative", 0.618, 0.5), ("impact", 4, 3), ("official", 1, 1)),
     "2 小时内 12 条、5 个独立来源、3 个来源分组、6.25 条/小时、1,250 点热度、负面占比至少 62%、主题影响 4 级、"
     "1 条官方发布，达到较大（10 条、4 个来源、2 个来源分组、5 条/小时、900.5 点热度、负面占比至少 50%、"
     "主题影响 3 级、1 条官方发布）"),
    (Why.GROWING, 2, 1, (("growth", 1230, 500), ("growth_sources", 3, 2), ("impact", 4, 3)),
     "2 小时内评论、转发、点赞增加 1,230（门槛 500）、3 个来源有增长（2 个来源有增长）、"
     "主题影响 4 级（主题影响 3 级），达到较大"),
    (Why.RULES, 2, 1, (("items", 12, 10), ("sources", 5, 4)),
     "规则已变更：2 小时内 12 条、5 个独立来源，达到较大（10 条、4 个来源）"),
    (Why.RULES, 1, 2, (("items", 12, 20), ("sources", 5, 4)),
     "规则已变更：2 小时内 12 条、5 个独立来源，不到较大（10 条、4 个来源），降为一般"),
    (Why.RULES, 0, 1, (("items", 12, 20),),
     "规则已变更：2 小时内 12 条、5 个独立来源，不到一般（10 条、4 个来源），不再达级"),
    (Why.RULES, 1, 2, (("items", 12, 10),), "规则已变更：2 小时内 12 条、5 个独立来源，降为一般"),
    (Why.RULES, 1, 1, (), "规则已变更：仍为一般"),
])
def test_every_factor_that_decided_is_said(
    why: Why, level: int, previous: int, factors: tuple[tuple[str, float, float], ...], sentence: str,
) -> None:
    evidence = {"factors": tuple(Factor(*each) for each in factors)}
    if why is Why.GROWING:
        evidence |= {"growth": 1230, "need_growth": 500, "need_items": 0, "need_sources": 0}
    assert wording.why(decision(why, level=level, previous=previous, **evidence), levels()) == sentence


@pytest.mark.parametrize(("ref", "said"), [
    ("removed", "主题已从规则中删去，按一般的阈值看；"), ("retired", "主题已停用；")])
def test_an_event_whose_subject_is_gone_says_so(ref: str, said: str) -> None:
    kept = replace(decision(Why.RULES, level=1, previous=1), ref=ref)
    assert wording.why(kept, levels()) == f"规则已变更：{said}仍为一般"


def test_a_report_is_named_by_its_ticket_and_nothing_else() -> None:
    reported = replace(decision(Why.REPORTED, level=1, previous=0), ref="12345-0601")
    assert wording.why(reported, levels()) == "部门加急上报（工单号 12345-0601），定为一般"


def test_no_reason_is_left_without_a_sentence() -> None:
    assert all(wording.why(decision(why), levels()) for why in Why)


def test_who_closed_an_event_and_why_is_said() -> None:
    closed = head(decision=decision(Why.CLOSED, level=0), closed_by="张三", closed_reason="已答复")
    assert wording.why_of(closed, levels()) == "由 张三 关闭：已答复"


def test_a_decision_without_a_threshold_names_none() -> None:
    bare = decision(Why.RAISED, need_items=0, need_sources=0, window=0)
    assert wording.why(bare, levels()) == "当前 12 条、5 个独立来源，达到较大"


@pytest.mark.parametrize(("length", "text"), [
    (0, "0 秒"), (1, "不到 1 秒"), (45_000, "45 秒"), (61_000, "1 分钟 1 秒"), (7_200_000, "2 小时"),
    (5_400_000, "1 小时 30 分钟"), (97_205_000, "1 天 3 小时"), (86_460_000, "1 天"), (-5, "0 秒")])
def test_lengths_are_said_by_their_two_largest_units(length: int, text: str) -> None:
    assert wording.duration(length) == text


def test_times_are_said_in_the_zone() -> None:
    assert wording.moment(NOON, SHANGHAI) == "2026-11-22 12:00"
    assert wording.short_moment(NOON, ZoneInfo("UTC")) == "11-22 04:00"
    assert wording.time_of_day(NOON, SHANGHAI) == "12:00"


def test_a_change_names_both_levels_and_no_change_only_one() -> None:
    assert wording.change(decision(), levels()) == "一般 → 较大"
    assert wording.change(decision(previous=0), levels()) == "未达级 → 较大"
    assert wording.change(decision(previous=2), levels()) == "较大"


@pytest.mark.parametrize(("step", "repeat", "text"), [
    (0, 0, "第 1 次通知，请确认"), (1, 0, "第 2 次通知，前一位未确认"), (0, 1, "第 2 轮通知，此前无人确认"),
    (1, 2, "第 3 轮通知（本轮第 2 次），此前无人确认")])
def test_a_page_says_which_call_it_is(step: int, repeat: int, text: str) -> None:
    assert wording.step(page(step=step, repeat=repeat)) == text


def test_who_is_told_after_a_hand_over_that_nobody_took_hears_so() -> None:
    assert wording.step(page(why="next", step=0, repeat=1)) == "转交后对方未确认，请确认"


def test_only_a_page_asks_for_an_answer() -> None:
    assert [kind for kind in EscalationKind if wording.step(page(kind=kind))] == [EscalationKind.PAGE]


def test_every_status_has_a_word() -> None:
    assert set(wording.EVENT_STATUS) == set(EventStatus)
    assert set(wording.ALERT_STATUS) == set(AlertStatus)
    assert set(wording.DELIVERY_STATUS) == set(DeliveryStatus)
    assert set(wording.KIND) == set(EscalationKind)
    assert set(wording.POLARITY) == set(Polarity)


def test_nobody_answered_is_said_in_the_words_of_the_plans() -> None:
    assert wording.ALERT_STATUS[AlertStatus.EXHAUSTED] == "无人应答"
    assert "无人应答" in wording.ALERT_STATUS[AlertStatus.EXPIRED]
