"""Runs of drills, and what happened in one: read from the archive, where everything of a drill is marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Row, select

from agents.store import schema
from agents.store.rows import Kind
from agents.store.upsert import chunks
from pipeline import codec
from pipeline.drill import Facts, item_id, turns
from pipeline.model import DeliveryStatus, EscalationKind, EventHead, LevelDecision, Millis
from pipeline.rulebook.drills import Drill


@dataclass(frozen=True, slots=True)
class Run:
    """ended_at: None while it runs, or when it was broken off."""

    id: str
    drill: Drill
    by: str
    began_at: Millis
    ended_at: Millis | None


def runs(connection: Connection, limit: int = 50) -> list[Run]:
    """The newest first."""
    query = select(schema.drills).order_by(schema.drills.c.began_at.desc(), schema.drills.c.run).limit(limit)
    return [_run(row) for row in connection.execute(query)]


def run(connection: Connection, ident: str) -> Run | None:
    """By its id or the beginning of one that no other run has."""
    table = schema.drills
    rows = connection.execute(
        select(table).where(table.c.run.startswith(ident, autoescape=True)).limit(2)).all() if ident else []
    return _run(rows[0]) if len(rows) == 1 or (rows and rows[0].run == ident) else None


def events(connection: Connection, one: Run) -> list[EventHead]:
    """The events that its items made, in the order of their numbers; those without a level last."""
    ids = [item_id(one.id, number) for number in range(len(turns(one.drill)))]
    table, member = schema.events.c, schema.members.c
    found: dict[str, EventHead] = {}
    for some in chunks(ids):
        for row in connection.execute(
                select(table.id, table.head).where(
                    table.id.in_(select(member.event_id).where(member.item_id.in_(some))), table.drill.is_(True))):
            found[row.id] = codec.decode_as(EventHead, row.head.encode())
    return sorted(found.values(), key=lambda head: (head.number == 0, head.number, head.id))


def facts(connection: Connection, one: Run) -> Facts:
    """What happened so far, over all of its events: of each the earliest."""
    ids = [head.id for head in events(connection, one)]
    raised = _raised(connection, ids)
    levels: dict[str, Millis] = {}
    for decision in raised:
        levels.setdefault(decision.name, decision.at)
    paged_from, page = _paged(connection, ids)
    return Facts(
        began=one.began_at, event=raised[0].at if raised else None, levels=levels, paged_from=paged_from, page=page,
        ack=_first(connection, ids, Kind.ACK), statement=_first(connection, ids, Kind.ANSWERED))


def _raised(connection: Connection, ids: Sequence[str]) -> list[LevelDecision]:
    line = schema.timeline.c
    details = connection.execute(
        select(line.detail).where(line.event_id.in_(ids), line.kind == Kind.LEVEL).order_by(line.at)).scalars()
    found = [msgspec.json.decode(each, type=LevelDecision) for each in details]
    return [each for each in found if each.level > each.previous]


def _paged(connection: Connection, ids: Sequence[str]) -> tuple[Millis | None, Millis | None]:
    """When the first page was decided, and when the first one was delivered."""
    message, done = schema.escalations.c, schema.deliveries.c
    pages = (message.event_id.in_(ids), message.kind == EscalationKind.PAGE, message.suppressed_by == "")
    decided = connection.execute(select(message.at).where(*pages).order_by(message.at).limit(1)).scalar()
    delivered = connection.execute(
        select(done.at).where(*pages, done.escalation_id == message.id, done.status == DeliveryStatus.CONFIRMED)
        .order_by(done.at).limit(1)).scalar()
    return decided, delivered


def _first(connection: Connection, ids: Sequence[str], kind: Kind) -> Millis | None:
    line = schema.timeline.c
    return connection.execute(
        select(line.at).where(line.event_id.in_(ids), line.kind == kind).order_by(line.at).limit(1)).scalar()


def _run(row: Row[tuple[object, ...]]) -> Run:
    return Run(row.run, msgspec.json.decode(row.script, type=Drill), row.by, row.began_at, row.ended_at)
