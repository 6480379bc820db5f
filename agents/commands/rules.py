"""`wenxun init` and `wenxun rules …`: the rule directory without Kafka. Longer commands have a module each."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import sys
import zoneinfo
from pathlib import Path
from typing import Any

from agents import secret_files
from agents.commands import (
    events,
    rule_backtest,
    rule_diff,
    rule_explain,
    rule_factors,
    rule_import,
    rule_lint,
    rule_live,
    rule_status,
    rule_test,
)
from agents.commands.rule_common import (
    OK,
    PROBLEMS,
    STRICT,
    add_dir,
    add_format,
    as_json,
    plain,
    print_github,
    print_json,
    report,
    rules_dir,
    zone,
)
from agents.rule_files import read_dir, starter_dir
from pipeline.errors import Problem, RuleBookError
from pipeline.rulebook.schema import RuleBook


def add(groups: Any) -> None:
    init = groups.add_parser("init", help="write commented starter rules into a new folder")
    init.add_argument("dir", type=Path, metavar="DIR")
    init.set_defaults(run=run_init)
    rules = groups.add_parser("rules", help="check and test a rule directory, without Kafka")
    actions = rules.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="read all rule files; say file:line:column of every problem")
    add_dir(check)
    add_format(check)
    check.add_argument("--strict", action="store_true",
                       help="exit with 3 when there are warnings (errors are 1, neither is 0)")
    check.set_defaults(run=run_check)
    rule_test.add(actions)
    rule_live.add(actions)
    rule_backtest.add(actions)
    rule_diff.add(actions)
    rule_explain.add(actions)
    rule_factors.add(actions)
    rule_lint.add(actions)
    rule_import.add(actions)
    rule_status.add(actions)
    events.add_match(actions)
    schema = actions.add_parser("schema", help="write the JSON Schemas that editors complete from")
    schema.add_argument("--write", type=Path, required=True, metavar="DIR")
    schema.set_defaults(run=run_schema)


def run_init(args: argparse.Namespace) -> int:
    target: Path = args.dir
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        print(f"{target} 已经存在而且不是空目录，没有改动。换一个目录名，或先把它移开。", file=sys.stderr)
        return PROBLEMS
    try:
        shutil.copytree(starter_dir(), target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("secrets", ".*"))
    except OSError as error:
        print(f"{target} 写不进去：{error}。检查上级目录的权限和磁盘空间。", file=sys.stderr)
        return PROBLEMS
    print(f"样例规则已写入 {target}。接下来：\n"
          f"  1. 在 {target}/sources.yml 里填订阅地址，channels.yml 里填通知通道，roster.yml 里填谁值班、用哪个通道\n"
          f"  2. wenxun rules check {target}\n"
          f"  3. wenxun up --rules {target}")
    return OK


def run_check(args: argparse.Namespace) -> int:
    """Errors are 1; warnings leave it at 0, with --strict 3, so that a workflow can tell the two apart."""
    from pipeline.rulebook.cases import read_cases
    from pipeline.rulebook.drills import read_drills
    from pipeline.rulebook.duty_warnings import mute
    from pipeline.rulebook.warnings import warnings

    root = rules_dir(args)
    files = read_dir(root)
    try:
        book, places = files.parse_with_places(zone())
        cases = read_cases(files.texts, book)
        read_drills(files.texts, book)
    except RuleBookError as error:
        return report(error, args.format, root)
    today = dt.datetime.now(zoneinfo.ZoneInfo(book.timezone)).date()
    found = [*warnings(book, today, places), *mute(book, today, places, secret_files.of_channels(book, root))]
    _tell(args.format, root, book, len(cases), found)
    return STRICT if found and args.strict else OK


def _tell(form: str, root: Path, book: RuleBook, cases: int, found: list[Problem]) -> None:
    if form == "json":
        counts = {name: len(value) for name, value in _counted(book).items()} | {"cases": cases}
        print_json({"ok": True, "problems": [], "warnings": as_json(found), "version": book.hash, "counts": counts})
        return
    if form == "github":
        print_github(found, root, "warning")
        return
    print(f"规则没有问题：{len(book.sources)} 个来源，{len(book.subjects)} 个主题，{len(book.lists)} 个词表，"
          f"{len(book.levels.ladder)} 个级别，{len(book.channels)} 个通道，{len(book.routes)} 条路由，{cases} 个用例；"
          f"版本 {book.hash}")
    for each in found:
        print(f"提醒：{plain(str(each))}")


def _counted(book: RuleBook) -> dict[str, tuple[Any, ...]]:
    return {"sources": book.sources, "subjects": book.subjects, "lists": book.lists, "levels": book.levels.ladder,
            "channels": book.channels, "routes": book.routes}


def run_schema(args: argparse.Namespace) -> int:
    from pipeline.rulebook.json_schema import schema_files

    args.write.mkdir(parents=True, exist_ok=True)
    for name, content in schema_files().items():
        (args.write / name).write_text(content, encoding="utf-8")
        print(args.write / name)
    return OK
