"""`wenxun silence add|list|expire`: pages that are held back until a time, with who answers for it and why."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from agents.commands.acting import act, length, named, place, print_json, reader_of

if TYPE_CHECKING:
    from agents.commands.acting import Place
    from agents.desk.commands import Accepted


def add(groups: Any) -> None:
    actions = groups.add_parser("silence", help="hold pages back for a while").add_subparsers(
        dest="action", required=True, metavar="ACTION")
    one = actions.add_parser("add", help="begin a silence; what it holds back is recorded, and sent if it is still "
                                         "unanswered when the silence ends")
    one.add_argument("--for", dest="length", required=True, metavar="2h", help="1m to 30d")
    one.add_argument("--reason", required=True, metavar="TEXT", help="for the next shift")
    one.add_argument("--owner", default="", metavar="WHO", help="who answers for it; default: the account")
    for name, metavar, text in (
            ("--subject", "ID", "of subjects/"), ("--level", "NAME", "of levels.yml"),
            ("--group", "NAME", "of sources"), ("--region", "NAME", "of sources")):
        one.add_argument(name, action="append", default=[], metavar=metavar, help=f"{text}; may be written again")
    one.add_argument("--event", default="", metavar="EVENT", help="number (E-0317) or id")
    one.add_argument("--even-highest", action="store_true", help="yes, the highest level too; without it such a "
                                                                 "silence is refused")
    named(one)
    one.set_defaults(run=run_add)
    many = actions.add_parser("list", help="silences that have not ended")
    many.add_argument("--all", action="store_true", help="and those that ended in the last 30 days")
    many.add_argument("--format", choices=("text", "json"), default="text")
    many.add_argument("--as", dest="account", metavar="ACCOUNT", default="", help="who reads, for the audit")
    many.set_defaults(run=run_list)
    end = actions.add_parser("expire", help="end a silence now")
    end.add_argument("id", metavar="ID", help="or its first digits, as the list shows them")
    named(end)
    end.set_defaults(run=run_expire)


def run_add(args: argparse.Namespace) -> int:
    from agents.desk import silence_commands
    from agents.desk.silence_commands import Wanted

    lasts = length(args.length, "--for")

    def accept(at: Place, account: str) -> Accepted:
        wanted = Wanted(lasts, args.reason, args.owner or account, args.event, tuple(args.subject), tuple(args.level),
                        tuple(args.group), tuple(args.region))
        return silence_commands.add(at.engine, at.book(), at.order(account), wanted, even_highest=args.even_highest)

    return act(args, "", f"已提交静默 {args.length}", accept)


def run_list(args: argparse.Namespace) -> int:
    from agents.desk import handover_json, handover_words, silence_commands
    from agents.desk.describe import Names
    from agents.store import readmodel

    with place() as at:
        account = reader_of(at, args.account)
        with at.engine.connect() as connection:
            found = silence_commands.known(
                connection, at.now, ended_since=at.now - silence_commands.MAX_LENGTH if args.all else None)
            cards = readmodel.cards(connection, [each.event_id for each in found if each.event_id])
        at.write_read(account, "silences.read", "silences")
        names = Names(at.book())
    numbers = {card.head.id: card.head.short for card in cards}
    if args.format == "json":
        return print_json({"silences": [handover_json.silence(each, at.now, numbers) for each in found]})
    for each in found:
        print(handover_words.silence(each, names, numbers, at.now, at.settings.zone))
    if not found:
        print("没有生效的静默。" if not args.all else "没有静默。")
    return 0


def run_expire(args: argparse.Namespace) -> int:
    from agents.desk import silence_commands

    return act(args, "", "已提交结束静默", lambda at, account: silence_commands.expire(
        at.engine, at.order(account), args.id))
