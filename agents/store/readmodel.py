"""What people are shown: questions to the store, each a function of a Connection. Nothing here writes.

A row whose texts are past their retention time has empty texts and `expired`; its figures stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, exists, false, func, select

from agents.store import people_reads, schema
from agents.store.item_reads import counts_of, item
from agents.store.people_reads import (
    acts,
    clocks_of,
    last_acks,
    proposals,
    running_clocks,
    silence,
    silences,
    statements,
    told,
)
from agents.store.rows import (
    AuditRow,
    Counts,
    CountsNow,
    DeadRow,
    DeliveryRow,
    EventCard,
    EventView,
    ItemEvent,
    ItemView,
    Kind,
    Line,
    Member,
    Recipient,
    Revision,
    RunningClock,
    SourceRow,
    StatementRow,
)
from pipeline import codec
from pipeline.model import (
    DRILL,
    AlertState,
    AlertStatus,
    DeadLetter,
    DeliveryStatus,
    Escalation,
    EventHead,
    EventStatus,
    MemberRow,
    Millis,
    ScoredItem,
    SourceState,
)
from pipeline.rulebook.schema import RuleBook

__all__ = ["AuditRow", "Counts", "CountsNow", "DeadRow", "DeliveryRow", "EventCard", "EventView", "ItemEvent",
           "ItemView", "Kind", "Line", "Member", "Recipient", "Revision", "RunningClock", "SourceRow", "StatementRow",
           "acts", "clocks_of", "counts_of", "item", "last_acks", "proposals", "running_clocks", "silence", "silences",
           "statements", "told"]
"""The rows, for callers that need their names, and questions of item_reads.py and people_reads.py; the others are
below."""

EXPIRED_TITLE = "（文字已过保存期）"
"""What stands for an event's title when its texts were dropped."""
_NUMBER = re.compile(r"(?:([EeSsDd])-?)?(\d{1,9})")
_ID_CHUNK = 500


# ---------------------------------------------------------------- events


def open_events(connection: Connection, *, shadow: bool = False, drill: bool = False) -> list[EventCard]:
    """Open events, highest level first, then the latest change."""
    return events(connection, (EventStatus.OPEN,), limit=1000, by_level=True, shadow=shadow, drill=drill)


def events(
    connection: Connection, statuses: Iterable[EventStatus], *, limit: int = 100, before: Millis | None = None,
    by_level: bool = False, subject: str = "", shadow: bool = False, drill: bool = False,
) -> list[EventCard]:
    """Events that reached a level once, latest change first; `before` is changed_at of the last row of a page.

    shadow, drill: those of shadow rules, or of drills, instead of the live ones.
    """
    table = schema.events
    query = _cards().where(table.c.status.in_([str(each) for each in statuses]), table.c.number > 0,
                           table.c.shadow.is_(shadow), table.c.drill.is_(drill)).limit(limit)
    if before is not None:
        query = query.where(table.c.changed_at < before)
    if subject:
        query = query.where(table.c.subject == subject)
    order = (table.c.level.desc(), table.c.changed_at.desc()) if by_level else (table.c.changed_at.desc(),)
    return [_card(row) for row in connection.execute(query.order_by(*order, table.c.id)).mappings()]


def cards(connection: Connection, ids: Sequence[str]) -> list[EventCard]:
    """These events in the order of the ids; unknown ids are passed over."""
    wanted = _cards().where(schema.events.c.id.in_(ids))
    found = {card.head.id: card for card in map(_card, connection.execute(wanted).mappings())}
    return [found[ident] for ident in ids if ident in found]


def event_id(connection: Connection, ref: str) -> str | None:
    """The id of an event named by its number (E-0317, 317; S-0317 in shadow, D-0317 of a drill) or its id; the latest
    one if a number was given twice."""
    table = schema.events
    found = connection.execute(select(table.c.id).where(table.c.id == ref)).scalar()
    number = _NUMBER.fullmatch(ref.strip())
    if found is None and number is not None:
        kind = (number[1] or "e").lower()
        found = connection.execute(
            select(table.c.id).where(table.c.number == int(number[2]), table.c.number > 0,
                                     table.c.shadow.is_(kind == "s"), table.c.drill.is_(kind == "d"))
            .order_by(table.c.opened_at.desc()).limit(1)).scalar()
    return None if found is None else str(found)


def head(connection: Connection, ref: str) -> EventHead | None:
    """One event's head, without its members."""
    ident = event_id(connection, ref)
    if ident is None:
        return None
    row = connection.execute(_cards().where(schema.events.c.id == ident)).mappings().one()
    return _card(row).head


def event(connection: Connection, ref: str, *, members_limit: int = 200) -> EventView | None:
    """One event by number (E-0317, 317) or id, with all that belongs to it; None if there is none."""
    ident = event_id(connection, ref)
    if ident is None:
        return None
    row = connection.execute(_cards().where(schema.events.c.id == ident)).mappings().one()
    card = _card(row)
    return EventView(
        head=card.head, expired=card.expired, alert=card.alert,
        members=tuple(members(connection, ident, subject=card.head.subject, limit=members_limit)),
        timeline=tuple(timeline(connection, ident)),
        escalations=tuple(escalations(connection, ident)),
        deliveries=tuple(deliveries(connection, event=ident, limit=1000)),
        clocks=people_reads.clocks_of(connection, [ident]).get(ident),
        statements=tuple(people_reads.statements(connection, ident)),
        proposals=tuple(people_reads.proposals(connection, card.head)))


def alert(connection: Connection, ident: str) -> AlertState | None:
    """The alert of an event (by its id), if it ever had one."""
    state = connection.execute(select(schema.alerts.c.state).where(schema.alerts.c.event_id == ident)).scalar()
    return None if state is None else _alert(state)


def members(connection: Connection, ident: str, *, subject: str, limit: int = 200, offset: int = 0) -> list[Member]:
    """The items of an event, newest first."""
    member, item, scored = schema.members, schema.items, schema.scored
    query = (
        select(member.c.item_id, member.c.at, member.c.row, item.c.source_id, item.c.revised_at, item.c.expired,
               scored.c.detail)
        .select_from(member
                     .outerjoin(item, item.c.id == member.c.item_id)
                     .outerjoin(scored, and_(scored.c.item_id == member.c.item_id, scored.c.subject == subject)))
        .where(member.c.event_id == ident)
        .order_by(member.c.at.desc(), member.c.item_id).limit(limit).offset(offset))
    return [_member(row) for row in connection.execute(query).mappings()]


def is_member(connection: Connection, ident: str, item_id: str) -> bool:
    """Whether an item is in an event."""
    table = schema.members.c
    found = select(table.item_id).where(table.event_id == ident, table.item_id == item_id)
    return connection.execute(found).first() is not None


def timeline(connection: Connection, ident: str) -> list[Line]:
    """What happened to an event, in order."""
    table = schema.timeline
    rows = connection.execute(
        select(table.c.at, table.c.kind, table.c.detail).where(table.c.event_id == ident)
        .order_by(table.c.at, table.c.seq))
    return [Line(at, Kind(kind), msgspec.json.decode(detail)) for at, kind, detail in rows]


def escalations(connection: Connection, ident: str) -> list[Escalation]:
    """The messages decided about an event, in order, whose texts are still kept."""
    table = schema.escalations
    rows = connection.execute(
        select(table.c.detail).where(table.c.event_id == ident, table.c.detail != "").order_by(table.c.at, table.c.id))
    return [codec.decode_as(Escalation, detail.encode()) for detail, in rows]


# ---------------------------------------------------------------- the rest


def deliveries(
    connection: Connection, *, event: str = "", status: DeliveryStatus | None = None, channel: str = "",
    person: str = "", before: Millis | None = None, limit: int = 100, drills: bool = False,
) -> list[DeliveryRow]:
    """Deliveries, latest first; empty filters let everything through. drills: those of drills too, which of one event
    are always told."""
    table, decided, about = schema.deliveries, schema.escalations, schema.events
    query = (
        select(table, func.coalesce(decided.c.kind, "").label("kind"),
               func.coalesce(about.c.number, 0).label("event_number"))
        .select_from(table
                     .outerjoin(decided, decided.c.id == table.c.escalation_id)
                     .outerjoin(about, about.c.id == table.c.event_id)))
    wanted = {table.c.event_id: event, table.c.status: str(status or ""), table.c.channel: channel,
              table.c.person: person}
    query = query.where(*(column == value for column, value in wanted.items() if value))
    if before is not None:
        query = query.where(table.c.at < before)
    if not (drills or event):
        query = query.where(func.coalesce(decided.c.drill, false()).is_(False))
    rows = connection.execute(query.order_by(table.c.at.desc(), table.c.id).limit(limit)).mappings()
    return [DeliveryRow(**{**row, "status": DeliveryStatus(row["status"])}) for row in rows]


def sources(connection: Connection) -> list[SourceRow]:
    """Every source that was ever polled, by id, with its number of items."""
    counted = (select(schema.items.c.source_id, func.count().label("kept"))
               .group_by(schema.items.c.source_id).subquery())
    table = schema.sources
    columns = [column for column in table.c if column.name != "state"]
    rows = connection.execute(
        select(*columns, func.coalesce(counted.c.kept, 0).label("items"))
        .select_from(table.outerjoin(counted, counted.c.source_id == table.c.id)).order_by(table.c.id)).mappings()
    return [SourceRow(**row) for row in rows]


def source_states(connection: Connection, only: Sequence[str] = ()) -> dict[str, SourceState]:
    """Every source that was ever polled (or these), by id, as the collector knows it, without `seen` and validators."""
    query = select(schema.sources)
    if only:
        query = query.where(schema.sources.c.id.in_(only))
    return {row["id"]: _source_state(row) for row in connection.execute(query).mappings()}


def dead_letters(connection: Connection, *, limit: int = 100, waiting: bool = False) -> list[DeadRow]:
    """Dead letters, latest first. waiting: only those not replayed yet."""
    table = schema.dead_letters
    query = select(table).order_by(table.c.at.desc(), table.c.id).limit(limit)
    if waiting:
        query = query.where(table.c.replayed_at.is_(None))
    return [_dead(row) for row in connection.execute(query).mappings()]


def dead_letter(connection: Connection, ident: str) -> DeadRow | None:
    row = connection.execute(select(schema.dead_letters).where(schema.dead_letters.c.id == ident)).mappings().first()
    return None if row is None else _dead(row)


def book(connection: Connection, book_hash: str = "") -> RuleBook | None:
    """The rule book of this hash, live or shadow; by default the one that was published last as the live one."""
    table = schema.books
    query = select(table.c.book).order_by(table.c.at.desc(), table.c.hash).limit(1)
    query = query.where(table.c.hash == book_hash) if book_hash else query.where(table.c.at > 0)
    found = connection.execute(query).scalar()
    return None if found is None else codec.decode_as(RuleBook, found.encode())


def audit(connection: Connection, *, limit: int = 200, before: int | None = None, account: str = "") -> list[AuditRow]:
    """Audit lines, latest first; `before` is the seq of the last row of a page."""
    table = schema.audit
    query = select(table).order_by(table.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.seq < before)
    if account:
        query = query.where(table.c.account == account)
    return [AuditRow(**row) for row in connection.execute(query).mappings()]


def counts(connection: Connection) -> Counts:
    """Figures for the top of a page, without drills."""
    event, source, waiting = schema.events.c, schema.sources.c, schema.alerts.c
    live = (event.shadow.is_(False), event.drill.is_(False))
    ok = and_(source.failures == 0, source.succeeded_at.is_not(None))
    open_alert = waiting.status.in_([str(AlertStatus.NOTIFIED), str(AlertStatus.EXHAUSTED)])
    made_up = select(func.count(schema.members.c.item_id.distinct())).where(
        schema.members.c.event_id == event.id, event.drill.is_(True), *_of_drills(connection))
    drilled = exists().where(event.id == waiting.event_id, event.drill.is_(True))

    def ask(query: Select[Any]) -> Any:
        return connection.execute(query).scalar()

    return Counts(
        items=ask(select(func.count()).select_from(schema.items)) - ask(made_up),   # the first by an index alone
        open_events=ask(select(func.count()).where(event.status == str(EventStatus.OPEN), *live)),
        sources=ask(select(func.count()).select_from(schema.sources)),
        sources_ok=ask(select(func.count()).where(ok)),
        last_polled_at=ask(select(func.max(source.polled_at))),
        waiting_alerts=ask(select(func.count()).where(open_alert, ~drilled)),
        dead_letters=dead_letter_count(connection))


def dead_letter_count(connection: Connection) -> int:
    """Records that were set aside and that nobody replayed yet."""
    waiting = select(func.count()).where(schema.dead_letters.c.replayed_at.is_(None))
    return connection.execute(waiting).scalar() or 0


def _of_drills(connection: Connection) -> tuple[ColumnElement[bool], ...]:
    """Bounds of their subjects, so that SQLite finds them by an index: `drill` lies behind a long text in the row.
    Other databases keep such texts elsewhere, and may order signs otherwise."""
    subject = schema.events.c.subject
    return (subject >= DRILL, subject < chr(ord(DRILL) + 1)) if connection.dialect.name == "sqlite" else ()


def scored_items(connection: Connection, ids: Sequence[str], subject: str = "") -> list[ScoredItem]:
    """Items by id with their evidence, for as long as their texts are kept; all subjects unless one is named."""
    table, found = schema.scored, []
    for start in range(0, len(ids), _ID_CHUNK):
        query = select(table.c.detail).where(table.c.item_id.in_(ids[start:start + _ID_CHUNK]), table.c.detail != "")
        if subject:
            query = query.where(table.c.subject == subject)
        found += [_scored(detail) for detail, in connection.execute(query)]
    return found


def _cards() -> Select[Any]:
    event_table, state = schema.events, schema.alerts
    return select(event_table.c.head, event_table.c.expired, state.c.state).select_from(
        event_table.outerjoin(state, state.c.event_id == event_table.c.id))


def _card(row: RowMapping) -> EventCard:
    state = row["state"]
    return EventCard(codec.decode_as(EventHead, row["head"].encode()), None if state is None else _alert(state),
                     bool(row["expired"]))


def _alert(state: str) -> AlertState:
    decoded: AlertState = codec.decode_as(AlertState, state.encode())
    return decoded


def _member(row: RowMapping) -> Member:
    detail = row["detail"]
    return Member(
        item_id=row["item_id"], at=row["at"], row=msgspec.json.decode(row["row"], type=MemberRow),
        scored=_scored(detail) if detail else None, source_id=row["source_id"] or "",
        edited=row["revised_at"] is not None, expired=bool(row["expired"]) or detail == "")


def _scored(detail: str) -> ScoredItem:
    decoded: ScoredItem = msgspec.json.decode(detail, type=ScoredItem)
    return decoded


def _source_state(row: RowMapping) -> SourceState:
    if row["state"]:
        decoded: SourceState = codec.decode_as(SourceState, row["state"].encode())
        return decoded
    names = ("url", "polled_at", "next_poll_at", "outcome", "error", "failures", "succeeded_at", "new_item_at",
             "backfilled")                            # written before `state` was kept
    return SourceState(source_id=row["id"], **{name: row[name] for name in names})


def _dead(row: RowMapping) -> DeadRow:
    letter = codec.decode_as(DeadLetter, row["detail"].encode()) if row["detail"] else None
    return DeadRow(row["id"], row["topic"], row["reason"], row["at"], row["replayed_at"], letter)
