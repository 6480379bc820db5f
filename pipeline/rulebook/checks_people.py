"""What must hold inside roster.yml and routes.yml beyond each field's own kind."""

from __future__ import annotations

import datetime as dt

from pipeline.rulebook import schema
from pipeline.rulebook.checks import inside
from pipeline.rulebook.objects import Place
from pipeline.rulebook.routing import minutes

_WEEK = 7 * 24 * 60


def shift(value: schema.Shift, path: str, place: Place) -> None:
    if value.rotate and not value.since:
        place.problem(inside(path, "rotate"), "轮班要写明从哪一天起轮第一位。", "补上 since: 日期")
    if value.since and not value.rotate:
        place.problem(inside(path, "since"), "没有写 rotate，since 不起作用。", "补上 rotate: 7d，或删去 since")
    if len(set(value.members)) < len(value.members) and not value.rotate:
        place.problem(inside(path, "members"), "同一个人写了两次。", "删去一个")


def roster(value: schema.Roster, path: str, place: Place) -> None:
    if value.ops not in {team.id for team in value.teams}:
        place.problem("ops", f"没有班组 {value.ops}：系统通知没有人收。",
                      f"在 teams 里补上 id: {value.ops}，或写 ops: 已有的班组")
    for index, one in enumerate(value.overrides):
        for before in value.overrides[:index]:
            if one.team == before.team and _overlap(one, before):
                place.problem(f"overrides[{index}]", f"班组 {one.team} 在 {one.date} 的这一段，前面的换班已经写了。",
                              "合成一条，或错开时刻")
                break


def _overlap(one: schema.Override, other: schema.Override) -> bool:
    (begin, end), (start, stop) = _span(one), _span(other)
    return begin < stop and start < end


def _span(one: schema.Override) -> tuple[int, int]:
    """Minutes from the first day of the calendar on."""
    begin, end = minutes(one.start), minutes(one.end)
    day = dt.date.fromisoformat(one.date).toordinal() * 24 * 60
    return day + begin, day + end + (0 if end > begin else 24 * 60)


def route(value: schema.Route, path: str, place: Place) -> None:
    for index, (before, after) in enumerate(zip(value.steps, value.steps[1:], strict=False), 1):
        if after.after <= before.after:
            place.problem(inside(path, f"steps[{index}].after"), "应晚于上一步。", "写更长的时长，或把两步合成一步")
    for index, step in enumerate(value.steps):
        if len(set(step.channels)) < len(step.channels):
            place.problem(inside(path, f"steps[{index}].channels"), "同一个通道写了两次。", "删去一个")
    last = value.steps[-1].after
    if value.mode is schema.RouteMode.DIGEST:
        if len(value.steps) > 1:
            place.problem(inside(path, "steps[1]"), "汇总（digest）没有下一步。", "只留一步，或改 mode: page")
        if value.until:
            place.problem(inside(path, "until"), "汇总（digest）不重复，until 不起作用。",
                          "删去 until，或改 mode: page")
    elif value.until and value.until <= last:
        place.problem(inside(path, "until"), "不晚于最后一步，那一步永远轮不到。", "写更长的时长，或删去后面的步骤")


def routes(value: object, path: str, place: Place) -> None:
    """Quiet hours end: what waits for them is told at some time."""
    rules: tuple[schema.Quiet, ...] = value.quiet  # type: ignore[attr-defined]
    for level in dict.fromkeys(name for each in rules for name in each.levels):
        quiet = {minute for each in rules if level in each.levels for minute in _week(each)}
        if len(quiet) == _WEEK:
            place.problem("quiet", f"级别“{level}”从早到晚天天都是安静时段，它的通知永远发不出去。",
                          "缩短 hours，或去掉几天")


def _week(quiet: schema.Quiet) -> set[int]:
    """Minutes of the week, from Monday 00:00, that are quiet."""
    begin, end = (minutes(part) for part in quiet.hours.split("-"))
    length = (end - begin) % (24 * 60) or 24 * 60
    firsts = ((day - 1) * 24 * 60 + begin for day in quiet.days)
    return {minute % _WEEK for first in firsts for minute in range(first, first + length)}
