"""`wenxun rules confirm|history|rollback|workers`: the rules of a running installation."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import getpass
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.commands.rule_common import OK, PROBLEMS, plain, report
from pipeline.errors import RuleBookError, WenxunError

if TYPE_CHECKING:
    from agents.rule_feed import Seen
    from agents.rule_history import Line
    from agents.settings import Settings
    from pipeline.model import RulesState

WAIT_SECONDS = 15.0
SHOWN = 20
WORDS = {"published": "生效", "pending": "待确认", "confirmed": "已确认", "rejected": "已否决",
         "rolled_back": "回退到此", "saved": "回退前的文件"}


def add(actions: Any) -> None:
    confirm = actions.add_parser("confirm", help="let a rule change that waits (规则变更待确认) come into force")
    confirm.add_argument("hash", nargs="?", default="", metavar="HASH", help="the book that you looked at")
    confirm.add_argument("--reject", action="store_true", help="leave it out instead")
    confirm.add_argument("--yes", action="store_true", help="do not ask")
    confirm.set_defaults(run=run_confirm)
    history = actions.add_parser("history", help="the books that were in force, and what happened to them")
    history.add_argument("hash", nargs="?", default="", metavar="HASH", help="with --to: which one")
    history.add_argument("--to", type=Path, metavar="DIR", help="write its files into a new folder")
    history.add_argument("--json", action="store_true", help="for scripts")
    history.set_defaults(run=run_history)
    rollback = actions.add_parser("rollback", help="write the files of an earlier book back into the rule directory")
    rollback.add_argument("hash", metavar="HASH", help="its first digits do")
    rollback.add_argument("--rules", type=Path, metavar="DIR", help="rule directory (WENXUN_RULES_DIR)")
    rollback.add_argument("--yes", action="store_true", help="do not ask")
    rollback.set_defaults(run=run_rollback)
    workers = actions.add_parser("workers", help="which process runs which book")
    workers.add_argument("--json", action="store_true", help="for scripts")
    workers.set_defaults(run=run_workers)
    for parser in (confirm, history, rollback, workers):
        parser.add_argument("--data", type=Path, metavar="DIR", help="where this installation keeps its files "
                            "(WENXUN_DATA_DIR)")


# ---------------------------------------------------------------- confirm


def run_confirm(args: argparse.Namespace) -> int:
    """0 when the role `rules` has done it; 1 when it was left, or nobody has taken the answer yet."""
    from agents.rule_answer import answer_of

    settings = _settings(args)
    state = asyncio.run(_seen(settings)).state
    answer = answer_of(state, accept=not args.reject, by=_me(), now=_now(settings), hash=args.hash)
    assert state is not None
    print(_pending(state))
    question = "不让它生效？" if args.reject else "让它生效？"
    if not args.hash and not args.yes and not _yes(question):
        return PROBLEMS
    after = asyncio.run(_answer(settings, answer))
    if after is None or after.pending == answer.hash:
        print("已记下，但角色 rules 还没有处理：它在运行吗？启动后会处理。", file=sys.stderr)
        return PROBLEMS
    done = f"已生效：{after.in_force}" if after.in_force.startswith(answer.hash) else f"没有生效，仍用 {after.in_force}"
    print(done)
    return OK


def _pending(state: RulesState) -> str:
    lines = [f"待确认的规则 {state.pending} 会升级 {state.raise_count} 个事件（现用 {state.in_force}）："]
    lines += [f"  {each.short or '（未达级）'} {plain(each.title)}：{each.previous} → {each.level}"
              for each in state.raises[:SHOWN]]
    return "\n".join(lines + ([f"  ……共 {state.raise_count} 个"] if state.raise_count > SHOWN else []))


async def _answer(settings: Settings, answer: Any) -> RulesState | None:
    """Send it, and wait for what becomes of it: the state after, or the last one seen."""
    from agents.bus import Bus
    from agents.clock import Clock
    from agents.rule_answer import send_answer

    async with Bus(settings, Clock.parse(settings.clock), "cli") as bus:
        await send_answer(bus, answer)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        state = (await _seen(settings)).state
        if state is None or state.pending != answer.hash or time.monotonic() > deadline:
            return state
        await asyncio.sleep(0.3)


async def _seen(settings: Settings) -> Seen:
    from aiokafka.errors import KafkaError

    from agents.rule_feed import newest

    try:
        return await newest(settings)
    except KafkaError as error:
        raise _no_broker(settings, error) from None


def _no_broker(settings: Settings, error: Exception) -> WenxunError:
    return WenxunError(f"{settings.bootstrap}：消息队列没有应答（{type(error).__name__}）。"
                       "用 wenxun up 运行时，加上它的 --data 目录；用 Kafka 时设置 KAFKA_BOOTSTRAP_SERVERS。")


# ---------------------------------------------------------------- history


def run_history(args: argparse.Namespace) -> int:
    from agents.rule_changes import changes
    from agents.rule_history import History
    from agents.rule_write import export

    settings = _settings(args)
    history = History(settings.data_dir)
    if args.to is not None:
        if not args.hash:
            raise WenxunError("history --to：要写明哪一版，例如 wenxun rules history 3f2a --to old-rules")
        found = history.find(args.hash)
        texts = history.texts(found)
        export(texts, args.to)
        print(f"规则 {found} 的 {len(texts)} 个文件已写入 {args.to}")
        return OK
    every = history.lines()
    told = [(line, said) for line, said in zip(every, changes(history, every), strict=True)
            if line.hash.startswith(args.hash)]
    kept = {line.hash for line, _ in told if history.has(line.hash)}
    if args.json:
        print(json.dumps([{"at": line.at, "hash": line.hash, "what": str(line.what), "by": line.by, "note": line.note,
                           "changes": said, "snapshot": line.hash in kept} for line, said in told],
                         ensure_ascii=False))
    elif not told:
        print(f"{history.folder} 里还没有记录。角色 rules 每次发布规则时会写；换目录用 --data。")
    else:
        print("\n".join(_line(line, said, line.hash in kept, settings) for line, said in told))
    return OK


def _line(line: Line, said: str, kept: bool, settings: Settings) -> str:
    tail = "  ".join(part for part in (line.by, line.note, plain(said), "" if kept else "快照已清理") if part)
    return f"{_time(line.at, settings)}  {line.hash:16}  {WORDS[str(line.what)]}  {tail}".rstrip()


# ---------------------------------------------------------------- rollback


def run_rollback(args: argparse.Namespace) -> int:
    """0 when the files are written; 1 when they were left, or the snapshot has problems in this version."""
    from agents.rule_files import read_dir
    from agents.rule_history import History, Line, What
    from agents.rule_write import refuse_mounted, replace_rules
    from pipeline.rulebook.parse import parse_book

    settings = _settings(args)
    root, history = settings.rules_dir, History(settings.data_dir)
    found = history.find(args.hash)
    texts = history.texts(found)
    try:
        parse_book(texts, settings.timezone)
    except RuleBookError as error:
        print(f"规则 {found} 的快照用这个版本的程序读不通，没有改动：", file=sys.stderr)
        return report(error)
    refuse_mounted(root)
    now = read_dir(root)
    changes = _changes(now.texts, texts)
    if not changes and not now.problems:
        print(f"{root} 里已经是规则 {found}，没有改动。")
        return OK
    print("\n".join([f"{root} 回退到规则 {found}：", *changes]))
    if not args.yes and not _yes("写入这些文件？"):
        return PROBLEMS
    at = _now(settings)
    history.keep(Line(at, _hash_of(now, settings), What.SAVED, _me()), now.texts)
    done = replace_rules(root, texts)
    history.keep(Line(at, found, What.ROLLED_BACK, _me()))
    print(f"已写回 {len(done.changed)} 个文件，删去 {len(done.removed)} 个。运行中的 wenxun 一秒内生效；"
          "会升级很多事件时先待确认（wenxun rules confirm）。")
    return OK


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    words = {name: "删去" if name not in after else "新增" if name not in before else "改回"
             for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)}
    return [f"  {word} {name}" for name, word in words.items()]


def _hash_of(files: Any, settings: Settings) -> str:
    """Of the book in these files; files with problems go by their content."""
    try:
        return str(files.parse(settings.timezone).hash)
    except RuleBookError:
        return f"files-{files.digest[:10]}"


# ---------------------------------------------------------------- workers


def run_workers(args: argparse.Namespace) -> int:
    from aiokafka.errors import KafkaError

    from agents.clock import Clock
    from agents.rule_feed import newest_workers
    from agents.rule_workers import alive

    settings = _settings(args)
    try:
        found = asyncio.run(newest_workers(settings))
    except KafkaError as error:
        raise _no_broker(settings, error) from None
    workers = alive(found.values(), _now(settings), Clock.parse(settings.clock).factor)
    if args.json:
        print(json.dumps([{"name": each.name, "roles": each.roles, "book": each.book, "scorer": each.scorer,
                           "since": each.since, "at": each.at} for each in workers], ensure_ascii=False))
        return OK
    for each in workers:
        scorer = f"  打分用 {each.scorer}" if each.scorer and each.scorer != each.book else ""
        roles = ",".join(each.roles)
        print(f"{each.name}  {each.book or '还没有规则'}  自 {_time(each.since, settings)}  {roles}{scorer}")
    if not workers:
        print("三分钟内没有进程报告。")
    return OK


# ---------------------------------------------------------------- common


def _settings(args: argparse.Namespace) -> Settings:
    from agents.commands.broker import reachable

    settings = reachable(os.environ, args.data)
    rules: Path | None = getattr(args, "rules", None)
    return replace(settings, rules_dir=rules) if rules is not None else settings


def _now(settings: Settings) -> int:
    from agents.clock import Clock

    return Clock.parse(settings.clock).now()


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):                         # a container's user without a name
        return str(os.getuid())


def _yes(question: str) -> bool:
    """Ask a person; without one, the command has to say --yes."""
    if not sys.stdin.isatty():
        print("没有改动：在脚本里用请加 --yes。", file=sys.stderr)
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes", "是")


def _time(at: int, settings: Settings) -> str:
    return dt.datetime.fromtimestamp(at / 1000, settings.zone).strftime("%Y-%m-%d %H:%M:%S")
