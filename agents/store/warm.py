"""What a start needs from the store: events, alerts, items not yet in an event, sources, messages, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Subquery, and_, exists, func, select, tuple_

from agents.store import people_reads, schema
from agents.store.item_reads import counts_of, counts_since
from agents.store.upsert import chunks
from pipeline import codec
from pipeline.collect.identity import REMEMBERED, pack_seen
from pipeline.collect.schedule import TOLD_TO_WAIT
from pipeline.ids import digest
from pipeline.model import (
    SHADOW,
    Act,
    AlertState,
    AlertStatus,
    CountsRow,
    Escalation,
    EscalationKind,
    EventClocks,
    EventHead,
    EventStatus,
    MemberRow,
    Millis,
    ScoredItem,
    Silence,
    SourceState,
)
from pipeline.rulebook.schema import DAY, EventRules

CHUNK = 500
EXCERPT_CHARACTERS = 80
"""What the tracker keeps of a text: it is all that goes back to it."""
OWED = 31 * DAY
"""How far back news that was held back, and clocks that nobody stopped, are looked for: a silence lasts 30 days at
most, and so long the escalator keeps an event for its clock."""
_ID = re.compile(r'"id":"([0-9a-f]+)"')


def events(connection: Connection, now: Millis, rules: EventRules) -> list[EventHead]:
    """Events that the tracker would still hold, highest level and latest change first; those in shadow come last.

    Closed and calm ones too: they decide what happens to items that join them. And of each partition the event with
    the greatest number, so that no number is given twice.
    """
    table = schema.events.c
    newest = func.max(table.last_item_at, table.changed_at) if _sqlite(connection) else func.greatest(
        table.last_item_at, table.changed_at)
    held = ((table.level > 0)
            | ((table.status == str(EventStatus.WATCHING)) & (newest > now - rules.join_within))
            | ((table.status != str(EventStatus.WATCHING)) & (newest > now - rules.calm_after)))
    query = select(table.head).where(held).order_by(
        table.shadow, table.level.desc(), table.changed_at.desc(), table.id)
    return [_head(text) for text in connection.execute(query).scalars()]


def greatest_numbers(connection: Connection, partitions: int) -> list[EventHead]:
    """The event with the greatest number of each partition: numbers go round (see pipeline/track). Of those in shadow
    and of drills too, which have numbers of their own."""
    table = schema.events.c
    slot = (table.number - 1) % partitions
    found = []
    for shadow, drill in ((False, False), (True, False), (False, True)):
        kind = (table.number > 0, table.shadow.is_(shadow), table.drill.is_(drill))
        greatest = select(func.max(table.number)).where(*kind).group_by(slot)
        rows = connection.execute(select(table.head).where(table.number.in_(greatest), *kind).order_by(table.id))
        found += [_head(text) for text in rows.scalars()]
    return found


def members(connection: Connection, event_id: str, since: Millis) -> list[MemberRow]:
    """Rows of an event's items, newest first."""
    table = schema.members.c
    rows = connection.execute(
        select(table.row).where(table.event_id == event_id, table.at >= since).order_by(table.at.desc(), table.item_id))
    return [msgspec.json.decode(row, type=MemberRow) for row in rows.scalars()]


def counts(connection: Connection, item_ids: Sequence[str], since: Millis) -> list[CountsRow]:
    """How the counts of an event's items grew, in order of time."""
    return counts_since(connection, item_ids, since)


def alerts(connection: Connection, since: Millis) -> list[tuple[AlertState, EventHead]]:
    """Alerts not ended, each with the event as the archive has it, by event id; and those that are, while a response
    clock of their event runs, or while news of their end that was held back since then is told to nobody."""
    alert, event, clock = schema.alerts.c, schema.events.c, schema.clocks.c
    runs = exists().where(clock.event_id == alert.event_id, clock.open.is_(True), clock.next_due_at >= since)
    waits = alert.event_id.in_(select(_owed(since).c.event_id))
    rows = connection.execute(
        select(alert.state, event.head)
        .where(alert.event_id == event.id, (alert.status != str(AlertStatus.ENDED)) | runs | waits)
        .order_by(alert.event_id))
    return [(codec.decode_as(AlertState, state.encode()), _head(head)) for state, head in rows]


def clocks(connection: Connection, since: Millis) -> dict[str, EventClocks]:
    """Response clocks by event id: those that run and were not due before then, and all of alerts that have not ended;
    with the words of their statements."""
    alert, clock = schema.alerts.c, schema.clocks.c
    waits = exists().where(alert.event_id == clock.event_id, alert.status != str(AlertStatus.ENDED))
    rows = connection.execute(select(clock.event_id).where(
        (clock.open.is_(True) & (clock.next_due_at >= since)) | waits)).scalars().all()
    return people_reads.clocks_of(connection, rows)


def owed(connection: Connection, since: Millis) -> dict[str, str]:
    """Event id -> what held back the news of a fall, where nobody was told of it since."""
    found = _owed(since)
    return {event_id: by for event_id, by in connection.execute(select(found.c.event_id, found.c.suppressed_by))}


def _owed(since: Millis) -> Subquery:
    """The last that was held back of each event, without a message of its kind and without a raise after it."""
    held, told = schema.escalations, schema.escalations.alias()
    later = exists().where(
        told.c.event_id == held.c.event_id, told.c.at > held.c.at, told.c.suppressed_by == "",
        (told.c.kind == str(EscalationKind.INFORM)) | told.c.first.is_(True))
    return (select(held.c.event_id, func.max(held.c.suppressed_by).label("suppressed_by"))
            .where(held.c.kind == str(EscalationKind.INFORM), held.c.suppressed_by != "", held.c.at >= since, ~later)
            .group_by(held.c.event_id).subquery())


def heads(connection: Connection, event_ids: Sequence[str]) -> dict[str, EventHead]:
    """Events as the archive has them, by id."""
    table, found = schema.events.c, dict[str, EventHead]()
    for some in chunks(list(event_ids)):
        rows = connection.execute(select(table.id, table.head).where(table.id.in_(some)).order_by(table.id))
        found |= {ident: _head(text) for ident, text in rows}
    return found


def silences(connection: Connection, now: Millis) -> list[Silence]:
    """Silences that have not ended, by when they end."""
    return people_reads.silences(connection, now)


def acts(connection: Connection, event_ids: Sequence[str]) -> dict[str, tuple[Act, ...]]:
    """What people did last about these events, oldest first."""
    return people_reads.acts(connection, event_ids)


def as_of(head: EventHead, state: AlertState) -> EventHead:
    """The event as the alert knew it: a raise or fall that the archive has and the alert had not seen is news to it."""
    raises = range(head.raises + 2)
    ranks = {head.peak, *range(1, max(head.peak, state.level) + 2)}
    found = next((raised for raised in raises for rank in ranks
                  if digest("alert", head.id, rank, raised) == state.alert_id), head.raises)
    return msgspec.structs.replace(head, version=state.event_version, raises=found, level=state.level, joined=())


def lone_items(
    connection: Connection, since: Millis, *, newest_first: bool = False, shadow: bool = False,
) -> Iterator[tuple[str, str, ScoredItem]]:
    """(subject, book, item) of items first seen since then that are in no event of their subject, by first sight.

    Texts are cut to what the tracker quotes; counts are the latest, so that what grew before the start is not taken for
    growth of now. Read in pieces: the caller may stop at any. shadow: what shadow subjects saw, not the live ones.
    """
    table, member, event = schema.scored.c, schema.members.c, schema.events.c
    joined = exists().where(member.item_id == table.item_id, event.id == member.event_id,
                            event.subject == table.subject)
    place = tuple_(table.first_seen_at, table.item_id, table.subject)
    order = [column.desc() if newest_first else column.asc()
             for column in (table.first_seen_at, table.item_id, table.subject)]
    query = (select(table.first_seen_at, table.item_id, table.subject, table.book, table.detail)
             .where(table.expired.is_(False), table.first_seen_at >= since, ~joined,
                    (func.substr(table.subject, 1, 1) == SHADOW).is_(shadow)).order_by(*order).limit(CHUNK))
    last: tuple[Any, ...] | None = None
    while rows := connection.execute(_after(query, place, last, newest_first)).all():
        latest = counts_of(connection, [row.item_id for row in rows])
        for row in rows:
            scored = _cut(msgspec.json.decode(row.detail, type=ScoredItem))
            if (now := latest.get(row.item_id)) is not None:
                scored = msgspec.structs.replace(scored, item=msgspec.structs.replace(scored.item, counts=now.counts))
            yield row.subject, row.book, scored
        last = tuple(rows[-1][:3])


def sources(connection: Connection, now: Millis) -> Iterator[SourceState]:
    """What the collector may remember: only entries that were scored count as seen, so that nothing else is skipped.

    Every source is due, without validators; one whose site told us to wait keeps its turn.
    """
    for row in connection.execute(select(schema.sources).order_by(schema.sources.c.id)).mappings().all():
        state = codec.decode_as(SourceState, row["state"].encode()) if row["state"] else SourceState(
            source_id=row["id"], url=row["url"], polled_at=row["polled_at"], next_poll_at=row["next_poll_at"],
            backfilled=row["backfilled"], failures=row["failures"], outcome=row["outcome"], error=row["error"],
            succeeded_at=row["succeeded_at"], new_item_at=row["new_item_at"])
        yield msgspec.structs.replace(
            state, seen=pack_seen(_seen(connection, row["id"])), unconditional_at=None,
            next_poll_at=max(now, state.next_poll_at) if state.outcome in TOLD_TO_WAIT else now)


def unledgered(connection: Connection, since: Millis) -> list[Escalation]:
    """Messages decided since then of which deliver's ledger knows nothing, in order; none of shadow rules, and none
    that were held back."""
    table = schema.escalations.c
    known = ledgered(connection, since)
    rows = connection.execute(
        select(table.detail)
        .where(table.at >= since, table.detail != "", table.shadow.is_(False), table.suppressed_by == "")
        .order_by(table.at, table.id))
    decided = (codec.decode_as(Escalation, text.encode()) for text in rows.scalars())
    return [each for each in decided if each.id not in known]


def ledgered(connection: Connection, since: Millis) -> set[str]:
    """Ids of escalations in deliver's ledger: an Escalation's JSON begins with its id."""
    table = schema.outbox.c
    rows = connection.execute(select(func.substr(table.escalation, 1, 64)).where(table.decided_at >= since)).scalars()
    return {found[1] for text in rows if (found := _ID.search(text))}


def commands(connection: Connection, since: Millis) -> list[Any]:
    """Commands accepted since then (real time), in order. Reports that the archive has are empty records: left out."""
    table = schema.commands.c
    rows = connection.execute(
        select(table.type, table.record).where(table.accepted_at >= since, table.record != "")
        .order_by(table.accepted_at, table.id))
    return [codec.decode_as(codec.TYPES[kind], record.encode()) for kind, record in rows]


def _seen(connection: Connection, source_id: str) -> list[tuple[str, str, str]]:
    item, scored = schema.items.c, schema.scored.c
    done = exists().where(and_(scored.item_id == item.id, scored.revision == item.revision))
    rows = connection.execute(
        select(item.id, item.revision, item.url).where(item.source_id == source_id, done)
        .order_by(item.seen_at.desc(), item.id).limit(REMEMBERED))
    return [(ident, revision, url) for ident, revision, url in rows]


def _after(query: Select[Any], place: Any, last: tuple[Any, ...] | None, newest_first: bool) -> Select[Any]:
    if last is None:
        return query
    return query.where(place < tuple_(*last) if newest_first else place > tuple_(*last))


def _cut(scored: ScoredItem) -> ScoredItem:
    item = msgspec.structs.replace(
        scored.item, title=scored.item.title[:EXCERPT_CHARACTERS], text=scored.item.text[:EXCERPT_CHARACTERS])
    spans = tuple(span for span in scored.spans if span.end <= EXCERPT_CHARACTERS)
    return msgspec.structs.replace(scored, item=item, spans=spans)


def _head(text: str) -> EventHead:
    decoded: EventHead = codec.decode_as(EventHead, text.encode())
    return decoded


def _sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"
