"""`wenxun init` and `wenxun rules …`: the rule directory without Kafka. Longer commands have a module each."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import sys
from pathlib import Path
from typing import Any

from agents.commands import rule_test
from agents.commands.rule_common import OK, PROBLEMS, add_dir, report, rules_dir, zone
from agents.rule_files import load_book, read_dir, starter_dir
from pipeline.errors import RuleBookError
from pipeline.rulebook.schema import RuleBook


def add(groups: Any) -> None:
    init = groups.add_parser("init", help="write commented starter rules into a new folder")
    init.add_argument("dir", type=Path, metavar="DIR")
    init.set_defaults(run=run_init)
    rules = groups.add_parser("rules", help="check and test a rule directory, without Kafka")
    actions = rules.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="read all rule files; say file:line:column of every problem")
    add_dir(check)
    check.set_defaults(run=run_check)
    rule_test.add(actions)
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
          f"  1. 在 {target}/sources.yml 里填订阅地址，在 {target}/channels.yml 里填通知通道\n"
          f"  2. wenxun rules check {target}\n"
          f"  3. wenxun up --rules {target}")
    return OK


def run_check(args: argparse.Namespace) -> int:
    from pipeline.rulebook.cases import read_cases

    root = rules_dir(args)
    try:
        book = load_book(root, zone())
        cases = read_cases(read_dir(root).texts, book)
    except RuleBookError as error:
        return report(error)
    print(f"规则没有问题：{len(book.sources)} 个来源，{len(book.subjects)} 个主题，{len(book.levels.ladder)} 个级别，"
          f"{len(book.channels)} 个通道，{len(book.routes)} 条路由，{len(cases)} 个用例；版本 {book.hash}")
    for line in remarks(book, dt.datetime.now(dt.UTC).date().isoformat()):
        print(f"提醒：{line}")
    return OK


def remarks(book: RuleBook, today: str) -> list[str]:
    """What is allowed and yet probably not meant."""
    found = [f"主题 {each.id}（{each.title}）已于 {each.expires} 到期，不再匹配。要继续就改 expires"
             for each in book.subjects if each.expires < today]
    if not book.sources:
        found.append("sources.yml 里还没有来源，什么也不会采集")
    if not book.subjects:
        found.append("subjects/ 里还没有主题，所有条目都按“其他”处理")
    return found


def run_schema(args: argparse.Namespace) -> int:
    from pipeline.rulebook.json_schema import schema_files

    args.write.mkdir(parents=True, exist_ok=True)
    for name, content in schema_files().items():
        (args.write / name).write_text(content, encoding="utf-8")
        print(args.write / name)
    return OK
