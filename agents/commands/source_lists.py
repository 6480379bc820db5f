"""`wenxun sources import|export|list`: many sources at once."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from pipeline.errors import RuleBookError, WenxunError

if TYPE_CHECKING:
    from agents.rule_edit import Edit
    from agents.settings import Settings
    from pipeline.collect.opml import Outlines
    from pipeline.model import SourceState
    from pipeline.rulebook.schema import Source

AT_ONCE = 8
"""Feeds of an import that are looked at together; each host has one request at a time all the same."""


# ---------------------------------------------------------------- import


def run_import(args: argparse.Namespace) -> int:
    """0 when all of the file is in sources.yml (now or already), 1 when some was left out."""
    from agents.rule_edit import add_sources
    from pipeline.collect import opml

    settings = settings_of(args)
    found = opml.read(read_file(args.file))
    proposed = opml.proposed(found.feeds, group=args.group[:opml.MAX_GROUP])
    try:
        first = add_sources(settings.rules_dir, settings.timezone, proposed, write=False)
        failed = asyncio.run(_failures(args, settings, first.added)) if args.check else {}
        left = {} if args.all else failed
        wanted = [each for each in proposed if each.url not in left]
        edit = add_sources(settings.rules_dir, settings.timezone, wanted, write=not args.dry_run)
    except RuleBookError as error:
        return problems(error)
    if args.json:
        print_json({**edit_json(edit), "failed": [{"url": url, "error": why} for url, why in failed.items()],
                    "passed": found.passed, "torn": found.torn, "written": bool(edit.added) and not args.dry_run})
    else:
        print("\n".join(_told(args, settings, found, edit, failed)))
    return FAILED if left else OK


def _told(
    args: argparse.Namespace, settings: Settings, found: Outlines, edit: Edit, failed: Mapping[str, str]
) -> list[str]:
    left = 0 if args.all else len(failed)
    mark = "加入了，但查不通" if args.all else "没有加入"
    lines = said(edit) + [f"✗ {mark}：{url}：{why}" for url, why in failed.items()]
    lines.append(f"加入 {len(edit.added)} 个，已有 {len(edit.twins)} 个，没有加入 {left} 个"
                 + (f"；{found.passed} 行不是订阅地址" if found.passed else "")
                 + ("；文件在中途断了，只读到这里" if found.torn else ""))
    if edit.added:
        lines.append("只是试了一遍，什么也没有写。" if args.dry_run else written(settings))
    if left:
        lines.append("查不通的也要加入，就加 --all；以后能通了会自动开始采集。")
    return lines


async def _failures(args: argparse.Namespace, settings: Settings, sources: Sequence[Source]) -> dict[str, str]:
    """URL -> why it is no feed that can be collected, in the order of the sources."""
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    found: dict[str, str] = {}
    slots = asyncio.Semaphore(AT_ONCE)
    columns = (TextColumn("检查订阅"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[now]}", markup=False))
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("", total=len(sources), now="")
        async with looking(args, settings) as (look, _, how):

            async def one(source: Source) -> None:
                async with slots:
                    progress.update(task, now=source.name[:20])
                    seen = await look(source.url, replace(how, form=source.format, zone=source.timezone or how.zone))
                    if not seen.ok:
                        found[source.url] = "。".join([seen.error, *seen.advice[:1]])
                    progress.advance(task)
            await asyncio.gather(*(one(each) for each in sources))
    return {each.url: found[each.url] for each in sources if each.url in found}


# ---------------------------------------------------------------- export


def run_export(args: argparse.Namespace) -> int:
    from agents.rule_files import load_book
    from pipeline.collect import opml

    settings = settings_of(args)
    try:
        book = load_book(settings.rules_dir, settings.timezone)
    except RuleBookError as error:
        return problems(error)
    text, out = opml.write(book.sources), opml.exported(book.sources)
    if args.file is None:
        sys.stdout.write(text)
    else:
        _put(args.file, text)
        print(f"{len(out)} 个来源已写入 {args.file}", file=sys.stderr)
    left = [each.name for each in book.sources if each not in out]
    if left:
        print(f"{len(left)} 个来源别的程序读不了，没有写：{'、'.join(left)}", file=sys.stderr)
    return OK


def _put(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SourceError(f"{path}：写不进去（{error.strerror}）。换一个文件名，或检查权限和磁盘空间。") from None


# ---------------------------------------------------------------- list


def run_list(args: argparse.Namespace) -> int:
    """The sources of the rule directory; what the store knows of them, where there is one."""
    from agents.clock import Clock
    from agents.commands.source_words import source_json, source_line
    from agents.rule_files import load_book
    from pipeline.collect.health import coverage_of, health
    from pipeline.rulebook.schema import SourceKind

    settings = settings_of(args)
    try:
        book = load_book(settings.rules_dir, settings.timezone)
    except RuleBookError as error:
        return problems(error)
    states, why = _states(settings)
    if states is None and args.state:
        raise SourceError(f"--state {args.state}：{why}")
    known, now, zone = states or {}, Clock.parse(settings.clock).now(), settings.zone
    rows = [(each, known.get(each.id), None if states is None else health(each, known.get(each.id), now))
            for each in book.sources]
    feeds = [found for each, _, found in rows if found is not None and each.kind is SourceKind.FEED]
    heard = None if states is None else coverage_of(feeds, now, zone)
    rows = [row for row in rows if not args.state or (row[2] is not None and row[2].state == args.state)]
    if args.json:
        print_json({"sources": [source_json(*row) for row in rows], "coverage": None if heard is None else {
            "statement": heard.statement, "blind": [each.source_id for each in heard.blind],
            "silent": [each.source_id for each in heard.silent],
            "totals": {str(state): count for state, count in heard.totals.items()}}})
        return OK
    for row in rows:
        print(source_line(*row, zone))
    print(heard.statement if heard else f"{len(book.sources)} 个来源。{why}")
    return OK


def _states(settings: Settings) -> tuple[dict[str, SourceState] | None, str]:
    """What the store knows of the sources by id; None and why when there is no store to ask. Makes none."""
    from agents.store import engine, readmodel

    if not settings.database_url and not (settings.data_dir / "wenxun.db").exists():
        return None, f"还没有运行过（{settings.data_dir} 里没有档案库），所以没有采集情况。"
    try:
        engine.require_current(settings.store_url)
        store = engine.open_store(settings.store_url)
    except WenxunError as error:
        return None, f"档案库打不开，所以没有采集情况：{error}"
    try:
        with store.connect() as connection:
            return readmodel.source_states(connection), ""
    finally:
        store.dispose()
