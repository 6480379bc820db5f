"""What the page of deliveries shows: rows of the ledger, how each channel stands, the account of what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select, tuple_

from agents.desk import alert_reads
from agents.desk.paging import Page
from agents.store import account_reads
from agents.store.account_reads import Account, Listed, Query
from agents.store.schema import channel_state, outbox
from pipeline.model import DeliveryStatus, Millis, Silence
from pipeline.notify import pace
from pipeline.notify.breaker import Breaker, State
from pipeline.notify.pace import Bucket
from pipeline.rulebook.schema import DAY, RuleBook

PAGE = 50
ACCOUNTED: Millis = DAY
"""How far back the account goes."""
_STATE = {State.CLOSED: ("正常", "good"), State.OPEN: ("断开", "bad"), State.HALF_OPEN: ("试探中", "wait")}


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger. together: how many messages went out in one call with it, itself too. onward: where it goes
    if this channel fails, or went when it did."""

    row: Listed
    together: int
    onward: tuple[str, ...]

    @property
    def status(self) -> DeliveryStatus:
        return DeliveryStatus(self.row.status)

    @property
    def number(self) -> str:
        """`E-0317`, `D-0004`, empty if it is about no event."""
        return f"{'D' if self.row.drill else 'E'}-{self.row.number:04d}" if self.row.number else ""


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel. rate: calls a minute at most, 0 without a limit; left: of them now. known: the rules have it."""

    id: str
    state: str
    tone: str
    failures: int
    retry_in: Millis
    error: str
    rate: int
    left: int
    waiting: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows, with how many there are by status under the other filters. silences: that held some back."""

    rows: list[Entry]
    counts: Mapping[str, int]
    paging: Page
    silences: Mapping[str, Silence]


def find(connection: Connection, wanted: Query, number: int) -> Found:
    """wanted: its limit and offset are those of the page."""
    counts = _counts(connection, wanted)
    total = counts.get(wanted.status, 0) if wanted.status else sum(counts.values())
    paging = Page.of(total, number, PAGE)
    rows = account_reads.listed(connection, replace(wanted, limit=PAGE, offset=paging.start))
    together = _together(connection, rows)
    held = {each.suppressed_by.removeprefix("silence:") for each in rows if each.suppressed_by}
    return Found([Entry(each, together.get((each.channel, each.confirmed_at or 0), 1), _onward(each)) for each in rows],
                 counts, paging, alert_reads.silences(connection, held))


def _counts(connection: Connection, wanted: Query) -> dict[str, int]:
    where = [column == value for column, value in (
        (outbox.c.event_id, wanted.event), (outbox.c.channel, wanted.channel)) if value]
    if not wanted.drills:
        where.append(outbox.c.drill.is_(False))
    rows = connection.execute(select(outbox.c.status, func.count()).where(*where).group_by(outbox.c.status))
    return {str(status): int(count) for status, count in rows}


def _together(connection: Connection, rows: Sequence[Listed]) -> dict[tuple[str, Millis], int]:
    """How many messages each call carried, of the calls that these rows went out with: all get its time."""
    sent = {(each.channel, each.confirmed_at) for each in rows if each.confirmed_at}
    if not sent:
        return {}
    table = outbox.c
    found = connection.execute(
        select(table.channel, table.confirmed_at, func.count(table.escalation_id.distinct()))
        .where(tuple_(table.channel, table.confirmed_at).in_(sent), table.escalation_id != "")
        .group_by(table.channel, table.confirmed_at))
    return {(channel, at): int(count) for channel, at, count in found}


def _onward(row: Listed) -> tuple[str, ...]:
    names: tuple[str, ...] = msgspec.json.decode(row.next_channels or "[]", type=tuple[str, ...])
    return names


def channels(connection: Connection, book: RuleBook | None, real: Millis) -> list[ChannelView]:
    """Channels of the rules in their order, then those that only the ledger still knows. real: real time."""
    states = {row.channel: row for row in connection.execute(select(channel_state))}
    waiting = {channel: int(count) for channel, count in connection.execute(
        select(outbox.c.channel, func.count()).where(outbox.c.status == DeliveryStatus.PENDING)
        .group_by(outbox.c.channel))}
    rates = {each.id: pace.rate_of(each) for each in book.channels} if book else {}
    return [_channel(ident, states.get(ident), rates, waiting.get(ident, 0), real)
            for ident in (*rates, *sorted(set(waiting) - set(rates)))]


def _channel(ident: str, row: Row[Any] | None, rates: Mapping[str, int], waiting: int, real: Millis) -> ChannelView:
    rate = rates.get(ident, 0)
    breaker, bucket, error = Breaker(), Bucket(), ""
    if row is not None:
        breaker = Breaker(row.failures, row.opened, row.open_until, row.trial_until)
        bucket, error = Bucket(row.tokens, row.refilled_at), row.error
    word, tone = _STATE[breaker.state(real)]
    return ChannelView(ident, word, tone, breaker.failures, max(0, breaker.due(real) - real), error, rate,
                       max(0, int(bucket.refilled(rate, real).tokens)) if rate else 0, waiting, ident in rates)


def account(connection: Connection, now: Millis) -> Account:
    """Of the last day. What was decided just now may still be on its way to the ledger."""
    return account_reads.account(connection, now - ACCOUNTED, now - account_reads.GRACE)
