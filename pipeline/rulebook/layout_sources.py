"""Fields of sources.yml."""

from __future__ import annotations

import msgspec

from pipeline.rulebook import checks, schema
from pipeline.rulebook import checks_sources as own
from pipeline.rulebook.kinds import FLAG, Choice, Many, Word, ident, length, pattern, text
from pipeline.rulebook.layout_base import URL
from pipeline.rulebook.objects import Field, Record

FEED_URL = pattern("http 或 https 网址", "https://news.example.org/rss.xml",
                   r"https?://[^\s/?#]+([/?#]\S*)?|rsshub:/[^\s/?#]\S*")
PATH = pattern("JMESPath 路径", "data.list", r"[^\r\n]{1,200}")
TEMPLATE = pattern("JMESPath 路径，或带 {路径} 的文字", "https://bbs.example.org/t/{id}", r"[^\r\n]{1,400}")


class Sources(msgspec.Struct):
    """The file as a whole."""

    sources: tuple[schema.Source, ...] = ()
    rsshub: str = schema.RSSHUB


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
}, own.json_list)

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
    "group": Field(text("新闻网站", 40), "分组：规则的 groups 和级别的 groups 看它，页面也按它列"),
    "region": Field(text("石桥镇", 40), "地区标签：路由的 regions 看它"),
    "origin": Field(text("news.example.org"), "发布者；同属一家的几个订阅写成一样，只算一个独立来源。默认是主机名"),
    "official": Field(FLAG, "本单位的权威发布渠道：它的条目是回应，不计入热度"),
    "interval": Field(length("1s", "7d", "5m"), "多久采集一次"),
    "min_interval": Field(length("1s", "7d", "1m"), "热时最快多久一次"),
    "max_interval": Field(length("1s", "7d", "6h"), "闲时最慢多久一次"),
    "timezone": Field(Word("时区", "Asia/Shanghai", checks.zone, {"type": "string"}), "没写时区的日期按哪个时区读"),
    "enabled": Field(FLAG, "false 停采，不删除"),
}, own.source)

SOURCES = Record(Sources, {
    "sources": Field(Many(SOURCE), "采集的来源"),
    "rsshub": Field(URL, "rsshub: 路由用哪个 RSSHub 实例，默认 https://rsshub.app"),
})
