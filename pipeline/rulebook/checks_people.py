"""What must hold inside roster.yml and routes.yml beyond each field's own kind."""

from __future__ import annotations

from pipeline.rulebook import schema
from pipeline.rulebook.checks import inside
from pipeline.rulebook.objects import Place


def roster(value: schema.Roster, path: str, place: Place) -> None:
    if value.ops not in {team.id for team in value.teams}:
        place.problem("ops", f"没有班组 {value.ops}：系统通知没有人收。",
                      f"在 teams 里补上 id: {value.ops}，或写 ops: 已有的班组")


def route(value: schema.Route, path: str, place: Place) -> None:
    for index, (before, after) in enumerate(zip(value.steps, value.steps[1:], strict=False), 1):
        if after.after <= before.after:
            place.problem(inside(path, f"steps[{index}].after"), "应晚于上一步。", "写更长的时长，或把两步合成一步")
    if value.mode is schema.RouteMode.DIGEST and len(value.steps) > 1:
        place.problem(inside(path, "steps[1]"), "汇总（digest）没有下一步。", "只留一步，或改 mode: page")
