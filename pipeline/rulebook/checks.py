"""What must hold inside one rule beyond each field's own kind. Problems are noted, nothing is raised."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from typing import Any
from urllib.parse import SplitResult, urlsplit

import jmespath
import msgspec

from pipeline.rulebook import schema
from pipeline.rulebook.objects import Place

_LOOKS_SECRET = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_\-=.]{20,}")
_FITS = {
    schema.ChannelType.WEBHOOK: ("url", "url_file", "secret_file"),
    schema.ChannelType.SMTP: ("host", "port", "tls", "username", "password_file", "sender"),
    schema.ChannelType.CONSOLE: (),
}


def zone(raw: str) -> str | None:
    try:
        return zoneinfo.ZoneInfo(raw).key
    except (KeyError, ValueError, OSError):
        return None


def host_of(url: str) -> str:
    """Host of a URL without `www.`, or an empty text when there is no host, or no port that can be one."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").removeprefix("www.") if parts.port != 0 else ""
    except ValueError:
        return ""


def _path(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def source(value: schema.Source, path: str, place: Place) -> None:
    if value.kind is schema.SourceKind.INTAKE:
        if value.url:
            place.problem(_path(path, "url"), "人工上报的来源没有网址。", "删去 url，或把 kind 改成 feed")
        return
    if not value.url:
        place.problem(path, "缺少字段 url（订阅地址）。", "补上 url:")
    elif value.url.startswith("rsshub:"):
        pass
    elif not host_of(value.url):
        place.problem(_path(path, "url"), "网址里没有可用的主机名或端口。", "写成 url: https://主机/路径")
    elif "@" in urlsplit(value.url).netloc:
        place.problem(_path(path, "url"), "网址里有用户名或口令；只采集公开的内容。", "写成 url: https://主机/路径")
    if not value.min_interval <= value.interval <= value.max_interval:
        place.problem(_path(path, "interval"), "应在 min_interval 和 max_interval 之间（默认 1m 和 6h）。",
                      "改 interval，或同时写出 min_interval、max_interval")
    if value.format is schema.SourceFormat.JSON and value.list is None:
        place.problem(_path(path, "format"), "format: json 要用 list 说明各部分在哪里。", "补上 list:，或改 format")
    elif value.list is not None and value.format not in (schema.SourceFormat.JSON, schema.SourceFormat.AUTO):
        place.problem(_path(path, "format"), "写了 list，format 就只能是 json。", "改成 format: json，或删去 list")


def json_list(value: schema.JsonList, path: str, place: Place) -> None:
    """JMESPath expressions are tried here, so that a slip is found when it is saved."""
    for name in (each.name for each in msgspec.structs.fields(value)):
        text = getattr(value, name)
        paths = re.findall(r"\{([^{}]*)\}", text) if name in ("link", "text") and "{" in text else [text]
        for each in filter(None, paths):
            try:
                jmespath.compile(each)
            except jmespath.exceptions.JMESPathError:
                place.problem(_path(path, name), f"“{each[:60]}”不是 JMESPath 路径。", "例如 data.list")


def term(value: schema.Term, path: str, place: Place) -> None:
    if not value.text.strip():
        place.problem(_path(path, "text"), "词不能只有空格。", "写一个词，或删去这一项")


def subject(value: schema.Subject, path: str, place: Place) -> None:
    first: dict[str, int] = {}
    for index, each in enumerate(value.terms):
        known = first.setdefault(each.text.lower(), index)
        if known != index:
            place.problem(_path(path, f"terms[{index}]"), f"词“{each.text}”重复，terms[{known}] 已经有了。", "只留一处")
        if each.text in {one.text for one in value.exclude}:
            place.problem(_path(path, f"terms[{index}]"), f"词“{each.text}”也写在 exclude 里，永远不会匹配。",
                          "只留一处")
    total = sum(each.weight for each in value.terms)
    if value.threshold > total + 1e-9:
        place.problem(_path(path, "threshold"), f"高于全部词的权重之和 {total:g}，永远不会匹配。",
                      f"写成 threshold: {total:g} 或更低")


def threshold(value: schema.Threshold, path: str, place: Place) -> None:
    if value.sources > value.items:
        place.problem(_path(path, "sources"), f"独立来源数 {value.sources} 多于条数 {value.items}，条数因此形同虚设。",
                      f"写成 sources: {value.items} 或更少")
    if value.growth_sources > 1 and not value.growth:
        place.problem(_path(path, "growth_sources"), "没有写 growth，growth_sources 不起作用。",
                      "补上 growth:，或删去 growth_sources")


def levels(value: schema.Levels, path: str, place: Place) -> None:
    _rising([(f"ladder[{rank}].enter", each.name, each.enter) for rank, each in enumerate(value.ladder)], place)
    rank_of = {each.name: rank for rank, each in enumerate(value.ladder)}
    seen: set[str] = set()
    for index, override in enumerate(value.overrides):
        if override.subject in seen:
            place.problem(f"overrides[{index}].subject", f"主题 {override.subject} 已经有一组阈值。", "合并成一处")
        seen.add(override.subject)
        known = sorted((name for name in override.enter if name in rank_of), key=rank_of.__getitem__)
        _rising([(f"overrides[{index}].enter.{name}", name, override.enter[name]) for name in known], place)


def _rising(steps: list[tuple[str, str, schema.Threshold]], place: Place) -> None:
    """Each level's enter lies above the one below: more items, and not fewer sources; likewise growth, if written."""
    for (_, below_name, below), (path, name, above) in zip(steps, steps[1:], strict=False):
        if above.items <= below.items:
            place.problem(f"{path}.items", f"{name} 的 {above.items} 条应多于下一级 {below_name} 的 {below.items} 条。",
                          f"写成 items: {below.items + 1} 或更多")
        if above.sources < below.sources:
            place.problem(f"{path}.sources",
                          f"{name} 的 {above.sources} 个来源不应少于下一级 {below_name} 的 {below.sources} 个。",
                          f"写成 sources: {below.sources} 或更多")
    growing = [step for step in steps if step[2].growth]
    for (_, below_name, below), (path, name, above) in zip(growing, growing[1:], strict=False):
        if above.growth <= below.growth:
            place.problem(f"{path}.growth", f"{name} 的 {above.growth} 应多于 {below_name} 的 {below.growth}。",
                          f"写成 growth: {below.growth + 1} 或更多")
        least = below.growth_sources
        if above.growth_sources < least:
            place.problem(f"{path}.growth_sources",
                          f"{name} 的 {above.growth_sources} 个来源不应少于 {below_name} 的 {least} 个。",
                          f"写成 growth_sources: {least} 或更多")


def roster(value: schema.Roster, path: str, place: Place) -> None:
    if value.ops not in {team.id for team in value.teams}:
        place.problem("ops", f"没有班组 {value.ops}：系统通知没有人收。",
                      f"在 teams 里补上 id: {value.ops}，或写 ops: 已有的班组")


def channel(value: schema.Channel, path: str, place: Place) -> None:
    fits = _FITS[value.type]
    for name in (each for names in _FITS.values() for each in names):
        if name not in fits and getattr(value, name) != _default(name):
            place.problem(_path(path, name), f"{value.type} 通道没有 {name}。", "删去这一行，或改 type")
    if value.type is schema.ChannelType.WEBHOOK:
        _webhook(value, path, place)
    if value.type is schema.ChannelType.SMTP:
        _smtp(value, path, place)


def _default(name: str) -> Any:
    return {"port": 0, "tls": "starttls"}.get(name, "")


def _webhook(value: schema.Channel, path: str, place: Place) -> None:
    if bool(value.url) == bool(value.url_file):
        wrong = "url 和 url_file 只能写一个。" if value.url else "webhook 通道要有地址。"
        place.problem(path, wrong, "地址含密钥时写 url_file: 文件名，否则写 url: 网址")
    elif value.url and not host_of(value.url):
        place.problem(_path(path, "url"), "网址里没有可用的主机名或端口。", "写成 url: https://主机/路径")
    elif value.url and (why := secret_in(value.url)):
        place.problem(_path(path, "url"), f"网址里{why}，规则文件里不放明文密钥。",
                      "把网址存进单独的文件，改写 url_file: 文件名")


def secret_in(url: str) -> str:
    """Why a webhook address must not stand in a rule file; empty when it has no secret, or is on this machine."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        return "有用户名或口令"
    if _loopback(parts):
        return ""
    if parts.query:
        return "有查询参数（常是密钥）"
    return "有像密钥的一段" if any(_LOOKS_SECRET.fullmatch(part) for part in parts.path.split("/")) else ""


def _loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _smtp(value: schema.Channel, path: str, place: Place) -> None:
    for name, example in (("host", "smtp.example.org"), ("sender", "wenxun@example.org")):
        if not getattr(value, name):
            place.problem(path, f"smtp 通道要有 {name}。", f"补上 {name}: {example}")
    if bool(value.username) != bool(value.password_file):
        place.problem(path, "username 和 password_file 要一起写。", "两个都写，或都不写")


def route(value: schema.Route, path: str, place: Place) -> None:
    for index, (before, after) in enumerate(zip(value.steps, value.steps[1:], strict=False), 1):
        if after.after <= before.after:
            place.problem(_path(path, f"steps[{index}].after"), "应晚于上一步。", "写更长的时长，或把两步合成一步")
    if value.mode is schema.RouteMode.DIGEST and len(value.steps) > 1:
        place.problem(_path(path, "steps[1]"), "汇总（digest）没有下一步。", "只留一步，或改 mode: page")
