"""Builders of what notify and deliver handle."""

from __future__ import annotations

from typing import Any

from pipeline.model import (
    Act,
    ActKind,
    Escalation,
    EscalationKind,
    EventClock,
    EventHead,
    EventStatus,
    Evidence,
    Excerpt,
    LevelDecision,
    Span,
    Why,
)
from tests.builders import NOON

MINUTE, HOUR = 60_000, 3_600_000


def decision(why: Why = Why.RAISED, *, level: int = 2, previous: int = 1, **changes: Any) -> LevelDecision:
    values = {"items": 12, "sources": 5, "window": 2 * HOUR, "at": NOON, "need_items": 10, "need_sources": 4, **changes}
    figures = Evidence(**values)
    return LevelDecision(level, previous, why, figures, NOON, {1: "一般", 2: "较大", 3: "重大"}.get(level, ""))


def excerpt(item_id: str = "a1", **changes: Any) -> Excerpt:
    values: dict[str, Any] = {
        "item_id": item_id, "title": "投票站几点关门", "text": "有人说下午三点截止", "source_name": "新闻网",
        "url": f"http://xinwen.example/{item_id}", "at": NOON, "spans": (Span("polling", "投票站", "title", 0, 3),),
        **changes}
    return Excerpt(**values)


def head(event_id: str = "e1", **changes: Any) -> EventHead:
    values: dict[str, Any] = {
        "id": event_id, "subject": "polling", "key": "polling", "version": 7, "status": EventStatus.OPEN, "level": 2,
        "level_name": "较大", "peak": 2, "decision": decision(), "book": "b" * 16, "title": "投票站三点关门的说法",
        "first_item_at": NOON - 2 * HOUR, "last_item_at": NOON, "opened_at": NOON - HOUR, "changed_at": NOON,
        "number": 317, "raises": 2, "items": 23, "sources": 7, "negative": 9, "questions": 4,
        "excerpts": tuple(excerpt(f"a{n}") for n in range(1, 6)), **changes}
    return EventHead(**values)


def page(ident: str = "esc1", **changes: Any) -> Escalation:
    values: dict[str, Any] = {
        "id": ident, "kind": EscalationKind.PAGE, "at": NOON, "why": "raised", "tell": ("duty",), "event_id": "e1",
        "alert_id": "al1", "level": 2, "level_name": "较大", "head": head(), "book": "b" * 16, **changes}
    return Escalation(**values)


def system(ident: str = "sys1", **changes: Any) -> Escalation:
    values: dict[str, Any] = {
        "id": ident, "kind": EscalationKind.SYSTEM, "at": NOON, "why": "来源中断", "tell": ("ops",),
        "title": "来源 新闻网 中断", "text": "已 3 次未能读取", **changes}
    return Escalation(**values)


def clock(ident: str = "answer", **changes: Any) -> EventClock:
    """A response clock that began an hour ago and has four to go."""
    values: dict[str, Any] = {"id": ident, "name": "首次权威回应", "started_at": NOON - HOUR,
                              "due_at": NOON + 4 * HOUR, **changes}
    return EventClock(**values)


def act(kind: ActKind = ActKind.ACK, minutes_ago: int = 10, by: str = "王某", text: str = "已电话核实") -> Act:
    return Act(kind, by, NOON - minutes_ago * MINUTE, text)
