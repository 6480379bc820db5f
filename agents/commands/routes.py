"""`wenxun routes test`: who would be told when of an alert that nobody answers, without Kafka."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agents.commands.rule_common import OK, print_json, report, settings, zone
from agents.plain_items import moment
from agents.rule_files import load_book
from pipeline.errors import RuleBookError, SettingsError, WenxunError
from pipeline.model import OPEN_SUBJECT, Millis
from pipeline.rulebook.kinds import nearest
from pipeline.rulebook.schema import INTAKE, RuleBook, Source

HELP = """\
Who would be told when, by which channel, if an event of this subject reached this level and nobody answered: steps and
rounds, quiet hours, response clocks, who is on duty then. Decided by what escalate and deliver use; nothing is sent."""


def add(groups: Any) -> None:
    routes = groups.add_parser("routes", help="try routes.yml and roster.yml, without Kafka")
    actions = routes.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser("test", help="who would be told when, by which channel", description=HELP,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    test.add_argument("--level", required=True, metavar="NAME", help="a level of levels.yml, for example 重大")
    test.add_argument("--subject", default=OPEN_SUBJECT, metavar="ID",
                      help="a subject; default: what belongs to none (*)")
    test.add_argument("--group", action="append", default=[], metavar="NAME", help="a source group of the event")
    test.add_argument("--region", action="append", default=[], metavar="NAME", help="a region of the event's sources")
    test.add_argument("--at", metavar="TIME", help="when it reaches the level, for example \"2026-12-01 03:00\"")
    test.add_argument("--rules", type=Path, metavar="DIR", help="default: WENXUN_RULES_DIR, else rules")
    test.add_argument("--format", choices=("text", "json"), default="text", metavar="FORMAT",
                      help="text (default) or json")
    test.set_defaults(run=run_test)


def run_test(args: argparse.Namespace) -> int:
    """0; 1 when the rules cannot be used; SettingsError names what they do not have."""
    from agents.commands.route_words import as_json, lines
    from pipeline.unanswered import event_at

    try:
        book = load_book(args.rules or settings().rules_dir, zone())
    except RuleBookError as error:
        return report(error, args.format)
    _known("--level", args.level, [each.name for each in book.levels.ladder], "级别")
    _known("--subject", args.subject, [OPEN_SUBJECT, *(each.id for each in book.subjects)], "主题")
    for name in args.group:
        _known("--group", name, _groups(book), "来源分组")
    for name in args.region:
        _known("--region", name, [each.region for each in book.sources if each.region], "地区标签")
    head = event_at(book, args.level, args.subject, _at(args.at, book), tuple(args.group), tuple(args.region))
    if args.format == "json":
        print_json(as_json(book, head))
        return OK
    for line in lines(book, head):
        print(line)
    return OK


def _at(written: str | None, book: RuleBook) -> Millis:
    if written is None:
        return int(time.time()) * 1000
    try:
        return moment("--at", 1, written, ZoneInfo(book.timezone))
    except WenxunError:
        raise SettingsError(f"--at {written}：应写成 \"2026-12-01 03:00\"") from None


def _groups(book: RuleBook) -> list[str]:
    """Those that sources name, and those that need no source."""
    return [each.group for each in (*book.sources, INTAKE, Source(id="", name=""))]


def _known(option: str, wanted: str, known: list[str], what: str) -> None:
    if wanted not in known:
        meant = nearest(wanted, known)
        listed = "、".join(dict.fromkeys(known)) or "没有"
        hint = f"是不是 {meant}？" if meant else f"已有：{listed}"
        raise SettingsError(f"{option} {wanted}：没有这个{what}。{hint}")
