"""`wenxun intake add`: a report of a department or a hotline clerk, as by the form on the desk."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from agents.settings import Settings
    from pipeline.rulebook.schema import RuleBook

MAX_FILE = 64 * 1024


def add(groups: Any) -> None:
    actions = groups.add_parser("intake", help="reports by people").add_subparsers(
        dest="action", required=True, metavar="ACTION")
    one = actions.add_parser("add", help="file a report; an item like any other, masked before it is written")
    one.add_argument("--title", default="", help="one sentence")
    text = one.add_mutually_exclusive_group()
    text.add_argument("--text", default="", help="what happened, without names and telephone numbers")
    text.add_argument("--text-file", metavar="FILE", help="the same from a file, - for standard input")
    one.add_argument("--ref", default="", metavar="NUMBER", help="the ticket's number: the same one again is an update")
    one.add_argument("--source", default="", metavar="ID", help="an intake source of sources.yml; default: the first")
    one.add_argument("--url", default="", help="where it can be read in public, if anywhere")
    one.add_argument("--at", default="", metavar="TIME", help="when it happened: \"2026-11-22 03:12\"; default: now")
    one.add_argument("--urgent", action="store_true", help="asks for an answer at once")
    one.add_argument("--json", action="store_true", help="for scripts")
    one.set_defaults(run=run_add)


def run_add(args: argparse.Namespace) -> int:
    """0 when it is accepted (now or before); BadReport says what to change."""
    from agents.clock import Clock
    from agents.desk.commands import Order
    from agents.desk.reports import file
    from agents.settings import Settings
    from agents.store.engine import open_store, upgrade
    from pipeline.collect.intake import Draft, moment

    settings = Settings.from_env(os.environ)
    text = _text(args.text_file) if args.text_file else args.text
    draft = Draft(title=args.title, text=text, ref=args.ref, url=args.url, at=moment(args.at, settings.zone),
                  urgent=args.urgent)
    upgrade(settings.store_url)
    store = open_store(settings.store_url)
    try:
        order = Order("", "cli", Clock.parse(settings.clock).now(), Clock().now())
        filed = file(store, _book(store, settings), order, args.source, draft)
    finally:
        store.dispose()
    item = filed.item
    if args.json:
        print(json.dumps({"id": filed.id, "item_id": item.id, "source": item.source_id, "title": item.title,
                          "ref": item.ref, "repeated": filed.repeated}, ensure_ascii=False))
        return 0
    again = "同样的上报已经收过，没有再收" if filed.repeated else "已收下"
    print(f"{again}：{item.title}（来源 {item.source_id}{f'，工单 {item.ref}' if item.ref else ''}）")
    if filed.ref_masked:
        print("工单号像个人信息，已遮盖；同一工单再次上报时认不出是同一件。", file=sys.stderr)
    if not filed.repeated:
        print("值班台进程几秒内把它送去归并和定级；没有运行时，启动后送。")
    return 0


def _book(store: Any, settings: Settings) -> RuleBook | None:
    """The rule book at work, else the rule directory's: it says which desks there are."""
    from agents.rule_files import load_book
    from agents.store import readmodel
    from pipeline.errors import RuleBookError

    with store.connect() as connection:
        found: RuleBook | None = readmodel.book(connection)
    if found is not None:
        return found
    try:
        return load_book(settings.rules_dir, settings.timezone)
    except RuleBookError:
        return None


def _text(name: str) -> str:
    """A file's text, cut past what a report may have, so that it is refused there and not read whole."""
    try:
        if name == "-":
            return sys.stdin.read(MAX_FILE)
        with Path(name).open("rb") as file:
            return file.read(MAX_FILE).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"--text-file {name}：不是 UTF-8 编码，请另存为 UTF-8") from None
    except OSError as error:
        raise SettingsError(f"--text-file {name}：读不了（{error.strerror}）") from None
