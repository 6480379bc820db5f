"""Fields of levels.yml."""

from __future__ import annotations

from pipeline.rulebook import checks_levels as own
from pipeline.rulebook import schema
from pipeline.rulebook.kinds import Many, Name, Ref, Table, length, number, text, whole
from pipeline.rulebook.layout_base import COLOR, POSITIVE
from pipeline.rulebook.objects import Field, Record

THRESHOLD = Record(schema.Threshold, {
    "items": Field(whole(*POSITIVE, 10), "窗口内的条数", True),
    "sources": Field(whole(*POSITIVE, 4), "窗口内的独立来源数", True),
    "window": Field(length("1m", "30d", "2h"), "窗口长度", True),
    "growth": Field(whole(0, 1_000_000_000, 500), "窗口内评论、转发、点赞增加这么多也算达到；0 不看"),
    "growth_sources": Field(whole(*POSITIVE, 1), "增加的数要来自几个独立来源，默认 1"),
}, own.threshold)

LEVEL = Record(schema.Level, {
    "name": Field(Name(("level",), text("一般", 20)), "级别名称", True),
    "response": Field(text("三级响应", 20), "对应的响应", True),
    "color": Field(COLOR, "页面上的颜色"),
    "enter": Field(THRESHOLD, "进入这一级的阈值", True),
    "leave_ratio": Field(number(0.05, 1, 0.6), "降到进入阈值的几成以下才离开"),
    "hold": Field(length("0s", "7d", "30m"), "进入后至少保持多久"),
})

OVERRIDE = Record(schema.LevelOverride, {
    "subject": Field(Ref(("subject",), ("*",)), "哪个主题；\"*\" 是不属于任何主题的条目", True),
    "enter": Field(Table(Ref(("level",)), THRESHOLD, 1), "级别名称: 阈值；没写的级别对它不存在", True),
})

LEVELS = Record(schema.Levels, {
    "ladder": Field(Many(LEVEL, 1, 9), "级别，从低到高", True),
    "overrides": Field(Many(OVERRIDE), "个别主题另用的阈值"),
    "events": Field(Record(schema.EventRules, {
        "similarity": Field(number(0.05, 0.95, 0.3), "相似到什么程度算同一事件"),
        "join_within": Field(length("1m", "30d", "24h"), "与事件最近的条目相隔多久以内才能并入"),
        "page_max_age": Field(length("1m", "30d", "24h"), "首次看到时比这更旧的条目不会触发告警"),
        "calm_after": Field(length("1m", "90d", "24h"), "平静多久后事件结束"),
        "urgent_level": Field(Ref(("level",)), "加急的人工上报单独就达到的级别；不写则不单独达级"),
    }), "条目怎样归成事件"),
}, own.levels)
