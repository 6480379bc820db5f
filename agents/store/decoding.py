"""Records as they lie on topics -> what the projection takes. As the archive reads them, without its dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agents.store.projection import Entry
from pipeline import codec, topics
from pipeline.model import CountsBatch, Millis

_COMPACTED = {topic.name for topic in topics.CATALOG if topic.compact}


def entries(records: Sequence[Any]) -> tuple[list[Entry], int]:
    """Entries of consumed records, and how many records nobody can decode."""
    found: list[Entry] = []
    unreadable = 0
    for each in records:
        if each.value is None and each.topic in _COMPACTED:
            continue
        try:
            record = codec.decode(each.value, each.headers)
        except Exception:                               # whatever bytes can do: the archive met them, too
            unreadable += 1
            continue
        if each.topic != topics.ITEMS_SCORED or not isinstance(record, CountsBatch):    # items.raw has them once
            found.append(Entry(record, _written_at(each)))
    return found, unreadable


def _written_at(record: Any) -> Millis:
    """As its envelope says; else as the broker does."""
    text = (dict(record.headers).get("ce_time") or b"").decode("ascii", "replace")
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return int(record.timestamp)
