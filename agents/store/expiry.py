"""Retention: after a set time texts are dropped and figures stay. What is still open keeps its texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, exists, or_, select, tuple_, update

from agents.store import schema
from agents.store.readmodel import EXPIRED_TITLE
from pipeline import codec
from pipeline.model import EventHead, EventStatus, Excerpt, Millis
from pipeline.rulebook.schema import DAY, HOUR

THIN_AFTER: Millis = 2 * DAY
"""A series of counts older than this keeps one row an hour: polled each minute for months, it would be the largest
table by far."""
THIN_BACK: Millis = 7 * DAY
"""So far behind that rows are looked at again: what is older was thinned long ago."""
CHUNK = 1000
"""Rows of one transaction: other writers get their turn in between."""


def expire(engine: Engine, before: Millis) -> Counter[str]:
    """Drop the texts of everything older than this; rows changed by table. May be repeated and interrupted."""
    steps: dict[str, Callable[[Connection], int]] = {
        "items": lambda c: _blank(c, schema.items, _unexpired(schema.items, schema.items.c.seen_at < before),
                                  title="", text="", html="", url="", expired=True),
        "counts": lambda c: _drop(c, schema.counts, schema.counts.c.at < before),
        "scored": lambda c: _blank(c, schema.scored, _unexpired(schema.scored, schema.scored.c.first_seen_at < before),
                                   detail="", expired=True),
        "revisions": lambda c: _blank(c, schema.revisions, _old_revision(before), title="", text=""),
        "events": lambda c: _events(c, before),
        "statements": lambda c: _blank(c, schema.statements, _quoted(before), title="", url="", detail=""),
        "commands": lambda c: _blank(c, schema.commands, _confirmed(before), record=""),
        "escalations": lambda c: _blank_old(c, schema.escalations, before),
        "dead_letters": lambda c: _blank_old(c, schema.dead_letters, before),
        "outbox": lambda c: _sent(c, before),
    }
    changed: Counter[str] = Counter()
    for name, step in steps.items():
        while rows := _transaction(engine, step):
            changed[name] += rows
    if changed and engine.dialect.name == "sqlite":
        with engine.connect() as connection:            # else the log beside the file keeps the texts for a while
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
    return changed


def thin_counts(engine: Engine, now: Millis, back: Millis = THIN_BACK) -> int:
    """Of counts older than two days keep each hour's last row and each item's first. Rows dropped. Like `expire`."""
    dropped = 0
    until = (now - THIN_AFTER) // HOUR * HOUR
    for start in range(until - back, until, HOUR):
        while rows := _transaction(engine, partial(_thin_hour, start=start)):
            dropped += rows
    return dropped


def _thin_hour(connection: Connection, start: Millis) -> int:
    table, other = schema.counts, schema.counts.alias()
    same = other.c.item_id == table.c.item_id
    later = exists().where(same, other.c.at > table.c.at, other.c.at < start + HOUR)
    earlier = exists().where(same, other.c.at < table.c.at)
    return _drop(connection, table, (table.c.at >= start) & (table.c.at < start + HOUR) & later & earlier)


def _transaction(engine: Engine, step: Callable[[Connection], int]) -> int:
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":             # SQLite would leave the bytes in the file's free space
            connection.exec_driver_sql("PRAGMA secure_delete=ON").all()
        return step(connection)


def _blank(connection: Connection, table: Table, which: ColumnElement[bool], **values: object) -> int:
    key = list(table.primary_key)
    some = select(*key).where(which).limit(CHUNK)
    return connection.execute(update(table).where(tuple_(*key).in_(some)).values(**values)).rowcount


def _drop(connection: Connection, table: Table, which: ColumnElement[bool]) -> int:
    key = list(table.primary_key)
    some = select(*key).where(which).limit(CHUNK)
    return connection.execute(delete(table).where(tuple_(*key).in_(some))).rowcount


def _blank_old(connection: Connection, table: Table, before: Millis) -> int:
    return _blank(connection, table, (table.c.at < before) & (table.c.detail != ""), detail="")


def _unexpired(table: Table, old: ColumnElement[bool]) -> ColumnElement[bool]:
    return table.c.expired.is_(False) & old


def _old_revision(before: Millis) -> ColumnElement[bool]:
    table = schema.revisions
    return (table.c.seen_at < before) & or_(table.c.title != "", table.c.text != "")


def _quoted(before: Millis) -> ColumnElement[bool]:
    """Statements that were made of an item have its words. What a person wrote as the office's own word stays."""
    table = schema.statements
    return (table.c.at < before) & (table.c.item_id != "") & (table.c.detail != "")


def _confirmed(before: Millis) -> ColumnElement[bool]:
    """Commands that made statements of items, which have the items' words."""
    table = schema.commands.c
    return ((table.type == "event.statement") & (table.accepted_at < before) & table.sent_at.is_not(None)
            & table.record.like('%"item_id":"_%'))


def _sent(connection: Connection, before: Millis) -> int:
    """Messages that ended and whose end is on topic deliveries: the account stays there, the text goes."""
    table = schema.outbox
    return _drop(connection, table, table.c.reported.is_(True) & (table.c.decided_at < before))


def _events(connection: Connection, before: Millis) -> int:
    table = schema.events
    old = table.c.expired.is_(False) & (table.c.changed_at < before) & (table.c.status != str(EventStatus.OPEN))
    rows = connection.execute(select(table.c.id, table.c.version, table.c.head).where(old).limit(CHUNK)).all()
    for ident, version, head in rows:
        bare = without_texts(codec.decode_as(EventHead, head.encode()))
        connection.execute(
            update(table).where(table.c.id == ident, table.c.version == version)
            .values(head=codec.encode(bare).decode(), title=bare.title, expired=True))
    return len(rows)


def without_texts(head: EventHead) -> EventHead:
    """The head with its figures, and nothing that anybody wrote on a feed."""
    return msgspec.structs.replace(
        head, title=EXPIRED_TITLE, excerpts=tuple(map(_bare, head.excerpts)),
        statements=tuple(map(_bare, head.statements)), joined=())


def _bare(excerpt: Excerpt) -> Excerpt:
    return msgspec.structs.replace(excerpt, title="", text="", url="", spans=())
