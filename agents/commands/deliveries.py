"""`wenxun deliveries`: what became of every message, and the proof that none is unaccounted for."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pipeline.errors import WenxunError
from pipeline.model import DeliveryStatus, Escalation, EscalationKind, Millis
from pipeline.times import rfc3339

if TYPE_CHECKING:
    from agents.settings import Settings
    from agents.store.account_reads import Account, Listed

UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
WIDTH = 160
OK, FAILED = 0, 1


class DeliveriesError(WenxunError):
    """What was asked for cannot be shown."""


def add(groups: Any) -> None:
    parser = groups.add_parser("deliveries", help="what became of every message: list, show, audit")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="messages by receiver and channel, the newest first")
    listing.add_argument("--status", choices=[each.value for each in DeliveryStatus], help="only these")
    listing.add_argument("--event", default="", metavar="EVENT", help="number (E-0317) or id")
    listing.add_argument("--channel", default="", metavar="ID", help="of channels.yml")
    listing.add_argument("--person", default="", metavar="ID", help="of roster.yml")
    listing.add_argument("--since", metavar="TIME", help="decided since: 12h, 7d, or a date; default: any")
    listing.add_argument("--limit", type=int, default=50, help="how many (50)")
    listing.set_defaults(run=_list)
    show = verbs.add_parser("show", help="one message whole, or all of one decision")
    show.add_argument("id", help="of a delivery or of an escalation")
    show.add_argument("--as", dest="account", metavar="ACCOUNT", default="", help="who reads, for the audit")
    show.set_defaults(run=_show)
    audit = verbs.add_parser("audit", help="decided = confirmed + pending + dead + suppressed; names what is missing; "
                                           "exit code 1 if anything is")
    audit.add_argument("--since", metavar="TIME", help="12h, 7d, or a date; default: all that is kept")
    audit.set_defaults(run=_audit)
    for verb in (listing, show, audit):
        verb.add_argument("--format", choices=("text", "json"), default="text", help="json is for scripts")


def _list(args: argparse.Namespace) -> int:
    from agents.commands.rule_store import open_archive
    from agents.store import account_reads, readmodel

    settings = _settings()
    with open_archive(settings) as connection:
        event = readmodel.event_id(connection, args.event) if args.event else ""
        if event is None:
            raise DeliveriesError(f"没有事件 {args.event}。编号见值班台，或 wenxun event list")
        rows = account_reads.listed(connection, account_reads.Query(
            status=args.status or "", event=event, channel=args.channel, person=args.person, limit=max(1, args.limit),
            since=_since(args.since, settings)))
    if args.format == "json":
        print(json.dumps([_json(row) for row in rows], ensure_ascii=False, indent=2))
        return OK
    _print_rows(rows, settings.zone)
    return OK


def _show(args: argparse.Namespace) -> int:
    from agents.commands.acting import place, reader_of
    from agents.store import account_reads

    with place() as at:
        settings, account = at.settings, reader_of(at, args.account)
        with at.engine.connect() as connection:
            rows = account_reads.one(connection, args.id)
        if not rows:
            raise DeliveriesError(f"没有投递 {args.id}。编号见 wenxun deliveries list（文字过了保存期的记录也会删除）")
        at.write_read(account, "deliveries.read", args.id)
    if args.format == "json":
        print(json.dumps([_json(row) for row in rows], ensure_ascii=False, indent=2))
        return OK
    for row in rows:
        for name, value in _described(row, settings.zone):
            print(f"{name}　{value}")
        print()
    return OK


def _audit(args: argparse.Namespace) -> int:
    from agents.commands.rule_store import open_archive
    from agents.store import account_reads

    settings = _settings()
    now = _now(settings)
    with open_archive(settings) as connection:
        found = account_reads.account(connection, _since(args.since, settings), now - account_reads.GRACE)
    if args.format == "json":
        print(json.dumps({**asdict(found), "balanced": not found.missing}, ensure_ascii=False, indent=2))
    else:
        print("\n".join(_balance(found, settings.zone)))
    return FAILED if found.missing else OK


# ---------------------------------------------------------------- words


def _balance(found: Account, zone: ZoneInfo) -> list[str]:
    from pipeline.notify.wording import DELIVERY_STATUS

    words = {each: DELIVERY_STATUS[each] for each in (
        DeliveryStatus.CONFIRMED, DeliveryStatus.PENDING, DeliveryStatus.DEAD, DeliveryStatus.SUPPRESSED)}
    parts = " + ".join(f"{word} {found.messages[status]}" for status, word in words.items())
    rows = "，".join(f"{word} {found.rows.get(status, 0)}" for status, word in words.items())
    lines = [f"已决定 {found.decided} = {parts}" + (f" + 去向不明 {len(found.missing)}" if found.missing else ""),
             f"按接收人和通道：{rows}"]
    if not found.missing:
        return [*lines, "账目相符：每条已决定的消息都有去向（2 分钟内决定的不计）。"]
    lines.append("✗ 以下消息已决定，但投递记录里没有，死信里也没有：")
    lines += [f"  {each.id}  {_time(each.at, zone)}  {_kind(each.kind)}  事件 {each.event_id or '无'}"
              for each in found.missing]
    return [*lines, "请确认 deliver 正在运行（wenxun_consumer_lag_records）；它在追赶积压时稍后再查。"
                    "仍不相符时，请按上面的事件联系值班人，并报告为程序错误。"]


def _print_rows(rows: Sequence[Listed], zone: ZoneInfo) -> None:
    from rich.console import Console
    from rich.table import Table

    from pipeline.notify.wording import DELIVERY_STATUS

    if not rows:
        print("没有符合条件的投递记录。")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("编号", "决定时间", "事件", "种类", "接收人", "通道", "状态", "次数", "说明"):
        table.add_column(name, overflow="fold", no_wrap=name in ("编号", "决定时间"))
    for row in rows:
        table.add_row(
            row.id, _time(row.decided_at, zone), _number(row), _kind(row.kind), row.person,
            row.channel, DELIVERY_STATUS[DeliveryStatus(row.status)], str(row.attempts), _plain(_note(row)))
    Console(width=WIDTH, highlight=False, markup=False).print(table)


def _described(row: Listed, zone: ZoneInfo) -> list[tuple[str, str]]:
    from pipeline.notify.wording import DELIVERY_STATUS

    following = "、".join(json.loads(row.next_channels)) if row.next_channels else ""
    pairs = [
        ("编号　　", row.id), ("决定　　", row.escalation_id),
        ("事件　　", f"{_number(row)} {_plain(row.title)}".strip()),
        ("种类　　", _kind(row.kind) + ("（演练）" if row.drill else "")),
        ("接收人　", row.person), ("通道　　", row.channel + (f"（不通时：{following}）" if following else "")),
        ("状态　　", DELIVERY_STATUS[DeliveryStatus(row.status)]), ("次数　　", str(row.attempts)),
        ("决定时间", _time(row.decided_at, zone)),
        ("送达时间", _time(row.confirmed_at, zone) if row.confirmed_at is not None else ""),
        ("下次尝试", _time(row.next_try_at, zone) if row.status == DeliveryStatus.PENDING else ""),
        ("说明　　", _plain(_note(row))), ("内容　　", _content(row.text))]
    return [(name, value) for name, value in pairs if value]


def _note(row: Listed) -> str:
    from agents.desk.held_words import why

    return why(row.suppressed_by, {}) if row.suppressed_by else row.error


def _content(text: str) -> str:
    from pipeline import codec
    from pipeline.errors import CodecError
    from pipeline.notify.safe import line

    try:
        record: Escalation = codec.decode_as(Escalation, text.encode())
    except CodecError:
        return "（无法读出）"
    heads = (record.head, *record.digest)
    return line(record.title or "；".join(head.title for head in heads if head is not None) or record.why)


def _kind(kind: str) -> str:
    from pipeline.notify.wording import KIND

    return KIND[EscalationKind(kind)] if kind in set(EscalationKind) else kind


def _number(row: Listed) -> str:
    if not row.number:
        return row.event_id[:8]
    return f"{'D' if row.drill else 'E'}-{row.number:04d}"


def _json(row: Listed) -> dict[str, Any]:
    found = {**asdict(row), "decided_at": rfc3339(row.decided_at), "next_try_at": rfc3339(row.next_try_at),
             "confirmed_at": rfc3339(row.confirmed_at) if row.confirmed_at is not None else None,
             "next_channels": json.loads(row.next_channels) if row.next_channels else [], "number": _number(row)}
    text = found.pop("text")
    return {**found, **({"escalation": _parsed(text)} if text else {})}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    from pipeline.notify.safe import line

    return line(text)


def _time(at: Millis, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M:%S")


def _since(text: str | None, settings: Settings) -> Millis:
    if text is None:
        return 0
    if ago := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return max(0, _now(settings) - int(ago[1]) * UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=settings.zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise DeliveriesError(f"--since {text}：应写成 12h、7d 这样的时长，"
                              "或 2026-11-01、2026-11-01T08:00 这样的时间") from None


def _now(settings: Settings) -> Millis:
    from agents.clock import Clock

    return Clock.parse(settings.clock).now()


def _settings() -> Settings:
    from agents.settings import Settings

    return Settings.from_env(os.environ)
