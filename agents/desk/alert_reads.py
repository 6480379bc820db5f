"""Silences and statements of events, as the desk's pages ask for them: for many events at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from agents.store import schema
from pipeline import codec
from pipeline.model import Silence, Statement


def statements(connection: Connection, ids: Collection[str]) -> dict[str, tuple[Statement, ...]]:
    """What people confirmed or rejected, oldest first. One whose words have expired has none."""
    table = schema.statements
    found: dict[str, list[Statement]] = {}
    for row in connection.execute(
            select(table).where(table.c.event_id.in_(ids)).order_by(table.c.at, table.c.id)).mappings():
        found.setdefault(row["event_id"], []).append(_statement(row))
    return {event_id: tuple(said) for event_id, said in found.items()}


def _statement(row: RowMapping) -> Statement:
    if row["detail"]:
        whole: Statement = codec.decode_as(Statement, row["detail"].encode())
        return whole
    return Statement(id=row["id"], event_id=row["event_id"], by=row["by"], at=row["at"], title=row["title"],
                     published_at=row["at"], url=row["url"], item_id=row["item_id"], rejected=row["rejected"],
                     clocks=tuple(row["clocks"].split()))


def silences(connection: Connection, ids: Collection[str]) -> dict[str, Silence]:
    table = schema.silences.c
    found = connection.execute(select(table.id, table.record).where(table.id.in_(ids))) if ids else ()
    return {ident: codec.decode_as(Silence, record.encode()) for ident, record in found}


def arrived(connection: Connection, pending: Mapping[str, Iterable[Any]]) -> set[str]:
    """Ids of hand-overs, comments and statements under way that the archive has by now."""
    refs = {f"{kind}:{one.command.id}": one.command.id for own in pending.values() for one in own
            for kind in ("hand_over", "comment", "answered", "rejected")}
    table = schema.timeline.c
    if not refs:
        return set()
    rows = connection.execute(
        select(table.ref).where(table.event_id.in_(list(pending)), table.ref.in_(list(refs)))).scalars()
    return {refs[ref] for ref in rows}
