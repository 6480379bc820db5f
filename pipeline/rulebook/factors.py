"""The factors of levels.yml: the one table that the parser, `wenxun rules factors`, the docs and people's texts share.

Only what the pipeline computes is here (pipeline/track/figures.py), in the order in which it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.rulebook.kinds import Kind, number, whole
from pipeline.rulebook.schema import Threshold


@dataclass(frozen=True, slots=True)
class Factor:
    """name: as it is written in a threshold. unit: follows a figure, `条`. windowed: counted within the window.

    counts: more items can only add to it, so that the order of arrival cannot matter.
    """

    name: str
    title: str
    unit: str
    meaning: str
    example: str
    kind: Kind
    windowed: bool = True
    counts: bool = True


_COUNT = (1, 1_000_000)

FACTORS: tuple[Factor, ...] = (
    Factor("items", "条数", "条", "窗口内不同的条目数；同一条再次出现、编辑都不另计", "items: 10", whole(*_COUNT, 10)),
    Factor("sources", "独立来源", "个独立来源", "这些条目来自几个独立来源；同一发布者（origin）的几个订阅只算一个",
           "sources: 4", whole(*_COUNT, 4)),
    Factor("groups", "来源分组", "个来源分组", "这些条目来自几个分组（sources.yml 的 group），看有没有传出一个圈子",
           "groups: 2", whole(*_COUNT, 2)),
    Factor("speed", "速度", "条/小时", "窗口内平均每小时几条：条数除以窗口长度", "speed: 6",
           number(0.01, 1_000_000, 6)),
    Factor("heat", "热度", "点热度", "条数，再加评论、转发、点赞的增长，每一次折成 events.interaction 条（默认 0.01）",
           "heat: 20", number(0.1, 1_000_000_000, 20)),
    Factor("growth", "互动增长", "次评论、转发、点赞", "窗口内评论、转发、点赞一共增加多少；订阅给出这些数才有；0 不看",
           "growth: 500", whole(0, 1_000_000_000, 500)),
    Factor("growth_sources", "互动来源", "个来源有增长", "增长出自几个独立来源的条目，默认 1；与 growth 一起写",
           "growth_sources: 2", whole(*_COUNT, 1)),
    Factor("negative", "负面占比", "比例",
           "判得出情感的条目里负面的比例，取 90% 置信区间的下限：条数少时偏低。只能同传播一起用，从不单独提高级别",
           "negative: 0.5", number(0.05, 0.95, 0.5), counts=False),
    Factor("impact", "主题影响", "级", "主题的影响程度：subjects/*.yml 的 impact，1 到 5；没写的和未归类话题是 1",
           "impact: 3", whole(1, 5, 3), windowed=False),
    Factor("official", "官方发布", "条官方发布", "官方渠道（official: true）当天零点以后就此发了几条；它们不计入传播",
           "official: 1", whole(*_COUNT, 1), windowed=False),
)
"""In the order in which they are listed and in which a decision gives them."""

NAMES = tuple(each.name for each in FACTORS)
BY_NAME = {each.name: each for each in FACTORS}
SPREAD = ("items", "sources", "groups", "speed", "heat")
"""Factors that only items of the public add to."""


def written(need: Threshold) -> dict[str, float]:
    """The factors that a threshold asks for, in order. growth_sources belongs to growth."""
    asked = {name: getattr(need, name) for name in NAMES if getattr(need, name)}
    if not need.growth:
        asked.pop("growth_sources", None)
    return asked
