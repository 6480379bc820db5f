"""What a checkup means, in plain Chinese: of a status, of a charset, and what to do about it all."""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.collect.schedule import Outcome
from pipeline.rulebook.schema import DAY, HOUR, MINUTE, on_instance

if TYPE_CHECKING:
    from agents.feeds.checkup import Checkup, How

_STATUS = {
    Outcome.RATE_LIMITED: "网站要求放慢（{status}）",
    Outcome.GONE: "网站说这个地址已永久停用（{status}）",
    Outcome.REFUSED_BY_SITE: "网站拒绝访问（{status}），可能需要登录或屏蔽了采集",
    Outcome.NOT_FOUND: "地址不存在（{status}）",
    Outcome.SERVER_ERROR: "网站出错（{status}）",
    Outcome.BAD_STATUS: "网站返回了意外的状态 {status}",
}
_DO = {
    Outcome.RATE_LIMITED: "过一会儿再试；采集时会按它给出的时间等待。",
    Outcome.GONE: "换一个地址，或不要这个来源。",
    Outcome.REFUSED_BY_SITE: "在浏览器里不登录打开看看；只采集公开的内容，打不开就与对方联系。",
    Outcome.NOT_FOUND: "核对网址；也可以给出网站首页的网址，由程序去找它的订阅。",
    Outcome.SERVER_ERROR: "过一会儿再试。",
    Outcome.BAD_STATUS: "在浏览器里打开网址核对。",
    Outcome.NO_ANSWER: "看网址是否写对、网站是否还在、本机能否上网。",
    Outcome.ROBOTS: "换一个允许采集的地址，或请对方放行；对方书面同意的，可在来源里写 respect_robots: false。",
}
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HTTP = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_XML = re.compile(rb"<\?xml[^>]{0,400}?encoding\s*=\s*[\"']([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_SAME = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "cp950": "big5hkscs", "iso8859-1": "cp1252",
         "ascii": "utf-8"}
MANY_UNDATED = 0.5
OLD = 90 * DAY


def resolved(url: str, rsshub: str) -> str:
    """The address to ask: a RSSHub route on its instance; `https://` before an address that has no scheme."""
    url = url.strip()
    if url.startswith("rsshub:"):
        return on_instance(url, rsshub)
    return url if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", url) and not re.match(r"[^/:]+:\d+(/|$)", url) else (
        f"https://{url}" if url else url)


def is_web(url: str) -> bool:
    """Whether it is an address of the web at all; whether it may be asked is for agents/outbound to say."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def of_status(outcome: Outcome, status: int) -> str:
    return _STATUS[outcome].format(status=status) if outcome in _STATUS else ""


def charset_found(name: str, head: bytes, content_type: str) -> tuple[str, str, str]:
    """(codec, which evidence named it, what contradicted it), of a document that was read with the codec."""
    if not name:
        return "", "", ""
    if head.startswith(_BOMS):
        return name, "文件开头的 BOM", ""
    said = [(where, found[1].decode("ascii") if isinstance(found[1], bytes) else found[1])
            for where, found in (("HTTP 头", _HTTP.search(content_type)), ("XML 声明", _XML.search(head)),
                                 ("网页 meta", _META.search(head))) if found]
    right = [where for where, label in said if _codec(label) == _codec(name)]
    wrong = [f"{where}写的是 {label}" for where, label in said if _codec(label) != _codec(name)]
    return name, right[0] if right else "按内容判断", "，".join(wrong)


def _codec(label: str) -> str:
    try:
        name = codecs.lookup(label.replace("x-gbk", "gbk")).name
    except LookupError:
        return label.lower()
    return _SAME.get(name, name)


def advised(seen: Checkup, how: How) -> Checkup:
    """The checkup with what to do, the most important first."""
    lines = list(_of_feed(seen, how)) if seen.ok else list(_of_failure(seen))
    return replace(seen, advice=tuple(dict.fromkeys(lines)))


def _of_failure(seen: Checkup) -> list[str]:
    lines = []
    if seen.final and not is_web(seen.final):
        lines.append("写成 https://主机/路径；RSSHub 路由写成 rsshub:/路由。")
    elif seen.usable:
        lines.append(f"这是网页；它的订阅在 {seen.usable[0].url}，用 wenxun sources add 加入。")
    elif seen.candidates and seen.final:
        lines.append("网页给出的地址都不能用，原因见各条。")
    elif seen.outcome in _DO:
        lines.append(_DO[seen.outcome])
    return lines


def _of_feed(seen: Checkup, how: How) -> list[str]:
    dates, lines = seen.dates, []
    if not seen.entries:
        lines.append("是订阅源，但现在一条内容也没有；确认对方还在更新再加入。")
    elif dates.newest is not None and how.now - dates.newest > OLD:
        lines.append(f"最新一条是 {(how.now - dates.newest) // DAY} 天前的，可能已经不再更新。")
    if dates.undated > MANY_UNDATED * max(1, seen.entries):
        lines.append(f"{dates.undated} 条没有可读的时间，将以首次看到的时间为准。")
    if dates.future:
        lines.append(f"{dates.future} 条的时间在将来，按最多晚一小时计；若都差几个小时，给来源写上 timezone。")
    if seen.moved_to:
        lines.append(f"网址已永久搬到 {seen.moved_to}，请直接写新地址。")
    if seen.charset.contradicted:
        lines.append(f"{seen.charset.contradicted}，实际是 {seen.charset.name}，已按实际的读，不用处理。")
    return lines + _of_waiting(seen)


def _of_waiting(seen: Checkup) -> list[str]:
    lines = []
    if seen.validators.answered not in (0, 304):
        lines.append("网站给出了 ETag 或 Last-Modified，却不认它：每次都要读整份，采集间隔不宜太短。")
    asked = max(seen.ttl or 0, seen.max_age or 0)
    if asked > HOUR:
        lines.append(f"发布方要求至少隔 {asked // MINUTE} 分钟再来，采集会照办。")
    if seen.skipped:
        lines.append(f"{seen.skipped} 条既没有标题也没有正文，不会收。")
    return lines
