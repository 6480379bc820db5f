"""Clocks, what people did, and how much is usual, as people read them. Nothing here escapes text: see safe.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.model import Act, ActKind, EventClock, Millis
from pipeline.notify import wording

ACT: dict[ActKind, str] = {
    ActKind.ACK: "确认",
    ActKind.SNOOZE: "暂缓",
    ActKind.HAND_OVER: "转交",
    ActKind.COMMENT: "备注",
    ActKind.STATEMENT: "登记官方回应",
}
STOPPED: dict[str, str] = {"statement": "登记了官方回应", "closed": "关闭了事件"}
_MINUTE = 60_000


def left(clock: EventClock, now: Millis) -> str:
    """`还剩 3 小时 20 分钟`, `已超时 40 分钟`, of one that stopped `已完成` or `已停止`, with how late it was."""
    if clock.stopped_at is not None:
        done = "已完成" if clock.stopped_why == "statement" else "已停止"
        late = clock.stopped_at - clock.due_at
        return done + (f"，超时 {_length(late)}" if late > 0 else "")
    if now < clock.due_at:
        return f"还剩 {_length(clock.due_at - now)}"
    return f"已超时 {_length(now - clock.due_at)}" if now > clock.due_at else "已到时限"


def clock(one: EventClock, now: Millis, zone: ZoneInfo) -> str:
    """`首次权威回应 还剩 3 小时 20 分钟（17:00 到期）`; of one that stopped, who stopped it, when and by what."""
    said = f"{one.name} {left(one, now)}"
    if one.stopped_at is None:
        return f"{said}（{at(one.due_at, now, zone)} 到期）"
    by = f" {one.stopped_by} " if one.stopped_by else ""
    later = f"，登记于 {at(one.registered_at, now, zone)}" if one.registered_later else ""
    return f"{said}（{at(one.stopped_at, now, zone)}{by}{STOPPED.get(one.stopped_why, '')}{later}）"


def urgent(clocks: Iterable[EventClock], wanted: str = "") -> EventClock | None:
    """The clock that a message is about; else the one that runs and is due first."""
    known = tuple(clocks)
    running = sorted((each for each in known if each.stopped_at is None), key=lambda each: (each.due_at, each.id))
    return next((each for each in known if each.id == wanted), running[0] if running else None)


def act(one: Act, now: Millis, zone: ZoneInfo, who: Callable[[str], str] = str) -> str:
    """`王某 12:31 确认：已电话核实`; `王某 12:31 转交给领导小组：请接手`. who: the name of a duty role or team."""
    if one.kind is ActKind.HAND_OVER:                  # acts.act_of: whom it went to comes first
        to, _, note = one.text.partition("，")
        return f"{one.by} {at(one.at, now, zone)} 转交给{who(to)}" + (f"：{note}" if note else "")
    text = f"：{one.text}" if one.text else ""
    return f"{one.by} {at(one.at, now, zone)} {ACT[one.kind]}{text}"


def baseline(usual: float | None, now_items: int | None) -> str:
    """`平时每小时约 2 条，近 1 小时 17 条`; what is not known is left out."""
    parts = [] if usual is None else [_usual(usual)]
    parts += [] if now_items is None else [f"近 1 小时 {now_items:,} 条"]
    return "，".join(parts)


def at(moment: Millis, now: Millis, zone: ZoneInfo) -> str:
    """`12:31` of the same day, `11-22 12:31` of another."""
    day, today = (datetime.fromtimestamp(each / 1000, zone).date() for each in (moment, now))
    return (wording.time_of_day if day == today else wording.short_moment)(moment, zone)


def _usual(usual: float) -> str:
    if usual <= 0:
        return "平时没有"
    return f"平时每小时约 {usual:,.0f} 条" if usual >= 1 else "平时每小时不到 1 条"


def _length(length: Millis) -> str:
    """Whole minutes from one minute on: nobody counts the seconds of hours."""
    return wording.duration(length - length % _MINUTE if length >= _MINUTE else length)
