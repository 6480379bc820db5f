"""A response body -> items: RSS 0.9x to 2.0, RDF, Atom, JSON Feed, Discuz!, phpBB; other JSON by forum and json_list.

feedparser is only ever given bytes that were decoded and cleaned here, wrapped in BytesIO: from a string it would open
files and URLs. No author member is read.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

import feedparser

from pipeline.collect import forum, text
from pipeline.collect.bylines import phpbb_statistics, without_bylines
from pipeline.collect.entries import Entry, Parsed, Reading, build
from pipeline.collect.figures import counts, figure
from pipeline.collect.forum import text_of
from pipeline.collect.json_list import json_list
from pipeline.collect.links import public_link
from pipeline.collect.privacy import mask
from pipeline.errors import NotAFeed
from pipeline.model import Counts, Millis
from pipeline.rulebook.schema import JsonList, SourceFormat

feedparser.api.PREFERRED_XML_PARSERS[:] = []            # only the standard library's expat: libxml2 would open files

MINUTE = 60_000
_PERIODS = {"hourly": 60, "daily": 1440, "weekly": 10080, "monthly": 43200, "yearly": 525600}
_HTML = re.compile(r"<html[\s>]|<head[\s>]|<body[\s>]", re.IGNORECASE)
_HTML_ALONE = re.compile(r"<!doctype\s+html", re.IGNORECASE)
_FEED_ROOT = re.compile(r"<(?:[A-Za-z][\w.-]*:)?(?:rss|feed|rdf|channel)[\s>/]", re.IGNORECASE)
_FEED_END = re.compile(r"</(?:[A-Za-z][\w.-]*:)?(?:rss|feed|rdf|channel)\s*>", re.IGNORECASE)
_EXTENSION = re.compile(
    rb"</?(?:(?!(?:content|dc|dcterms|atom|rdf|rss|slash|thr|sy):)[A-Za-z][\w.-]*:[\w.-]+|width|height)(?:[\s/][^<>]*)?>")
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)
_LINK = re.compile(r"<link\s[^<>]{0,500}>", re.IGNORECASE)
_THREADING = "http://purl.org/syndication/thread/1.0"
_FORUMS = {
    SourceFormat.DISCOURSE: ("Discourse 的主题列表或主题（/latest.json、/c/版块/编号.json、/t/标题/编号.json）",
                             "Discourse 论坛请填写形如 https://论坛/latest.json 的网址"),
    SourceFormat.NODEBB: ("NodeBB 的主题列表或主题（/api/recent、/api/category/编号、/api/topic/编号）",
                          "NodeBB 论坛请填写形如 https://论坛/api/recent 的网址"),
    SourceFormat.JSON: ("JSON 列表", "format: json 的来源请填写直接返回 JSON 的接口网址"),
}
"""What the answer should have been, and what to write."""
_ODD_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|00[01]|007[fF])")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|00(?:0[0-8bBcCeEfF]|1[0-9a-fA-F]|7[fF])))|.)", re.DOTALL)
_HREF = re.compile(r"href\s*=\s*[\"']([^\"'<>\s]{1,300})", re.IGNORECASE)


def parse_feed(
    body: bytes, how: Reading, *, content_type: str = "", form: SourceFormat = SourceFormat.AUTO,
    rules: JsonList | None = None,
) -> Parsed:
    """The items of a document; NotAFeed says what it looks like instead and what to do.

    rules: where a JSON document of form `json` has its list.
    """
    words, charset = text.decoded(body, content_type)
    return replace(_parse(words.strip(), how, form, rules), charset=charset)


def _parse(words: str, how: Reading, form: SourceFormat, rules: JsonList | None) -> Parsed:
    declaration = words.find("<?xml", 0, 4096)          # a server's own warnings may stand before the feed
    words = words[max(0, declaration):]
    if not words:
        raise NotAFeed("应答是空的。请在浏览器里打开这个网址，看它是否还提供订阅内容")
    if words[0] in "{[":
        return _json(words, how, form, rules)
    if form in _FORUMS:
        raise NotAFeed(f"应答不是 JSON。{_FORUMS[form][1]}")
    if words[0] != "<":
        begin = mask(text.one_line(words[:400]))[:60]   # masked first: a number that is cut is not seen
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
    # the document's own address is only told for the sake of xml:base: guids and numbers stay as they were written
    headers = {"content-type": "application/xml; charset=utf-8",
               **({"content-location": how.url} if " xml:base=" in words else {})}
    found = _feedparser(text.as_utf8_xml(words), headers)
    cut_off = bool(found.get("bozo")) and not _FEED_END.search(words[-2000:])
    if not found.entries and (cut_off or not found.get("version")):
        raise NotAFeed(_about_xml(words, found))
    threading = next((prefix for prefix, uri in found.namespaces.items() if uri == _THREADING), "thr")
    entries = [_entry(dict(each), threading) for each in found.entries]    # dict: its own get() has aliases
    return _parsed(entries, how, found.get("version") or "xml", found.feed.get("title"), _ttl(found.feed))


def _feedparser(data: bytes, headers: Mapping[str, str]) -> Any:
    """Its readers of extensions raise what comes to hand when an extension is damaged: then without extensions."""
    def parse(document: bytes) -> Any:
        return feedparser.parse(
            io.BytesIO(document), resolve_relative_uris=False, sanitize_html=False, response_headers=headers)

    try:
        return parse(data)
    except (MemoryError, RecursionError):
        raise
    except Exception:                                   # whatever it is, the document is the reason
        return parse(_EXTENSION.sub(b"", data))


def _parsed(entries: Sequence[Entry], how: Reading, kind: str, title: Any, ttl: Millis | None = None) -> Parsed:
    built = build(entries, how)
    name = mask(text.one_line(text.to_text(text_of(title)[:2000])))
    return Parsed(built.items, kind, ttl, built.skipped, built.clamped, built.undated,
                  title="" if name.startswith("[[") else name[:200])      # NodeBB: a name yet to be translated


def _entry(each: Mapping[str, Any], threading: str) -> Entry:
    parts = [*each.get("content", ()), each.get("summary_detail") or {"value": each.get("summary")}]
    part = max(parts, key=lambda part: len(text_of(part.get("value"))))
    date = next((text_of(each.get(name)) for name in ("published", "updated", "created") if each.get(name)), "")
    link = text_of(each.get("link"))
    if each.get("guidislink") and "/" not in link:
        link = ""                                       # a bare number that was not marked as no permalink
    body, statistics = phpbb_statistics(text_of(part.get("value")))
    return Entry(
        guid=text_of(each.get("id")), link=link, title=_without_forum(text_of(each.get("title")), each),
        body=without_bylines(body), date=date, base=text_of(part.get("base")),
        counts=statistics or _entry_counts(each, threading))


def _without_forum(title: str, each: Mapping[str, Any]) -> str:
    """A phpBB title without the forum's name before it: `分区 • Re: 标题`."""
    forum_name, bullet, rest = title.partition(" • ")
    labels = {text_of(tag.get(name)) for tag in each.get("tags", ()) for name in ("label", "term")}
    return rest if bullet and rest.strip() and forum_name in labels else title


def _entry_counts(each: Mapping[str, Any], threading: str) -> Counts | None:
    """slash:comments, thr:total and thr:count, RSSHub's members (prefixed in Atom), media:statistics."""
    replies = next((link.get("count") or link.get(f"{threading}:count") for link in each.get("links", ())
                    if link.get("rel") == "replies"), None)
    statistics = each.get("media_statistics")
    return counts(
        comments=_first(each.get("slash_comments"), each.get(f"{threading}_total"), replies,
                        each.get("rsshub_comments"), each.get("comments_count"), each.get("comments")),
        forwards=each.get("reposts_count"),
        likes=_first(each.get("rsshub_upvotes"), each.get("upvotes"), each.get("attitudes_count")),
        views=statistics.get("views") if isinstance(statistics, Mapping) else None)


def _first(*members: Any) -> Any:
    """The first that is a count."""
    return next((member for member in members if figure(member) is not None), None)


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
    feeds = [feed for each in _advertised(words[:262144]) if (feed := _unnamed(each, url))]
    advice = f"这个网页自己声明的订阅地址是 {feeds[0]}，请把它填到 sources.yml" if feeds else (
        "请填写 RSS、Atom 或 JSON Feed 的网址；没有订阅源的网站可以用 RSSHub 生成")
    return f"应答是网页{name}，不是订阅源。{advice}"


def _unnamed(link: str, base: str) -> str:
    """The address, absolute; nothing when it names a person: what is said of a source is stored and sent."""
    written = _joined(base, html.unescape(link))
    return written if written == public_link(written, base) == mask(written) else ""


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


def _json(words: str, how: Reading, form: SourceFormat, rules: JsonList | None) -> Parsed:
    try:
        document = json.loads(_ESCAPE.sub(_legal_escape, words) if _ODD_ESCAPE.search(words) else words)
    except (ValueError, RecursionError):
        raise NotAFeed("应答像 JSON，但读不出来（不完整或已损坏）。请在浏览器里打开这个网址核对") from None
    if form is SourceFormat.JSON:
        if rules is None:
            raise NotAFeed("format: json 的来源要写 list，说明列表和标题在应答的哪里。请在 sources.yml 里补上")
        return _parsed(json_list(document, rules), how, "json", _name(document))
    if isinstance(document, Mapping):
        for kind, read in (("discourse", forum.discourse), ("nodebb", forum.nodebb), ("jsonfeed", _json_feed)):
            if form in _FORUMS and kind != form:
                continue
            entries = read(document, how.url)
            if entries is not None:
                return _parsed(entries, how, kind, _name(document))
    wanted = _FORUMS[form][0] if form in _FORUMS else "JSON Feed、Discourse 或 NodeBB 列表"
    members = [mask(name[:200])[:20] for name in list(document)[:5]] if isinstance(document, Mapping) else ["一个列表"]
    also = "；别的 JSON 列表请写 format: json 和 list" if form not in _FORUMS else ""
    raise NotAFeed(f"应答是 JSON（内容：{'、'.join(members)}），但不是{wanted}。请核对网址{also}")


def _legal_escape(match: re.Match[str]) -> str:
    """Control characters and halves of surrogate pairs can be neither stored nor sent."""
    return "" if match[1] else match[0]


def _name(document: Any) -> str:
    """What a JSON document calls itself; plain text, as markup."""
    names = (document.get("title"), document.get("name")) if isinstance(document, Mapping) else ()
    return html.escape(next((name for name in names if isinstance(name, str) and name.strip()), ""), quote=False)


def _json_feed(document: Mapping[str, Any], url: str) -> list[Entry] | None:
    items = document.get("items")
    declared = "jsonfeed.org" in text_of(document.get("version"))
    if not isinstance(items, Sequence) or isinstance(items, str):
        return [] if declared and items is None else None
    if not declared and not all(isinstance(each, Mapping) and ("id" in each or "url" in each) for each in items):
        return None
    return list(_json_entries(items, _joined(url, text_of(document.get("home_page_url"))) or url))


def _json_entries(items: Iterable[Any], home: str) -> Iterable[Entry]:
    """home: what relative links are relative to. 1.0 and 1.1 differ only in who is named where, which stays unread."""
    for each in items:
        if not isinstance(each, Mapping):
            continue
        plain, markup = text_of(each.get("content_text")), text_of(each.get("content_html"))
        title, date = text_of(each.get("title")), text_of(each.get("date_published") or each.get("date_modified"))
        link = _joined(home, text_of(each.get("url") or each.get("external_url")))
        if markup or not plain:                         # both say the same, and markup says it better
            yield Entry(
                guid=text_of(each.get("id")), link=link, title=html.escape(title, quote=False), date=date, base=home,
                body=without_bylines(markup) or html.escape(text_of(each.get("summary")), quote=False),
                counts=_json_counts(each))
        else:
            yield Entry(guid=text_of(each.get("id")), link=link, title=title, body=plain, date=date, plain=True,
                        counts=_json_counts(each))


def _json_counts(each: Mapping[str, Any]) -> Counts | None:
    """RSSHub's members, in the entry or in its extension `_extra`; other extensions have no agreed meaning."""
    extra = each.get("_extra")
    inside = extra if isinstance(extra, Mapping) else {}
    found = {name: _first(*(holder.get(key) for holder in (inside, each) for key in keys))
             for name, keys in _RSSHUB.items()}
    return counts(**found)


_RSSHUB = {
    "comments": ("comments", "comments_count"), "forwards": ("reposts_count", "forwards"),
    "likes": ("upvotes", "likes", "attitudes_count"), "views": ("views",),
}


def _joined(base: str, link: str) -> str:
    try:
        return urljoin(base, link.strip()) if link.strip() else ""
    except ValueError:
        return ""
