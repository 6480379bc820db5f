"""What people did and what is owed: clocks, statements, silences, who answered, who was told.

Ids of events come from the caller; a page asks once for all of its events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from agents.store import schema
from agents.store.people import over_at
from agents.store.rows import Kind, Recipient, RunningClock, StatementRow
from agents.store.upsert import chunks
from pipeline import codec
from pipeline.acts import REMEMBERED, act_of
from pipeline.model import (
    Ack,
    Act,
    Comment,
    DeliveryStatus,
    EventClocks,
    EventHead,
    Excerpt,
    HandOver,
    Millis,
    Silence,
    Snooze,
    Statement,
)
from pipeline.rulebook.schema import DAY

FORGOTTEN: Millis = 31 * DAY
"""So long after it was due a clock that nobody stopped is over: the escalator keeps its event for 30 days."""
_ACTS: dict[str, type[Any]] = {
    Kind.ACK: Ack, Kind.SNOOZE: Snooze, Kind.HAND_OVER: HandOver, Kind.COMMENT: Comment, Kind.ANSWERED: Statement}


# ---------------------------------------------------------------- clocks


def clocks_of(connection: Connection, event_ids: Sequence[str]) -> dict[str, EventClocks]:
    """By event id, of those that have clocks; their statements with words as long as these are kept."""
    table, found = schema.clocks.c, dict[str, EventClocks]()
    for some in chunks(list(event_ids)):
        for event_id, state in connection.execute(
                select(table.event_id, table.state).where(table.event_id.in_(some)).order_by(table.event_id)):
            found[event_id] = codec.decode_as(EventClocks, state.encode())
    said = _statements_by_id(connection, [each.id for one in found.values() for each in one.statements])
    return {event_id: msgspec.structs.replace(
        one, statements=tuple(said.get(each.id, each) for each in one.statements)) for event_id, one in found.items()}


def running_clocks(
    connection: Connection, *, since: Millis = 0, drills: bool = False, limit: int = 500
) -> list[RunningClock]:
    """Clocks that run, the one that is due first first. since: not those that were due before and were never answered:
    nobody counts them any more. drills: those of drills instead."""
    table, event = schema.clocks.c, schema.events.c
    rows = connection.execute(
        select(table.state, event.head, event.expired)
        .where(table.open.is_(True), table.next_due_at >= since, event.id == table.event_id, event.shadow.is_(False),
               event.drill.is_(drills))
        .order_by(table.next_due_at).limit(limit))
    found = [each for row in rows for each in _running(row)]
    return sorted(found, key=lambda one: (one.clock.due_at, one.event_id, one.clock.id))


def _running(row: Row[Any]) -> list[RunningClock]:
    state: EventClocks = codec.decode_as(EventClocks, row.state.encode())
    head: EventHead = codec.decode_as(EventHead, row.head.encode())
    return [RunningClock(head.id, head.short or head.id, "" if row.expired else head.title, head.level,
                         head.level_name, head.status, each) for each in state.clocks if each.stopped_at is None]


# ---------------------------------------------------------------- statements


def statements(connection: Connection, event_id: str) -> list[StatementRow]:
    """What was confirmed and rejected on an event, in order."""
    table = schema.statements
    rows = connection.execute(
        select(table).where(table.c.event_id == event_id).order_by(table.c.at, table.c.id))
    return [_statement(row) for row in rows]


def proposals(connection: Connection, head: EventHead) -> list[Excerpt]:
    """Official items of the event of which nobody has said yet whether they are statements."""
    table = schema.statements.c
    decided = set(connection.execute(
        select(table.item_id).where(table.event_id == head.id, table.item_id != "")).scalars())
    return [each for each in head.statements if each.item_id not in decided]


def _statement(row: Row[Any]) -> StatementRow:
    said: Statement | None = codec.decode_as(Statement, row.detail.encode()) if row.detail else None
    return StatementRow(
        row.id, row.event_id, row.at, row.by, row.title, row.url, said.text if said else "",
        said.source_name if said else "", said.published_at if said else row.at, tuple(row.clocks.split()),
        bool(row.rejected), row.item_id, said is None)


def _statements_by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Statement]:
    table, found = schema.statements.c, dict[str, Statement]()
    for some in chunks(ids):
        for ident, detail in connection.execute(select(table.id, table.detail).where(table.id.in_(some))):
            if detail:
                found[ident] = codec.decode_as(Statement, detail.encode())
    return found


# ---------------------------------------------------------------- silences


def silences(connection: Connection, now: Millis, *, ended_since: Millis | None = None) -> list[Silence]:
    """Silences that have not ended, the one that ends first first. ended_since: and those that ended since then, last
    ended first, after them."""
    table = schema.silences.c
    earliest = now if ended_since is None else min(now, ended_since)
    texts = connection.execute(
        select(table.record).where(table.ends_at > earliest).order_by(table.ends_at, table.id)).scalars()
    found: list[Silence] = [codec.decode_as(Silence, text.encode()) for text in texts]
    active = [each for each in found if over_at(each) > now]
    over = [] if ended_since is None else [each for each in found if ended_since < over_at(each) <= now]
    return active + sorted(over, key=lambda one: (-over_at(one), one.id))


def silence(connection: Connection, ident: str) -> Silence | None:
    found = connection.execute(select(schema.silences.c.record).where(schema.silences.c.id == ident)).scalar()
    decoded: Silence | None = codec.decode_as(Silence, found.encode()) if found else None
    return decoded


# ---------------------------------------------------------------- who answered, who was told


def last_acks(connection: Connection, event_ids: Sequence[str]) -> dict[str, Ack]:
    """By event id the last answer, whichever alert of the event it was about."""
    found: dict[str, Ack] = {}
    for event_id, kind, detail in _lines(connection, event_ids):
        if kind == Kind.ACK:
            found[event_id] = msgspec.json.decode(detail, type=Ack)
    return found


def acts(connection: Connection, event_ids: Sequence[str], *, limit: int = REMEMBERED) -> dict[str, tuple[Act, ...]]:
    """By event id what people did last, oldest first."""
    last: dict[str, list[Any]] = {}
    for event_id, kind, detail in _lines(connection, event_ids):
        last.setdefault(event_id, []).append(msgspec.json.decode(detail, type=_ACTS[kind]))
    done = {event_id: each[-limit:] for event_id, each in last.items()}
    said = _statements_by_id(connection, [
        one.id for each in done.values() for one in each if isinstance(one, Statement)])    # a line has no words of it
    return {event_id: tuple(act_of(said.get(one.id, one)) for one in each) for event_id, each in done.items()}


def _lines(connection: Connection, event_ids: Sequence[str]) -> list[tuple[str, str, str]]:
    """Lines of what people did, in order."""
    table, found = schema.timeline.c, list[tuple[str, str, str]]()
    for some in chunks(list(event_ids)):
        rows = connection.execute(
            select(table.event_id, table.kind, table.detail)
            .where(table.event_id.in_(some), table.kind.in_([str(each) for each in _ACTS]))
            .order_by(table.at, table.seq))
        found += [(event_id, kind, detail) for event_id, kind, detail in rows]
    return found


def told(connection: Connection, event_ids: Sequence[str]) -> dict[str, tuple[Recipient, ...]]:
    """By event id who was told, or is to be: the latest message to each by each channel, in the order of telling."""
    table, found = schema.deliveries.c, dict[str, dict[tuple[str, str], Recipient]]()
    for some in chunks(list(event_ids)):
        for row in connection.execute(
                select(table.event_id, table.person, table.channel, table.status, table.at)
                .where(table.event_id.in_(some)).order_by(table.decided_at, table.at, table.id)):
            of = found.setdefault(row.event_id, {})
            of[row.person, row.channel] = Recipient(row.person, row.channel, DeliveryStatus(row.status), row.at)
    return {event_id: tuple(of.values()) for event_id, of in found.items()}
