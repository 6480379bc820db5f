"""One item as people are shown it, and how its counts grew. Asked for through readmodel.py."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, RowMapping, func, or_, select

from agents.store import schema
from agents.store.rows import CountsNow, ItemEvent, ItemView, Revision
from agents.store.upsert import chunks
from pipeline.model import Counts, CountsRow, EventStatus, Millis, ScoredItem

MAX_POINTS = 500


def item(connection: Connection, item_id: str) -> ItemView | None:
    """One item with what it said before, its counts and its events; None if the archive does not have it."""
    row = connection.execute(select(schema.items).where(schema.items.c.id == item_id)).mappings().first()
    if row is None:
        return None
    return ItemView(
        **row, revisions=_revisions(connection, item_id), counts=_series(connection, item_id),
        events=_events(connection, item_id), scored=_scored(connection, item_id))


def counts_of(connection: Connection, item_ids: Sequence[str]) -> dict[str, CountsNow]:
    """Where the counts of these items stand, of those that ever had any."""
    table = schema.counts
    found: dict[str, CountsNow] = {}
    for some in chunks(item_ids):
        ends = (select(table.c.item_id, func.min(table.c.at).label("first"), func.max(table.c.at).label("last"))
                .where(table.c.item_id.in_(some)).group_by(table.c.item_id).subquery())
        rows = connection.execute(
            select(table).join(ends, ends.c.item_id == table.c.item_id)
            .where(or_(table.c.at == ends.c.first, table.c.at == ends.c.last))
            .order_by(table.c.item_id, table.c.at)).mappings()
        for row in rows:
            now, before = _counts(row), found.get(row["item_id"])
            found[row["item_id"]] = CountsNow(
                row["at"], now, before.at if before else row["at"], grown(before.counts, now) if before else 0)
    return found


def grown(before: Counts, now: Counts) -> int:
    """Comments, forwards and likes that came since; of what the feed said both times. Views are not people speaking."""
    pairs = ((before.comments, now.comments), (before.forwards, now.forwards), (before.likes, now.likes))
    return sum(max(0, new - old) for old, new in pairs if old is not None and new is not None)


def counts_since(connection: Connection, item_ids: Sequence[str], since: Millis) -> list[CountsRow]:
    """The series of these items from then on, in order of time."""
    table, found = schema.counts, []
    for some in chunks(item_ids):
        rows = connection.execute(select(table).where(table.c.item_id.in_(some), table.c.at >= since)).mappings()
        found += [CountsRow(row["item_id"], row["at"], _counts(row), row["since"]) for row in rows]
    return sorted(found, key=lambda row: (row.at, row.item_id))


def _series(connection: Connection, item_id: str) -> tuple[CountsRow, ...]:
    table = schema.counts
    rows = connection.execute(
        select(table).where(table.c.item_id == item_id).order_by(table.c.at.desc()).limit(MAX_POINTS)).mappings()
    return tuple(CountsRow(item_id, row["at"], _counts(row)) for row in rows)[::-1]


def _revisions(connection: Connection, item_id: str) -> tuple[Revision, ...]:
    table = schema.revisions.c
    rows = connection.execute(
        select(table.revision, table.title, table.text, table.seen_at).where(table.item_id == item_id)
        .order_by(table.seen_at.desc(), table.revision))
    return tuple(Revision(*row) for row in rows)


def _events(connection: Connection, item_id: str) -> tuple[ItemEvent, ...]:
    event, member = schema.events.c, schema.members.c
    rows = connection.execute(
        select(event.id, event.number, event.subject, event.title, event.status, event.level, event.level_name)
        .where(member.item_id == item_id, event.id == member.event_id, event.shadow.is_(False))
        .order_by(event.level.desc(), event.opened_at.desc(), event.id))
    return tuple(ItemEvent(**{**row, "status": EventStatus(row["status"])}) for row in rows.mappings())


def _scored(connection: Connection, item_id: str) -> dict[str, ScoredItem]:
    table = schema.scored.c
    rows = connection.execute(
        select(table.subject, table.detail).where(table.item_id == item_id, table.detail != "")
        .order_by(table.subject))
    return {subject: msgspec.json.decode(detail, type=ScoredItem) for subject, detail in rows}


def _counts(row: RowMapping) -> Counts:
    return Counts(row["comments"], row["forwards"], row["likes"], row["views"])
