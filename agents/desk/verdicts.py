"""What people say of an event or of an item's match: relevant, not relevant, duplicate, wrong level.

Accepted in SQL first, like every command. The same word of the same person again is the same command; another word
takes its place, as the last one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, select

from agents.desk.commands import MAX_NOTE, Accepted, Order, Refused, accept
from agents.desk.describe import VERDICT
from agents.store import readmodel, schema
from pipeline import codec
from pipeline.ids import digest
from pipeline.model import Verdict, VerdictKind

ON_MATCHES = (VerdictKind.RELEVANT, VerdictKind.NOT_RELEVANT, VerdictKind.DUPLICATE)
"""A match has no level that could be wrong."""


def on_event(engine: Engine, order: Order, kind: str, note: str = "") -> Accepted:
    """A verdict on the event of `order`, live or in shadow; Refused when there is none, or no such kind."""
    said = _kind(kind, tuple(VerdictKind))
    with engine.begin() as connection:
        head = readmodel.head(connection, order.event_id)
        if head is None:
            raise Refused("not_found", "没有这个事件。")
        about = replace(order, event_id=head.id)
        return _accept(connection, about, "event.verdict", head.short or head.id, note, {
            "subject": head.subject, "kind": said, "event_id": head.id, "book": head.book})


def on_match(engine: Engine, order: Order, item_id: str, subject: str, kind: str, note: str = "") -> Accepted:
    """A verdict on the match of an item with a subject (`~x` in shadow); Refused when it did not match."""
    said = _kind(kind, ON_MATCHES)
    table = schema.scored.c
    with engine.begin() as connection:
        known = dict(connection.execute(
            select(table.subject, table.book).where(table.item_id == item_id)).tuples().all())
        if not known:
            raise Refused("not_found", "没有这个条目。")
        if subject not in known:
            raise Refused("no_match", f"这个条目没有匹配主题 {subject[:64]}，它匹配的是 {'、'.join(sorted(known))}。")
        return _accept(connection, replace(order, event_id=item_id), "match.verdict", f"{item_id} {subject}", note, {
            "subject": subject, "kind": said, "item_id": item_id, "book": known[subject]})


def _kind(kind: str, allowed: tuple[VerdictKind, ...]) -> VerdictKind:
    found = next((each for each in allowed if each.value == kind.replace("-", "_")), None)
    if found is None:
        raise Refused("bad_kind", f"评价只能是 {'、'.join(f'{each.value}（{VERDICT[each]}）' for each in allowed)}。")
    return found


def _accept(
    connection: Connection, order: Order, action: str, shown: str, note: str, members: Mapping[str, Any],
) -> Accepted:
    """order.event_id: of the event, else of the item."""
    last = _last(connection, order.event_id, members["subject"])
    words = " ".join(note.split())[:MAX_NOTE]
    record = Verdict(id="", by=order.by, at=order.at, note=words, **members)
    if last is not None and _word(last) == _word(record):
        record = last
    else:
        ident = digest(order.event_id, "verdict", record.subject, record.kind, record.by, words,
                       last.id if last else "")
        record = Verdict(id=ident, by=order.by, at=order.at, note=words, **members)
    detail = "；".join(part for part in (VERDICT[record.kind], words) if part)
    return accept(connection, order, record, record.id, action, detail, shown=shown)


def _word(verdict: Verdict) -> tuple[Any, ...]:
    """What makes two verdicts on one thing the same word."""
    return verdict.subject, verdict.kind, verdict.by, verdict.note


def _last(connection: Connection, thing: str, subject: str) -> Verdict | None:
    """The last verdict that was accepted on a thing, seen as this subject."""
    table = schema.commands
    rows = connection.execute(
        select(table.c.record).where(table.c.event_id == thing, table.c.type == "verdict")
        .order_by(table.c.accepted_at.desc(), table.c.id.desc()))
    found = (codec.decode_as(Verdict, text.encode()) for text in rows.scalars())
    return next((each for each in found if each.subject == subject), None)
