"""No record is of the future: what another host's clock dated after ours happened now.

A tracker's time is the newest it has seen. One item of a collector whose clock is ahead would move it, and with it
every window of the partition: events would calm down early, and what a person closed would stay closed for as long.
An alert whose event was raised in the future would wait for that time before its second step.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pipeline.model import (
    Ack,
    Close,
    Comment,
    CountsBatch,
    CountsRow,
    EventHead,
    HandOver,
    Millis,
    ScoredBatch,
    ScoredItem,
    Silence,
    Snooze,
    Statement,
)

AHEAD: Millis = 60_000
"""Clocks that are set by a time server differ by less than this, and records wait for less."""
_TIMES = ("first_item_at", "last_item_at", "opened_at", "changed_at", "level_since", "below_since", "urgent_at",
          "seen_at")
DATED = (Close, Ack, Snooze, HandOver, Comment, Statement, Silence)
"""Commands of people: their `at` is the desk's time."""


def not_ahead(record: Any, now: Millis) -> tuple[Any, Millis]:
    """The record as it is, or with times of the future cut to `now`; and how far ahead the newest was, 0 if none."""
    ahead = _newest(record) - now
    if ahead <= AHEAD:
        return record, 0
    if isinstance(record, ScoredBatch):
        return replace(record, items=tuple(_item(each, now) for each in record.items)), ahead
    if isinstance(record, CountsBatch):
        since = None if record.since is None else min(record.since, now)
        return replace(record, at=now, items=tuple(_row(each, now) for each in record.items), since=since), ahead
    if isinstance(record, EventHead):
        return _head(record, now), ahead
    if isinstance(record, Snooze):                      # it lasts as long as the person said
        return replace(record, at=now, until=record.until - ahead), ahead
    if isinstance(record, Silence):                     # and holds from now on, unless it was ended
        ended = None if record.expired_at is None else min(record.expired_at, now)
        return replace(record, at=now, starts_at=min(record.starts_at, now), ends_at=record.ends_at - ahead,
                       expired_at=ended), ahead
    return replace(record, at=now), ahead


def _newest(record: Any) -> Millis:
    if isinstance(record, EventHead):
        return record.changed_at
    if isinstance(record, ScoredBatch):
        return max((each.item.first_seen_at for each in record.items), default=0)
    if isinstance(record, CountsBatch):
        return max((record.at, *(each.at for each in record.items)))
    return record.at if isinstance(record, DATED) else 0


def _item(item: ScoredItem, now: Millis) -> ScoredItem:
    """Its date, if it is later than its first sight, counts for nothing then (members.event_time)."""
    raw = item.item
    if raw.first_seen_at <= now + AHEAD:
        return item
    since = None if raw.counts_since is None else min(raw.counts_since, now)
    return replace(item, item=replace(raw, first_seen_at=now, counts_since=since))


def _row(row: CountsRow, now: Millis) -> CountsRow:
    return replace(row, at=min(row.at, now))


def _head(head: EventHead, now: Millis) -> EventHead:
    """A decision that was the last change stays it, and one that was not becomes none."""
    cut = {name: now for name in _TIMES if (getattr(head, name) or 0) > now}
    last = now if head.decision.at == head.changed_at else now - 1
    return replace(head, decision=replace(head.decision, at=min(head.decision.at, last)), **cut)
