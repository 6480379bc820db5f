"""What the next shift has to know: open events, what is owed and until when, what is held back, what is not heard or
not delivered. Drills are left out.

Every function blocks: from a coroutine use `asyncio.to_thread`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, select

from agents.desk import silence_commands
from agents.desk.commands import Refused
from agents.desk.watch import survey
from agents.rule_expiry import expiring
from agents.settings import Settings
from agents.store import people_reads, readmodel, schema
from agents.store.readmodel import EventCard, Recipient, RunningClock
from pipeline.collect.health import Health
from pipeline.model import Ack, Act, AlertState, AlertStatus, DeliveryStatus, EventHead, EventStatus, Millis, Silence
from pipeline.rulebook.schema import DAY, HOUR, RuleBook

SHIFT = 12 * HOUR
"""Told of, when nobody says since when."""
MAX_BACK = 31 * DAY
LISTED = 200
"""Messages of one kind."""
ANSWERED = (AlertStatus.ACKED, AlertStatus.ENDED)


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An open event with who answered and who was told. acts: what people did last, oldest first. proposals: official
    items of which nobody has said whether they are statements."""

    card: EventCard
    acked: Ack | None
    acts: tuple[Act, ...]
    told: tuple[Recipient, ...]
    proposals: int

    @property
    def head(self) -> EventHead:
        return self.card.head

    @property
    def alert(self) -> AlertState | None:
        return self.card.alert

    @property
    def waits(self) -> bool:
        """Somebody still has to answer."""
        return self.alert is not None and self.alert.status not in ANSWERED


@dataclass(frozen=True, slots=True)
class Message:
    """One that has not been delivered, or never will be. since: when it was decided. error: of the last try."""

    id: str
    event_id: str
    number: str
    kind: str
    person: str
    channel: str
    status: DeliveryStatus
    attempts: int
    since: Millis
    error: str


@dataclass(frozen=True, slots=True)
class Handover:
    """As it stands `at`. settled: events that became calm or were closed since. dead: messages decided since that were
    given up; pending: all that wait. rules: expired and soon expiring ones, as sentences. unsent: decisions of people
    that the stream does not have yet. dead_letters: records set aside that nobody replayed."""

    at: Millis
    since: Millis
    events: tuple[OpenEvent, ...]
    settled: tuple[EventCard, ...]
    clocks: tuple[RunningClock, ...]
    silences: tuple[Silence, ...]
    rules: tuple[str, ...]
    blind: tuple[Health, ...]
    silent: tuple[Health, ...]
    pending: tuple[Message, ...]
    dead: tuple[Message, ...]
    unsent: int
    dead_letters: int

    @property
    def unanswered(self) -> tuple[OpenEvent, ...]:
        return tuple(each for each in self.events if each.waits)


def facts(engine: Engine, book: RuleBook | None, settings: Settings, now: Millis, since: Millis) -> Handover:
    """Everything at once, as the archive and the ledger have it."""
    heard = survey(engine, book, settings, now).coverage
    today = datetime.fromtimestamp(now / 1000, settings.zone).date()
    with engine.connect() as connection:
        settled = readmodel.events(connection, (EventStatus.CALM, EventStatus.CLOSED), limit=LISTED)
        return Handover(
            at=now, since=since, events=_open(connection),
            settled=tuple(card for card in settled if card.head.changed_at >= since),
            clocks=tuple(readmodel.running_clocks(connection, since=now - people_reads.FORGOTTEN)),
            silences=tuple(silence_commands.known(connection, now)),
            rules=tuple(expiring(book, today)) if book is not None else (),
            blind=heard.blind, silent=heard.silent,
            pending=_messages(connection, DeliveryStatus.PENDING, 0),
            dead=_messages(connection, DeliveryStatus.DEAD, since),
            unsent=len(_unsent(connection)), dead_letters=readmodel.dead_letter_count(connection))


def since_of(text: str, now: Millis, zone: ZoneInfo) -> Millis:
    """`12h` or `30m` back; `20:00`, the last one that there was; `2026-11-22 20:00`. A shift back for an empty text.
    Refused says how to write it."""
    wanted = text.strip()
    if not wanted:
        return now - SHIFT
    at: Millis | None = None
    if found := re.fullmatch(r"(\d{1,4})([mhd])", wanted):
        at = now - int(found[1]) * {"m": 60_000, "h": HOUR, "d": DAY}[found[2]]
    elif found := re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", wanted):
        local = datetime.fromtimestamp(now / 1000, zone)
        then = local.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        at = int((then if then <= local else then - timedelta(days=1)).timestamp() * 1000)
    else:
        try:
            moment = datetime.fromisoformat(wanted.replace("/", "-"))
            at = int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
        except (ValueError, OverflowError):
            at = None
    if at is None or not now - MAX_BACK <= at <= now:
        raise Refused("bad_since", "起始时间写作 12h、20:00 或 2026-11-22 20:00，最早 31 天前，不能晚于现在。")
    return at


def _open(connection: Connection) -> tuple[OpenEvent, ...]:
    """Those that wait for an answer first, then by level."""
    cards = readmodel.open_events(connection)
    ids = [card.head.id for card in cards]
    acks, acts = readmodel.last_acks(connection, ids), readmodel.acts(connection, ids)
    told = readmodel.told(connection, ids)
    found = [OpenEvent(card, acks.get(card.head.id), acts.get(card.head.id, ()), told.get(card.head.id, ()),
                       len(readmodel.proposals(connection, card.head)) if card.head.statements else 0)
             for card in cards]
    return tuple(sorted(found, key=lambda one: (not one.waits, -one.head.level)))


def _messages(connection: Connection, status: DeliveryStatus, since: Millis) -> tuple[Message, ...]:
    """Of deliver's ledger, the oldest first."""
    row = schema.outbox.c
    rows = connection.execute(
        select(row.id, row.event_id, row.kind, row.person, row.channel, row.attempts, row.decided_at, row.error)
        .where(row.status == str(status), row.decided_at >= since, row.drill.is_(False))
        .order_by(row.decided_at, row.id).limit(LISTED)).all()
    about = readmodel.cards(connection, sorted({each.event_id for each in rows}))
    numbers = {card.head.id: card.head.short for card in about}
    return tuple(Message(each.id, each.event_id, numbers.get(each.event_id, ""), each.kind, each.person, each.channel,
                         status, each.attempts, each.decided_at, each.error) for each in rows)


def _unsent(connection: Connection) -> list[str]:
    table = schema.commands.c
    return list(connection.execute(select(table.id).where(table.sent_at.is_(None))).scalars())
