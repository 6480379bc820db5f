"""`wenxun event ack|snooze|close|comment|handover|statement`: the desk's own commands, in an account's name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from agents.commands.acting import act, length, named
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from agents.commands.acting import Place
    from agents.desk.commands import Accepted
    from pipeline.model import EventHead


def add(actions: Any) -> None:
    """Below `wenxun event`."""
    one = _action(actions, "ack", run_ack, "answer the alert of an event; the next one is not told then")
    _note(one)
    _alert(one)
    one = _action(actions, "snooze", run_snooze, "put an alert off; whoever is next is told after that")
    one.add_argument("--for", dest="length", required=True, metavar="30m", help="1m to 24h")
    _alert(one)
    one = _action(actions, "close", run_close, "close an event")
    one.add_argument("--reason", required=True, metavar="REASON", help="不相关 or 重复 (clocks stop), 已处置, 其他")
    _note(one)
    one = _action(actions, "comment", run_comment, "note something on an event's timeline")
    one.add_argument("text", metavar="TEXT")
    one = _action(actions, "handover", run_hand_over, "hand an alert to a duty role or team, who is paged")
    one.add_argument("--to", required=True, metavar="WHO", help="id or name of roster.yml")
    _note(one)
    _alert(one)
    one = _action(actions, "statement", run_statement, "say what the office answered; its clocks stop")
    for name, metavar, text in (
            ("--url", "URL", "where it is published"), ("--title", "TITLE", ""), ("--text", "TEXT", ""),
            ("--source", "NAME", "who published it"), ("--at", "TIME", "when, as '2026-11-22 03:12'; default: now"),
            ("--item", "ID", "of an official item that is proposed (wenxun event show)")):
        one.add_argument(name, metavar=metavar, default="", help=text)
    one.add_argument("--clock", action="append", default=[], metavar="ID", help="which it stops; default: the first")
    one.add_argument("--reject", action="store_true", help="with --item: it is no statement on this event")


def _action(actions: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = actions.add_parser(name, help=text)
    one.add_argument("event", metavar="EVENT", help="number (E-0317) or id")
    named(one)
    one.set_defaults(run=run)
    return one


def _note(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--note", default="", metavar="TEXT", help="for whoever comes next, without names")


def _alert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--alert", default="", metavar="ID", help="of the alert that was seen; default: the last")


def run_ack(args: argparse.Namespace) -> int:
    from agents.desk import commands

    def accept(at: Place, account: str) -> Accepted:
        head = at.head(args.event)
        return commands.ack(at.engine, at.order(account, head.id), _seen(at, head, args.alert), args.note)

    return act(args, args.event, "已提交确认，不再通知下一位", accept)


def run_snooze(args: argparse.Namespace) -> int:
    from agents.desk import commands

    minutes = length(args.length, "--for") // 60_000

    def accept(at: Place, account: str) -> Accepted:
        head = at.head(args.event)
        return commands.snooze(at.engine, at.order(account, head.id), _seen(at, head, args.alert), minutes)

    return act(args, args.event, f"已提交暂缓 {args.length}", accept)


def run_close(args: argparse.Namespace) -> int:
    from agents.desk import commands

    def accept(at: Place, account: str) -> Accepted:
        head = at.head(args.event)
        return commands.close(at.engine, at.order(account, head.id), head.version, args.reason, args.note)

    return act(args, args.event, f"已提交关闭，原因 {args.reason}", accept)


def run_comment(args: argparse.Namespace) -> int:
    from agents.desk import event_commands

    return act(args, args.event, "已提交备注", lambda at, account: event_commands.comment(
        at.engine, at.order(account, at.head(args.event).id), args.text))


def run_hand_over(args: argparse.Namespace) -> int:
    from agents.desk import event_commands

    def accept(at: Place, account: str) -> Accepted:
        head = at.head(args.event)
        return event_commands.hand_over(
            at.engine, at.book(), at.order(account, head.id), _seen(at, head, args.alert), args.to, args.note)

    return act(args, args.event, f"已提交转交给 {args.to}，等对方确认", accept)


def run_statement(args: argparse.Namespace) -> int:
    from agents.desk import event_commands

    if args.reject and not args.item:
        raise SettingsError("--reject 要和 --item 一起写：哪一条不是官方回应。")
    if args.item and (args.url or args.title or args.text or args.at or args.source):
        raise SettingsError("--item 的内容以条目为准，不能再写 --url、--title、--text、--source 或 --at。")

    def accept(at: Place, account: str) -> Accepted:
        order = at.order(account, at.head(args.event).id)
        if args.reject:
            return event_commands.reject(at.engine, order, args.item)
        if args.item:
            return event_commands.confirm(at.engine, at.book(), order, args.item, args.clock)
        return event_commands.statement(at.engine, at.book(), order, _said(at, args))

    return act(args, args.event, "已记为不是官方回应" if args.reject else "已登记官方回应", accept)


def _said(at: Place, args: argparse.Namespace) -> Any:
    from agents.desk.event_commands import Said
    from pipeline.collect import intake

    try:
        when = intake.moment(args.at, at.settings.zone)
    except intake.BadReport:
        raise SettingsError(f"--at {args.at}：发布时间写作 '2026-11-22 03:12'。") from None
    return Said(args.title, args.text, args.url, args.source, when, tuple(args.clock))


def _seen(at: Place, head: EventHead, alert_id: str) -> str:
    """The alert that the command is about."""
    from agents.store import readmodel

    if alert_id:
        return alert_id
    with at.engine.connect() as connection:
        alert = readmodel.alert(connection, head.id)
    return alert.alert_id if alert is not None else ""
