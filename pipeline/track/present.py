"""No record is of the future: what another host's clock dated after ours happened now.

A tracker's time is the newest it has seen. One item of a collector whose clock is ahead would move it, and with it
every window of the partition: events would calm down early, and what a person closed would stay closed for as long.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pipeline.model import Close, CountsBatch, CountsRow, Millis, ScoredBatch, ScoredItem

AHEAD: Millis = 60_000
"""Clocks that are set by a time server differ by less than this, and items wait for less."""


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
    return replace(record, at=now), ahead


def _newest(record: Any) -> Millis:
    if isinstance(record, ScoredBatch):
        return max((each.item.first_seen_at for each in record.items), default=0)
    if isinstance(record, CountsBatch):
        return max((record.at, *(each.at for each in record.items)))
    return record.at if isinstance(record, Close) else 0


def _item(item: ScoredItem, now: Millis) -> ScoredItem:
    """Its date, if it is later than its first sight, counts for nothing then (members.event_time)."""
    raw = item.item
    if raw.first_seen_at <= now + AHEAD:
        return item
    since = None if raw.counts_since is None else min(raw.counts_since, now)
    return replace(item, item=replace(raw, first_seen_at=now, counts_since=since))


def _row(row: CountsRow, now: Millis) -> CountsRow:
    return replace(row, at=min(row.at, now))
