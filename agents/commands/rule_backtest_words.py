"""A backtest's result for people and as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.backtest.run import Result
from agents.commands.rule_common import plain
from pipeline.backtest.compare import Comparison, EventChange, Kind, PageRate, RuleChange
from pipeline.model import OPEN_SUBJECT, Millis
from pipeline.rulebook.schema import DAY, RuleBook
from pipeline.rulebook.shadow import live_name

if TYPE_CHECKING:
    from agents.commands.rule_backtest import History

MAX_EVENTS = 40
"""Of each kind of change in the text; JSON has all."""
WIDTH = 132
KINDS = {Kind.LOST: "消失", Kind.GAINED: "新增", Kind.RAISED: "升级", Kind.LOWERED: "降级", Kind.MOVED: "改归",
         Kind.MERGED: "并入", Kind.SPLIT: "拆出"}


@dataclass(frozen=True, slots=True)
class Told:
    """live, candidate: the book, and where it comes from."""

    result: Result
    history: History
    live: tuple[RuleBook, str]
    candidate: tuple[RuleBook, str]
    open_subject: bool

    @property
    def comparison(self) -> Comparison:
        return self.result.comparison

    @property
    def days(self) -> float:
        """Length of the history, at least one day."""
        return max(1.0, (self.result.last - self.result.first) / DAY)


def nothing(history: History) -> str:
    """Why there is nothing to play."""
    if history.expired:
        return (f"{history.name}：这段时间的 {history.items} 条条目都已过文字保存期，没有可回测的文字；"
                "缩短 --since，或用 --items 给出保留的文件")
    return f"{history.name}：这段时间里没有条目；改 --since、--until，或用 --items 给出文件"


# ---------------------------------------------------------------- JSON


def as_json(told: Told) -> str:
    comparison, (live, against), (candidate, where) = told.comparison, told.live, told.candidate
    body = {
        "recommended": comparison.recommended,
        "live": {"hash": live.hash, "from": against}, "candidate": {"hash": candidate.hash, "from": where},
        "history": told.history.name, "first": told.result.first, "last": told.result.last,
        "days": round(told.days, 3), "items": told.result.items, "counts": told.result.counts,
        "expired": told.history.expired, "open": told.open_subject, "warnings": list(warnings(told)),
        **msgspec.to_builtins(comparison)}
    return json.dumps(body, ensure_ascii=False, indent=2)


# ---------------------------------------------------------------- text


def as_text(told: Told) -> str:
    lines = [*_head(told), "", *_rules(told), *_events(told), *_pages(told), "", *_verdict(told)]
    return "\n".join(plain(line).rstrip() for line in lines)


def _head(told: Told) -> Iterator[str]:
    result, (live, against), (candidate, where) = told.result, told.live, told.candidate
    counts = f"，互动数 {result.counts:,} 次" if result.counts else ""
    yield f"现行 {live.hash}（{against}）  候选 {candidate.hash}（{where}）"
    yield (f"条目 {result.items:,} 条{counts}，{_moment(told, result.first)} 至 {_moment(told, result.last)}，"
           f"{told.days:.1f} 天，来自 {told.history.name}")
    if not told.open_subject:
        yield "没有匹配任何主题的条目（开放主题 *）不在内；要算上就加 --open"


def _rules(told: Told) -> Iterator[str]:
    rules = told.comparison.rules
    if not rules:
        yield "两边都没有匹配到任何条目"
        return
    table = _table("主题", "匹配", "", "事件", "新增", "消失", "升级", "降级", "首次通知/天", "")
    for rule in rules:
        if not rule.shadow:
            table.add_row(*map(Text, _cells(rule, told)))
    live = [rule for rule in rules if not rule.shadow]
    sums = [_arrow(*(sum(pair[side] for pair in column) for side in (0, 1))) for column in (
        [rule.matches for rule in live], [rule.events for rule in live])]
    first = _sums(told, "first")
    kinds = [str(sum(getattr(rule, name) for rule in live) or "") for name in ("gained", "lost", "raised", "lowered")]
    table.add_row("合计", sums[0], "", sums[1], *kinds, _rate(*first, told.days), "")
    yield from _printed(table)
    for rule in (each for each in rules if each.shadow):
        yield (f"影子规则 {_name(rule.subject, told)}：匹配 {_arrow(*rule.matches)}，事件 {_arrow(*rule.events)}，"
               f"若转正首次通知 {_rate(*rule.pages, told.days)} 条/天（不计入合计）")
    for rule in live:
        for sign, titles in (("＋", rule.gained_titles), ("－", rule.lost_titles)):
            yield from (f"  {sign} {_name(rule.subject, told)}：{title}" for title in titles)


def _cells(rule: RuleChange, told: Told) -> list[str]:
    moved = " ".join(part for part in (f"+{rule.matches_gained}" if rule.matches_gained else "",
                                       f"−{rule.matches_lost}" if rule.matches_lost else "") if part)
    return [_name(rule.subject, told), _arrow(*rule.matches), moved, _arrow(*rule.events),
            *(str(count or "") for count in (rule.gained, rule.lost, rule.raised, rule.lowered)),
            _rate(*rule.pages, told.days), "更吵" if rule.noisier else ""]


def _events(told: Told) -> Iterator[str]:
    for kind, name in KINDS.items():
        changes = [each for each in told.comparison.events if each.kind is kind]
        if changes:
            yield ""
            yield f"{name} {len(changes)} 个事件"
            yield from (f"  {_event(each, told)}" for each in changes[:MAX_EVENTS])
            if len(changes) > MAX_EVENTS:
                yield f"  …另有 {len(changes) - MAX_EVENTS} 个，--json 列出全部"


def _event(change: EventChange, told: Told) -> str:
    level = "→".join(part for part in (change.before, change.after) if part)
    to = f"，改归 {_name(change.to, told)}" if change.to else ""
    marked = "，有人判定为相关" if change.relevant else ""
    return (f"{_moment(told, change.at)}  {_name(change.subject, told)}  {level}  {change.items} 条  "
            f"《{change.title}》{to}{marked}")


def _pages(told: Told) -> Iterator[str]:
    comparison = told.comparison
    if not any(comparison.pages):
        return
    yield ""
    worst = [max((getattr(day, side) for day in comparison.days), default=0) for side in ("live", "candidate")]
    first, whole = _sums(told, "first"), _sums(told, "all")
    yield (f"通知：首次 {_rate(*first, told.days)} 条/天，最多的一天 {_arrow(*worst)} 条；"
           f"一直没有人接手时共 {_rate(*whole, told.days)} 条/天")
    table = _table("级别", "通知谁", "首次", "连同无人接手的后续")
    sides = [{(rate.level, rate.tell): rate for rate in side} for side in comparison.pages]
    ranks = {name: rank for book in (told.live[0], told.candidate[0])
             for rank, name in enumerate(each.name for each in book.levels.ladder)}
    none = PageRate((), "", 0, 0)
    for key in sorted({*sides[0], *sides[1]}, key=lambda key: (ranks.get(key[0], -1), key[1])):
        old, new = (side.get(key, none) for side in sides)
        table.add_row(key[0], "、".join(key[1]), _arrow(old.first, new.first), _arrow(old.all, new.all))
    yield from _printed(table)


def _sums(told: Told, name: str) -> tuple[int, int]:
    """Of a figure of the pages, (live, candidate)."""
    live, candidate = (sum(getattr(rate, name) for rate in side) for side in told.comparison.pages)
    return live, candidate


def _verdict(told: Told) -> Iterator[str]:
    yield from (f"注意：{line}" for line in warnings(told))
    comparison = told.comparison
    if comparison.recommended:
        unseen = "还没有人判定过这段时间的事件，请自己看一遍上面的变化。"
        yield "结论：可以上线。" + ("" if told.history.marks else unseen)
        return
    yield f"结论：不建议上线，候选规则丢了 {len(comparison.refused)} 个有人判定为相关的事件："
    yield from (f"  {_event(each, told)}" for each in comparison.refused)


def warnings(told: Told) -> Iterator[str]:
    """What does not stand against the candidate, and yet is to be looked at."""
    comparison, history = told.comparison, told.history
    if told.live[0].hash == told.candidate[0].hash:
        yield "两边是同一个规则版本，没有可比的变化"
    if history.expired:
        yield f"这段时间的 {history.items} 条条目里有 {history.expired} 条已过文字保存期，没有算在内"
    for rule in comparison.rules:
        if rule.noisier:
            yield (f"主题 {_name(rule.subject, told)} 有 {rule.not_relevant} 个事件被判定为不相关，候选规则却让它更吵："
                   f"匹配 {_arrow(*rule.matches)}，事件 {_arrow(*rule.events)}")
    for change in comparison.weaker:
        yield f"有人判定为相关的事件{KINDS[change.kind]}：{_event(change, told)}"
    if comparison.unknown:
        some = "、".join(f"《{title}》" for title in comparison.unknown[:3])
        yield (f"{len(comparison.unknown)} 个有人判定为相关的事件，现行规则在这段历史里也没有再现（{some}），"
               "这次回测说不了它们")


# ---------------------------------------------------------------- words


def _name(subject: str, told: Told) -> str:
    ident = live_name(subject)
    if ident == OPEN_SUBJECT:
        return "开放主题 *"
    found = told.candidate[0].subject(ident) or told.live[0].subject(ident)
    return f"{found.title} {ident}" if found is not None else ident


def _moment(told: Told, at: Millis) -> str:
    zone = ZoneInfo(told.candidate[0].timezone)
    return datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M")


def _arrow(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _rate(before: int, after: int, days: float) -> str:
    old, new = (f"{count / days:.2f}".rstrip("0").rstrip(".") for count in (before, after))
    return old if old == new else f"{old} → {new}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=False, overflow="fold")
    return table


def _printed(table: Table) -> Iterable[str]:
    """As lines of a fixed width: the same wherever it is printed."""
    out = io.StringIO()
    Console(file=out, width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False).print(table)
    return out.getvalue().splitlines()
