"""`wenxun rules explain`: why a text matches what it matches, and what an event lacks for its next level."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from agents.commands.rule_common import OK, print_json, report, settings, zone
from agents.plain_items import moment
from agents.rule_files import load_book
from pipeline.errors import RuleBookError, SettingsError
from pipeline.ids import digest
from pipeline.model import Millis, RawItem
from pipeline.rulebook.schema import RuleBook

if TYPE_CHECKING:
    from agents.commands.rule_store import StoredEvent, StoredItem

UNNAMED = "unnamed"
"""Source of a text that was typed in without one."""

HELP = """\
A text is looked at by the rules of --rules (default: WENXUN_RULES_DIR, else rules). An item or an event is read from
the archive and looked at by the rules that were in force when it was decided, or by --rules."""


def add(actions: Any) -> None:
    parser = actions.add_parser("explain", help="why a text matches or does not; what an event lacks for a level",
                                description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=Path, metavar="DIR")
    parser.add_argument("--text", metavar="TEXT", help="a text as it may come from a feed")
    parser.add_argument("--title", default="", metavar="TITLE", help="its title")
    parser.add_argument("--source", default=UNNAMED, metavar="ID", help="its source; some rules look at source groups")
    parser.add_argument("--at", metavar="TIME", help="when it is first seen; of an event, when it is looked at")
    parser.add_argument("--item", metavar="ID", help="an item of the archive")
    parser.add_argument("--event", metavar="E-0317|ID", help="an event of the archive")
    parser.add_argument("--subject", action="append", default=[], metavar="ID",
                        help="explain this rule even if nothing of it occurs")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        return _run(args)
    except RuleBookError as error:
        return report(error)


def _run(args: argparse.Namespace) -> int:
    wanted = [bool(args.text is not None or args.title), args.item is not None, args.event is not None]
    if sum(wanted) != 1:
        raise SettingsError("写 --text（可加 --title）、--item 或 --event 中的一种")
    at = moment("--at", 1, args.at, ZoneInfo(zone())) if args.at else None
    if args.event is not None:
        return _event(args, at)
    if args.item is not None:
        return _item(args)
    book = load_book(_rules(args), zone())
    now = int(time.time() * 1000) if at is None else at
    text = args.text or ""
    item = RawItem(
        id=digest("explain", args.title, text), revision=digest(args.title, text, size=8), source_id=args.source,
        title=args.title, text=text, url="", first_seen_at=now, published_at=now)
    _show_text(args, item, book)
    return OK


def _rules(args: argparse.Namespace) -> Path:
    found: Path | None = args.rules
    return found or settings().rules_dir


def _item(args: argparse.Namespace) -> int:
    from agents.commands.rule_store import open_archive, stored_item

    with open_archive(settings()) as connection:
        found: StoredItem = stored_item(connection, args.item)
    book = load_book(args.rules, zone()) if args.rules else found.book
    _show_text(args, found.item, book, found.notes)
    return OK


def _event(args: argparse.Namespace, at: Millis | None) -> int:
    from agents.commands.rule_explained import event_as_json, event_lines
    from agents.commands.rule_store import open_archive, stored_event
    from pipeline.explain import explain_event

    now = int(time.time() * 1000)
    given = load_book(args.rules, zone()) if args.rules else None
    with open_archive(settings()) as connection:
        found: StoredEvent = stored_event(connection, args.event, given, at, now)
    explained = explain_event(found.event, found.book, found.at)
    if args.json:
        print_json({**event_as_json(explained, found.book), "notes": found.notes})
        return OK
    for line in (*event_lines(explained, found.book), *(f"（{note}）" for note in found.notes)):
        print(line)
    return OK


def _show_text(args: argparse.Namespace, item: RawItem, book: RuleBook, notes: tuple[str, ...] = ()) -> None:
    from agents.commands.rule_explained import text_as_json, text_lines
    from pipeline.explain import explain_text
    from pipeline.score.score import Scorer

    unknown = [each for each in args.subject if book.subject(each) is None]
    if unknown:
        raise SettingsError(f"没有主题 {'、'.join(unknown)}。有：{'、'.join(each.id for each in book.subjects[:20])}")
    explained = explain_text(Scorer(book), item, args.subject)
    if args.json:
        print_json({**text_as_json(explained), "notes": notes})
        return
    for line in (*text_lines(explained, book), *(f"（{note}）" for note in notes)):
        print(line)
