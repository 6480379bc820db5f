"""What must hold inside sources.yml beyond each field's own kind."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import jmespath
import msgspec

from pipeline.rulebook import schema
from pipeline.rulebook.checks import host_of, inside
from pipeline.rulebook.objects import Place
from pipeline.rulebook.schema.sources import DRILL_SOURCE


def source(value: schema.Source, path: str, place: Place) -> None:
    if value.id == DRILL_SOURCE:
        place.problem(inside(path, "id"), "编号 drill 留给演练的条目。", "换一个编号")
    if value.kind is schema.SourceKind.INTAKE:
        if value.url:
            place.problem(inside(path, "url"), "人工上报的来源没有网址。", "删去 url，或把 kind 改成 feed")
        return
    if not value.url:
        place.problem(path, "缺少字段 url（订阅地址）。", "补上 url:")
    elif value.url.startswith("rsshub:"):
        pass
    elif not host_of(value.url):
        place.problem(inside(path, "url"), "网址里没有可用的主机名或端口。", "写成 url: https://主机/路径")
    elif "@" in urlsplit(value.url).netloc:
        place.problem(inside(path, "url"), "网址里有用户名或口令；只采集公开的内容。", "写成 url: https://主机/路径")
    if not value.min_interval <= value.interval <= value.max_interval:
        place.problem(inside(path, "interval"), "应在 min_interval 和 max_interval 之间（默认 1m 和 6h）。",
                      "改 interval，或同时写出 min_interval、max_interval")
    if value.format is schema.SourceFormat.JSON and value.list is None:
        place.problem(inside(path, "format"), "format: json 要用 list 说明各部分在哪里。", "补上 list:，或改 format")
    elif value.list is not None and value.format not in (schema.SourceFormat.JSON, schema.SourceFormat.AUTO):
        place.problem(inside(path, "format"), "写了 list，format 就只能是 json。", "改成 format: json，或删去 list")


def json_list(value: schema.JsonList, path: str, place: Place) -> None:
    """JMESPath expressions are tried here, so that a slip is found when it is saved."""
    for name in (each.name for each in msgspec.structs.fields(value)):
        text = getattr(value, name)
        paths = re.findall(r"\{([^{}]*)\}", text) if name in ("link", "text") and "{" in text else [text]
        for each in filter(None, paths):
            try:
                jmespath.compile(each)
            except jmespath.exceptions.JMESPathError:
                place.problem(inside(path, name), f"“{each[:60]}”不是 JMESPath 路径。", "例如 data.list")
