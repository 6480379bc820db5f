"""`wenxun rules lint`: what is allowed in rule files and yet probably not meant."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agents.commands.rule_common import (
    OK,
    add_dir,
    add_format,
    as_json,
    plain,
    print_github,
    print_json,
    report,
    rules_dir,
    settings,
    zone,
)
from agents.rule_files import read_dir
from agents.settings import Settings
from pipeline.errors import Problem, RuleBookError, SettingsError
from pipeline.rulebook.lint import CODES, History, lint
from pipeline.rulebook.schema import RuleBook

FOUND = 3


def add(actions: Any) -> None:
    codes = "\n".join(f"  {code}  {each.title}" for code, each in CODES.items())
    parser = actions.add_parser(
        "lint", help="find rules without owner, expired, never tested, shadowed by another … ",
        description=f"Codes:\n{codes}\n\nA comment in a file keeps it quiet there: # wenxun: ignore WX007\n"
                    "Exit codes: 0 nothing found, 3 findings, 1 files that cannot be used.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_dir(parser)
    add_format(parser)
    parser.add_argument("--ignore", action="append", default=[], type=_codes, metavar="CODES",
                        help="codes nobody wants to hear of, comma-separated")
    parser.add_argument("--no-archive", action="store_true", help="do not look at what the archive says of the rules")
    parser.set_defaults(run=run)


def _codes(text: str) -> list[str]:
    found = [each for each in re.split(r"[,\s]+", text.upper()) if each]
    unknown = [each for each in found if each not in CODES]
    if unknown:
        raise argparse.ArgumentTypeError(f"没有 {'、'.join(unknown)}；有 {'、'.join(CODES)}")
    return found


def run(args: argparse.Namespace) -> int:
    from pipeline.rulebook.cases import read_cases

    root = rules_dir(args)
    files = read_dir(root)
    try:
        book, places = files.parse_with_places(zone())
        cases = [each.case for each in read_cases(files.texts, book)]
    except RuleBookError as error:
        return report(error, args.format, root)
    history, why = (None, "") if args.no_archive else past(settings(), book)
    today = datetime.fromtimestamp(time.time(), ZoneInfo(book.timezone)).date()
    found = lint(book, files.texts, cases, today, places=places, history=history,
                 ignore={code for codes in args.ignore for code in codes})
    _print(found, args.format, root, why)
    return FOUND if found else OK


def past(settings: Settings, book: RuleBook) -> tuple[History | None, str]:
    """What the archive says of the book's subjects; or None, and why WX004, WX005 and WX010 are not looked for."""
    from agents.commands.rule_store import has_archive, lint_history, open_archive

    if not has_archive(settings):
        return None, "没有存档，没有查 WX004、WX005、WX010"
    try:
        with open_archive(settings) as connection:
            return lint_history(connection, book, int(time.time() * 1000)), ""
    except SettingsError as error:
        return None, f"存档用不了，没有查 WX004、WX005、WX010：{error}"


def _print(found: Sequence[Problem], form: str, root: Path, why: str) -> None:
    if form == "json":
        print_json({"ok": not found, "note": why, "findings": as_json(found)})
    elif form == "github":
        for each in found:
            print_github([each], root, "warning", f"{each.code} {CODES[each.code].title}")
    else:
        for each in found:
            print(plain(f"{each.file}:{each.line}:{each.column}: {each.code} {each.message}{each.hint}"))
        if why:
            print(f"（{why}）", file=sys.stderr)
        counted = Counter(each.code for each in found)
        listed = "，".join(f"{code} {count} 处" for code, count in sorted(counted.items()))
        print(f"共 {len(found)} 处：{listed}" if found else "没有发现问题")
