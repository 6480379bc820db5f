"""What must hold inside levels.yml beyond each field's own kind: no threshold means nothing or contradicts another.

Negative sentiment alone never raises a level: a threshold that reads it must ask for spread too.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from pipeline.rulebook import schema
from pipeline.rulebook.checks import inside
from pipeline.rulebook.factors import BY_NAME, SPREAD, written
from pipeline.rulebook.objects import Place
from pipeline.rulebook.schema import HOUR, Level, Threshold

_BASIS = (*SPREAD, "growth")
"""What an event does by itself: a threshold rests on one of these."""
_SUMS = ("items", "growth")
"""More of them in as long a window is a higher level; of the other factors as much is enough."""
_UNITS = {"items": " 条", "sources": " 个来源", "growth_sources": " 个来源"}
_NEGATIVE = {"anyOf": [
    {"required": ["items", "sources"], "properties": {"items": {"minimum": 2}, "sources": {"minimum": 2}}},
    {"required": ["growth", "growth_sources"],
     "properties": {"growth": {"minimum": 1}, "growth_sources": {"minimum": 2}}},
]}
_OF_GROWTH = {"anyOf": [{"required": ["growth"]}, {"properties": {"growth_sources": {"maximum": 1}}}]}
_FROM_WHERE = {"anyOf": [{"required": ["sources"]}, {"required": ["groups"]}]}

LEAVE_SCHEMA = {
    "anyOf": [{"required": [name]} for name in _BASIS],
    "dependencies": {"growth_sources": _OF_GROWTH, "negative": _NEGATIVE},
}
ENTER_SCHEMA = {**LEAVE_SCHEMA, "dependencies": {
    **LEAVE_SCHEMA["dependencies"], "items": _FROM_WHERE, "speed": _FROM_WHERE, "heat": _FROM_WHERE}}  # type: ignore[dict-item]
"""What of these checks JSON Schema can say, beside a threshold's own fields."""


def enter(value: Threshold, path: str, place: Place) -> None:
    _any(value, path, place)
    counted = next((name for name in ("items", "speed", "heat") if getattr(value, name)), "")
    if counted and not value.sources and not value.groups:
        place.problem(path, f"写了 {counted}，没写要来自几个独立来源：一家反复发也会达到。",
                      "补上 sources: 2，一家也算就写 sources: 1")


def leave(value: Threshold, path: str, place: Place) -> None:
    _any(value, path, place)


def _any(value: Threshold, path: str, place: Place) -> None:
    asked = written(value)
    if not _rests(value):
        place.problem(path, _no_basis(list(asked)),
                      "补上 items: 和 sources:，或 growth:；全部因素见 wenxun rules factors")
    if value.items and value.sources > value.items:
        place.problem(inside(path, "sources"), f"独立来源数 {value.sources} 多于条数 {value.items}，条数因此形同虚设。",
                      f"写成 sources: {value.items} 或更少")
    if value.growth_sources > 1 and not value.growth:
        place.problem(inside(path, "growth_sources"), "没有写 growth，growth_sources 不起作用。",
                      "补上 growth:，或删去 growth_sources")
    if value.negative and not spread_beside(value):
        place.problem(inside(path, "negative"), "负面情绪本身不提高级别（批评不是事件），要同时有传播。",
                      "在同一组里补上 items 和 sources（都不小于 2），或 growth 和 growth_sources（不小于 2）")


def _rests(value: Threshold) -> bool:
    return bool(written(value).keys() & set(_BASIS))


def spread_beside(value: Threshold) -> bool:
    """Whether this threshold asks for enough beside sentiment: items, or growth, of two independent sources."""
    return (value.items >= 2 and value.sources >= 2) or (value.growth > 0 and value.growth_sources >= 2)


def _no_basis(asked: list[str]) -> str:
    if not asked:
        return "只有窗口，没有任何条件：什么都算达到。"
    return f"只有 {'、'.join(asked)}：它们只能同传播或互动一起用，单独不决定级别。"


def levels(value: schema.Levels, path: str, place: Place) -> None:
    steps = [(f"ladder[{rank}].enter", each.name, each.enter) for rank, each in enumerate(value.ladder)]
    _rising(steps, place)
    for rank, level in enumerate(value.ladder):
        _leaving(level, f"ladder[{rank}]", place)
    rank_of = {each.name: rank for rank, each in enumerate(value.ladder)}
    seen: set[str] = set()
    for index, override in enumerate(value.overrides):
        if override.subject in seen:
            place.problem(f"overrides[{index}].subject", f"主题 {override.subject} 已经有一组阈值。", "合并成一处")
        seen.add(override.subject)
        known = sorted((name for name in override.enter if name in rank_of), key=rank_of.__getitem__)
        _rising([(f"overrides[{index}].enter.{name}", name, override.enter[name]) for name in known], place)


# ---------------------------------------------------------------- a level above another


_Step = tuple[str, str, tuple[Threshold, ...]]
"""Path, name and thresholds of a level."""


def _rising(steps: list[_Step], place: Place) -> None:
    """Each threshold lies above those of the levels below that ask for the same factors, and none is reached with one
    of them: else a level could never be seen."""
    for rank, (path, name, above) in enumerate(steps):
        for index, need in enumerate(above):
            where = _path(path, index, place)
            problems = _above(need, name, where, steps[:rank]) or list(_implied(need, name, where, steps[:rank], place))
            for problem in problems:
                place.problem(*problem)


_Found = tuple[str, str, str]
"""Path, message and hint of a problem."""


def _above(need: Threshold, name: str, path: str, lower: list[_Step]) -> list[_Found]:
    """What is wrong beside the nearest lower level that asks for the same factors; nothing if need is above one of its
    thresholds."""
    for _, below_name, thresholds in reversed(lower):
        alike = [each for each in thresholds if _names(each) == _names(need)]
        if alike:
            return min((_compared(need, name, path, each, below_name) for each in alike), key=len)
    return []


def _compared(need: Threshold, name: str, path: str, below: Threshold, below_name: str) -> list[_Found]:
    found: list[_Found] = []
    for factor in written(need):
        mine, theirs = getattr(need, factor), getattr(below, factor)
        faster = need.window < below.window and mine * below.window > theirs * need.window
        if factor in _SUMS and mine <= theirs and not faster:
            say, least = "应多于", theirs + 1
        elif factor not in _SUMS and mine < theirs:
            say, least = "不应少于", theirs
        else:
            continue
        unit = _UNITS.get(factor, "")
        found.append((inside(path, factor), f"{name} 的 {mine:g}{unit or ' '}{say}{below_name} 的 {theirs:g}{unit}。",
                      f"写成 {factor}: {least:g} 或更多"))
    return found


def _implied(need: Threshold, name: str, path: str, lower: list[_Step], place: Place) -> Iterator[_Found]:
    """Thresholds of lower levels that are never seen, because this one is reached with them."""
    for below_path, below_name, thresholds in lower:
        for index, each in enumerate(thresholds):
            if implies(each, need):
                yield (path, f"达到 {below_name} 的 {_path(below_path, index, place)} 时，{name} 的这一组也一定达到了，"
                       f"{below_name} 不会出现。", "把这一组写得更高，或删去其中一组")
                return


def implies(one: Threshold, other: Threshold) -> bool:
    """Whether an event that reaches `one` reaches `other` with it, whatever it is."""
    items = _least_items(one)
    windowed = [name for name in written(other) if BY_NAME[name].windowed]
    return (
        (not windowed or other.window >= one.window)
        and _least_items(other) <= items
        and other.sources <= max(one.sources, bool(items))
        and other.groups <= one.groups
        and other.heat <= max(one.heat, items)
        and other.growth <= one.growth
        and (not other.growth or other.growth_sources <= one.growth_sources)
        and (not other.negative or (other.negative <= one.negative and other.window == one.window))
        and other.impact <= one.impact
        and other.official <= one.official
    )


def _least_items(need: Threshold) -> int:
    """So many items there must be."""
    return max(need.items, ceil(need.speed * need.window / HOUR), need.sources, need.groups)


# ---------------------------------------------------------------- leaving a level


def _leaving(level: Level, path: str, place: Place) -> None:
    ratio = (place.mark.file, f"{path}.leave_ratio") in place.reading.marks
    if level.leave and ratio:
        place.problem(f"{path}.leave_ratio", "写了 leave，leave_ratio 不起作用。", "只留一个")
    if not level.leave and level.leave_ratio >= 1 and not level.hold:
        place.problem(f"{path}.hold", f"{level.name} 的 leave_ratio 是 1 而 hold 是 0：在阈值上下会不停地来回跳。",
                      "写成 leave_ratio: 0.6，或 hold: 30m")
    if not all(_rests(each) for each in level.leave):
        return                                               # said already
    for index, need in enumerate(level.enter):
        if level.leave and not any(implies(need, each) for each in level.leave):
            where, what = _too_high(level, need, f"{path}.leave", place)
            place.problem(where, f"{level.name} 的 leave 高于 {_path(f'{path}.enter', index, place)}：{what}，"
                          "一进入就已经该离开。", "leave 的每一项都不高于 enter，窗口不短于它")
            return


def _too_high(level: Level, need: Threshold, path: str, place: Place) -> tuple[str, str]:
    """Path and words of the first factor of `leave` that asks for more than `need`."""
    index, each = next(iter(enumerate(level.leave)))
    where = _path(path, index, place)
    for name, asked in written(each).items():
        if asked > getattr(need, name):
            return inside(where, name), f"{name} 要 {asked:g}，进入时只要 {getattr(need, name):g}"
    return inside(where, "window"), "窗口比进入时的短"


def _path(path: str, index: int, place: Place) -> str:
    """Of a level's threshold: `enter`, or `enter[1]` where they are written as a list."""
    listed = f"{path}[{index}]"
    return listed if (place.mark.file, listed) in place.reading.marks else path


def _names(need: Threshold) -> frozenset[str]:
    return frozenset(written(need)) - {"growth_sources"}
