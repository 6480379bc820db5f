"""What people decide on the desk: written to SQL with its audit line first, sent to the stream after.

A command's id is a hash of what it means, so a double click is one command. A broker that is away delays a command
and loses none: `CommandSender` tries until it is acknowledged. The stream drops a command it has seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, select, update

from agents.clock import Clock
from agents.desk import audit
from agents.store import schema
from pipeline import codec, topics
from pipeline.ids import digest
from pipeline.model import Ack, AlertState, AlertStatus, Close, EventHead, EventStatus, Millis, Snooze
from pipeline.notify import wording

log = logging.getLogger(__name__)

Command = Ack | Snooze | Close
RESEND_AFTER = 30_000
"""The same decision again, this long (real milliseconds) after it was sent without effect, is sent again."""

MAX_NOTE = 500
MAX_SNOOZE = 24 * 3_600_000
REASONS = ("不相关", "重复", "已处置", "其他")
RETRY_SECONDS = 5.0


class Refused(Exception):
    """A command that makes no sense any more. The text tells the person why; `code` is for the API."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a command: new, or one that was accepted before. `note` tells of somebody else's."""

    id: str
    repeated: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Who decides about which event. at: the installation's clock; real: real time. via: the API token's name."""

    event_id: str
    by: str
    at: Millis
    real: Millis
    via: str = ""


def ack(engine: Engine, order: Order, alert_id: str, note: str = "") -> Accepted:
    """Answer the alert that the person saw; Refused when it is no longer the one that waits."""
    with engine.begin() as connection:
        head, alert = _standing(connection, order.event_id)
        waiting = _waiting(head, alert, alert_id)
        ident = digest(order.event_id, "alert.ack", alert_id, order.by)
        record = Ack(id=ident, event_id=head.id, alert_id=waiting.alert_id, by=order.by, at=order.at, note=_note(note))
        other = _other_ack(connection, record)
        accepted = _accept(connection, order, record, "alert.ack", f"{head.level_name}；{record.note}".rstrip("；"))
        return Accepted(ident, accepted.repeated, f"{other} 也刚刚提交了确认。" if other else "")


def snooze(engine: Engine, order: Order, alert_id: str, minutes: int) -> Accepted:
    """Silence the alert that the person saw for some minutes; Refused when it is no longer the one that waits."""
    length = minutes * 60_000
    if not 60_000 <= length <= MAX_SNOOZE:
        raise Refused("bad_length", "暂缓时间要在 1 分钟到 24 小时之间。")
    with engine.begin() as connection:
        head, alert = _standing(connection, order.event_id)
        waiting = _waiting(head, alert, alert_id)
        ident = digest(order.event_id, "alert.snooze", alert_id, order.by, waiting.revision)
        record = Snooze(id=ident, event_id=head.id, alert_id=waiting.alert_id, by=order.by, at=order.at,
                        until=order.at + length)
        return _accept(connection, order, record, "alert.snooze", f"{minutes} 分钟")


def close(engine: Engine, order: Order, version: int, reason: str, note: str = "") -> Accepted:
    """Close an event; Refused when it is closed. `version` is of the head that the person saw."""
    if reason not in REASONS:
        raise Refused("bad_reason", f"关闭原因要选一个：{'、'.join(REASONS)}。")
    if reason == "其他" and not note.strip():
        raise Refused("no_note", "选择“其他”时请写明原因。")
    with engine.begin() as connection:
        head, _ = _standing(connection, order.event_id)
        if head.status is EventStatus.CLOSED:
            why = f"（{head.closed_reason}）" if head.closed_reason else ""
            raise Refused("closed", f"事件已由 {head.closed_by or '他人'} 关闭{why}，无需再次关闭。")
        text = "：".join(part for part in (reason, _note(note)) if part)
        ident = digest(order.event_id, "event.close", version, order.by)
        record = Close(id=ident, event_id=head.id, key=head.key, by=order.by, at=order.at, reason=text)
        return _accept(connection, order, record, "event.close", text)


def _standing(connection: Connection, event_id: str) -> tuple[EventHead, AlertState | None]:
    row = connection.execute(
        select(schema.events.c.head, schema.alerts.c.state)
        .outerjoin(schema.alerts, schema.alerts.c.event_id == schema.events.c.id)
        .where(schema.events.c.id == event_id)).first()
    if row is None:
        raise Refused("not_found", "没有这个事件。")
    head: EventHead = codec.decode_as(EventHead, row.head.encode())
    alert: AlertState | None = codec.decode_as(AlertState, row.state.encode()) if row.state else None
    return head, alert


def _waiting(head: EventHead, alert: AlertState | None, alert_id: str) -> AlertState:
    """The alert, if it still waits for an answer and is the one that was seen."""
    if head.status is EventStatus.CLOSED:
        raise Refused("closed", f"事件已由 {head.closed_by or '他人'} 关闭，不再需要确认。")
    if alert is None:
        raise Refused("no_alert", "这个事件还没有发出提醒，不需要确认。")
    if alert.alert_id != alert_id:
        raise Refused("superseded", f"级别已变为{head.level_name or '未达级'}，这是新的提醒，请看过之后重新确认。")
    if alert.status is AlertStatus.ACKED:
        raise Refused("acked", f"{alert.acked_by} 已经确认了这次提醒，升级已停止。")
    if alert.status is AlertStatus.ENDED:
        raise Refused("ended", f"这次提醒已结束（事件{wording.EVENT_STATUS[head.status]}），不再需要确认。")
    return alert


def _other_ack(connection: Connection, record: Ack) -> str:
    """Who else answered the same alert, before it took effect."""
    rows = connection.execute(
        select(schema.commands.c.record)
        .where(schema.commands.c.event_id == record.event_id, schema.commands.c.type == "alert.ack")
        .order_by(schema.commands.c.accepted_at))
    others = (codec.decode_as(Ack, row.record.encode()) for row in rows)
    return next((one.by for one in others if one.alert_id == record.alert_id and one.by != record.by), "")


def _accept(connection: Connection, order: Order, record: Command, action: str, detail: str) -> Accepted:
    row = {"id": record.id, "event_id": record.event_id, "type": codec.type_name(record),
           "record": codec.encode(record).decode(), "accepted_at": order.real, "sent_at": None}
    if audit.insert_once(connection, schema.commands, row):
        about = f"{detail}（{order.via}）" if order.via else detail
        audit.write(connection, order.at, order.by, action, record.event_id, about)
        return Accepted(record.id, repeated=False)
    table = schema.commands
    connection.execute(
        update(table).where(table.c.id == record.id, table.c.sent_at < order.real - RESEND_AFTER)
        .values(sent_at=None))
    return Accepted(record.id, repeated=True)


def _note(note: str) -> str:
    return " ".join(note.split())[:MAX_NOTE]


# ---------------------------------------------------------------- sending


class Sender(Protocol):
    async def send(
        self, topic: str, key: str, record: codec.Value, *, ident: str, partition: int | None = None) -> None: ...


class CommandSender:
    """Sends accepted commands in their order, for ever trying again. One per desk process.

    open_bus makes a new connection to the broker; it may raise while the broker is away.
    """

    def __init__(self, engine: Engine, open_bus: Callable[[], AbstractAsyncContextManager[Sender]], *,
                 retry_seconds: float = RETRY_SECONDS, real: Clock | None = None) -> None:
        self._engine, self._open_bus, self._retry = engine, open_bus, retry_seconds
        self._real = real or Clock()
        self._wake = asyncio.Event()
        self.connected = False

    def wake(self) -> None:
        """A command was accepted: send it now. Call from the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._open_bus() as bus:
                    self.connected = True
                    await self._serve(bus)
            except Exception as error:  # broker or store away: commands wait in SQL
                log.warning("commands wait, next try in %gs: %s: %s", self._retry, type(error).__name__, error)
            finally:
                self.connected = False
            await asyncio.sleep(self._retry)

    async def _serve(self, bus: Sender) -> None:
        while True:
            self._wake.clear()
            for command in await asyncio.to_thread(unsent, self._engine):
                await self._send(bus, command)
            try:
                async with asyncio.timeout(self._retry):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _send(self, bus: Sender, command: Command) -> None:
        topic, key = _address(command)
        await bus.send(topic, key, command, ident=command.id)
        await asyncio.to_thread(_mark_sent, self._engine, command.id, self._real.now())


def unsent(engine: Engine) -> list[Command]:
    """Commands that the broker has not acknowledged, oldest first."""
    table = schema.commands
    with engine.connect() as connection:
        rows = connection.execute(
            select(table).where(table.c.sent_at.is_(None)).order_by(table.c.accepted_at, table.c.id))
        return [read_command(row.type, row.record) for row in rows]


def read_command(kind: str, record: str) -> Command:
    command: Any = codec.decode_as(codec.TYPES[kind], record.encode())
    assert isinstance(command, Ack | Snooze | Close)
    return command


def _address(command: Command) -> tuple[str, str]:
    if isinstance(command, Close):
        return topics.ITEMS_SCORED, command.key
    return topics.EVENTS, command.event_id


def _mark_sent(engine: Engine, ident: str, now: Millis) -> None:
    with engine.begin() as connection:
        connection.execute(update(schema.commands).where(schema.commands.c.id == ident).values(sent_at=now))
