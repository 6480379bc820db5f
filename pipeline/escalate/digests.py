"""Digests: when the next one goes out, and what is in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from pipeline.ids import digest
from pipeline.model import AlertState, Escalation, EscalationKind, EventHead, Millis
from pipeline.rulebook.schema import Route, RuleBook


def digest_of(route: Route, alerts: list[tuple[AlertState, EventHead]], book: RuleBook, now: Millis) -> Escalation:
    """One message for all events that waited for this digest. An event that a snooze brings back makes it another."""
    alerts = sorted(alerts, key=lambda pair: pair[1].id)
    events = tuple(replace(head, joined=()) for _, head in alerts)
    waited = (f"{head.id}:{head.raises}" + (f":{state.repeat}" if state.repeat else "") for state, head in alerts)
    top = max(events, key=lambda head: head.level)
    tell = tuple(dict.fromkeys(who for step in route.steps for who in step.tell))
    return Escalation(
        id=digest("digest", route.id, *waited), kind=EscalationKind.DIGEST, at=now, why="digest", tell=tell,
        event_id=events[0].id, level=top.level, level_name=top.level_name, digest=events, book=book.hash,
        channels=route.steps[0].channels if route.steps else (), lead=route.lead)


def next_digest(now: Millis, route: Route, zone: ZoneInfo) -> Millis:
    """The next time a digest of this route goes out: a multiple of `every` past midnight, within `hours`."""
    moment = datetime.fromtimestamp(now / 1000, zone)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    passed = int((moment - midnight).total_seconds() * 1000)
    candidate = midnight + timedelta(milliseconds=(passed // route.every + 1) * route.every)
    if route.hours:
        begin, end = (_minutes(part) for part in route.hours.split("-"))
        day = candidate.replace(hour=0, minute=0, second=0)
        opens, closes = day + timedelta(minutes=begin), day + timedelta(minutes=end)
        if begin > end:                               # over midnight
            candidate = opens if closes < candidate < opens else candidate
        elif candidate > closes:
            candidate = opens + timedelta(days=1)
        else:
            candidate = max(candidate, opens)
    return int(candidate.timestamp() * 1000)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
