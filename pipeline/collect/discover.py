"""Feeds that a web page leads to: what its link tags advertise, and where its software is known to keep them.

Regular expressions, not a parser of HTML: the pages are strangers', cut at `MAX_PAGE`, and only a few tags matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urljoin, urlsplit

from pipeline.collect.text import one_line, to_text, unescape

MAX_PAGE = 512 * 1024
"""Characters of a page that are looked at; bytes of a body that are decoded for it."""
MAX_FOUND = 12
MAX_TITLE = 60

_TAG = re.compile(r"<(link|base|meta|a)\s((?:[^<>\"']|\"[^\"<]{0,2000}\"|'[^'<]{0,2000}')*+)>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"([A-Za-z][\w:-]{0,40})\s{0,9}=\s{0,9}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_PAGE = re.compile(r"<!doctype\s+html|<html[\s>]|<head[\s>]|<body[\s>]", re.IGNORECASE)
_TYPES = {"application/rss+xml": "RSS", "application/atom+xml": "Atom", "application/feed+json": "JSON Feed",
          "application/rdf+xml": "RSS 1.0", "text/xml": "XML"}
_COMMENTS = re.compile(r"comments?/feed|/comments?[./]|评论|comments? feed", re.IGNORECASE)
_CATEGORY = re.compile(r"(.*?)/c/((?:[^/?#]+/)*\d+)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Found:
    """An address that is probably a feed. why: Chinese. advertised: the page itself names it."""

    url: str
    why: str
    advertised: bool = False


@dataclass(frozen=True, slots=True)
class _Page:
    """url: what relative addresses are relative to, `base href` included. here: where the page came from."""

    url: str
    here: str
    text: str
    generator: str
    links: tuple[dict[str, str], ...]


def is_page(text: str) -> bool:
    """Whether a document is a web page."""
    return _PAGE.search(text[:65536]) is not None


def feeds_of(text: str, url: str) -> tuple[Found, ...]:
    """Where the feeds of a page are, most probable first, each address once; nothing for what is no page."""
    text = text[:MAX_PAGE]
    if not is_page(text):
        return ()
    page = _page(_uncommented(text), url)
    found: dict[str, Found] = {}
    for each in (*_advertised(page), *_known(page)):
        if _usable(each.url):
            found.setdefault(_same(each.url), each)
    return tuple(found.values())[:MAX_FOUND]


def _uncommented(text: str) -> str:
    out, at = [], 0
    while (start := text.find("<!--", at)) != -1 and (stop := text.find("-->", start + 4)) != -1:
        out.append(text[at:start])
        at = stop + 3
    return "".join(out) + text[at:]


def _page(text: str, url: str) -> _Page:
    base, generator, links = "", "", []
    for match in _TAG.finditer(text):
        name, given = match[1].lower(), _attributes(match[2])
        if name == "base":
            base = base or given.get("href", "")
        elif name == "meta" and given.get("name", "").lower() == "generator":
            generator = generator or given.get("content", "")
        elif name == "link" or (name == "a" and given.get("type", "").lower() in _TYPES):
            links.append(given)
    return _Page(_joined(url, base) or url, url, text, generator.lower(), tuple(links))


def _attributes(inside: str) -> dict[str, str]:
    return {match[1].lower(): unescape(match[2] or match[3] or match[4] or "").strip()
            for match in _ATTRIBUTE.finditer(inside)}


def _joined(base: str, link: str) -> str:
    try:
        return urljoin(base, link).partition("#")[0]
    except ValueError:
        return ""


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and len(url) <= 2048
    except ValueError:
        return False


def _same(url: str) -> str:
    """What two spellings of an address have in common."""
    return url.partition("://")[2].rstrip("/")


# ---------------------------------------------------------------- what the page says


def _advertised(page: _Page) -> Iterator[Found]:
    """Link tags, those of comments last: they are about one entry, not about what is new."""
    found = []
    for link in page.links:
        kind = _TYPES.get(link.get("type", "").partition(";")[0].strip().lower())
        rel = link.get("rel", "").lower().split()
        if not kind or not link.get("href") or ("alternate" not in rel and "feed" not in rel and rel):
            continue
        title = one_line(to_text(link.get("title", "")))[:MAX_TITLE]
        about = f"{title} {link['href']}"
        why = f"网页声明的 {kind} 订阅" + (f"“{title}”" if title else "")
        found.append((bool(_COMMENTS.search(about)), Found(_joined(page.url, link["href"]), why, True)))
    yield from (each for _, each in sorted(found, key=lambda pair: pair[0]))


# ---------------------------------------------------------------- where its software keeps them


def _known(page: _Page) -> Iterator[Found]:
    for name, marks, places in _SOFTWARE:
        if name.lower().rstrip("!") in page.generator or any(mark in page.text for mark in marks):
            yield from (Found(url, why) for url, why in places(page))


def _discuz(page: _Page) -> Iterator[tuple[str, str]]:
    """The board's own feed on a board page, then the whole forum's."""
    board = _board(page.here)
    if board:
        yield _joined(page.url, f"forum.php?mod=rss&fid={board}&auth=0"), "Discuz! 论坛这一版的 RSS"
    yield _joined(page.url, "forum.php?mod=rss&auth=0"), "Discuz! 论坛的 RSS"


def _board(url: str) -> str:
    """The number of a Discuz! board: forum.php?mod=forumdisplay&fid=12, forum-12-1.html."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query).get("fid", [""])[0]
    named = re.search(r"/forum-(\d{1,9})-\d+\.html$", parts.path)
    return asked if asked.isdecimal() and asked.isascii() else named[1] if named else ""


def _discourse(page: _Page) -> Iterator[tuple[str, str]]:
    category = _CATEGORY.match(page.here.partition("?")[0])
    if category:
        yield f"{category[1]}/c/{category[2]}/l/latest.json", "Discourse 论坛这一分类的主题列表"
    root = re.search(r"data-base-uri=\"(/[^\"\s]{0,100})\"", page.text)
    yield _joined(page.here, f"{root[1].rstrip('/') if root else ''}/latest.json"), "Discourse 论坛的最新主题"


def _nodebb(page: _Page) -> Iterator[tuple[str, str]]:
    root = re.search(r"\"relative_path\"\s*:\s*\"(/[^\"\s]{0,100})\"", page.text)
    yield _joined(page.here, f"{root[1].rstrip('/') if root else ''}/api/recent"), "NodeBB 论坛的最新主题"


def _phpbb(page: _Page) -> Iterator[tuple[str, str]]:
    yield _joined(page.url, "app.php/feed"), "phpBB 论坛的 Atom"
    yield _joined(page.url, "feed.php"), "phpBB 论坛的 Atom（旧版）"


def _wordpress(page: _Page) -> Iterator[tuple[str, str]]:
    """In the folder that WordPress lives in, if the page's own files show it."""
    root = _joined(page.here, "/")
    for mark in ("/wp-content/", "/wp-includes/", "/wp-json/"):
        at = page.text.find(mark)
        begin = page.text.rfind("http", max(0, at - 300), at) if at != -1 else -1
        folder = page.text[begin:at].replace("\\/", "/") + "/"
        if begin != -1 and folder.partition("://")[2].startswith(root.partition("://")[2]):
            root = _joined(page.here, folder)
            break
    yield _joined(root, "feed/"), "WordPress 网站的 RSS"


_SOFTWARE = (
    ("Discuz!", ("forum.php?mod=", "Powered by Discuz", "STYLEID = '", "comsenz"), _discuz),
    ("Discourse", ("data-discourse-setup", "discourse-assets", "id=\"data-preloaded\""), _discourse),
    ("NodeBB", ("NodeBB contributors", "\"relative_path\":", "/assets/nodebb"), _nodebb),
    ("phpBB", ("Powered by <a href=\"https://www.phpbb.com/\"", "id=\"phpbb\"", "viewforum.php?f="), _phpbb),
    ("WordPress", ("/wp-content/", "/wp-includes/", "/wp-json/"), _wordpress),
)
