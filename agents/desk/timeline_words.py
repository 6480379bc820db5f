"""Lines of an event's timeline as sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agents.desk import held_words
from agents.desk.describe import VERDICT, Names
from agents.store.readmodel import Kind, Line
from pipeline.model import (
    DRILL,
    SHADOW,
    DeliveryStatus,
    EscalationKind,
    EventStatus,
    LevelDecision,
    Millis,
    VerdictKind,
    Why,
)
from pipeline.notify import said, wording

Detail = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A line as it is read. tone: what the dot looks like (level-N, told, ack, bad, wait, minor, quiet). url: of a
    statement. registered_at: when it was registered, where that was long after; else 0."""

    title: str
    text: str = ""
    tone: str = "quiet"
    url: str = ""
    registered_at: Millis = 0


def line(row: Line, names: Names, silences: held_words.Silences) -> Told:
    """A sentence for a line; one that cannot be read is shown by its kind, never left out."""
    try:
        if row.kind in _HELD:
            return _HELD[row.kind](row.detail, names, silences)
        return _LINES[row.kind](row.detail, names)
    except (KeyError, ValueError, TypeError, msgspec.ValidationError):
        return Told(f"记录（{row.kind}）")


def _opened(detail: Detail, names: Names) -> Told:
    number = int(detail.get("number") or 0)
    subject = str(detail.get("subject", ""))
    letter = {SHADOW: "S", DRILL: "D"}.get(subject[:1], "E")
    return Told(f"成为事件 {letter}-{number:04d}" if number else "发现", names.subject(subject))


def _level(detail: Detail, names: Names) -> Told:
    decision = msgspec.convert(dict(detail), LevelDecision)
    verb = {Why.RAISED: "升级", Why.GROWING: "升级", Why.REPORTED: "升级", Why.LOWERED: "降级",
            Why.CALMED: "平息"}.get(decision.why, "级别")
    return Told(f"{verb}：{wording.change(decision, names.levels)}", wording.why(decision, names.levels),
                f"level-{decision.level}" if decision.level else "quiet")


def _status(detail: Detail, names: Names) -> Told:
    status = EventStatus(detail["status"])
    title = "重新打开" if status is EventStatus.OPEN else wording.EVENT_STATUS[status]
    return Told(title, "：".join(str(detail[key]) for key in ("by", "reason") if detail.get(key)))


def _proposed(detail: Detail, names: Names) -> Told:
    return Told("官方来源发布了相关内容，待确认", str(detail.get("source_name") or ""), "wait")


def _answered(detail: Detail, names: Names) -> Told:
    title = f"{detail['by']} 确认了官方回应"
    return Told(title, str(detail.get("title") or detail.get("source_name") or ""), "ack", str(detail.get("url") or ""))


def _rejected(detail: Detail, names: Names) -> Told:
    title = f"{detail['by']} 认为不是官方回应"
    return Told(title, str(detail.get("title") or detail.get("source_name") or ""), "minor")


def _ack(detail: Detail, names: Names) -> Told:
    return Told(f"{detail['by']} 确认了提醒", str(detail.get("note") or ""), "ack")


def _snooze(detail: Detail, names: Names) -> Told:
    length = wording.duration(int(detail["until"]) - int(detail["at"]))
    return Told(f"{detail['by']} 暂缓提醒 {length}")


def _hand_over(detail: Detail, names: Names) -> Told:
    return Told(f"{detail['by']} 转交给 {names.who(str(detail['to']))}", str(detail.get("note") or ""), "told")


def _comment(detail: Detail, names: Names) -> Told:
    return Told(f"{detail['by']} 备注", str(detail["text"]), "quiet")


def _close(detail: Detail, names: Names) -> Told:
    return Told(f"{detail['by']} 关闭了事件", str(detail.get("reason") or ""))


def _verdict(detail: Detail, names: Names) -> Told:
    return Told(f"{detail['by']} 评价：{VERDICT[VerdictKind(detail['kind'])]}", str(detail.get("note") or ""), "minor")


def _silence(detail: Detail, names: Names) -> Told:
    if detail.get("expired_at"):
        return Told(f"{detail['by']} 结束了静默", str(detail.get("reason") or ""))
    length = wording.duration(int(detail["ends_at"]) - int(detail["starts_at"]))
    return Told(f"{detail['by']} 静默了这个事件 {length}", str(detail.get("reason") or ""), "wait")


def _clock_started(detail: Detail, names: Names) -> Told:
    why = "加急上报" if detail.get("why") == "urgent" else "达到级别"
    return Told(f"开始计时：{detail['name']}", why)


def _clock_stopped(detail: Detail, names: Names) -> Told:
    late = int(detail.get("late") or 0)
    why = said.STOPPED.get(str(detail.get("why")), str(detail.get("why") or ""))
    return Told(f"停止计时：{detail['name']}" + (f"，超时 {wording.duration(late)}" if late > 0 else ""),
                f"{detail.get('by') or ''} {why}".strip(), "bad" if late > 0 else "ack",
                registered_at=int(detail.get("registered_at") or 0))


def _escalation(detail: Detail, names: Names) -> Told:
    kind = EscalationKind(detail["kind"])
    told = names.who(*detail.get("tell", ()))
    if kind is EscalationKind.CLOCK:
        percent = int(detail.get("percent") or 0)
        return Told(f"时限提醒 {told}", f"{names.clock(str(detail.get('clock') or ''))}{clock_said(percent)}", "told")
    verb = {EscalationKind.PAGE: "通知", EscalationKind.DIGEST: "汇总通知", EscalationKind.INFORM: "通报"}
    return Told(f"{verb.get(kind, wording.KIND[kind])} {told}", _call(detail) if kind is EscalationKind.PAGE else "",
                "told")


def _call(detail: Detail) -> str:
    """Which call it is. What a hand-over or the end of the chain brought has a reason of its own."""
    if detail.get("why") in ("handed", "exhausted", "expired"):
        return wording.ESCALATION_WHY[str(detail["why"])]
    number, turn = int(detail.get("step") or 0) + 1, int(detail.get("repeat") or 0)
    return f"第 {number} 步" + (f"，第 {turn + 1} 轮，此前无人确认" if turn else "")


def clock_said(percent: int) -> str:
    return "已超时" if percent >= 100 else f"已过 {percent}%"


def _suppressed(detail: Detail, names: Names, silences: held_words.Silences) -> Told:
    told = names.who(*detail.get("tell", ()))
    return Told(f"没有通知 {told}", held_words.why(str(detail["suppressed_by"]), silences), "wait")


def _delivery(detail: Detail, names: Names, silences: held_words.Silences) -> Told:
    status = DeliveryStatus(detail["status"])
    to = f"{names.who(str(detail['person']))}，{names.channel(str(detail['channel']))}"
    tone = "bad" if status is DeliveryStatus.DEAD else "minor"
    why = held_words.why(str(detail["suppressed_by"]), silences) if detail.get("suppressed_by") else ""
    return Told(f"{wording.DELIVERY_STATUS[status]}：{to}", why or str(detail.get("error") or ""), tone)


_HELD: dict[Kind, Callable[[Detail, Names, held_words.Silences], Told]] = {
    Kind.SUPPRESSED: _suppressed, Kind.DELIVERY: _delivery}
_LINES: dict[Kind, Callable[[Detail, Names], Told]] = {
    Kind.OPENED: _opened, Kind.LEVEL: _level, Kind.STATUS: _status, Kind.STATEMENT: _proposed,
    Kind.ANSWERED: _answered, Kind.REJECTED: _rejected, Kind.ACK: _ack, Kind.SNOOZE: _snooze,
    Kind.HAND_OVER: _hand_over, Kind.COMMENT: _comment, Kind.CLOSE: _close, Kind.VERDICT: _verdict,
    Kind.SILENCE: _silence, Kind.CLOCK_STARTED: _clock_started, Kind.CLOCK_STOPPED: _clock_stopped,
    Kind.ESCALATION: _escalation,
}
