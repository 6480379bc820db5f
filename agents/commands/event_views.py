"""`wenxun event list|show`: events as the archive has them, for people and for scripts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from agents.commands.acting import place, print_json, reader_of
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.commands.acting import Place
    from agents.store.readmodel import EventView

LISTED = 200
LINES = 40
"""The last lines of a timeline; `--all` has them all."""


def add(actions: Any) -> None:
    """Below `wenxun event`."""
    many = actions.add_parser("list", help="events, the highest level first, with alerts and clocks")
    which = many.add_mutually_exclusive_group()
    which.add_argument("--open", action="store_true", help="open ones (default)")
    which.add_argument("--all", action="store_true", help="calm and closed ones too, the latest first")
    which.add_argument("--drills", action="store_true", help="those of drills")
    _reading(many, run_list)
    one = actions.add_parser("show", help="one event: level, clocks, statements, what people did, who was told")
    one.add_argument("event", metavar="EVENT", help="number (E-0317; D-0003 of a drill) or id")
    one.add_argument("--all", action="store_true", help="the whole timeline")
    _reading(one, run_show)


def _reading(parser: argparse.ArgumentParser, run: Any) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--as", dest="account", metavar="ACCOUNT", default="", help="who reads, for the audit")
    parser.set_defaults(run=run)


def run_list(args: argparse.Namespace) -> int:
    from agents.desk import event_json, event_words
    from agents.desk.describe import Names
    from agents.store import readmodel
    from pipeline.model import EventStatus

    every = (EventStatus.OPEN, EventStatus.CALM, EventStatus.CLOSED)
    with place() as at:
        account = reader_of(at, args.account)
        with at.engine.connect() as connection:
            cards = readmodel.events(
                connection, every if args.all or args.drills else (EventStatus.OPEN,), limit=LISTED,
                by_level=not (args.all or args.drills), drill=args.drills)
            clocks = readmodel.clocks_of(connection, [card.head.id for card in cards])
        at.write_read(account, "events.read", "events")
        names = Names(at.book())
    if args.format == "json":
        return print_json({"events": [event_json.summary(card.head, card.alert, clocks.get(card.head.id))
                                      for card in cards]})
    for card in cards:
        known = clocks.get(card.head.id)
        print(event_words.listed(card, known.clocks if known else (), names, at.now, at.settings.zone))
    if not cards:
        print("没有演练的事件。" if args.drills else "没有事件。" if args.all else "没有处置中的事件。")
    return 0


def run_show(args: argparse.Namespace) -> int:
    from agents.desk import describe, event_json
    from agents.store import readmodel

    with place() as at:
        account = reader_of(at, args.account)
        with at.engine.connect() as connection:
            view = readmodel.event(connection, args.event, members_limit=0)
        if view is None:
            raise SettingsError(f"没有事件 {args.event}。写 E-0317 这样的编号；用 wenxun event list --all 看有哪些。")
        at.write_read(account, "event.read", view.head.short or view.head.id)
        names = describe.Names(at.book())
        lines = list(_shown(at, view, names, LINES if not args.all else len(view.timeline)))
    if args.format == "json":
        return print_json(event_json.whole(view, describe.why(view.head, names)))
    print("\n".join(lines))
    return 0


def _shown(at: Place, view: EventView, names: Any, most: int) -> Iterator[str]:
    from agents.desk import event_words
    from agents.store import readmodel

    idents = {one.suppressed_by.removeprefix("silence:") for one in view.escalations}
    with at.engine.connect() as connection:
        found = (readmodel.silence(connection, ident) for ident in sorted(idents - {""}))
        silences = {each.id: each for each in found if each is not None}
    yield from event_words.shown(view, names, silences, at.now, at.settings.zone, most)
