"""A hand-over as plain values, for the API and for scripts. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.desk.handover import Handover, OpenEvent
from agents.store.people import over_at
from agents.store.readmodel import EventCard, RunningClock
from pipeline.model import Millis, Silence


def plain(found: Handover, text: str) -> dict[str, Any]:
    """text: the same in words."""
    numbers = {each.head.id: each.head.short for each in found.events}
    return {
        "at": found.at, "since": found.since, "text": text,
        "events": [_event(each) for each in found.events],
        "unanswered": [each.head.short or each.head.id for each in found.unanswered],
        "settled": [_card(card) for card in found.settled],
        "clocks": [clock(each, found.at) for each in found.clocks],
        "silences": [silence(each, found.at, numbers) for each in found.silences],
        "rules": list(found.rules),
        "blind": [_health(each) for each in found.blind], "silent": [_health(each) for each in found.silent],
        "pending": msgspec.to_builtins(found.pending), "dead": msgspec.to_builtins(found.dead),
        "unsent": found.unsent, "dead_letters": found.dead_letters}


def clock(one: RunningClock, now: Millis) -> dict[str, Any]:
    """left: ms until it is due, negative when it is over."""
    return {"event": one.number, "event_id": one.event_id, "title": one.title, "level": one.level,
            "level_name": one.level_name, "status": str(one.status), "left": one.left(now),
            "clock": one.clock.id, "name": one.clock.name, "started_at": one.clock.started_at,
            "due_at": one.clock.due_at, "warned": one.clock.warned}


def silence(one: Silence, now: Millis, numbers: dict[str, str]) -> dict[str, Any]:
    """event: the number of its event, or the id of one that is not known."""
    return {"id": one.id, "active": over_at(one) > now, "by": one.by, "owner": one.owner, "reason": one.reason,
            "starts_at": one.starts_at, "ends_at": one.ends_at, "expired_at": one.expired_at,
            "event": numbers.get(one.event_id, one.event_id), "subjects": list(one.subjects),
            "levels": list(one.levels), "groups": list(one.groups), "regions": list(one.regions)}


def _event(one: OpenEvent) -> dict[str, Any]:
    return {**_card(one.card), "waits": one.waits, "proposals": one.proposals,
            "alert": msgspec.to_builtins(one.alert) if one.alert else None,
            "last_ack": msgspec.to_builtins(one.acked) if one.acked else None,
            "acts": msgspec.to_builtins(one.acts), "told": msgspec.to_builtins(one.told)}


def _card(card: EventCard) -> dict[str, Any]:
    head = card.head
    names = ("id", "subject", "version", "level", "level_name", "title", "items", "sources", "opened_at", "changed_at",
             "closed_by", "closed_reason")
    return {"number": head.short, "status": str(head.status), **{name: getattr(head, name) for name in names}}


def _health(one: Any) -> dict[str, Any]:
    return {"id": one.source_id, "name": one.name, "health": str(one.state), "since": one.since, "why": one.why}
