"""Which fields each rule file has: the one description that parser, JSON Schemas and editors' hints share."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from pipeline.rulebook import checks, schema
from pipeline.rulebook.kinds import (
    BAD,
    FLAG,
    Choice,
    Kind,
    Many,
    Name,
    Reading,
    Ref,
    Schema,
    Table,
    Word,
    ident,
    length,
    number,
    pattern,
    text,
    whole,
)
from pipeline.rulebook.objects import Field, Record, Short
from pipeline.rulebook.yaml_marks import Node, Sequence

TIME = pattern("时刻 HH:MM", "\"08:30\"", "([01][0-9]|2[0-3]):[0-5][0-9]")
HOURS = pattern("时段 HH:MM-HH:MM", "\"08:30-18:00\"", "([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
COLOR = pattern("颜色 #RRGGBB", "\"#d97706\"", "#[0-9a-fA-F]{6}")
FILE = pattern("相对于规则目录的文件名", "secrets/duty.url", r"(?!/)(?!.*\.\.)(?!.*://)[^\s\\]{1,200}")
HOST = pattern("主机名", "smtp.example.org", r"[A-Za-z0-9._:\-\[\]]{1,253}")
MAIL = pattern("邮箱地址", "duty@example.org", r"[^@\s]{1,64}@[^@\s]{1,253}")
URL = pattern("http 或 https 网址", "https://news.example.org/rss.xml", r"https?://[^\s/?#]+([/?#]\S*)?")
FEED_URL = pattern("http 或 https 网址", "https://news.example.org/rss.xml",
                   r"https?://[^\s/?#]+([/?#]\S*)?|rsshub:/[^\s/?#]\S*")
POSITIVE = (1, 1_000_000)
PATH = pattern("JMESPath 路径", "data.list", r"[^\r\n]{1,200}")
TEMPLATE = pattern("JMESPath 路径，或带 {路径} 的文字", "https://bbs.example.org/t/{id}", r"[^\r\n]{1,400}")


def _date(raw: str) -> str | None:
    try:
        return dt.date.fromisoformat(raw).isoformat() if len(raw) == 10 else None
    except ValueError:
        return None


DATE = Word("日期 年-月-日", "2026-12-31", _date, {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})


class _Sources(msgspec.Struct):
    sources: tuple[schema.Source, ...] = ()
    rsshub: str = schema.RSSHUB


class _Channels(msgspec.Struct):
    channels: tuple[schema.Channel, ...]


class _Routes(msgspec.Struct):
    routes: tuple[schema.Route, ...]


JSON_LIST = Record(schema.JsonList, {
    "items": Field(PATH, "列表在文档的哪里，例如 data.list", True),
    "title": Field(PATH, "标题，从每一条算起", True),
    "link": Field(TEMPLATE, "链接；可写成 https://主机/t/{id}"),
    "text": Field(TEMPLATE, "正文；可写成 {summary} {note}"),
    "id": Field(PATH, "编号；没有就用链接"),
    "date": Field(PATH, "时间"),
    "comments": Field(PATH, "评论数或回复数"),
    "forwards": Field(PATH, "转发数"),
    "likes": Field(PATH, "点赞数"),
    "views": Field(PATH, "阅读数或热度"),
}, checks.json_list)

SOURCE = Record(schema.Source, {
    "id": Field(ident("source"), "来源编号", True),
    "name": Field(text("县政府网站"), "来源名称，出现在告警和页面里", True),
    "url": Field(FEED_URL, "公开的 RSS、Atom、JSON Feed 或论坛订阅地址，或 RSSHub 路由（rsshub:/weibo/search/hot）"),
    "kind": Field(Choice.of(schema.SourceKind), "feed 订阅（默认）；intake 部门或热线人工上报，不写 url"),
    "format": Field(Choice.of(schema.SourceFormat),
                    "auto 自动识别；feed 订阅；discourse、nodebb 论坛接口；json 按 list 的说明读"),
    "list": Field(JSON_LIST, "JSON 热榜等列表：各部分在哪里（JMESPath）"),
    "full_text": Field(FLAG, "true 时再读条目所链接的网页，取全文（遵守 robots.txt）"),
    "respect_robots": Field(FLAG, "false 只在对方书面同意后使用：不看 robots.txt"),
    "group": Field(text("新闻网站", 40), "分组，只用于页面"),
    "origin": Field(text("news.example.org"), "发布者；同属一家的几个订阅写成一样，只算一个独立来源。默认是主机名"),
    "official": Field(FLAG, "本单位的权威发布渠道：它的条目是回应，不计入热度"),
    "interval": Field(length("1s", "7d", "5m"), "多久采集一次"),
    "min_interval": Field(length("1s", "7d", "1m"), "热时最快多久一次"),
    "max_interval": Field(length("1s", "7d", "6h"), "闲时最慢多久一次"),
    "timezone": Field(Word("时区", "Asia/Shanghai", checks.zone, {"type": "string"}), "没写时区的日期按哪个时区读"),
    "enabled": Field(FLAG, "false 停采，不删除"),
}, checks.source)

TERM = Record(schema.Term, {
    "text": Field(text("投票站", 50), "要找的词", True),
    "weight": Field(number(0.01, 100, 1), "权重，默认 1"),
}, checks.term)

PATTERN = Record(schema.Pattern, {"text": Field(text("游戏", 50), "要找的词", True)})

SUBJECT = Record(schema.Subject, {
    "id": Field(ident("subject"), "主题编号", True),
    "title": Field(text("投票地点与时间", 60), "主题名称", True),
    "owner": Field(text("选举办公室"), "谁负责这条规则", True),
    "reason": Field(text("群众需要准确的地点和时间"), "为什么关注", True),
    "expires": Field(DATE, "到哪一天为止（含当天）；过期后不再匹配", True),
    "terms": Field(Many(Short(text("投票站", 50), lambda word: schema.Term(text=word), TERM), 1),
                   "词表：不同的词各计一次权重", True),
    "threshold": Field(number(0.01, 1000, 1), "权重之和达到它就算匹配，默认 1"),
    "exclude": Field(Many(Short(text("游戏", 50), lambda word: schema.Pattern(text=word), PATTERN)),
                     "出现任何一个就不算匹配"),
}, checks.subject)

WEIGHT = number(-10, 10, -1)


class Words:
    """Word weights: {word: weight}, or groups [{weight: -2, words: [...]}, …] that read better when there are many."""

    _table = Table(text("好", 30), WEIGHT)

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if not isinstance(node, Sequence):
            return self._table.read(node, path, reading)
        groups = Many(_GROUP).read(node, path, reading)
        if groups is BAD:
            return BAD
        words: dict[str, float] = {}
        for index, group in enumerate(groups):
            for word in group.words:
                if words.setdefault(word, group.weight) != group.weight:
                    reading.problem(reading.at(node.mark.file, f"{path}[{index}]"), f"{path}[{index}].words",
                                    f"“{word}”在两组里权重不同。", "只留一处")
        return words

    def schema(self) -> Schema:
        return {"anyOf": [self._table.schema(), Many(_GROUP).schema()]}


class _Group(msgspec.Struct):
    weight: float
    words: tuple[str, ...]


_GROUP = Record(_Group, {
    "weight": Field(WEIGHT, "这一组词的权重，负数为负面", True),
    "words": Field(Many(text("好", 30), 1), "这一组词", True),
})

SENTIMENT = Record(schema.SentimentRules, {
    "engine": Field(Choice.of(schema.SentimentEngine), "lexicon 词表（默认，快）；snownlp（慢，每秒几十条）"),
    "words": Field(Words(), "情感词和权重"),
    "negations": Field(Many(text("不", 10)), "否定词：反转后面的情感词"),
    "degrees": Field(Table(text("非常", 10), number(0.1, 10, 1.5)), "程度词：乘到后面的情感词上"),
    "reach": Field(whole(1, 20, 4), "否定词和程度词管到后面几个字"),
    "unsure_below": Field(number(0, 1, 0.2), "把握低于它就说不确定"),
})

THRESHOLD = Record(schema.Threshold, {
    "items": Field(whole(*POSITIVE, 10), "窗口内的条数", True),
    "sources": Field(whole(*POSITIVE, 4), "窗口内的独立来源数", True),
    "window": Field(length("1m", "30d", "2h"), "窗口长度", True),
    "growth": Field(whole(0, 1_000_000_000, 500), "窗口内评论、转发、点赞增加这么多也算达到；0 不看"),
    "growth_sources": Field(whole(*POSITIVE, 1), "增加的数要来自几个独立来源，默认 1"),
}, checks.threshold)

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
}, checks.levels)

PERSON = Record(schema.Person, {
    "id": Field(ident("person", "receiver"), "人员或岗位编号", True),
    "name": Field(text("值班员甲", 40), "名称", True),
    "channels": Field(Many(Ref(("channel",)), 1), "用哪些通道通知，全部都发", True),
    "mail": Field(MAIL, "邮件通道发到哪里"),
})

SHIFT = Record(schema.Shift, {
    "members": Field(Many(Ref(("person",)), 1), "这个班的人", True),
    "start": Field(TIME, "几点开始"),
    "end": Field(TIME, "几点结束；不晚于开始时刻则到次日"),
    "days": Field(Many(whole(1, 7, 1), 1, 7), "星期几，1 是星期一，7 是星期日"),
})

ROSTER = Record(schema.Roster, {
    "people": Field(Many(PERSON, 1), "人员或岗位", True),
    "teams": Field(Many(Record(schema.Team, {
        "id": Field(ident("team", "receiver"), "班组编号", True),
        "name": Field(text("值班组", 40), "名称", True),
        "shifts": Field(Many(SHIFT, 1), "班次", True),
    }), 1), "班组", True),
    "fallback": Field(Ref(("person",)), "谁都不在班时通知谁", True),
    "ops": Field(Ref(("team",)), "收系统通知的班组，默认 ops"),
}, checks.roster)

CHANNEL = Record(schema.Channel, {
    "id": Field(ident("channel"), "通道编号", True),
    "type": Field(Choice.of(schema.ChannelType), "webhook、smtp 或 console", True),
    "url": Field(URL, "webhook 地址，不含密钥时才可以直接写"),
    "url_file": Field(FILE, "存有 webhook 地址的文件"),
    "secret_file": Field(FILE, "存有 webhook 签名密钥的文件"),
    "host": Field(HOST, "SMTP 服务器"),
    "port": Field(whole(1, 65535, 587), "SMTP 端口；默认 587，tls 为 tls 时 465，为 none 时 25"),
    "tls": Field(Choice(("starttls", "tls", "none")), "SMTP 加密方式"),
    "username": Field(text("wenxun@example.org"), "SMTP 用户名"),
    "password_file": Field(FILE, "存有 SMTP 口令的文件"),
    "sender": Field(MAIL, "发件人地址"),
}, checks.channel)

STEP = Record(schema.Step, {
    "tell": Field(Many(Ref(("receiver",)), 1), "通知哪些班组或人员", True),
    "after": Field(length("0s", "7d", "5m"), "告警后多久"),
})

ROUTE = Record(schema.Route, {
    "id": Field(ident("route"), "路由编号", True),
    "levels": Field(Many(Ref(("level",))), "适用的级别，空为全部"),
    "subjects": Field(Many(Ref(("subject",), ("*",))), "适用的主题，空为全部"),
    "mode": Field(Choice.of(schema.RouteMode), "page 要人确认；digest 汇总"),
    "steps": Field(Many(STEP, 1), "先后通知谁", True),
    "repeat": Field(length("0s", "7d", "10m"), "无人确认时，最后一步之后多久从头再来；0 不重复"),
    "hours": Field(HOURS, "汇总只在这个时段发"),
    "every": Field(length("1m", "7d", "1h"), "多久汇总一次"),
}, checks.route)

FILES: dict[str, Kind] = {
    "sources.yml": Record(_Sources, {"sources": Field(Many(SOURCE), "采集的来源", False),
                                    "rsshub": Field(URL, "rsshub: 路由用哪个 RSSHub 实例，默认 https://rsshub.app")}),
    "sentiment.yml": SENTIMENT,
    "levels.yml": LEVELS,
    "roster.yml": ROSTER,
    "channels.yml": Record(_Channels, {"channels": Field(Many(CHANNEL, 1), "通知通道", True)}),
    "routes.yml": Record(_Routes, {"routes": Field(Many(ROUTE, 1), "路由，自上而下取第一条适用的", True)}),
}
"""Files at the top of a rule directory. Each subject has a file of its own in subjects/."""

DEFINES = {
    "sources.yml": ("source",), "levels.yml": ("level",), "roster.yml": ("person", "team", "receiver"),
    "channels.yml": ("channel",), "routes.yml": ("route",),
}
"""Which names a file defines: when it cannot be read, references to them are not judged."""
