"""A response body -> items: RSS 0.9x to 2.0, RDF, Atom, JSON Feed, Discuz!, and the forum lists of forum.py.

feedparser is only ever given bytes that were decoded and cleaned here, wrapped in BytesIO: from a string it would open
files and URLs. No author member is read.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import feedparser

from pipeline.collect import forum, text
from pipeline.collect.entries import Entry, Parsed, Reading, build
from pipeline.collect.forum import text_of
from pipeline.collect.privacy import mask
from pipeline.errors import NotAFeed
from pipeline.model import Millis
from pipeline.rulebook.schema import JsonList, SourceFormat

feedparser.api.PREFERRED_XML_PARSERS[:] = []            # only the standard library's expat: libxml2 would open files

MINUTE = 60_000
_PERIODS = {"hourly": 60, "daily": 1440, "weekly": 10080, "monthly": 43200, "yearly": 525600}
_HTML = re.compile(r"<html[\s>]|<head[\s>]|<body[\s>]", re.IGNORECASE)
_HTML_ALONE = re.compile(r"<!doctype\s+html", re.IGNORECASE)
_FEED_ROOT = re.compile(r"<(?:[A-Za-z][\w.-]*:)?(?:rss|feed|rdf|channel)[\s>/]", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)
_LINK = re.compile(r"<link\s[^<>]{0,500}>", re.IGNORECASE)
_HREF = re.compile(r"href\s*=\s*[\"']([^\"'<>\s]{1,300})", re.IGNORECASE)


def parse_feed(
    body: bytes, how: Reading, *, content_type: str = "", form: SourceFormat = SourceFormat.AUTO,
    rules: JsonList | None = None,
) -> Parsed:
    """The items of a document; NotAFeed says what it looks like instead and what to do.

    rules: where a JSON document of form `json` has its list.
    """
    words = text.decode(body, content_type).strip()
    declaration = words.find("<?xml", 0, 4096)          # a server's own warnings may stand before the feed
    words = words[max(0, declaration):]
    if not words:
        raise NotAFeed("应答是空的。请在浏览器里打开这个网址，看它是否还提供订阅内容")
    if words[0] in "{[":
        return _json(words, how, form)
    if form is SourceFormat.DISCOURSE:
        raise NotAFeed("应答不是 JSON。Discourse 论坛请填写形如 https://论坛/latest.json 的网址")
    if words[0] != "<":
        begin = text.one_line(words[:60])
        raise NotAFeed(f"应答是普通文字，不是订阅源：“{begin}”。请填写 RSS、Atom 或 JSON Feed 的网址")
    if re.search(r"<opml[\s>]", words[:1024], re.IGNORECASE):
        raise NotAFeed("应答是 OPML 订阅清单，不是订阅源。请把清单里的地址逐个填到 sources.yml")
    root = _FEED_ROOT.search(words[:65536])
    page = _HTML.search(words[:65536]) or (None if root else _HTML_ALONE.search(words[:65536]))
    if page and (root is None or page.start() < root.start()):
        raise NotAFeed(_about_page(words, how.url))
    return _xml(words, how)


# ---------------------------------------------------------------- XML


def _xml(words: str, how: Reading) -> Parsed:
    found = feedparser.parse(
        io.BytesIO(text.as_utf8_xml(words)), resolve_relative_uris=False, sanitize_html=False,
        response_headers={"content-type": "application/xml; charset=utf-8", "content-location": how.url})
    if not found.get("version") and not found.entries:
        raise NotAFeed(_about_xml(words, found))
    built = build([_entry(dict(each)) for each in found.entries], how)    # dict: its own get() has aliases
    return Parsed(
        built.items, found.get("version") or "xml", _ttl(found.feed), built.skipped, built.clamped, built.undated)


def _entry(each: Mapping[str, Any]) -> Entry:
    bodies = [*(text_of(part.get("value")) for part in each.get("content", ())), text_of(each.get("summary"))]
    date = next((text_of(each.get(name)) for name in ("published", "updated", "created") if each.get(name)), "")
    return Entry(
        guid=text_of(each.get("id")), link=text_of(each.get("link")), title=text_of(each.get("title")),
        body=max(bodies, key=len), date=date)


def _ttl(feed: Mapping[str, Any]) -> Millis | None:
    """How long the publisher asks to wait: `ttl` in minutes, or the syndication module's period."""
    minutes = text_of(feed.get("ttl")).strip()
    if minutes.isdecimal() and 0 < int(minutes[:6]):
        return int(minutes[:6]) * MINUTE
    period = _PERIODS.get(text_of(feed.get("sy_updateperiod")).strip().lower())
    often = text_of(feed.get("sy_updatefrequency")).strip()
    if period is None:
        return None
    return period * MINUTE // max(1, int(often[:4]) if often.isdecimal() else 1)


def _about_page(words: str, url: str) -> str:
    title = _TITLE.search(words[:65536])
    name = f"《{mask(text.one_line(text.to_text(title[1])))}》" if title else ""
    feeds = _advertised(words[:262144])
    advice = f"这个网页自己声明的订阅地址是 {feeds[0]}，请把它填到 sources.yml" if feeds else (
        "请填写 RSS、Atom 或 JSON Feed 的网址；没有订阅源的网站可以用 RSSHub 生成")
    return f"应答是网页{name}，不是订阅源。{advice}"


def _advertised(page: str) -> list[str]:
    """Feed addresses in a page's <link rel=alternate> elements."""
    links = [tag for tag in _LINK.findall(page) if "rss+xml" in tag or "atom+xml" in tag or "feed+json" in tag]
    return [match[1] for tag in links if (match := _HREF.search(tag))]


def _about_xml(words: str, found: Mapping[str, Any]) -> str:
    root = re.search(r"<([A-Za-z][\w:.-]{0,60})", words)
    if found.get("bozo") and _FEED_ROOT.search(words[:65536]):
        return "应答像订阅源，但 XML 已损坏，一条内容也读不出来。请联系发布方，或换一个地址"
    return f"应答是 XML（根元素 <{root[1] if root else '?'}>），但不是 RSS 或 Atom。请填写订阅源的网址"


# ---------------------------------------------------------------- JSON


def _json(words: str, how: Reading, form: SourceFormat) -> Parsed:
    try:
        document = json.loads(words)
    except (ValueError, RecursionError):
        raise NotAFeed("应答像 JSON，但读不出来（不完整或已损坏）。请在浏览器里打开这个网址核对") from None
    if isinstance(document, Mapping):
        for kind, read in (("discourse", forum.discourse), ("nodebb", forum.nodebb), ("json", _json_feed)):
            if form is SourceFormat.DISCOURSE and kind != "discourse":
                continue
            entries = read(document, how.url)
            if entries is not None:
                built = build(entries, how)
                return Parsed(built.items, kind, None, built.skipped, built.clamped, built.undated)
    wanted = "JSON Feed、Discourse 或 NodeBB 列表"
    if form is SourceFormat.DISCOURSE:
        wanted = "Discourse 的主题列表（/latest.json）"
    names = "、".join(str(name)[:20] for name in list(document)[:5]) if isinstance(document, Mapping) else "一个列表"
    raise NotAFeed(f"应答是 JSON（内容：{names}），但不是{wanted}。请核对网址")


def _json_feed(document: Mapping[str, Any], url: str) -> list[Entry] | None:
    items = document.get("items")
    declared = "jsonfeed.org" in text_of(document.get("version"))
    if not isinstance(items, Sequence) or isinstance(items, str):
        return [] if declared and items is None else None
    if not declared and not all(isinstance(each, Mapping) and ("id" in each or "url" in each) for each in items):
        return None
    return list(_json_entries(items))


def _json_entries(items: Iterable[Any]) -> Iterable[Entry]:
    for each in items:
        if not isinstance(each, Mapping):
            continue
        plain, markup = text_of(each.get("content_text")), text_of(each.get("content_html"))
        title, date = text_of(each.get("title")), text_of(each.get("date_published") or each.get("date_modified"))
        yield Entry(
            guid=text_of(each.get("id")), link=text_of(each.get("url") or each.get("external_url")), date=date,
            title=title, body=plain or markup or text_of(each.get("summary")), plain=not markup or bool(plain))
