"""What the desk's pages and API read: the read model, with what the desk alone knows (commands under way, filters).

Every function blocks: from a coroutine use `asyncio.to_thread`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, func, or_, select

from agents.desk import alert_reads, desk_events
from agents.desk.commands import poll_ident, read_command
from agents.desk.desk_events import DeskEvent
from agents.desk.paging import Page
from agents.store import readmodel, schema
from agents.store.readmodel import EventCard
from pipeline import codec
from pipeline.model import DRILL, SHADOW, Escalation, EventStatus, MemberRow, Millis, PollRequest, Silence

PAGE = 50
ITEMS = 20
"""Items of an event on one page."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """One event with a page of its items."""

    event: DeskEvent
    view: readmodel.EventView
    members: list[readmodel.Member]
    paging: Page
    times: list[tuple[Millis, str]]
    counts: Mapping[str, readmodel.CountsNow] = field(default_factory=dict)
    silences: Mapping[str, Silence] = field(default_factory=dict)
    """Those that lines and messages of it name."""

    @property
    def held(self) -> list[Escalation]:
        """Messages that were held back and that no delivery tells of, the latest first."""
        told = {one.escalation_id for one in self.view.deliveries}
        return [one for one in reversed(self.view.escalations) if one.suppressed_by and one.id not in told]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """status: an EventStatus or empty (all but watching). level: rank the event reached at least. shadow, drill: events
    of shadow rules, or of drills, instead of the live ones; a subject that is one of these says so by itself."""

    status: str = ""
    level: int = 0
    subject: str = ""
    text: str = ""
    shadow: bool = False
    drill: bool = False


@dataclass(frozen=True, slots=True)
class EventList:
    cards: list[EventCard]
    paging: Page


@dataclass(frozen=True, slots=True)
class Notice:
    """A 系统 notice as it was decided; title and text are empty past the retention time."""

    at: Millis
    title: str
    text: str


# ---------------------------------------------------------------- events


def open_events(engine: Engine, real: Millis, *, drills: bool = False) -> list[DeskEvent]:
    """Open events, the highest level first; on one level those that wait for an answer first. drills: those of drills
    instead."""
    with engine.connect() as connection:
        found = desk_events.of_cards(connection, readmodel.open_events(connection, drill=drills), real)
    return sorted(found, key=lambda one: (-one.head.level, not one.urgent, not one.waits))


def settled_events(engine: Engine, since: Millis, limit: int = 8) -> list[EventCard]:
    """Events that became calm or were closed since a time, the latest first."""
    with engine.connect() as connection:
        cards = readmodel.events(connection, (EventStatus.CALM, EventStatus.CLOSED), limit=limit)
    return [card for card in cards if card.head.changed_at >= since]


def event_page(engine: Engine, ref: str, real: Millis, number: int = 1) -> EventPage | None:
    """One event by number or id with one page of its items; None if there is none."""
    with engine.connect() as connection:
        view = readmodel.event(connection, ref, members_limit=0)
        if view is None:
            return None
        table = schema.members
        count = connection.execute(
            select(func.count()).select_from(table).where(table.c.event_id == view.head.id)).scalar() or 0
        page = Page.of(count, number, ITEMS)
        found = readmodel.members(
            connection, view.head.id, subject=view.head.subject, limit=ITEMS, offset=page.start)
        card = EventCard(view.head, view.alert, view.expired)
        event, = desk_events.of_cards(connection, [card], real)
        return EventPage(event, view, found, page, _member_times(connection, view.head.id),
                         readmodel.counts_of(connection, [each.item_id for each in found]),
                         alert_reads.silences(connection, _silences_named(view)))


def _silences_named(view: readmodel.EventView) -> set[str]:
    codes = [*(one.suppressed_by for one in view.escalations), *(one.suppressed_by for one in view.deliveries),
             view.alert.held_by if view.alert else "",
             *(str(line.detail.get("suppressed_by", "")) for line in view.timeline)]
    return {code.removeprefix("silence:") for code in codes if code.startswith("silence:")}


def event_id(engine: Engine, ref: str) -> str | None:
    with engine.connect() as connection:
        return readmodel.event_id(connection, ref)


def list_events(engine: Engine, wanted: EventFilter, number: int = 1) -> EventList:
    """A page of events, those with the latest items first."""
    table = schema.events
    where = _conditions(wanted)
    with engine.connect() as connection:
        total = connection.execute(select(func.count()).select_from(table).where(*where)).scalar() or 0
        page = Page.of(total, number, PAGE)
        ids = connection.execute(
            select(table.c.id).where(*where).order_by(table.c.last_item_at.desc(), table.c.id)
            .limit(PAGE).offset(page.start)).scalars().all()
        return EventList(readmodel.cards(connection, ids), page)


def _conditions(wanted: EventFilter) -> list[Any]:
    table = schema.events
    # What never reached a level is shown only when asked for: most clusters never become events.
    found = [table.c.status == wanted.status if wanted.status else table.c.number > 0,
             table.c.shadow.is_(wanted.shadow or wanted.subject.startswith(SHADOW)),
             table.c.drill.is_(wanted.drill or wanted.subject.startswith(DRILL))]
    if wanted.level:
        found.append(table.c.peak >= wanted.level)
    if wanted.subject:
        found.append(table.c.subject == wanted.subject)
    if wanted.text:
        number = wanted.text.upper().removeprefix("S-" if wanted.shadow else "D-" if wanted.drill else "E-")
        by_number = [table.c.number == int(number)] if number.isdecimal() and len(number) <= 9 else []
        found.append(or_(table.c.title.contains(wanted.text, autoescape=True), *by_number))
    return found


def subjects_seen(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        events = schema.events.c
        live = (events.shadow.is_(False), events.drill.is_(False))
        return sorted(connection.execute(select(events.subject).where(*live).distinct()).scalars())


def _member_times(connection: Connection, ident: str) -> list[tuple[Millis, str]]:
    """(event time, origin) of every item of an event, oldest first: what the chart is drawn from."""
    table = schema.members
    rows = connection.execute(select(table.c.row).where(table.c.event_id == ident).order_by(table.c.at)).scalars()
    return [(row.at, row.origin) for row in (msgspec.json.decode(text, type=MemberRow) for text in rows)]


# ---------------------------------------------------------------- the rest


def notices(engine: Engine, limit: int = 10) -> list[Notice]:
    """The latest 系统 notices."""
    table = schema.escalations
    with engine.connect() as connection:
        rows = connection.execute(
            select(table.c.at, table.c.detail).where(table.c.kind == "system").order_by(table.c.at.desc()).limit(limit))
        return [_notice(row.at, row.detail) for row in rows]


def _notice(at: Millis, detail: str) -> Notice:
    if not detail:
        return Notice(at, "（文字已过保存期）", "")
    escalation: Escalation = codec.decode_as(Escalation, detail.encode())
    return Notice(at, escalation.title, escalation.text)


def books(engine: Engine, limit: int = 12) -> list[tuple[str, Millis]]:
    """(hash, when last published) of the rule books that were in force, the latest first."""
    table = schema.books
    with engine.connect() as connection:
        rows = connection.execute(
            select(table.c.hash, table.c.at).where(table.c.at > 0).order_by(table.c.at.desc(), table.c.hash)
            .limit(limit))
        return [(row.hash, row.at) for row in rows]


def new_items(engine: Engine, since: Millis, source_ids: Sequence[str]) -> dict[str, int]:
    """Items of these sources that were first seen since a time, by source."""
    table = schema.items                            # seen_at is never before first_seen_at: the index bounds the count
    with engine.connect() as connection:
        return {row.source_id: row.n for row in connection.execute(
            select(table.c.source_id, func.count().label("n"))
            .where(table.c.source_id.in_(source_ids), table.c.seen_at >= since, table.c.first_seen_at >= since)
            .group_by(table.c.source_id))}


@dataclass(frozen=True, slots=True)
class SourceItem:
    """An item in the list of its source."""

    id: str
    title: str
    url: str
    ref: str
    urgent: bool
    published_at: Millis | None
    first_seen_at: Millis
    revised_at: Millis | None
    expired: bool
    counts: readmodel.CountsNow | None


def source_items(engine: Engine, source_id: str, limit: int = 50) -> list[SourceItem]:
    """The items of a source that were collected last, newest first."""
    table = schema.items.c
    with engine.connect() as connection:
        rows = connection.execute(
            select(table.id, table.title, table.url, table.ref, table.urgent, table.published_at, table.first_seen_at,
                   table.revised_at, table.expired)
            .where(table.source_id == source_id).order_by(table.seen_at.desc(), table.id).limit(limit)).mappings().all()
        counts = readmodel.counts_of(connection, [row["id"] for row in rows])
        return [SourceItem(**row, counts=counts.get(row["id"])) for row in rows]


def source_item_count(engine: Engine, source_id: str) -> int:
    table = schema.items
    with engine.connect() as connection:
        return connection.execute(
            select(func.count()).select_from(table).where(table.c.source_id == source_id)).scalar() or 0


def poll_asked(engine: Engine, source_id: str, polled_at: Millis) -> PollRequest | None:
    """A wish for this source to be polled now that no poll has followed yet."""
    table = schema.commands
    with engine.connect() as connection:
        row = connection.execute(
            select(table.c.type, table.c.record).where(table.c.id == poll_ident(source_id, polled_at))).first()
    command = read_command(row.type, row.record) if row else None
    return command if isinstance(command, PollRequest) else None


def unsent_count(engine: Engine) -> int:
    table = schema.commands
    with engine.connect() as connection:
        waiting = select(func.count()).select_from(table).where(table.c.sent_at.is_(None))
        return connection.execute(waiting).scalar() or 0
