"""`wenxun rules promote|retire|shadow RULE`: a rule's status, in its file, after a look at what it did in shadow."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.commands.rule_common import OK, PROBLEMS, plain, report, settings, zone
from pipeline.errors import RuleBookError
from pipeline.rulebook.schema import Status
from pipeline.rulebook.shadow import name_in_shadow

if TYPE_CHECKING:
    from agents.settings import Settings
    from agents.store.rule_reads import Against, Known, RuleFigures

VERBS = {
    "promote": (Status.LIVE, (Status.SHADOW,), "a shadow rule becomes live: its file gets `status: live`"),
    "retire": (Status.RETIRED, (Status.LIVE, Status.SHADOW), "a rule matches nothing any more: `status: retired`"),
    "shadow": (Status.SHADOW, (Status.LIVE, Status.RETIRED), "a rule runs in shadow only: `status: shadow`"),
}
SHOWN = 5


def add(actions: Any) -> None:
    for verb, (_, _, told) in VERBS.items():
        parser = actions.add_parser(verb, help=told)
        parser.add_argument("rule", metavar="RULE", help="id of a subject")
        parser.add_argument("--rules", type=Path, metavar="DIR", help="default: WENXUN_RULES_DIR, else rules")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.set_defaults(run=run, verb=verb)


def run(args: argparse.Namespace) -> int:
    """0 when the file was changed, 1 when it was not: nobody agreed, or the rule files have problems."""
    from agents.rule_edit import RuleEditError
    from agents.rule_status import WORDS, set_status

    known, (status, allowed, _) = settings(), VERBS[args.verb]
    root = args.rules or known.rules_dir
    try:
        planned = set_status(root, zone(), args.rule, status, allowed, write=False)
        print(f"{planned.subject.title}（{args.rule}，{root / planned.file}）："
              f"{WORDS[planned.subject.status]} → {WORDS[status]}")
        if planned.subject.status is Status.SHADOW:
            print("\n".join(_look(known, args.rule)))
        if not args.yes and not _agreed():
            print("没有改动。")
            return PROBLEMS
        done = set_status(root, zone(), args.rule, status, allowed)
    except RuleBookError as error:
        return report(error)
    except RuleEditError as error:
        raise RuleEditError(f"{error}{_elsewhere(known, args.rule)}") from None
    print(f"已写入 {root / done.file}，规则版本 {done.book.hash}。运行中的闻讯会自动读取，不用重启。")
    return OK


def _elsewhere(known: Settings, ident: str) -> str:
    """Where else the rule may be: a shadow directory is promoted by copying its files."""
    from agents.rule_files import read_dir

    if known.shadow_rules_dir is None:
        return ""
    try:
        book, places = read_dir(known.shadow_rules_dir).parse_with_places(known.timezone)
    except RuleBookError:
        return ""
    if book.subject(ident) is None:
        return ""
    file = known.shadow_rules_dir / places.at("subject", ident)[0].file
    return f"影子目录里的 {file} 也有它：要用那一份，把文件复制到 {known.rules_dir / 'subjects'}。"


def _agreed() -> bool:
    try:
        answer = input("确定吗？输入 y 回车：")
    except EOFError:
        print("没有人回答（在脚本里请加 --yes）。", file=sys.stderr)
        return False
    return answer.strip().lower() in ("y", "yes", "是")


def _look(known: Settings, ident: str) -> list[str]:
    """What the rule did in shadow, beside what is live, as the archive has it."""
    from agents.clock import Clock
    from agents.commands.rule_store import has_archive, open_archive
    from agents.store.rule_reads import against, rule_figures

    if not has_archive(known):
        return ["没有存档，看不到它在影子里的表现（WENXUN_DATA_DIR 是运行闻讯的目录吗？）。"]
    now, name = Clock.parse(known.clock).now(), name_in_shadow(ident)
    with open_archive(known) as connection:
        return lines(rule_figures(connection, now, [name])[name], against(connection, now, [name]))


def lines(figures: RuleFigures, beside: Against) -> list[str]:
    """Shadow beside live, to be read before a decision."""
    if beside.since is None:
        return ["最近 7 天它在影子里没有匹配过任何条目。"]
    found = [f"影子里运行的最近 {max(beside.days, 0.1):.1f} 天：",
             f"  匹配 {figures.matches.week} 条（24 小时 {figures.matches.day} 条）",
             f"  事件 {len(beside.both) + len(beside.only_shadow)} 个：{len(beside.both)} 个正式规则也有，"
             f"{len(beside.only_shadow)} 个只有它有；{len(beside.only_live)} 个只有正式的这条规则有",
             f"  首次通知 每天 {beside.per_day(beside.shadow_pages):.1f} 次，"
             f"这条规则正式的每天 {beside.per_day(beside.live_pages):.1f} 次"]
    found += [f"    {each.shadow.short} 《{plain(each.shadow.title)}》 与 {each.live.short} 有 {each.common} 条相同"
              f"（{each.share:.0%}）" for each in beside.both[:SHOWN]]
    found += [f"    {_event(each)} 只有它有" for each in beside.only_shadow[:SHOWN]]
    said = figures.verdicts
    if said.false_positives is not None:
        found.append(f"  人工评价 {said.judged} 次，误报率 {said.false_positives:.0%}")
    else:
        found.append(f"  人工评价 {said.judged} 次，还不足以算误报率（至少 5 次）")
    return found


def _event(each: Known) -> str:
    return f"{each.short} 《{plain(each.title)}》 {each.items} 条"
