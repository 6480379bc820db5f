"""What must hold of the response clocks of levels.yml beyond each field's own kind."""

from __future__ import annotations

from pipeline.rulebook import schema
from pipeline.rulebook.checks import inside
from pipeline.rulebook.objects import Place


def clock(value: schema.ResponseClock, path: str, place: Place) -> None:
    for index, (before, after) in enumerate(zip(value.warnings, value.warnings[1:], strict=False), 1):
        if after.at <= before.at:
            place.problem(inside(path, f"warnings[{index}].at"), f"应大于上一个提醒的 {before.at}。",
                          "从小到大写，最大 100")


def lengths(value: schema.Levels, path: str, place: Place) -> None:
    """A higher level leaves no more time than a lower one: the shortest counts that the event ever had."""
    names = [level.name for level in value.ladder]
    for index, each in enumerate(value.clocks):
        if each.start_level not in names:
            continue                                          # told as an unknown name
        shortest, of = 0, ""
        for rank, name in enumerate(names):
            asked = each.levels.get(name, each.within if rank >= names.index(each.start_level) else 0)
            if shortest and asked > shortest:
                place.problem(inside(f"clocks[{index}]", f"levels.{name}"),
                              f"比“{of}”的时限长：级别升高时限不会变长，这个数用不到。", f"写得不比“{of}”的长，或删去")
            elif asked:
                shortest, of = asked, name
