"""What people did about events, as rows: response clocks, statements, silences."""

from __future__ import annotations

import msgspec

from agents.store.upsert import Row
from pipeline import codec
from pipeline.model import EventClocks, Millis, Silence, Statement


def clocks(state: EventClocks) -> Row:
    """The words of its statements are in the table of statements, where they expire."""
    running = [each.due_at for each in state.clocks if each.stopped_at is None]
    bare = msgspec.structs.replace(state, statements=tuple(map(without_words, state.statements)))
    return {"event_id": state.event_id, "revision": state.revision, "open": bool(running),
            "next_due_at": min(running, default=None), "state": codec.encode(bare).decode()}


def statement(said: Statement) -> Row:
    return {"id": said.id, "event_id": said.event_id, "at": said.at, "by": said.by, "title": said.title,
            "url": said.url, "clocks": " ".join(said.clocks), "rejected": said.rejected, "item_id": said.item_id,
            "detail": codec.encode(said).decode()}


def silence(record: Silence) -> Row:
    return {"id": record.id, "at": record.at, "ends_at": record.ends_at, "expired_at": record.expired_at,
            "record": codec.encode(record).decode()}


def without_words(said: Statement) -> Statement:
    return msgspec.structs.replace(said, title="", text="", url="")


def over_at(record: Silence) -> Millis:
    """When it ends, or was ended."""
    return record.ends_at if record.expired_at is None else min(record.ends_at, record.expired_at)
