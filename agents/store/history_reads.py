"""History for a backtest: what was collected in a span, with its edits and counts, as records in order of time.

A long span is read in slices, by several processes: each asks for its own. Rows whose texts have expired are left out;
`expired` says how many they are. So is what a drill made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, RowMapping, Select, func, select

from agents.store import schema
from agents.store.upsert import chunks
from pipeline import codec
from pipeline.model import Counts, CountsBatch, CountsRow, Millis, RawItem
from pipeline.rulebook.schema import RuleBook

FETCH = 2_000
"""Rows fetched at a time."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Items first seen from `since` to before `until`, with their edits up to `end`, and the counts of that time.
    earlier: instead, the edits since `since` of items first seen before it."""

    since: Millis
    until: Millis
    end: Millis
    earlier: bool = False


def slices(connection: Connection, since: Millis, until: Millis, size: int) -> Iterator[Slice]:
    """The span in slices of about `size` items; more of them where many were seen at one moment."""
    yield Slice(since, until, until, earlier=True)
    start, count, last = since, 0, since
    for (at,) in _stream(connection, select(schema.items.c.first_seen_at).where(
            _within(schema.items.c.first_seen_at, since, until)).order_by(schema.items.c.first_seen_at)):
        if count >= size and at != last:
            yield Slice(start, at, until)
            start, count = at, 0
        count, last = count + 1, at
    yield Slice(start, until, until)


def size(connection: Connection, since: Millis, until: Millis) -> tuple[int, int]:
    """(items first seen in the span, those of them whose texts have expired)"""
    table = schema.items
    rows = connection.execute(
        select(table.c.expired, func.count())
        .where(_within(table.c.first_seen_at, since, until), table.c.drill.is_(False)).group_by(table.c.expired)).all()
    counts = {bool(expired): int(count) for expired, count in rows}
    return sum(counts.values()), counts.get(True, 0)


def contents(connection: Connection, part: Slice) -> Iterator[RawItem]:
    """Items as they were first seen and, of edited ones, every content up to the present one; in no order of time."""
    table = schema.items
    real = (table.c.expired.is_(False), table.c.drill.is_(False))
    whole = (*real, table.c.revised_at.is_(None))
    edited = (*real, table.c.revised_at.is_not(None))
    first_seen = _within(table.c.first_seen_at, part.since, part.until)
    if part.earlier:
        first_seen = (table.c.first_seen_at < part.since) & (table.c.seen_at >= part.since)
    else:
        for row in _stream(connection, select(table).where(first_seen, *whole).order_by(
                table.c.first_seen_at, table.c.id)):
            yield _item(row._mapping, row.title, row.text, row.revision, row.first_seen_at)
    rows = connection.execute(select(table).where(first_seen, *edited).order_by(
        table.c.first_seen_at, table.c.id)).mappings().all()
    for some in chunks(rows):
        yield from _edits(connection, some, part)


def _edits(connection: Connection, rows: Sequence[RowMapping], part: Slice) -> Iterator[RawItem]:
    """All contents of edited items that fall into the span. The first was there when the item was first seen; of each
    other the archive knows when it was seen last."""
    items = {row["id"]: row for row in rows}
    table, found = schema.revisions, []
    for row in connection.execute(select(table).where(table.c.item_id.in_(list(items)))).mappings():
        found.append((row["item_id"], row["seen_at"], row["revision"], row["title"], row["text"]))
    found += [(row["id"], row["seen_at"], row["revision"], row["title"], row["text"]) for row in items.values()]
    known: set[str] = set()
    for ident, seen_at, revision, title, text in sorted(found):
        at = seen_at if ident in known else items[ident]["first_seen_at"]
        known.add(ident)
        if (title or text) and (at >= part.since if part.earlier else True) and at < part.end:
            yield _item(items[ident], title, text, revision, at)


def _item(row: RowMapping, title: str, text: str, revision: str, at: Millis) -> RawItem:
    return RawItem(
        id=row["id"], revision=revision, source_id=row["source_id"], title=title, text=text, url=row["url"],
        first_seen_at=at, published_at=row["published_at"], backfill=row["backfill"], ref=row["ref"],
        urgent=row["urgent"])


def has_counts(connection: Connection, since: Millis, until: Millis) -> bool:
    table = schema.counts
    return connection.execute(select(table.c.at).where(_within(table.c.at, since, until)).limit(1)).first() is not None


def counts(connection: Connection, part: Slice) -> Iterator[CountsBatch]:
    """Counts as they changed, each alone, in order of time."""
    if part.earlier:
        return
    table = schema.counts
    for row in _stream(connection, select(table).where(_within(table.c.at, part.since, part.until)).order_by(
            table.c.at, table.c.item_id)):
        now = Counts(row.comments, row.forwards, row.likes, row.views)
        yield CountsBatch(source_id="", at=row.at, items=(CountsRow(row.item_id, row.at, now),), since=row.since)


def book(connection: Connection, prefix: str = "") -> RuleBook | None:
    """The rule book whose hash begins so, of several the newest; without a prefix the newest of all."""
    table = schema.books
    row = connection.execute(
        select(table.c.book).where(table.c.hash.startswith(prefix, autoescape=True))
        .order_by(table.c.at.desc(), table.c.hash).limit(1)).first()
    return codec.decode_as(RuleBook, row.book.encode()) if row is not None else None


@dataclass(frozen=True, slots=True)
class MarkedEvent:
    """An event of which a person said something. kind: a VerdictKind."""

    event_id: str
    subject: str
    kind: str
    title: str
    items: frozenset[str]


def marked_events(connection: Connection, since: Millis, until: Millis) -> list[MarkedEvent]:
    """The last verdict on each event that had an item in the span."""
    said, events, members = schema.verdicts, schema.events, schema.members
    rows = connection.execute(
        select(said.c.event_id, said.c.kind, events.c.subject, events.c.title)
        .join(events, events.c.id == said.c.event_id)
        .where(events.c.opened_at < until, events.c.last_item_at >= since, events.c.drill.is_(False))
        .order_by(said.c.at, said.c.id)).all()
    last = {row.event_id: row for row in rows}
    found = []
    for row in last.values():
        items = connection.execute(select(members.c.item_id).where(members.c.event_id == row.event_id)).scalars()
        found.append(MarkedEvent(row.event_id, row.subject, row.kind, row.title, frozenset(items)))
    return found


def _within(column: ColumnElement[int], since: Millis, until: Millis) -> ColumnElement[bool]:
    return (column >= since) & (column < until)


def _stream(connection: Connection, query: Select[Any]) -> Iterator[Row[Any]]:
    """Rows as they come: a span may hold more than fits."""
    return iter(connection.execute(query, execution_options={"stream_results": True, "max_row_buffer": FETCH}))
