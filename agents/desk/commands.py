"""What people decide on the desk: written to SQL with its audit line first, sent to the stream after.

A command's id is a hash of what it means, so a double click is one command. A broker that is away delays a command
and loses none: `sender.CommandSender` tries until it is acknowledged. The stream drops a command it has seen.
Here: answers, closing, polls. What else people do about an event: event_commands.py, silence_commands.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, select, update

from agents.desk import audit
from agents.store import schema
from pipeline import codec
from pipeline.collect.privacy import mask
from pipeline.ids import digest
from pipeline.model import (
    Ack,
    AlertState,
    AlertStatus,
    Close,
    Comment,
    Escalation,
    EventHead,
    EventStatus,
    HandOver,
    Millis,
    PollRequest,
    RawBatch,
    RulesAnswer,
    Silence,
    Snooze,
    Statement,
    Verdict,
)
from pipeline.notify import wording
from pipeline.rulebook.schema import RuleBook, SourceKind

Command = (Ack | Snooze | Close | HandOver | Comment | Statement | Silence | PollRequest | RawBatch | RulesAnswer
           | Verdict | Escalation)
"""Escalation: a notice that another system asked for."""
RESEND_AFTER = 30_000
"""The same decision again, this long (real milliseconds) after it was sent without effect, is sent again."""

MAX_NOTE = 500
MAX_SNOOZE = 24 * 3_600_000
REASONS = ("不相关", "重复", "已处置", "其他")


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
    """Who decides. event_id: about which event; else 20 hex digits of what it is about.

    at: the installation's clock; real: real time. via: the API token's name.
    """

    event_id: str
    by: str
    at: Millis
    real: Millis
    via: str = ""


def ack(engine: Engine, order: Order, alert_id: str, note: str = "") -> Accepted:
    """Answer the alert that the person saw; Refused when it is no longer the one that waits. Of two at once both count,
    and the second hears of the first."""
    with engine.begin() as connection:
        head, alert = standing(connection, order.event_id)
        waiting = answerable(head, alert, alert_id, order.at)
        handed = _last_hand_over(connection, head.id, waiting.alert_id)
        after = (handed.id,) if handed else ()          # one that was handed over asks for an answer once more
        ident = digest(head.id, "alert.ack", alert_id, order.by, *after)
        record = Ack(id=ident, event_id=head.id, alert_id=waiting.alert_id, by=order.by, at=order.at,
                     note=one_note(note), via=order.via)
        detail = f"{head.level_name}；{record.note}".rstrip("；")
        accepted = accept(connection, order, record, ident, "alert.ack", detail)
        first = _first_ack(connection, record, handed.at if handed else 0)
        told = f"{first.by} 已先确认（{ago(order.at - first.at)}），您的确认也已记下。" if first else ""
        if waiting.status is AlertStatus.EXPIRED:
            told += "这次提醒已过最后期限，确认记入时间线，状态仍是无人应答。"
        return Accepted(ident, accepted.repeated, told)


def snooze(engine: Engine, order: Order, alert_id: str, minutes: int) -> Accepted:
    """Silence the alert that the person saw for some minutes; Refused when it is no longer the one that waits."""
    length = minutes * 60_000
    if not 60_000 <= length <= MAX_SNOOZE:
        raise Refused("bad_length", "暂缓时间要在 1 分钟到 24 小时之间。")
    with engine.begin() as connection:
        head, alert = standing(connection, order.event_id)
        waiting = unexpired(answerable(head, alert, alert_id, order.at))
        ident = digest(order.event_id, "alert.snooze", alert_id, order.by, waiting.revision)
        record = Snooze(id=ident, event_id=head.id, alert_id=waiting.alert_id, by=order.by, at=order.at,
                        until=order.at + length, via=order.via)
        return accept(connection, order, record, ident, "alert.snooze", f"{minutes} 分钟")


def close(engine: Engine, order: Order, version: int, reason: str, note: str = "") -> Accepted:
    """Close an event; Refused when it is closed. `version` is of the head that the person saw."""
    if reason not in REASONS:
        raise Refused("bad_reason", f"关闭原因要选一个：{'、'.join(REASONS)}。")
    if reason == "其他" and not note.strip():
        raise Refused("no_note", "选择“其他”时请写明原因。")
    with engine.begin() as connection:
        head, _ = standing(connection, order.event_id)
        if head.status is EventStatus.CLOSED:
            raise Refused("closed", f"{closed_by(head, order.at)}，无需再次关闭。")
        text = "：".join(part for part in (reason, one_note(note)) if part)
        ident = digest(order.event_id, "event.close", version, order.by)
        record = Close(id=ident, event_id=head.id, key=head.key, by=order.by, at=order.at, reason=text)
        return accept(connection, order, record, ident, "event.close", text)


def standing(connection: Connection, event_id: str) -> tuple[EventHead, AlertState | None]:
    """The event and its alert. On PostgreSQL another command about the event waits until this one is written, so that
    of two at once the second sees the first; on SQLite the first write of a transaction waits so."""
    row = connection.execute(
        select(schema.events.c.head, schema.alerts.c.state)
        .outerjoin(schema.alerts, schema.alerts.c.event_id == schema.events.c.id)
        .where(schema.events.c.id == event_id).with_for_update(of=schema.events)).first()
    if row is None:
        raise Refused("not_found", "没有这个事件。")
    head: EventHead = codec.decode_as(EventHead, row.head.encode())
    alert: AlertState | None = codec.decode_as(AlertState, row.state.encode()) if row.state else None
    return head, alert


def current(head: EventHead, alert: AlertState | None, alert_id: str, now: Millis) -> AlertState:
    """The alert, if it has not ended and is the one that was seen."""
    if head.status is EventStatus.CLOSED:
        raise Refused("closed", f"{closed_by(head, now)}，不再需要确认。")
    if alert is None:
        raise Refused("no_alert", "这个事件还没有发出提醒，不需要确认。")
    if alert.alert_id != alert_id:
        raise Refused("superseded", f"级别已变为{head.level_name or '未达级'}，这是新的提醒，请看过之后重新确认。")
    if alert.status is AlertStatus.ENDED:
        raise Refused("ended", f"这次提醒已结束（事件{wording.EVENT_STATUS[head.status]}），不再需要确认。")
    return alert


def answerable(head: EventHead, alert: AlertState | None, alert_id: str, now: Millis) -> AlertState:
    """The alert, if it still waits for an answer and is the one that was seen."""
    waiting = current(head, alert, alert_id, now)
    if waiting.status is AlertStatus.ACKED:
        when = f"（{ago(now - waiting.acked_at)}）" if waiting.acked_at is not None else ""
        raise Refused("acked", f"{waiting.acked_by} 已经确认了这次提醒{when}，升级已停止。")
    return waiting


def unexpired(state: AlertState) -> AlertState:
    """The alert, if it still goes on: of one that expired nobody is told any more."""
    if state.status is AlertStatus.EXPIRED:
        raise Refused("expired", "这次提醒已过最后期限，不再通知任何人，不能暂缓或转交。可以确认、备注，或关闭事件。")
    return state


def closed_by(head: EventHead, now: Millis) -> str:
    """`事件已由 王强 关闭（3 天前，重复）`."""
    why = "，".join(part for part in (ago(now - head.decision.at), head.closed_reason) if part)
    return f"事件已由 {head.closed_by or '他人'} 关闭（{why}）"


def ago(length: Millis) -> str:
    """`刚刚`, `3 天 2 小时前`."""
    return f"{wording.duration(length - length % 60_000)}前" if length >= 60_000 else "刚刚"


def _last_hand_over(connection: Connection, event_id: str, alert_id: str) -> HandOver | None:
    return next((each for each in earlier(connection, event_id, HandOver) if each.alert_id == alert_id), None)


def _first_ack(connection: Connection, record: Ack, since: Millis) -> Ack | None:
    """Who else answered the same alert first, since it was handed over. Asked after `record` was written: what is there
    then was written before it, or is not older than it when it was sent once more."""
    given = [one for one in earlier(connection, record.event_id, Ack) if one.alert_id == record.alert_id]
    own = next(one.at for one in given if one.id == record.id)
    return next((one for one in reversed(given) if one.by != record.by and since <= one.at <= own), None)


R = TypeVar("R")


def earlier(connection: Connection, about: str, kind: type[R]) -> list[R]:
    """Commands of a kind that were accepted about an event (or what stands for one), the newest first."""
    table = schema.commands
    name = next(name for name, cls in codec.TYPES.items() if cls is kind)
    rows = connection.execute(
        select(table.c.record).where(table.c.event_id == about, table.c.type == name, table.c.record != "")
        .order_by(table.c.accepted_at.desc(), table.c.id.desc()))
    return [codec.decode_as(kind, text.encode()) for text in rows.scalars()]


def poll(engine: Engine, book: RuleBook | None, order: Order, source_id: str) -> Accepted:
    """Ask for a source to be polled now; Refused when nobody polls it. Once per poll: a second wish waits for it."""
    source = book.source(source_id) if book else None
    if source is None:
        raise Refused("not_found", "没有这个来源。")
    if source.kind is SourceKind.INTAKE:
        raise Refused("not_polled", "这是人工上报的来源，没有网址可采集。")
    if not source.enabled:
        raise Refused("not_polled", "这个来源已停用。请先在 sources.yml 里启用它（去掉 enabled: false）。")
    table = schema.sources
    with engine.begin() as connection:
        last = connection.execute(select(table.c.polled_at).where(table.c.id == source_id)).scalar() or 0
        ident = poll_ident(source_id, last)
        about = replace(order, event_id=poll_key(source_id))
        record = PollRequest(id=ident, source_id=source_id, by=order.by, at=order.at)
        return accept(connection, about, record, ident, "source.poll", "", shown=source_id)


def poll_ident(source_id: str, polled_at: Millis) -> str:
    """One request per poll: polled_at is of the last one, 0 for none."""
    return digest("poll", source_id, polled_at)


def poll_key(source_id: str) -> str:
    """What stands for a source in the column of event ids."""
    return digest("source", source_id)


def accept(connection: Connection, order: Order, record: Command, ident: str, action: str, detail: str, *,
           shown: str = "") -> Accepted:
    """Write a command and its audit line, once. shown: what the audit line is about, by default the event."""
    text = codec.encode(record).decode()
    row = {"id": ident, "event_id": order.event_id, "type": codec.type_name(record), "record": text,
           "accepted_at": order.real, "sent_at": None}
    if audit.insert_once(connection, schema.commands, row):
        about = f"{detail}（{order.via}）" if order.via else detail
        audit.write(connection, order.at, order.by, action, shown or order.event_id, about)
        return Accepted(ident, repeated=False)
    table = schema.commands
    connection.execute(
        update(table).where(table.c.id == ident, table.c.sent_at < order.real - RESEND_AFTER, table.c.record != "")
        .values(sent_at=None))
    return Accepted(ident, repeated=True)


def one_note(note: str) -> str:
    """On one line, at most MAX_NOTE characters, without personal data."""
    return mask(" ".join(note.split()))[:MAX_NOTE]


def read_command(kind: str, record: str) -> Command:
    command: Any = codec.decode_as(codec.TYPES[kind], record.encode())
    assert isinstance(command, Command)
    return command
