"""Fields of levels.yml."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pipeline.rulebook import checks_clocks as clocks
from pipeline.rulebook import checks_levels as own
from pipeline.rulebook import schema
from pipeline.rulebook.factors import FACTORS, written
from pipeline.rulebook.kinds import (
    BAD,
    Many,
    Name,
    Reading,
    Ref,
    Schema,
    Table,
    ident,
    length,
    nearest,
    number,
    pattern,
    shown,
    text,
    whole,
)
from pipeline.rulebook.layout_base import COLOR
from pipeline.rulebook.objects import Field, Place, Record
from pipeline.rulebook.yaml_marks import Mapping, Node, Scalar, Sequence

LENGTH = length("1m", "30d", "2h")
WINDOW_NAME = pattern("窗口的名字（最多 20 个字，不以数字开头）", "short", r"[^\s0-9+.\-][^\s]{0,19}")


class Window:
    """A length, or a name of `windows:`."""

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        name = node.text.strip() if isinstance(node, Scalar) else ""
        if not WINDOW_NAME.convert(name):
            return LENGTH.read(node, path, reading)
        if name in reading.windows:
            return reading.windows[name]
        meant, known = nearest(name, reading.windows), "、".join(reading.windows)
        hint = f"是不是 {meant}？" if meant else f"已有的：{known}；也可以直接写时长，如 window: 2h"
        if not known:
            hint = "直接写时长，如 window: 2h，或先在 windows: 里起名"
        return reading.problem(node.mark, path, f"windows 里没有名为{shown(node)}的窗口。", hint)

    def schema(self) -> Schema:
        return {"anyOf": [LENGTH.schema(), WINDOW_NAME.schema()]}


class Threshold(Record):
    """A Record whose schema also says which factors need which."""

    def schema(self) -> Schema:
        return {**super().schema(), **(own.ENTER_SCHEMA if self.check is own.enter else own.LEAVE_SCHEMA)}


_FIELDS = {"window": Field(Window(), "窗口长度，或 windows 里的名字", True),
           **{each.name: Field(each.kind, each.meaning) for each in FACTORS}}
ENTER = Threshold(schema.Threshold, _FIELDS, own.enter)
LEAVE = Threshold(schema.Threshold, _FIELDS, own.leave)


class AnyOf:
    """One threshold, or a list of which any is enough."""

    def __init__(self, kind: Record) -> None:
        self.kind = kind
        self._many = Many(kind, 1, 9)

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if isinstance(node, Sequence):
            return self._many.read(node, path, reading)
        value = self.kind.read(node, path, reading)
        return value if value is BAD else _apart(value, node, path, reading)

    def schema(self) -> Schema:
        return {"anyOf": [self.kind.schema(), self._many.schema()]}


def _apart(value: schema.Threshold, node: Node, path: str, reading: Reading) -> Any:
    """Without a list, `items`, `sources` and `growth` side by side mean spread or growth: so it was before lists."""
    asked = set(written(value))
    if not value.growth or not asked & {"items", "sources"}:
        return (value,)
    more = "、".join(sorted(asked - {"items", "sources", "growth", "growth_sources"}))
    if more:
        return reading.problem(node.mark, path, f"items、sources 和 growth 不写成列表时是“或”，再加 {more} 说不清。",
                               "改成列表：每组条件一项，以“- ”开头，同一组里的都要达到")
    return (replace(value, growth=0, growth_sources=1), replace(value, items=0, sources=0))


LEVEL = Record(schema.Level, {
    "name": Field(Name(("level",), text("一般", 20)), "级别名称", True),
    "response": Field(text("三级响应", 20), "对应的响应", True),
    "color": Field(COLOR, "页面上的颜色"),
    "enter": Field(AnyOf(ENTER), "进入这一级的阈值；写成列表时达到任何一组都算", True),
    "leave": Field(AnyOf(LEAVE), "低于它才离开；不写则按 leave_ratio"),
    "leave_ratio": Field(number(0.05, 1, 0.6), "降到进入阈值的几成以下才离开"),
    "hold": Field(length("0s", "7d", "30m"), "进入后至少保持多久"),
})

OVERRIDE = Record(schema.LevelOverride, {
    "subject": Field(Ref(("subject",), ("*",)), "哪个主题；\"*\" 是不属于任何主题的条目", True),
    "enter": Field(Table(Ref(("level",)), AnyOf(ENTER), 1), "级别名称: 阈值；没写的级别对它不存在", True),
})

EVENTS = Record(schema.EventRules, {
    "similarity": Field(number(0.05, 0.95, 0.3), "相似到什么程度算同一事件"),
    "join_within": Field(length("1m", "30d", "24h"), "与事件最近的条目相隔多久以内才能并入"),
    "page_max_age": Field(length("1m", "30d", "24h"), "首次看到时比这更旧的条目不会触发告警"),
    "calm_after": Field(length("1m", "90d", "24h"), "平静多久后事件结束"),
    "urgent_level": Field(Ref(("level",)), "加急的人工上报单独就达到的级别；不写则不单独达级"),
    "interaction": Field(number(0, 1, 0.01), "算热度时，一次评论、转发或点赞折成几条"),
    "confirm_above": Field(whole(0, 1_000_000, 10), "改规则会使多于这么多个事件升级时，先等人确认"),
})

CLOCK = Record(schema.ResponseClock, {
    "id": Field(ident("clock"), "时钟编号", True),
    "name": Field(text("首次权威回应", 20), "时钟名称，出现在告警和页面里", True),
    "within": Field(LENGTH, "从首次发现起多久之内", True),
    "start_level": Field(Ref(("level",)), "到哪一级才开始计时（从首次发现算起）；加急的人工上报立即开始", True),
    "levels": Field(Table(Ref(("level",)), LENGTH), "个别级别的时限，取事件到过的级别里最短的"),
    "warnings": Field(Many(Record(schema.ClockWarning, {
        "at": Field(whole(1, 100, 80), "时限过了百分之几时提醒", True),
        "tell": Field(Many(Ref(("receiver",)), 1), "提醒哪些班组或人员；不写则提醒已通知过的人"),
    }), 0, 9), "提醒，默认 50、80、100"),
}, clocks.clock)


class _Levels:
    """The file. `windows` is read first, wherever it stands, so that thresholds can use its names."""

    def __init__(self) -> None:
        self._windows = Table(WINDOW_NAME, LENGTH)
        self.kind = Record(schema.Levels, {
            "windows": Field(self._windows, "给窗口长度起名: 时长，阈值里写名字"),
            "ladder": Field(Many(LEVEL, 1, 9), "级别，从低到高", True),
            "overrides": Field(Many(OVERRIDE), "个别主题另用的阈值，按 leave_ratio 离开"),
            "events": Field(EVENTS, "条目怎样归成事件"),
            "clocks": Field(Many(CLOCK, 0, 9), "回应时钟：多久之内要有权威回应、发布、答复"),
        }, _whole)

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        entries = node.entries if isinstance(node, Mapping) else ()
        for key, value in entries:
            if key.text == "windows" and isinstance(value, Mapping):
                usable = self._windows.read(value, "windows", Reading())
                reading.windows = {name.text: LENGTH.convert(each.text) or 1 for name, each in value.entries
                                   if isinstance(each, Scalar)} if usable is BAD else usable
        return self.kind.read(node, path, reading)

    def schema(self) -> Schema:
        return self.kind.schema()


def _whole(value: schema.Levels, path: str, place: Place) -> None:
    own.levels(value, path, place)
    clocks.lengths(value, path, place)


LEVELS = _Levels()
