"""Levels as people read them: what reaches one, and what an event still lacks for the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.model import EventHead, Evidence, Factor
from pipeline.notify import wording
from pipeline.rulebook.factors import BY_NAME, written
from pipeline.rulebook.schema import Level, Levels, Threshold


def number(name: str, value: float) -> str:
    """A factor's figure without its unit; a share as a percentage."""
    if name == "negative":
        return f"{value:.0%}"
    return f"{value:,.0f}" if value >= 1000 else f"{round(value, 2):g}"


def amount(name: str, value: float) -> str:
    """`10 条`, `4 个独立来源`, `负面占比 50%`, `主题影响 3 级`; an unknown name and figure as they are."""
    known, said = BY_NAME.get(name), number(name, value)
    if name == "negative":
        return f"负面占比 {said}"
    if name == "impact":
        return f"主题影响 {said} 级"
    return f"{said} {known.unit}" if known else f"{name} {said}"


def title(name: str) -> str:
    """`条数`, `独立来源`: a factor's name for people."""
    known = BY_NAME.get(name)
    return known.title if known else name


def threshold(need: Threshold) -> str:
    """`2 小时内 10 条、4 个独立来源，主题影响 3 级`: all of it has to be there."""
    asked = written(need)
    if asked.get("growth_sources") == 1:
        del asked["growth_sources"]
    counted = [amount(name, value) for name, value in asked.items() if _windowed(name)]
    rest = [amount(name, value) for name, value in asked.items() if not _windowed(name)]
    within = f"{wording.duration(need.window)}内 {'、'.join(counted)}" if counted else ""
    return "，".join(part for part in (within, "、".join(rest)) if part)


def leaving(level: Level) -> str:
    """When a level is left."""
    after = f"，持续 {wording.duration(level.hold)} 后降级" if level.hold else "，随即降级"
    if level.leave:
        return f"不再满足“{'”或“'.join(threshold(each) for each in level.leave)}”{after}"
    return f"低于进入条件的 {round(level.leave_ratio * 100)}%{after}"


def ladder(levels: Levels, subject: str) -> list[tuple[int, Level, tuple[Threshold, ...]]]:
    """(rank, level, ways in) as they hold for a subject, lowest first."""
    override = next((each.enter for each in levels.overrides if each.subject == subject), None)
    return [(rank, level, override[level.name] if override else level.enter)
            for rank, level in enumerate(levels.ladder, 1) if override is None or level.name in override]


@dataclass(frozen=True, slots=True)
class Gap:
    """What the next level asks (`need`: its ways in, in words), and what of the nearest one is missing."""

    rank: int
    name: str
    need: tuple[str, ...]
    missing: str


def next_level(head: EventHead, levels: Levels) -> Gap | None:
    """The next level, beside the figures of the last decision; None on top of the ladder."""
    found = next(((rank, level, ways) for rank, level, ways in ladder(levels, head.subject)
                  if rank > head.level and ways), None)
    if found is None:
        return None
    rank, level, ways = found
    return Gap(rank, level.name, tuple(threshold(each) for each in ways), missing(head.decision.evidence, ways))


def missing(have: Evidence, ways: tuple[Threshold, ...]) -> str:
    """`还差 3 条、1 个独立来源，或 40 次评论、转发、点赞`: each way in; figures of another window are another count."""
    known = figures(have)
    lacks = [_lacking(each, known) for each in ways
             if each.window == have.window and written(each).keys() <= known.keys() | {"growth_sources"}]
    if not lacks:
        return "按这一级的时间窗口另行统计"
    if not all(lacks):
        return "条件已满足，等待下一次判定"
    return f"还差 {'，或 '.join('、'.join(amount(name, lack) for name, lack in each.items()) for each in lacks)}"


def standing(have: Evidence) -> tuple[Factor, ...]:
    """The figures that a level was decided on, each beside what was asked for; 0 where nothing was."""
    if have.factors:
        return have.factors
    spread = (Factor("items", have.items, have.need_items), Factor("sources", have.sources, have.need_sources))
    return (*spread, Factor("growth", have.growth, have.need_growth)) if have.growth or have.need_growth else spread


def figures(have: Evidence) -> Mapping[str, float]:
    """Factor -> figure, of those that the decision names."""
    return {"items": have.items, "sources": have.sources, "growth": have.growth,
            **{each.name: each.value for each in have.factors}}


def _lacking(need: Threshold, known: Mapping[str, float]) -> dict[str, float]:
    """Factor -> how much is missing, of those that fall short."""
    return {name: asked - known[name] for name, asked in written(need).items()
            if name in known and known[name] < asked}


def _windowed(name: str) -> bool:
    known = BY_NAME.get(name)
    return known is None or known.windowed
