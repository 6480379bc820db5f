"""`wenxun handover`: what the next shift has to know, as text that can be pasted into a chat."""

from __future__ import annotations

import argparse
from typing import Any

from agents.commands.acting import place, print_json, reader_of
from pipeline.errors import SettingsError


def add(groups: Any) -> None:
    one = groups.add_parser("handover", help="what the next shift has to know: open events, clocks, silences, expired "
                                             "rules, blind sources, undelivered messages")
    one.add_argument("--since", default="", metavar="WHEN", help="12h (default), 20:00 or '2026-11-22 20:00'")
    one.add_argument("--format", choices=("text", "json"), default="text")
    one.add_argument("--as", dest="account", metavar="ACCOUNT", default="", help="who reads, for the audit")
    one.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from agents.desk import handover, handover_json, handover_words
    from agents.desk.commands import Refused
    from agents.desk.describe import Names

    with place() as at:
        account, zone = reader_of(at, args.account), at.settings.zone
        try:
            since = handover.since_of(args.since, at.now, zone)
        except Refused as refused:
            raise SettingsError(f"--since {args.since}：{refused}") from None
        book = at.book()
        found = handover.facts(at.engine, book, at.settings, at.now, since)
        at.write_read(account, "handover.read", "handover")
    text = handover_words.text(found, Names(book), zone)
    if args.format == "json":
        return print_json(handover_json.plain(found, text))
    print(text)
    return 0
