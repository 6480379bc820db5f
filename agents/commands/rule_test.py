"""`wenxun rules test`: the cases in tests/*.test.yml, without Kafka; with --watch again at each save."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agents.commands.rule_common import (
    OK,
    PROBLEMS,
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
from agents.rule_files import Reader, RuleFiles, read_dir
from pipeline.errors import RuleBookError
from pipeline.rulebook.case_run import Result

POLL_SECONDS = 0.3
CLEAR = "\x1b[2J\x1b[3J\x1b[H"
NONE = "tests/ 里还没有用例。照 wenxun init 写出的 tests/polling-place.test.yml 写几个。"


def add(actions: Any) -> None:
    parser = actions.add_parser("test", help="run the cases in tests/*.test.yml")
    add_dir(parser)
    parser.add_argument("--watch", action="store_true", help="run again at each save, until Ctrl-C")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.watch:
        return watch(rules_dir(args), args.format)
    return once(read_dir(rules_dir(args)), args.format, rules_dir(args))


def once(files: RuleFiles, form: str, root: Path) -> int:
    try:
        results, missing = run_files(files)
    except RuleBookError as error:
        return report(error, form, root)
    failed = [each for each in results if each.failures]
    if form == "json":
        print_json({"ok": not failed, "cases": [
            {"name": each.name, "file": each.file, "ok": not each.failures, "failures": as_json(each.failures)}
            for each in results], "untested": missing})
    elif form == "github":
        print_github((problem for each in failed for problem in each.failures), root, title="规则用例没有通过")
    else:
        _print(results, missing)
    return PROBLEMS if failed else OK


def run_files(files: RuleFiles) -> tuple[list[Result], tuple[str, ...]]:
    """The results of all cases, and the subjects that no case names; RuleBookError if files cannot be used."""
    from pipeline.explain_words import near_of
    from pipeline.rehearse import played
    from pipeline.rulebook.case_run import case_book, run_cases
    from pipeline.rulebook.cases import read_cases, untested
    from pipeline.score.score import Scorer

    book = files.parse(zone())
    written = read_cases(files.texts, book)
    cases = [each.case for each in written]
    seen = case_book(cases, book)
    scorer = Scorer(seen)
    results = list(run_cases(written, seen, scorer.score, partial(played, seen, scorer), partial(near_of, scorer)))
    return results, untested(cases, book)


def _print(results: Sequence[Result], missing: Sequence[str]) -> None:
    if not results:
        print(NONE)
    for result in results:
        print(f"{'✗' if result.failures else '✓'} {plain(result.name)}")
        for failure in result.failures:
            print(f"    {plain(str(failure))}")
    failed = sum(bool(result.failures) for result in results)
    print(f"{len(results)} 个用例，{failed} 个没有通过" if failed else f"{len(results)} 个用例全部通过")
    if missing and results:
        print(f"还没有用例的主题：{'、'.join(missing)}")


def watch(root: Path, form: str) -> int:
    """Run at each change of any rule file, when it has been read twice alike: nobody is writing. Ends by Ctrl-C, with
    the code of the last run."""
    reader, code = Reader(root), OK
    ran: RuleFiles | None = None
    before: RuleFiles | None = None
    try:
        while True:
            files, torn = reader.read()              # the same object while nothing changes
            if files is before and files is not ran and not torn:
                ran = files
                code = _again(files, form, root)
            before = files
            time.sleep(POLL_SECONDS if files is ran else POLL_SECONDS / 3)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return code


def _again(files: RuleFiles, form: str, root: Path) -> int:
    if sys.stdout.isatty():
        print(CLEAR, end="")
    code = once(files, form, root)
    if form == "text":
        print(f"{time.strftime('%H:%M:%S')} 正在等待 {root} 里的改动，按 Ctrl-C 结束")
    sys.stdout.flush()
    return code
