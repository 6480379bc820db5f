"""What differs between two rule books, in words: entry by entry, field by field, by the file it is written in.

Entries are told apart by their id or name; a renamed one is one that went and one that came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from pipeline.rulebook.schema import Condition, Override, Pattern, ResponseClock, RuleBook, Threshold
from pipeline.rulebook.schema.base import Rule

MAX_NAMED = 12
"""Words of a list that are named; the rest are counted."""


class Kind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference. entry: `主题 polling-place（投票地点）`, empty for a setting of the file. field: empty when the
    whole entry came or went. before, after: as people read them."""

    file: str
    kind: Kind
    entry: str
    field: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        """One line, without the file."""
        name = f"{self.entry}：" if self.entry and self.field else self.entry
        if not self.field:
            return f"{_VERBS[self.kind]} {name}"
        if not self.before or not self.after:
            return f"{name}{self.field}{'增加' if self.after else '删去'} {self.after or self.before}"
        return f"{name}{self.field} {self.before} → {self.after}"


_VERBS = {Kind.ADDED: "新增", Kind.REMOVED: "删去", Kind.CHANGED: "改动"}
_LENGTHS = frozenset((
    "window", "hold", "join_within", "page_max_age", "calm_after", "interval", "min_interval", "max_interval", "after",
    "repeat", "every", "until", "rotate", "within", "resend",
    "levels"))
"""Fields that are milliseconds."""
_NAMES = {
    "title": "名称", "name": "名称", "owner": "负责人", "reason": "理由", "expires": "到期日", "status": "状态",
    "terms": "词", "threshold": "门槛", "match": "条件", "exclude": "排除词", "scope": "看的字段", "groups": "来源分组",
    "active": "生效时段", "fold": "写法归一", "impact": "影响程度", "words": "词", "include": "包含的词表",
    "url": "地址", "group": "分组", "origin": "发布者", "official": "官方发布", "interval": "采集间隔",
    "min_interval": "最短间隔", "max_interval": "最长间隔", "enabled": "采集", "format": "格式", "kind": "类型",
    "full_text": "取全文", "respect_robots": "遵守 robots.txt", "timezone": "时区", "list": "列表位置",
    "response": "响应", "enter": "进入门槛", "leave": "离开门槛", "leave_ratio": "离开比例", "hold": "保持时间",
    "color": "颜色", "channels": "通道", "mail": "邮箱", "shifts": "班次", "steps": "步骤", "levels": "适用级别",
    "subjects": "适用主题", "mode": "方式", "repeat": "重复间隔", "hours": "时段", "every": "汇总间隔", "type": "类型",
    "url_file": "地址文件", "secret_file": "密钥文件", "host": "服务器", "port": "端口", "tls": "加密",
    "username": "用户名", "password_file": "口令文件", "sender": "发件人", "engine": "引擎", "negations": "否定词",
    "degrees": "程度词", "reach": "管到几个字", "unsure_below": "不确定的界线", "similarity": "相似度",
    "join_within": "并入期限", "page_max_age": "告警最大年龄", "calm_after": "平息时间", "urgent_level": "加急级别",
    "interaction": "一次互动折算", "confirm_above": "需要确认的升级数",
    "fallback": "兜底人", "ops": "运维班组", "tell": "通知", "after": "晚",
    "members": "值班", "start": "从", "end": "到", "days": "星期",
    "windows": "窗口名称",
    "region": "地区", "regions": "地区", "team": "归属班组", "teams": "主题归属", "lead": "牵头", "until": "期限",
    "mobile": "手机号", "wecom": "企业微信账号", "dingtalk": "钉钉账号", "feishu": "飞书账号", "account": "值班台账号",
    "calendar": "日历", "rotate": "每人轮", "since": "轮班起始日", "date": "日期",
    "within": "时限", "start_level": "起始级别", "warnings": "提醒", "at": "时限百分比", "heartbeat": "心跳",
    "rate": "每分钟最多", "key_file": "密钥编号文件", "corp": "企业", "agent": "应用", "app": "应用", "sign": "签名",
    "template": "模板", "caller": "主叫号码", "params": "模板参数", "method": "请求方法", "headers": "请求头",
    "body": "正文", "expect": "应答条件", "resend": "重发间隔",
}
_FACTORS = {
    "items": "{} 条", "sources": "{} 个来源", "groups": "{} 个分组", "speed": "每小时 {} 条", "heat": "热度 {}",
    "growth": "增长 {}", "growth_sources": "增长来自 {} 个来源", "negative": "负面占比 {}", "impact": "影响 {}",
    "official": "官方 {} 条",
}


def changes(before: RuleBook, after: RuleBook) -> list[Change]:
    """All differences, by file and then in the order of the newer book. A shadow book beside one is not looked at."""
    found: list[Change] = []
    for folder, what, old, new in _entries(before, after):
        found += _of_entries(folder, what, old, new)
    found += _fields("sentiment.yml", "", before.sentiment, after.sentiment, ())
    found += _fields("levels.yml", "", before.levels.events, after.levels.events, ())
    found += _settings(before, after)
    return sorted(found, key=lambda each: each.file)


def _entries(
    before: RuleBook, after: RuleBook
) -> Iterator[tuple[str, str, dict[str, Rule], dict[str, Rule]]]:
    """(file, or folder if each entry has a file, what an entry is called, entries before, entries after)."""
    for file, what, first, second in (
            ("sources.yml", "来源", before.sources, after.sources),
            ("subjects/", "主题", before.subjects, after.subjects),
            ("words/", "词表", before.lists, after.lists),
            ("levels.yml", "级别", before.levels.ladder, after.levels.ladder),
            ("levels.yml", "另用的阈值", before.levels.overrides, after.levels.overrides),
            ("roster.yml", "人员", before.roster.people, after.roster.people),
            ("roster.yml", "班组", before.roster.teams, after.roster.teams),
            ("levels.yml", "时钟", before.levels.clocks, after.levels.clocks),
            ("roster.yml", "换班", before.roster.overrides, after.roster.overrides),
            ("channels.yml", "通道", before.channels, after.channels),
            ("routes.yml", "路由", before.routes, after.routes)):
        yield file, what, _keyed(first), _keyed(second)


def _keyed(entries: Iterable[Rule]) -> dict[str, Rule]:
    return {_key(each): each for each in entries}


def _key(entry: Rule) -> str:
    if isinstance(entry, Override):
        return f"{entry.date} {entry.team} {entry.start}"
    for name in ("id", "name", "subject"):
        if found := getattr(entry, name, ""):
            return str(found)
    raise AssertionError(entry)


def _of_entries(file: str, what: str, old: dict[str, Rule], new: dict[str, Rule]) -> Iterator[Change]:
    for key, entry in new.items():
        place = f"{file}{key}.yml" if file.endswith("/") else file
        if key not in old:
            yield Change(place, Kind.ADDED, _called(what, entry))
        elif entry != old[key]:
            yield from _fields(place, _called(what, entry), old[key], entry, ("id",))
    for key, entry in old.items():
        if key not in new:
            yield Change(f"{file}{key}.yml" if file.endswith("/") else file, Kind.REMOVED, _called(what, entry))
    order = [key for key in old if key in new], [key for key in new if key in old]
    if what in ("级别", "路由") and order[0] != order[1]:
        yield Change(file, Kind.CHANGED, "", f"{what}的顺序", "、".join(order[0]), "、".join(order[1]))


def _called(what: str, entry: Rule) -> str:
    title = getattr(entry, "title", "") or (getattr(entry, "name", "") if getattr(entry, "id", "") else "")
    return f"{what} {_key(entry)}（{title}）" if title else f"{what} {_key(entry)}"


def _settings(before: RuleBook, after: RuleBook) -> Iterator[Change]:
    for file, name, old, new in (
            ("sources.yml", "RSSHub 实例", before.rsshub, after.rsshub),
            ("roster.yml", "兜底人", before.roster.fallback, after.roster.fallback),
            ("roster.yml", "运维班组", before.roster.ops, after.roster.ops),
            ("levels.yml", "窗口名称", _said("windows", before.levels.windows), _said("windows", after.levels.windows)),
            ("routes.yml", "安静时段", _said("quiet", before.quiet) or "没有", _said("quiet", after.quiet) or "没有"),
            ("routes.yml", "预算", _said("budget", before.budget) or "没有", _said("budget", after.budget) or "没有"),
            ("channels.yml", "心跳", _said("heartbeat", before.heartbeat) or "没有",
             _said("heartbeat", after.heartbeat) or "没有"),
            ("WENXUN_TIMEZONE", "时区", before.timezone, after.timezone)):
        if old != new:
            yield Change(file, Kind.CHANGED, "", name, old, new)


def _fields(file: str, entry: str, old: Rule, new: Rule, apart: tuple[str, ...]) -> Iterator[Change]:
    for each in msgspec.structs.fields(new):
        name = each.name
        first, second = getattr(old, name), getattr(new, name)
        if first == second or name in apart:
            continue
        said = "时限" if isinstance(new, ResponseClock) and name == "levels" else _NAMES.get(name, name)
        if name in ("terms", "exclude", "words", "negations", "degrees", "include", "groups", "regions", "teams",
                    "channels"):
            yield from _of_list(file, entry, said, first, second)
        elif isinstance(first, dict) or isinstance(second, dict):
            keys = [*second, *(key for key in first if key not in second)]
            for key in (key for key in keys if first.get(key) != second.get(key)):
                yield Change(file, Kind.CHANGED, entry, f"{key} 的{said}", _said(name, first.get(key, ())) or "没有",
                             _said(name, second.get(key, ())) or "没有")
        else:
            yield Change(file, Kind.CHANGED, entry, said, _said(name, first) or "没有", _said(name, second) or "没有")


def _of_list(file: str, entry: str, name: str, old: Any, new: Any) -> Iterator[Change]:
    """What came into a list, what went, and what weighs otherwise now."""
    first, second = _weighed(old), _weighed(new)
    if came := [key for key in second if key not in first]:
        yield Change(file, Kind.CHANGED, entry, name, "", _some(came))
    if gone := [key for key in first if key not in second]:
        yield Change(file, Kind.CHANGED, entry, name, _some(gone), "")
    for key in (key for key in second if key in first and first[key] != second[key]):
        yield Change(file, Kind.CHANGED, entry, f"{name}“{key}”的权重", f"{first[key]:g}", f"{second[key]:g}")


def _weighed(entries: Any) -> dict[str, float]:
    if isinstance(entries, dict):
        return entries
    return {_pattern(each) if isinstance(each, Pattern) else str(each): getattr(each, "weight", 1.0)
            for each in entries}


def _some(words: list[str]) -> str:
    said = "、".join(words[:MAX_NAMED])
    return f"{said} 等 {len(words)} 个" if len(words) > MAX_NAMED else said


def _pattern(each: Pattern) -> str:
    """The pattern's name and whatever else makes it another one."""
    near = each.near
    more = [{"title": "标题", "text": "正文"}.get(each.field, ""), "整词" if each.word else ""]
    if near is not None:
        more += [f"{near.within} 字内" if near.within else "", "" if near.sentence else "可跨句",
                 "按先后" if near.ordered else ""]
    said = "、".join(filter(None, more))
    return f"{each.name}（{said}）" if said else each.name


def _said(name: str, value: Any) -> str:
    """A value as people read it; empty for nothing."""
    match value:
        case bool():
            return "是" if value else "否"
        case int() if name in _LENGTHS:
            return _length(value)
        case float() | int():
            return f"{value:g}"
        case Threshold():
            return _threshold(value)
        case Condition():
            return condition(value)
        case Pattern():
            return _pattern(value)
        case Rule():
            return "，".join(f"{_NAMES.get(each.name, each.name)} {said}" for each in msgspec.structs.fields(value)
                            if getattr(value, each.name) != each.default
                            and (said := _said(each.name, getattr(value, each.name))))
        case dict():
            return "，".join(f"{key} {_length(each) if name == 'windows' else _said(name, each)}"
                            for key, each in value.items())
        case tuple():
            between = "；或 " if value and isinstance(value[0], Threshold) else "；" if value and isinstance(
                value[0], Rule) else "、"
            return between.join(_said(name, each) for each in value)
    return str(value) if value is not None else ""


def condition(value: Condition) -> str:
    """`全部（投票、任一（关门、截止）、都不（@娱乐））`."""
    if value.pattern is not None:
        return _pattern(value.pattern)
    parts = ((value.all, "全部"), (value.any, "任一"), (value.none, "都不"))
    return "且".join(f"{name}（{'、'.join(condition(each) for each in below)}）" for below, name in parts if below)


def _threshold(value: Threshold) -> str:
    """`1h 内 3 条、2 个来源`."""
    asked = [(name, getattr(value, name)) for name in _FACTORS if getattr(value, name)]
    said = [text.format(f"{figure:g}") for name, figure in asked
            if (text := _FACTORS[name]) and (name != "growth_sources" or value.growth and figure > 1)]
    return f"{_length(value.window)} 内 {'、'.join(said)}"


def _length(millis: int) -> str:
    """As it is written: `90m`, `2h`, `30s`."""
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")):
        if millis and millis % size == 0:
            return f"{millis // size}{unit}"
    return f"{millis}ms" if millis else "0"
