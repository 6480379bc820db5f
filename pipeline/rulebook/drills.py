"""Drills: what drills/*.yml may say. `wenxun drill run` plays one; `wenxun rules check` reads them all.

A drill is no part of the rule book: it changes nothing until somebody runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pipeline.errors import Problem, RuleBookError
from pipeline.rulebook.kinds import BAD, FLAG, Kind, Many, Reading, Ref, Table, ident, length, text, whole
from pipeline.rulebook.objects import Field, Place, Record
from pipeline.rulebook.parse import check_references
from pipeline.rulebook.schema import RuleBook
from pipeline.rulebook.schema.base import MINUTE
from pipeline.rulebook.yaml_marks import Mark, compose

FOLDER = "drills/"
MAX_ITEMS = 500


class DrillSource(msgspec.Struct, frozen=True):
    """A source that the drill plays. Sources count as independent by their names here."""

    id: str
    name: str
    group: str = "其他"
    region: str = ""
    official: bool = False


class DrillItem(msgspec.Struct, frozen=True):
    """Published `at` ms after the drill began; `times` of it `every` ms apart, by `sources` in turn."""

    at: int
    sources: tuple[str, ...]
    title: str
    text: str = ""
    times: int = 1
    every: int = MINUTE


class DrillTargets(msgspec.Struct, frozen=True):
    """How soon, ms. event, levels, statement: after the first item. page: delivered, after the level that pages was
    reached. ack: after the page was delivered. 0: not asked."""

    event: int = 0
    levels: dict[str, int] = {}
    page: int = 0
    ack: int = 0
    statement: int = 0


class Drill(msgspec.Struct, frozen=True):
    id: str
    title: str
    owner: str
    reason: str
    sources: tuple[DrillSource, ...]
    items: tuple[DrillItem, ...]
    targets: DrillTargets


def _drill(value: Drill, path: str, place: Place) -> None:
    known = {each.id for each in value.sources}
    for index, item in enumerate(value.items):
        for name in item.sources:
            if name not in known:
                place.problem(f"items[{index}].sources", f"sources 里没有 {name}。",
                              f"已有的：{'、'.join(sorted(known))}")
    count = sum(item.times for item in value.items)
    if count > MAX_ITEMS:
        place.problem("items", f"一共 {count} 条，最多 {MAX_ITEMS} 条。", "减少 times，或分成两个演练")
    if value.targets == DrillTargets():
        place.problem("targets", "没有写任何目标，演练完没有可比的。", "至少写一项，如 ack: 5m")


LENGTH = length("1s", "7d", "5m")
DRILL: Kind = Record(Drill, {
    "id": Field(ident("drill"), "演练编号", True),
    "title": Field(text("投票提前截止的谣言", 60), "演练的名称", True),
    "owner": Field(text("监测组", 40), "谁负责这个演练", True),
    "reason": Field(text("检验夜间能否在 5 分钟内确认", 200), "想检验什么", True),
    "sources": Field(Many(Record(DrillSource, {
        "id": Field(text("forum", 40), "在本文件里的名字", True),
        "name": Field(text("演练论坛", 40), "显示的来源名；名字不同就是独立来源", True),
        "group": Field(text("本地论坛", 40), "来源分组"),
        "region": Field(text("石桥镇", 40), "地区标签，供路由用"),
        "official": Field(FLAG, "true 是本单位的权威发布"),
    }), 1, 100), "扮演的来源", True),
    "items": Field(Many(Record(DrillItem, {
        "at": Field(length("0s", "7d", "10m"), "演练开始后多久出现", True),
        "sources": Field(Many(text("forum", 40), 1), "哪些来源轮流发", True),
        "title": Field(text("听说投票下午三点就截止", 200), "标题", True),
        "text": Field(text("群里都在传", 5000), "正文"),
        "times": Field(whole(1, MAX_ITEMS, 10), "一共几条，默认 1"),
        "every": Field(length("1s", "1d", "30s"), "相隔多久一条，默认 1m"),
    }), 1), "出现的条目，编出来的，不写真人真事", True),
    "targets": Field(Record(DrillTargets, {
        "event": Field(LENGTH, "首条之后多久要形成事件（达到最低一级）"),
        "levels": Field(Table(Ref(("level",)), LENGTH), "级别: 首条之后多久要达到"),
        "page": Field(LENGTH, "达到要通知的级别后多久要送达"),
        "ack": Field(LENGTH, "送达后多久要有人确认"),
        "statement": Field(LENGTH, "首条之后多久要有权威回应"),
    }), "目标，记分时对照", True),
}, _drill)


def read_drills(files: Mapping[str, str], book: RuleBook) -> dict[str, Drill]:
    """Path -> drill, of every file in drills/; RuleBookError with all problems in them."""
    found: dict[str, Drill] = {}
    problems: list[Problem] = []
    for file in sorted(name for name in files if name.startswith(FOLDER)):
        drill, wrong = _read(file, files[file], book)
        problems += wrong
        if drill is not None:
            found[file] = drill
    if problems:
        raise RuleBookError(problems)
    return found


def read_drill(file: str, content: str, book: RuleBook) -> Drill:
    """One drill file, wherever it lies."""
    drill, problems = _read(file, content, book)
    if drill is None or problems:
        raise RuleBookError(problems)
    return drill


def _read(file: str, content: str, book: RuleBook) -> tuple[Drill | None, list[Problem]]:
    reading = Reading()
    reading.names = {"level": {each.name: Mark(file, 1, 1) for each in book.levels.ladder}}
    node, problems = compose(file, content)
    if node is None:
        return None, problems or [Problem(file, 1, 1, "", "文件是空的。", "照 rules/drills 里的样例写，或删去文件")]
    reading.problems.extend(problems)
    value = DRILL.read(node, "", reading)
    check_references(reading, set())
    return (None if value is BAD else value), reading.problems
