"""The account of every decided message: what deliver's ledger says became of it, and what nobody accounts for.

Decided is what the archive has of topic escalations, without shadow rules. A message is one of: confirmed (somebody has
it), pending, dead, suppressed. What is none of these is unaccounted, and named. Texts past their retention time are
left out: the ledger has dropped their rows too.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, case, func, or_, select

from agents.store.schema import dead_letters, escalations, events, outbox
from pipeline import codec, topics
from pipeline.model import DeadLetter, DeliveryStatus, Millis

GRACE: Millis = 120_000
"""What was decided just now may still be on its way to the ledger."""
_RANKS = {DeliveryStatus.SUPPRESSED: 1, DeliveryStatus.DEAD: 2, DeliveryStatus.PENDING: 3, DeliveryStatus.CONFIRMED: 4}
_WORDS = {rank: status.value for status, rank in _RANKS.items()}
_ID = re.compile(rb'"id":"([^"]{1,20})"')
_LISTED = tuple(column for column in outbox.c if column.name != "escalation")


@dataclass(frozen=True, slots=True)
class Missing:
    """A decided message that the ledger does not know."""

    id: str
    event_id: str
    kind: str
    at: Millis


@dataclass(frozen=True, slots=True)
class Account:
    """messages: by what became of them; rows: the ledger's rows of these messages, by status."""

    decided: int
    messages: dict[str, int]
    rows: dict[str, int]
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows. event: an event's id. Empty and 0: any. drills: those of drills too."""

    status: str = ""
    event: str = ""
    channel: str = ""
    person: str = ""
    since: Millis = 0
    drills: bool = True
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the ledger without its text. number: of the event, `E-0317` without the letter, 0 if it has none."""

    id: str
    escalation_id: str
    event_id: str
    alert_id: str
    person: str
    channel: str
    kind: str
    level: int
    status: str
    attempts: int
    decided_at: Millis
    confirmed_at: Millis | None
    next_try_at: Millis
    error: str
    suppressed_by: str
    next_channels: str
    drill: bool
    number: int = 0
    title: str = ""
    text: str = field(default="", repr=False)


def account(connection: Connection, since: Millis, before: Millis) -> Account:
    """Of what was decided in [since, before)."""
    fates = _fates(since, before)
    rank = fates.c.rank
    joined = escalations.outerjoin(fates, fates.c.escalation_id == escalations.c.id)
    found = connection.execute(
        select(rank, func.count()).select_from(joined).where(*_decided(since, before)).group_by(rank)).all()
    messages = Counter({_WORDS[int(each)]: int(count) for each, count in found if each is not None})
    nobodys = unaccounted(connection, since, before)
    lost = sum(int(count) for each, count in found if each is None)
    messages[DeliveryStatus.DEAD.value] += lost - len(nobodys)       # set aside before they had a row
    rows = connection.execute(
        select(outbox.c.status, func.count())
        .select_from(outbox.join(escalations, escalations.c.id == outbox.c.escalation_id))
        .where(*_decided(since, before)).group_by(outbox.c.status)).all()
    return Account(sum(int(count) for _, count in found), {word: messages[word] for word in _WORDS.values()},
                   {str(status): int(count) for status, count in rows}, tuple(nobodys))


def unaccounted(connection: Connection, since: Millis, before: Millis) -> list[Missing]:
    """Decided in [since, before), and neither in the ledger nor a dead letter; the oldest first."""
    known = select(outbox.c.id).where(outbox.c.escalation_id == escalations.c.id).exists()
    rows = connection.execute(
        select(escalations.c.id, escalations.c.event_id, escalations.c.kind, escalations.c.at)
        .where(*_decided(since, before), ~known).order_by(escalations.c.at, escalations.c.id)).all()
    if not rows:
        return []
    dead = _set_aside(connection, since)
    return [Missing(*row) for row in rows if row.id not in dead]


def listed(connection: Connection, query: Query) -> list[Listed]:
    """Rows of the ledger, the newest first."""
    table = outbox.c
    where = [column == value for column, value in (
        (table.status, query.status), (table.event_id, query.event), (table.channel, query.channel),
        (table.person, query.person)) if value]
    if query.since:
        where.append(table.decided_at >= query.since)
    if not query.drills:
        where.append(table.drill.is_(False))
    rows = connection.execute(
        _with_events(*_LISTED).where(*where).order_by(table.decided_at.desc(), table.id)
        .limit(query.limit).offset(query.offset)).mappings()
    return [_listed(row) for row in rows]


def one(connection: Connection, ref: str) -> list[Listed]:
    """The row of a delivery's id, with its text; or all rows of an escalation's id."""
    if not ref:
        return []
    rows = connection.execute(
        _with_events(*outbox.c).where(or_(outbox.c.id == ref, outbox.c.escalation_id == ref))
        .order_by(outbox.c.decided_at, outbox.c.id)).mappings()
    return [_listed(row) for row in rows]


def _decided(since: Millis, before: Millis) -> tuple[Any, ...]:
    table = escalations.c
    return table.at >= since, table.at < before, table.shadow.is_(False), table.detail != ""


def _fates(since: Millis, before: Millis) -> Any:
    """The best that became of any row of a message that was decided in that time."""
    ranks = {status.value: rank for status, rank in _RANKS.items()}
    asked = select(escalations.c.id).where(*_decided(since, before))
    return (select(outbox.c.escalation_id, func.max(case(ranks, value=outbox.c.status)).label("rank"))
            .where(outbox.c.escalation_id.in_(asked)).group_by(outbox.c.escalation_id).subquery())


def _set_aside(connection: Connection, since: Millis) -> set[str]:
    """Ids of escalations among the dead letters: their JSON begins with it."""
    table = dead_letters.c
    details = connection.execute(
        select(table.detail).where(table.topic == topics.ESCALATIONS, table.at >= since, table.detail != "")).scalars()
    values = (codec.decode_as(DeadLetter, text.encode()).value[:64] for text in details)
    return {found[1].decode("utf-8", "replace") for value in values if (found := _ID.search(value))}


def _with_events(*columns: Any) -> Any:
    joined = outbox.outerjoin(events, events.c.id == outbox.c.event_id)
    return select(*columns, events.c.number, events.c.title).select_from(joined)


def _listed(row: RowMapping) -> Listed:
    names = (each for each in Listed.__dataclass_fields__ if each not in ("text", "number", "title"))
    return Listed(**{name: row[name] for name in names}, number=row["number"] or 0, title=row["title"] or "",
                  text=row.get("escalation", ""))
