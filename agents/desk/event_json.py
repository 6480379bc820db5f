"""An event as plain values, for the API and for scripts. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.store.readmodel import EventView
from pipeline.model import AlertState, EventClocks, EventHead

_NAMES = ("id", "subject", "version", "level", "level_name", "peak", "title", "items", "sources", "negative",
          "questions", "first_item_at", "last_item_at", "opened_at", "changed_at", "closed_by", "closed_reason")


def summary(head: EventHead, alert: AlertState | None, clocks: EventClocks | None) -> dict[str, Any]:
    return {"number": head.short, "status": str(head.status), "drill": head.drill,
            **{name: getattr(head, name) for name in _NAMES},
            "alert": msgspec.to_builtins(alert) if alert else None,
            "clocks": msgspec.to_builtins(clocks.clocks) if clocks else []}


def whole(view: EventView, why: str) -> dict[str, Any]:
    """All but its items. statements: what people confirmed or rejected. proposals: official items that nobody judged.
    why: the sentence for its level."""
    return {
        **summary(view.head, view.alert, view.clocks), "why": why,
        "decision": msgspec.to_builtins(view.head.decision),
        "statements": msgspec.to_builtins(view.statements), "proposals": msgspec.to_builtins(view.proposals),
        "timeline": [{"at": line.at, "kind": str(line.kind), "detail": line.detail} for line in view.timeline],
        "deliveries": msgspec.to_builtins(view.deliveries)}
