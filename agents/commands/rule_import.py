"""`wenxun rules import trendradar FILE`: word groups of another tool as subjects that begin in shadow."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agents.commands.rule_common import OK, PROBLEMS, plain, settings, zone
from agents.rule_edit import alone
from agents.rule_files import read_dir, starter_dir
from agents.rule_write import refuse_mounted
from pipeline.errors import Problem, RuleBookError, WenxunError
from pipeline.rulebook import trendradar


def add(actions: Any) -> None:
    parser = actions.add_parser("import", help="make subjects of another tool's word lists; they begin in shadow")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    one = kinds.add_parser("trendradar", help="TrendRadar's frequency_words.txt, in UTF-8 or GBK")
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--out", type=Path, metavar="DIR", help="rule directory; default: WENXUN_RULES_DIR, else rules")
    one.add_argument("--dry-run", action="store_true", help="print what would be written, write nothing")
    one.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        text, encoding = trendradar.decode(args.file.read_bytes())
    except OSError as error:
        raise WenxunError(f"{args.file}: 读不了：{error.strerror}") from error
    found = trendradar.read(text)
    root = args.out or settings().rules_dir
    before = _texts(root)
    today = datetime.fromtimestamp(time.time(), ZoneInfo(zone())).date()
    made = trendradar.files(found, expires=_in_a_year(today).isoformat(), source=args.file.name,
                            taken=_taken(before))
    problems = _problems(root, before, made)
    _print_notes(args.file, found, encoding)
    if problems:
        print("生成的规则与目录里已有的规则合不起来，没有写入：", file=sys.stderr)
        for problem in problems:
            print(f"  {problem}", file=sys.stderr)
        return PROBLEMS
    if args.dry_run:
        for name, content in made.items():
            print(f"\n--- {root / name}\n{content}", end="")
        print(f"\n以上 {len(made)} 个文件没有写入（--dry-run）")
        return OK
    _write(root, made)
    if made:
        print(f"接下来：改好 owner 和 reason，wenxun rules check {root}，wenxun rules test {root}；影子规则只记录，"
              "不通知任何人")
    return OK


def _in_a_year(today: date) -> date:
    try:
        return today.replace(year=today.year + 1)
    except ValueError:                                  # the 29th of February
        return today.replace(year=today.year + 1, day=28)


def _texts(root: Path) -> dict[str, str]:
    """The directory's files; of one that has none yet, nothing."""
    return read_dir(root).texts if root.is_dir() and any(root.iterdir()) else {}


def _taken(texts: Mapping[str, str]) -> frozenset[str]:
    """Names of subjects' and lists' files, and the ids that are written in them, however they are indented."""
    names = {Path(name).stem for name in texts if name.startswith(("subjects/", "words/"))}
    ids = {line.partition(":")[2].strip().strip("\"'") for text in texts.values() for line in text.splitlines()
           if line.startswith("id:")}
    return frozenset(names | ids)


def _problems(root: Path, before: Mapping[str, str], made: Mapping[str, str]) -> list[Problem]:
    """What is wrong in the files made, with those of the directory; where that is no whole rule directory, with the
    starter rules. Problems that were there before are the operator's."""
    from pipeline.rulebook.parse import parse_book

    whole = "levels.yml" in before
    base = before if whole else {name: text for name, text in read_dir(starter_dir()).texts.items()
                                 if not name.startswith("subjects/") and name != "routes.yml"} | {
        "routes.yml": "routes: [{id: all, steps: [{tell: [duty]}]}]"}
    try:
        parse_book({**base, **made}, zone())
    except RuleBookError as error:
        return [each for each in error.problems if each.file in made]
    return []


def _print_notes(file: Path, found: trendradar.Found, encoding: str) -> None:
    for note in found.notes:
        print(f"{file}:{note.line}: {'没有照搬：' if note.lost else ''}{plain(note.text)}")
    lost = sum(note.lost for note in found.notes)
    words = sum(len(group.words) + len(group.required) + len(group.excluded) for group in found.groups)
    print(f"{file}（{encoding}）：{len(found.groups)} 组、{words} 个词，全局过滤 {len(found.excluded)} 个；"
          f"{lost} 行没有照搬")
    if found.groups:
        print("与原来一样：只看标题，不分大小写。与原来不同：字母和数字的词要独立出现（AI 不匹配 MAIL），"
              "全角半角、繁体简体、词中夹的符号都算同一个词")


def _write(root: Path, made: Mapping[str, str]) -> None:
    """Each file is new; what is there is never written over. Under the lock that the watcher looks for: it sees none of
    them, or all."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        refuse_mounted(root)
        with alone(root):
            for name, content in made.items():
                (root / name).parent.mkdir(exist_ok=True)
                with (root / name).open("x", encoding="utf-8") as file:
                    file.write(content)
                print(f"写入 {root / name}")
    except OSError as error:
        raise WenxunError(f"{root} 写不进去：{error.strerror}（{error.filename}）。检查权限和磁盘空间；"
                          "上面列出的文件已经写好。") from error
