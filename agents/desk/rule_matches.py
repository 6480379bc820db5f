"""What a rule matched lately, and what people said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Engine, select

from agents.store import schema
from agents.store.upsert import chunks
from pipeline.model import Millis, ScoredItem, VerdictKind

MATCHES = 20
HISTORY = 30


@dataclass(frozen=True, slots=True)
class Said:
    """A person's verdict, on an event or on the match of an item."""

    kind: VerdictKind
    by: str
    at: Millis
    note: str
    event_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class Match:
    """An item that a subject matched. scored is None when its texts are past their time. said: the last word on it."""

    item_id: str
    at: Millis
    weight: float
    scored: ScoredItem | None
    said: Said | None


def matches(engine: Engine, subject: str, limit: int = MATCHES) -> list[Match]:
    """The items that a subject (`x` or `~x`) matched last, newest first."""
    table = schema.scored.c
    with engine.connect() as connection:
        rows = connection.execute(
            select(table.item_id, table.first_seen_at, table.weight, table.detail).where(table.subject == subject)
            .order_by(table.first_seen_at.desc(), table.item_id).limit(limit)).all()
        said = _last(connection, subject, [row.item_id for row in rows])
    return [Match(row.item_id, row.first_seen_at, row.weight,
                  msgspec.json.decode(row.detail, type=ScoredItem) if row.detail else None, said.get(row.item_id))
            for row in rows]


def of_subject(engine: Engine, subject: str, limit: int = HISTORY) -> list[Said]:
    """Every verdict on a subject's events and matches, the latest first."""
    table = schema.verdicts.c
    with engine.connect() as connection:
        return _read(connection.execute(
            select(schema.verdicts).where(table.subject == subject).order_by(table.at.desc(), table.id).limit(limit)))


def of_event(engine: Engine, event_id: str) -> list[Said]:
    """Every verdict on an event, the latest first: the first counts."""
    table = schema.verdicts.c
    with engine.connect() as connection:
        return _read(connection.execute(
            select(schema.verdicts).where(table.event_id == event_id).order_by(table.at.desc(), table.id)))


def of_item(engine: Engine, item_id: str) -> dict[str, Said]:
    """Subject -> the last verdict on its match of an item."""
    table = schema.verdicts.c
    with engine.connect() as connection:
        rows = connection.execute(
            select(schema.verdicts).where(table.item_id == item_id).order_by(table.at, table.id)).all()
    return {row.subject: one for row in rows for one in _read([row])}


def event_names(engine: Engine, ids: Sequence[str]) -> dict[str, str]:
    """Event id -> what it is called in an address: its number, or the id."""
    table, found = schema.events.c, {}
    with engine.connect() as connection:
        for some in chunks(ids):
            for row in connection.execute(select(table.id, table.number, table.shadow).where(table.id.in_(some))):
                found[row.id] = f"{'S' if row.shadow else 'E'}-{row.number:04d}" if row.number else row.id
    return found


def _last(connection: Connection, subject: str, item_ids: Sequence[str]) -> dict[str, Said]:
    table = schema.verdicts.c
    rows = connection.execute(
        select(schema.verdicts).where(table.subject == subject, table.item_id.in_(item_ids), table.item_id != "")
        .order_by(table.at, table.id))
    return {one.item_id: one for one in _read(rows)}


def _read(rows: Iterable[object]) -> list[Said]:
    """Rows of verdicts; a kind that a newer version wrote is passed over."""
    return [Said(VerdictKind(row.kind), row.by, row.at, row.note, row.event_id, row.item_id)  # type: ignore[attr-defined]
            for row in rows if row.kind in list(VerdictKind)]  # type: ignore[attr-defined]
