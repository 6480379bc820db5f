"""`wenxun event …`; `wenxun event verdict` and `wenxun rules verdict`: what a person says of an event or a match."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agents.commands import event_acts, event_views
from pipeline.errors import SettingsError
from pipeline.model import VerdictKind

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from agents.desk.commands import Accepted, Order

KINDS = tuple(kind.value.replace("_", "-") for kind in VerdictKind)


def add(groups: Any) -> None:
    actions = groups.add_parser("event", help="events, and what people do and say about them").add_subparsers(
        dest="action", required=True, metavar="ACTION")
    event_views.add(actions)
    event_acts.add(actions)
    one = actions.add_parser("verdict", help="say whether an event is relevant; each rule's ratio is made of this")
    one.add_argument("event", metavar="EVENT", help="number (E-0317; S-0317 in shadow) or id")
    _kind(one)
    one.set_defaults(run=run_event)


def add_match(actions: Any) -> None:
    """Below `wenxun rules`."""
    one = actions.add_parser("verdict", help="say whether an item's match with a subject is relevant")
    one.add_argument("--item", required=True, metavar="ID", help="of the item, as its page on the desk shows it")
    one.add_argument("--subject", required=True, metavar="SUBJECT", help="id of the subject; ~id in shadow")
    _kind(one)
    one.set_defaults(run=run_match)


def _kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help="|".join(KINDS))
    parser.add_argument("--note", default="", help="why, without names")
    parser.add_argument("--as", dest="account", metavar="ACCOUNT", default="",
                        help="in whose name (wenxun user list); default: the only admin")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run_event(args: argparse.Namespace) -> int:
    """0 when it is accepted, now or before; SettingsError says what is wrong."""
    from agents.desk import verdicts
    from agents.store import readmodel

    def said(store: Engine, order: Order) -> Accepted:
        with store.connect() as connection:
            known = readmodel.event_id(connection, args.event)
        return verdicts.on_event(store, replace(order, event_id=known or ""), args.kind, args.note)

    return _accept(args, args.event, said)


def run_match(args: argparse.Namespace) -> int:
    """Like run_event, of the match of an item with a subject."""
    from agents.desk import verdicts

    return _accept(args, f"{args.item} {args.subject}", lambda store, order: verdicts.on_match(
        store, order, args.item, args.subject, args.kind, args.note))


def _accept(args: argparse.Namespace, about: str, say: Callable[[Engine, Order], Accepted]) -> int:
    from agents.commands.acting import account_of, place
    from agents.desk.commands import Refused

    with place() as at:
        try:
            done = say(at.engine, at.order(account_of(at, args.account)))
        except Refused as refused:
            raise SettingsError(f"{about}：{refused}") from None
    if args.json:
        print(json.dumps({"id": done.id, "repeated": done.repeated}))
    else:
        print(f"{about}：{'同样的评价已经收过' if done.repeated else '已收下评价'}（{args.kind}）。")
    return 0
