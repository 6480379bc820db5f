"""OPML, the lists of feeds that every reader imports and exports -> proposed sources, and back.

Lists come from strangers' programs: any encoding, bare ampersands, torn ends. What can be read is read; `torn` says
that there was more. What a source says beyond OPML stands in attributes `wenxun:…`: an export comes back whole.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import msgspec

from pipeline.collect import text
from pipeline.errors import WenxunError
from pipeline.rulebook.schema import HOUR, INTAKE, MINUTE, Source, SourceFormat, SourceKind

MAX_BYTES = 5 * 1024**2
MAX_FEEDS = 10_000
MAX_DEPTH = 32
MAX_NAME, MAX_GROUP, MAX_URL, MAX_ID = 200, 40, 2048, 64
"""Characters, as the rule files take them."""
NAMESPACE = "urn:wenxun:sources:1"

_BARE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});)([A-Za-z][A-Za-z0-9]{1,30};)?")
_ROOT = re.compile(r"<opml[\s>]", re.IGNORECASE)
_FLAG = {"true": True, "false": False}
_TIME = re.compile(r"[0-9]{1,6}[smhd]")
_UNITS = (("d", 24 * HOUR), ("h", HOUR), ("m", MINUTE), ("s", 1000))


class NotOpml(WenxunError):
    """A file that is no OPML. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A feed of a list. group: names of the folders around it, joined. more: what an export of ours says besides."""

    url: str
    title: str = ""
    group: str = ""
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Outlines:
    """feeds: each address once, in order. passed: outlines whose address cannot be a feed's. torn: it broke off."""

    feeds: tuple[Outline, ...]
    title: str = ""
    passed: int = 0
    torn: bool = False


def read(body: bytes) -> Outlines:
    """The feeds of a list; NotOpml when it is none."""
    if len(body) > MAX_BYTES:
        raise NotOpml(f"文件超过 {MAX_BYTES // 1024**2} MiB，不像 OPML 订阅清单。")
    words = text.decode(body).lstrip()
    start = _ROOT.search(words[:65536])
    if start is None:
        raise NotOpml("不是 OPML 订阅清单（没有 <opml>）。请从阅读器里导出 OPML 文件。")
    reader = _Reader()
    torn = reader.feed(_BARE.sub(_reference, words[start.start():]))
    return Outlines(tuple(reader.feeds.values()), reader.title.strip()[:MAX_NAME], reader.passed, torn)


def _reference(match: re.Match[str]) -> str:
    """An HTML reference as its characters, a bare ampersand as a reference to itself."""
    plain = html.unescape(match[0]) if match[1] else "&"
    return plain if match[1] and plain != match[0] else "&amp;" + (match[1] or "")


class _Reader:
    def __init__(self) -> None:
        self.feeds: dict[str, Outline] = {}
        self.title, self.passed = "", 0
        self._path: list[str] = []                      # of open outlines, their names
        self._inside = ""

    def feed(self, words: str) -> bool:
        """Whether it broke off before its end."""
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(words.encode(), True)
        except expat.ExpatError:
            return True
        return False

    def _start(self, name: str, given: dict[str, str]) -> None:
        self._inside = name.lower()
        if self._inside != "outline":
            return
        known = {key.lower(): value.strip() for key, value in given.items()}
        title = text.one_line(text.to_text(known.get("text") or known.get("title", "")))[:MAX_NAME]
        url = known.get("wenxun:url") or known.get("xmlurl") or (
            known.get("url", "") if known.get("type", "").lower() in ("rss", "atom", "feed") else "")
        if url:
            self._add(url, title, known)
        self._path.append("" if url else title)

    def _end(self, name: str) -> None:
        self._inside = ""
        if name.lower() == "outline" and self._path:
            self._path.pop()

    def _characters(self, words: str) -> None:
        if self._inside == "title" and len(self.title) < MAX_NAME:
            self.title += words

    def _add(self, url: str, title: str, known: dict[str, str]) -> None:
        url = re.sub(r"^feed:(?://)?(?=https?:)|^feed(?=://)", lambda found: "" if ":" in found[0] else "http", url)
        if not _is_address(url) or len(self._path) > MAX_DEPTH or len(self.feeds) >= MAX_FEEDS:
            self.passed += 1
            return
        group = " / ".join(name for name in self._path if name)
        more = tuple((key.removeprefix("wenxun:"), value) for key, value in known.items() if key.startswith("wenxun:"))
        self.feeds.setdefault(url, Outline(url, title, group[:MAX_GROUP], more))


def _is_address(url: str) -> bool:
    if re.fullmatch(r"rsshub:/[^\s/?#]\S*", url):
        return len(url) <= MAX_URL
    try:
        parts = urlsplit(url)
        public = parts.scheme in ("http", "https") and "@" not in parts.netloc
        return public and bool(parts.hostname) and parts.port != 0 and len(url) <= MAX_URL and not re.search(r"\s", url)
    except ValueError:
        return False


# ---------------------------------------------------------------- sources


def proposed(feeds: Iterable[Outline], taken: Collection[str] = (), group: str = "") -> tuple[Source, ...]:
    """Sources for the feeds, with ids that are not taken. group: for all of them, instead of their folders."""
    used, found = set(taken), []
    for each in feeds:
        more = dict(each.more)
        ident = free_id(more.get("id", "") or proposed_id(each.url, each.title), used)
        used.add(ident)
        source = Source(id=ident, name=each.title or host_name(each.url), url=each.url,
                        group=group or each.group or "其他")
        found.append(msgspec.structs.replace(source, **_said(more)))
    return tuple(found)


def _said(more: dict[str, str]) -> dict[str, object]:
    """What our own export says beyond OPML; anything odd is left out."""
    found: dict[str, object] = {name: _FLAG[more[name]] for name in ("official", "enabled", "full_text")
                                if more.get(name) in _FLAG}
    if more.get("format") in (SourceFormat.FEED, SourceFormat.DISCOURSE, SourceFormat.NODEBB):
        found["format"] = SourceFormat(more["format"])
    for name in ("interval", "min_interval", "max_interval"):
        if _TIME.fullmatch(more.get(name, "")):
            found[name] = int(more[name][:-1]) * dict(_UNITS)[more[name][-1]]
    found.update({name: more[name][:MAX_NAME] for name in ("origin", "timezone") if more.get(name)})
    return found


def proposed_id(url: str, title: str = "") -> str:
    """A readable id: of a title in Latin letters, else of the route or host. Not yet made unique."""
    if url.startswith("rsshub:"):
        return _slug(url.removeprefix("rsshub:")) or "rsshub"
    plain, marks = _slug(title), len(re.sub(r"\s", "", title))
    latin = 2 * len(re.findall("[A-Za-z0-9]", title)) > marks and not re.search(r"[^\W\dA-Za-z\u2e80-\uffff]", title)
    return plain if latin and len(plain) >= 3 else _slug(host_name(url)) or "source"


def free_id(wanted: str, taken: Collection[str]) -> str:
    """The id, with a number behind it when it is taken."""
    base = _slug(wanted) or "source"
    found, number = base, 2
    while found in taken or found == INTAKE.id:
        tail = f"-{number}"
        found, number = base[:MAX_ID - len(tail)] + tail, number + 1
    return found


def host_name(url: str) -> str:
    """Host without `www.`, of a RSSHub route the route itself."""
    return url if url.startswith("rsshub:") else (urlsplit(url).hostname or "").removeprefix("www.")


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", words.lower()).strip("-")[:MAX_ID].strip("-")


# ---------------------------------------------------------------- writing


def exported(sources: Iterable[Source]) -> tuple[Source, ...]:
    """The sources that other programs can read: no desks of reports, no lists that only our rules describe."""
    return tuple(each for each in sources if each.kind is SourceKind.FEED and each.format is not SourceFormat.JSON)


def write(sources: Sequence[Source], title: str = "Wenxun") -> str:
    """OPML 2.0 with the groups as folders, in the order of the sources."""
    groups: dict[str, list[str]] = {}
    for each in exported(sources):
        groups.setdefault(each.group, []).append(_outline(each))
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<opml version="2.0" xmlns:wenxun="{NAMESPACE}">',
             f"  <head><title>{html.escape(title, quote=False)}</title></head>", "  <body>"]
    for group, outlines in groups.items():
        lines += [f"    <outline text={quoteattr(group)}>", *outlines, "    </outline>"]
    return "\n".join([*lines, "  </body>", "</opml>"]) + "\n"


def _outline(source: Source) -> str:
    given = {"type": "rss", "text": source.name, "title": source.name, "xmlUrl": source.url, "wenxun:id": source.id}
    if source.route:
        given["wenxun:url"] = source.route
    for name, plain in (("official", False), ("enabled", True), ("full_text", False)):
        if getattr(source, name) is not plain:
            given[f"wenxun:{name}"] = str(not plain).lower()
    if source.format is not SourceFormat.AUTO:
        given["wenxun:format"] = str(source.format)
    usual = Source(id="", name="")
    for name in ("interval", "min_interval", "max_interval"):
        if getattr(source, name) != getattr(usual, name):
            given[f"wenxun:{name}"] = span(getattr(source, name))
    return "      <outline " + " ".join(f"{name}={quoteattr(value)}" for name, value in given.items()) + "/>"


def span(length: int) -> str:
    """Milliseconds as the rule files write them: 90000 -> `90s`, 300000 -> `5m`."""
    unit, size = next((each for each in _UNITS if length and length % each[1] == 0), _UNITS[-1])
    return f"{length // size}{unit}"
