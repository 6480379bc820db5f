"""`wenxun sources check|add|import|export|list`: what is collected, looked at before it is and while it is."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.commands.source_lists import run_export, run_import, run_list
from agents.commands.source_look import (
    FAILED,
    OK,
    SourceError,
    edit_json,
    looking,
    print_json,
    problems,
    read_file,
    said,
    settings_of,
    written,
)
from pipeline.collect.health import HealthState
from pipeline.errors import RuleBookError

if TYPE_CHECKING:
    from agents.feeds.checkup import Checkup
    from agents.settings import Settings
    from pipeline.rulebook.schema import RuleBook, Source

FORMATS = ("auto", "feed", "discourse", "nodebb")


def add(groups: Any) -> None:
    top = groups.add_parser("sources", help="look at feeds, add them to sources.yml, see how they are")
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = _action(actions, "check", run_check, "look at a feed, a page or a file once: kind, charset, dates, "
                    "items as they would be stored, robots.txt, validators, advice")
    check.add_argument("what", metavar="URL|FILE", help="an address, rsshub:/…, a file, or the id of a source")
    _reading(check)
    check.add_argument("--timezone", metavar="ZONE", help="of dates without one; default: WENXUN_TIMEZONE")
    one = _action(actions, "add", run_add, "check an address and add it to sources.yml; of a page, its feed")
    one.add_argument("what", metavar="URL", help="of a feed or of a page that leads to one, or rsshub:/…")
    _reading(one)
    for name, metavar in (("--id", "ID"), ("--name", "NAME"), ("--group", "GROUP"), ("--interval", "5m")):
        one.add_argument(name, metavar=metavar, default="")
    one.add_argument("--official", action="store_true", help="our own authority's statements")
    one.add_argument("--full-text", action="store_true", help="read the pages that entries link to")
    one.add_argument("--yes", action="store_true", help="take the first of several feeds without asking")
    many = _action(actions, "import", run_import, "add the feeds of an OPML file, each checked first")
    many.add_argument("file", type=Path, metavar="FILE.opml")
    many.add_argument("--group", default="", help="for all of them, instead of the file's folders")
    many.add_argument("--check", action=argparse.BooleanOptionalAction, default=True, help="ask each feed first")
    many.add_argument("--all", action="store_true", help="add those that failed the check too")
    many.add_argument("--dry-run", action="store_true", help="write nothing")
    export = _action(actions, "export", run_export, "write the sources as OPML, groups as folders", scripts=False)
    export.add_argument("file", type=Path, nargs="?", metavar="FILE.opml", help="default: standard output")
    listed = _action(actions, "list", run_list, "the sources with their state, and which of them are not heard")
    listed.add_argument("--state", choices=[str(each) for each in HealthState], help="only those in this state")


def _action(actions: Any, name: str, run: Any, words: str, *, scripts: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=words)
    parser.add_argument("--rules", type=Path, metavar="DIR", help="default: WENXUN_RULES_DIR, else rules")
    if scripts:
        parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(run=run)
    return parser


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, default="", help="how to read it; default: found out")


# ---------------------------------------------------------------- check


def run_check(args: argparse.Namespace) -> int:
    """0 when it is a feed that can be collected, 1 when not."""
    from agents.commands.source_words import checkup_json, checkup_lines

    settings = settings_of(args)
    seen = asyncio.run(_checked(args, settings))
    if args.json:
        print_json(checkup_json(seen))
    else:
        print("\n".join(checkup_lines(seen, settings.zone)))
    return OK if seen.ok else FAILED


async def _checked(args: argparse.Namespace, settings: Settings) -> Checkup:
    from agents.feeds.checkup import check_bytes

    path = Path(args.what)
    async with looking(args, settings) as (look, parser, how):
        if "://" not in args.what and path.is_file():
            body, name = read_file(path), str(path)
            return await check_bytes(body, how, parser=parser, name=name)
        return await look(args.what, how)


# ---------------------------------------------------------------- add


def run_add(args: argparse.Namespace) -> int:
    """0 when it is in sources.yml (now or already), 1 when the address is no feed."""
    from agents.commands.source_words import checkup_json, checkup_lines
    from agents.rule_files import load_book

    settings = settings_of(args)
    try:
        book = load_book(settings.rules_dir, settings.timezone)     # before anything is asked
    except RuleBookError as error:
        return problems(error)
    _free(args.id, book)
    seen = asyncio.run(_checked_url(args, settings))
    chosen = _chosen(args, seen)
    if chosen is None:
        if args.json:
            print_json(checkup_json(seen))
        else:
            print("\n".join(checkup_lines(seen, settings.zone)), file=sys.stderr)
        return FAILED
    return _write(args, settings, [_source(args, seen, *chosen)])


async def _checked_url(args: argparse.Namespace, settings: Settings) -> Checkup:
    async with looking(args, settings) as (look, _, how):
        seen: Checkup = await look(args.what, how)
        return seen


def _chosen(args: argparse.Namespace, seen: Checkup) -> tuple[str, str] | None:
    """(address, title) of the feed: this one, or one of those that the page leads to; None when there is none."""
    from agents.feeds.advice import resolved

    if seen.ok:
        url = args.what.strip()
        return url if url.startswith("rsshub:") else seen.moved_to or resolved(url, ""), seen.title
    found = seen.usable
    if not found:
        return None
    if len(found) > 1 and not args.yes:
        return _asked(found)
    return found[0].url, found[0].title


def _asked(found: Sequence[Any]) -> tuple[str, str]:
    """The one that a person chooses; SourceError lists them when nobody can be asked."""
    lines = [f"  {number}. {each.url}（{each.why}，{each.entries} 条）" for number, each in enumerate(found, 1)]
    listing = "这个网页有几个订阅：\n" + "\n".join(lines)
    if not sys.stdin.isatty():
        raise SourceError(f"{listing}\n直接给出其中一个网址，或加 --yes 用第一个。")
    print(listing, file=sys.stderr)
    answer = input("用哪一个？（直接回车用第 1 个）").strip() or "1"
    if not answer.isdecimal() or not 1 <= int(answer) <= len(found):
        raise SourceError(f"没有第 {answer} 个，没有改动。")
    each = found[int(answer) - 1]
    return each.url, each.title


def _source(args: argparse.Namespace, seen: Checkup, url: str, title: str) -> Source:
    from pipeline.collect.opml import host_name, proposed_id
    from pipeline.rulebook.kinds import UNITS
    from pipeline.rulebook.schema import Source, SourceFormat

    name = (args.name or title or host_name(url))[:200]
    more: dict[str, Any] = {"group": args.group} if args.group else {}
    if args.interval:
        if not re.fullmatch(r"[0-9]{1,6}[smhd]", args.interval):
            raise SourceError(f"--interval {args.interval}：写作 30s、5m、2h 或 1d。")
        more["interval"] = int(args.interval[:-1]) * UNITS[args.interval[-1]]
    if args.format and seen.ok:
        more["format"] = SourceFormat(args.format)
    return Source(id=args.id or proposed_id(url, name), name=name, url=url, official=args.official,
                  full_text=args.full_text, **more)


def _free(ident: str, book: RuleBook) -> None:
    if ident and not re.fullmatch(r"[a-z0-9_-]{1,64}", ident):
        raise SourceError(f"--id {ident}：编号只用小写字母、数字、- 和 _，最多 64 个。")
    if ident and book.source(ident):
        raise SourceError(f"--id {ident}：sources.yml 里已经有了，换一个。")


def _write(args: argparse.Namespace, settings: Settings, sources: Sequence[Source]) -> int:
    from agents.rule_edit import add_sources

    try:
        edit = add_sources(settings.rules_dir, settings.timezone, sources)
    except RuleBookError as error:
        return problems(error)
    if args.json:
        print_json(edit_json(edit))
        return OK
    print("\n".join([*said(edit), *([written(settings)] if edit.added else [])]))
    return OK
