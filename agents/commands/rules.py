"""`wenxun init` and `wenxun rules check|test|schema`: the rule directory without Kafka."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.rule_files import load_book, read_dir, starter_dir
from agents.settings import Settings
from pipeline.errors import RuleBookError
from pipeline.rulebook.schema import MINUTE, RuleBook

if TYPE_CHECKING:
    from pipeline.model import RawItem
    from pipeline.score.score import Scorer

TICK = 5 * MINUTE
OK, PROBLEMS = 0, 1


def add(groups: Any) -> None:
    init = groups.add_parser("init", help="write commented starter rules into a new folder")
    init.add_argument("dir", type=Path, metavar="DIR")
    init.set_defaults(run=run_init)
    rules = groups.add_parser("rules", help="check and test a rule directory, without Kafka")
    actions = rules.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="read all rule files; say file:line:column of every problem")
    test = actions.add_parser("test", help="run the cases in tests/*.test.yml")
    for parser, run in ((check, run_check), (test, run_test)):
        parser.add_argument("dir", type=Path, nargs="?", metavar="DIR", help="default: WENXUN_RULES_DIR, else rules")
        parser.set_defaults(run=run)
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

    root = _dir(args)
    try:
        book = load_book(root, _zone())
        cases = read_cases(read_dir(root).texts, book)
    except RuleBookError as error:
        return _report(error)
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


def run_test(args: argparse.Namespace) -> int:
    from pipeline.rulebook.cases import run_cases
    from pipeline.score.score import Scorer

    files = read_dir(_dir(args))
    try:
        book = files.parse(_zone())
        scorer = Scorer(book)
        results = run_cases(files.texts, book, scorer.score, lambda items: highest(book, scorer, items))
    except RuleBookError as error:
        return _report(error)
    if not results:
        print("tests/ 里还没有用例。照 wenxun init 写出的 tests/election.test.yml 写几个。")
    for result in results:
        print(f"{'✗' if result.failures else '✓'} {result.name}")
        for failure in result.failures:
            print(f"    {failure}")
    failed = sum(bool(result.failures) for result in results)
    print(f"{len(results)} 个用例，{failed} 个没有通过" if failed else f"{len(results)} 个用例全部通过")
    return PROBLEMS if failed else OK


def highest(book: RuleBook, scorer: Scorer, items: list[RawItem]) -> dict[str, int]:
    """Subject -> highest rank that an event of it reaches when these items arrive one by one, with ticks between."""
    from pipeline import topics
    from pipeline.model import EventHead, RawBatch, Tick
    from pipeline.replay import Input, Replay

    flow = Replay(book, 4, build=lambda _: scorer)
    ranks: dict[str, int] = {}
    tick = items[0].first_seen_at
    inputs = []
    for item in items:
        while tick + TICK <= item.first_seen_at:
            tick += TICK
            inputs.append(Input(topics.ITEMS_SCORED, Tick(at=tick)))
        batch = RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,))
        inputs.append(Input(topics.ITEMS_RAW, batch))
    inputs.append(Input(topics.ITEMS_SCORED, Tick(at=tick + TICK)))
    for each in inputs:
        for decision in flow.feed(each):
            if isinstance(decision, EventHead):
                ranks[decision.subject] = max(ranks.get(decision.subject, 0), decision.peak, decision.level)
    return ranks


def run_schema(args: argparse.Namespace) -> int:
    from pipeline.rulebook.json_schema import schema_files

    args.write.mkdir(parents=True, exist_ok=True)
    for name, content in schema_files().items():
        (args.write / name).write_text(content, encoding="utf-8")
        print(args.write / name)
    return OK


def _report(error: RuleBookError) -> int:
    for problem in error.problems:
        print(problem, file=sys.stderr)
    print(f"共 {len(error.problems)} 处要改。", file=sys.stderr)
    return PROBLEMS


def _dir(args: argparse.Namespace) -> Path:
    return args.dir or _settings().rules_dir


def _zone() -> str:
    return _settings().timezone


def _settings() -> Settings:
    import os

    return Settings.from_env(os.environ)
