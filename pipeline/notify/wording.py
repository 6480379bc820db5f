"""The Chinese sentences and words that people read on the desk and in messages. Figures come from the decisions.

Nothing here escapes text of feeds: see safe.py for that.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.model import (
    ActKind,
    AlertStatus,
    DeliveryStatus,
    Escalation,
    EscalationKind,
    EventHead,
    EventStatus,
    Evidence,
    Factor,
    LevelDecision,
    Millis,
    Polarity,
    Why,
)
from pipeline.rulebook.factors import BY_NAME
from pipeline.rulebook.schema import Levels

EVENT_STATUS: dict[EventStatus, str] = {
    EventStatus.WATCHING: "观察中",
    EventStatus.OPEN: "处置中",
    EventStatus.CALM: "已平息",
    EventStatus.CLOSED: "已关闭",
}
ALERT_STATUS: dict[AlertStatus, str] = {
    AlertStatus.PENDING: "待汇总通知",
    AlertStatus.NOTIFIED: "已通知，待确认",
    AlertStatus.ACKED: "已确认",
    AlertStatus.SNOOZED: "暂缓提醒",
    AlertStatus.EXHAUSTED: "无人应答",
    AlertStatus.EXPIRED: "已过期，无人应答",
    AlertStatus.ENDED: "已结束",
}
DELIVERY_STATUS: dict[DeliveryStatus, str] = {
    DeliveryStatus.PENDING: "待送达",
    DeliveryStatus.CONFIRMED: "已送达",
    DeliveryStatus.DEAD: "未能送达",
    DeliveryStatus.SUPPRESSED: "已抑制",
}
KIND: dict[EscalationKind, str] = {
    EscalationKind.PAGE: "告警",
    EscalationKind.DIGEST: "汇总",
    EscalationKind.INFORM: "通报",
    EscalationKind.CLOCK: "时限",
    EscalationKind.SYSTEM: "系统",
    EscalationKind.TEST: "测试",
}
ESCALATION_WHY: dict[str, str] = {
    "raised": "级别上升，首次通知",
    "next": "前一位未按时确认，通知下一位",
    "unanswered": "整轮无人确认，重新通知",
    "handed": "他人转交，请确认",
    "exhausted": "已全部通知，无人应答",
    "expired": "到最后期限仍无人应答，不再提醒",
    "clock": "回应时限提醒",
    "digest": "定时汇总",
}
"""The reasons that escalate/policy.py gives; a level's own reason (`Why`) is said by `why`."""
MARK: dict[str, str] = {
    "handed": "转交", "unanswered": "无人应答", "exhausted": "无人应答", "expired": "无人应答，已过期"}
"""Of these reasons, what stands in front of the message."""
ENDED_WHY = frozenset({"expired"})
"""Reasons that end an alert without a change of the event."""
POLARITY: dict[Polarity, str] = {
    Polarity.NEGATIVE: "负面",
    Polarity.NEUTRAL: "中性",
    Polarity.POSITIVE: "正面",
    Polarity.UNSURE: "不确定",
}
_UNITS: tuple[tuple[str, int], ...] = (("天", 86_400_000), ("小时", 3_600_000), ("分钟", 60_000), ("秒", 1000))


def duration(length: Millis) -> str:
    """`2 小时`, `1 天 3 小时`, `45 秒`: the two largest units that are not zero; under a second `不到 1 秒`."""
    left, parts = max(0, length), []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or ("不到 1 秒" if length > 0 else "0 秒")


def moment(at: Millis, zone: ZoneInfo) -> str:
    """`2026-11-22 14:05` in the zone."""
    return datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M")


def short_moment(at: Millis, zone: ZoneInfo) -> str:
    """`11-22 14:05` in the zone."""
    return datetime.fromtimestamp(at / 1000, zone).strftime("%m-%d %H:%M")


def time_of_day(at: Millis, zone: ZoneInfo) -> str:
    """`14:05` in the zone."""
    return datetime.fromtimestamp(at / 1000, zone).strftime("%H:%M")


def change(decision: LevelDecision, levels: Levels) -> str:
    """`一般 → 较大`, or the level alone when it did not change."""
    now = decision.name or levels.name(decision.level)
    if decision.level == decision.previous:
        return now
    return f"{levels.name(decision.previous)} → {now}"


def amount(name: str, value: float) -> str:
    """A factor's figure: `10 条`, `负面占比至少 62%`, `主题影响 3 级`; of one that is not known, as it stands."""
    if name == "negative":
        return f"负面占比至少 {value:.0%}"
    if name == "impact":
        return f"主题影响 {value:g} 级"
    known = BY_NAME.get(name)
    return f"{_figure(value)} {known.unit}" if known else f"{name} {_figure(value)}"


def _figure(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def figures(evidence: Evidence) -> str:
    """`2 小时内 12 条、5 个独立来源`, and what else the threshold asked for; without a window `当前 …`."""
    within = f"{duration(evidence.window)}内" if evidence.window else "当前"
    others = "".join(f"、{amount(each.name, each.value)}" for each in _others(evidence))
    return f"{within} {evidence.items} 条、{evidence.sources} 个独立来源{others}"


def _others(evidence: Evidence) -> list[Factor]:
    """What the threshold asked for beside items and sources."""
    return [each for each in evidence.factors
            if each.name not in ("items", "sources") and (each.name, each.need) != ("growth_sources", 1)]


def why(decision: LevelDecision, levels: Levels, *, by: str = "", reason: str = "") -> str:
    """Why the level is what it is, one sentence without a full stop. by, reason: who closed the event, for CLOSED."""
    if decision.why is Why.CLOSED:
        return f"由{f' {by} ' if by else '人工'}关闭" + (f"：{reason}" if reason else "")
    return _SENTENCES[decision.why](decision, levels)


def why_of(head: EventHead, levels: Levels) -> str:
    """The sentence for an event as it stands."""
    return why(head.decision, levels, by=head.closed_by, reason=head.closed_reason)


def _need(evidence: Evidence) -> str:
    """`（10 条、4 个来源）`, or nothing when the decision names no threshold."""
    asked = [f"{evidence.need_items} 条"] if evidence.need_items else []
    asked += [f"{evidence.need_sources} 个来源"] if evidence.need_sources else []
    asked += [amount(each.name, each.need) for each in _others(evidence)]
    return f"（{'、'.join(asked)}）" if asked else ""


def _name(decision: LevelDecision, levels: Levels) -> str:
    return decision.name or levels.name(decision.level)


def _below(decision: LevelDecision, levels: Levels) -> str:
    target = levels.name(1) if levels.ladder else "最低一级"
    return f"{figures(decision.evidence)}，未达到{target}{_need(decision.evidence)}"


def _raised(decision: LevelDecision, levels: Levels) -> str:
    return f"{figures(decision.evidence)}，达到{_name(decision, levels)}{_need(decision.evidence)}"


def _lowered(decision: LevelDecision, levels: Levels) -> str:
    before = levels.name(decision.previous)
    return f"{figures(decision.evidence)}，已低于{before}并过了保持时间，降为{_name(decision, levels)}"


def _calmed(decision: LevelDecision, levels: Levels) -> str:
    before = f"，由{levels.name(decision.previous)}降级" if decision.previous else ""
    return f"{figures(decision.evidence)}，热度已回落{before}，事件平息"


def _growing(decision: LevelDecision, levels: Levels) -> str:
    found = decision.evidence
    need = f"（门槛 {found.need_growth:,}）" if found.need_growth else ""
    within = f"{duration(found.window)}内" if found.window else "当前"
    others = "".join(f"、{amount(each.name, each.value)}（{amount(each.name, each.need)}）"
                     for each in _others(found) if each.name != "growth")
    return f"{within}评论、转发、点赞增加 {found.growth:,}{need}{others}，达到{_name(decision, levels)}"


def _reported(decision: LevelDecision, levels: Levels) -> str:
    ticket = f"（工单号 {decision.ref}）" if decision.ref else ""
    return f"部门加急上报{ticket}，定为{_name(decision, levels)}"


_GONE = {"removed": "主题已从规则中删去，按一般的阈值看；", "retired": "主题已停用；"}


def _by_rules(decision: LevelDecision, levels: Levels) -> str:
    """The same figures under other rules."""
    found, name = decision.evidence, _name(decision, levels)
    said = f"规则已变更：{_GONE.get(decision.ref, '')}"
    if decision.level == decision.previous:
        return f"{said}仍为{name}"
    if decision.level > decision.previous:
        return f"{said}{figures(found)}，达到{name}{_need(found)}"
    now = f"降为{name}" if decision.level else "不再达级"
    if all(each.value >= each.need for each in found.factors):
        return f"{said}{figures(found)}，{now}"
    return f"{said}{figures(found)}，不到{levels.name(decision.previous)}{_need(found)}，{now}"


_SENTENCES: dict[Why, Callable[[LevelDecision, Levels], str]] = {
    Why.BELOW: _below,
    Why.RAISED: _raised,
    Why.GROWING: _growing,
    Why.REPORTED: _reported,
    Why.LOWERED: _lowered,
    Why.CALMED: _calmed,
    Why.RULES: _by_rules,
}


def escalation_why(escalation: Escalation, levels: Levels) -> str:
    """Why this message is sent, for a timeline."""
    if escalation.kind is EscalationKind.INFORM and escalation.head and escalation.why not in ENDED_WHY:
        return why_of(escalation.head, levels)
    return ESCALATION_WHY.get(escalation.why, escalation.why)


def step(escalation: Escalation) -> str:
    """Which call this is and what came before it: `第 2 次通知，前一位未确认`; empty where nobody has to answer."""
    if escalation.why in ENDED_WHY:
        return "到最后期限仍无人应答，不再提醒；事件仍在，请到值班台处理"
    if escalation.kind is not EscalationKind.PAGE:
        return ""
    if escalation.why == "handed":
        given = [each for each in escalation.acts if each.kind is ActKind.HAND_OVER]
        by = max(given, key=lambda each: each.at).by if given else "他人"
        return f"{by} 转交给您，请确认"
    if escalation.why == "next" and not escalation.step:
        return "转交后对方未确认，请确认"
    if escalation.why == "exhausted":
        return "已通知全部人员，无人应答，请马上处理"
    if escalation.repeat:
        where = f"（本轮第 {escalation.step + 1} 次）" if escalation.step else ""
        return f"第 {escalation.repeat + 1} 轮通知{where}，此前无人确认"
    if escalation.step:
        return f"第 {escalation.step + 1} 次通知，前一位未确认"
    return "第 1 次通知，请确认"
