"""What must hold inside levels.yml beyond each field's own kind."""

from __future__ import annotations

from pipeline.rulebook import schema
from pipeline.rulebook.checks import inside
from pipeline.rulebook.objects import Place


def threshold(value: schema.Threshold, path: str, place: Place) -> None:
    if value.sources > value.items:
        place.problem(inside(path, "sources"), f"独立来源数 {value.sources} 多于条数 {value.items}，条数因此形同虚设。",
                      f"写成 sources: {value.items} 或更少")
    if value.growth_sources > 1 and not value.growth:
        place.problem(inside(path, "growth_sources"), "没有写 growth，growth_sources 不起作用。",
                      "补上 growth:，或删去 growth_sources")


def levels(value: schema.Levels, path: str, place: Place) -> None:
    _rising([(f"ladder[{rank}].enter", each.name, each.enter) for rank, each in enumerate(value.ladder)], place)
    rank_of = {each.name: rank for rank, each in enumerate(value.ladder)}
    seen: set[str] = set()
    for index, override in enumerate(value.overrides):
        if override.subject in seen:
            place.problem(f"overrides[{index}].subject", f"主题 {override.subject} 已经有一组阈值。", "合并成一处")
        seen.add(override.subject)
        known = sorted((name for name in override.enter if name in rank_of), key=rank_of.__getitem__)
        _rising([(f"overrides[{index}].enter.{name}", name, override.enter[name]) for name in known], place)


def _rising(steps: list[tuple[str, str, schema.Threshold]], place: Place) -> None:
    """Each level's enter lies above the one below: more items, and not fewer sources; likewise growth, if written."""
    for (_, below_name, below), (path, name, above) in zip(steps, steps[1:], strict=False):
        if above.items <= below.items:
            place.problem(f"{path}.items", f"{name} 的 {above.items} 条应多于下一级 {below_name} 的 {below.items} 条。",
                          f"写成 items: {below.items + 1} 或更多")
        if above.sources < below.sources:
            place.problem(f"{path}.sources",
                          f"{name} 的 {above.sources} 个来源不应少于下一级 {below_name} 的 {below.sources} 个。",
                          f"写成 sources: {below.sources} 或更多")
    growing = [step for step in steps if step[2].growth]
    for (_, below_name, below), (path, name, above) in zip(growing, growing[1:], strict=False):
        if above.growth <= below.growth:
            place.problem(f"{path}.growth", f"{name} 的 {above.growth} 应多于 {below_name} 的 {below.growth}。",
                          f"写成 growth: {below.growth + 1} 或更多")
        least = below.growth_sources
        if above.growth_sources < least:
            place.problem(f"{path}.growth_sources",
                          f"{name} 的 {above.growth_sources} 个来源不应少于 {below_name} 的 {least} 个。",
                          f"写成 growth_sources: {least} 或更多")
