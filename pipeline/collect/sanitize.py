"""An entry's markup -> the little of it that may be shown: no pictures, styles, names or scripts, only http(s) links.

Two steps. The markup is first rewritten, in one pass, to well-formed tags of the allow-list without attributes, nested
a few levels at most: parsers of HTML need quadratic time for deep nesting. What nh3 then lets through is the result.
"""

from __future__ import annotations

import html
import re

import nh3

from pipeline.collect import text
from pipeline.collect.links import public_link
from pipeline.collect.privacy import mask

MAX_BYTES = 64 * 1024
MAX_DEPTH = 24
MAX_TAGS = 10_000

_INLINE = frozenset("strong em b i code a del sub sup".split())
_BLOCKS = frozenset("p ul ol li blockquote pre h1 h2 h3 h4 h5 h6 table thead tbody tr td th".split())
_VOID = frozenset(("br", "hr"))
_ALLOWED = _INLINE | _BLOCKS | _VOID
_PLAIN = frozenset(("p", "br"))
_AS_P = frozenset(
    "div section article header footer main figure figcaption address center dl dt dd fieldset form".split())
_SILENT = frozenset("script style head title template noscript iframe object svg math select textarea".split())
_P = frozenset(("p",))
_CELLS = frozenset(("p", "td", "th"))
_ENDS = {"li": frozenset(("p", "li")), "td": _CELLS, "th": _CELLS, "tr": _CELLS | {"tr"}, "a": frozenset(("a",))}
"""Which open elements end where a tag begins, as in HTML; a block always ends a paragraph."""

_TAG = re.compile(
    r"<(/?)([A-Za-z][A-Za-z0-9]*)(?:[\s/]((?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*+))?>"
    r"|<(/?)([A-Za-z][A-Za-z0-9]*)(?:[\s/]([^<>]*))?>")
_MORE = re.compile(rf"<(?:{'|'.join(sorted(_ALLOWED - _PLAIN))})[\s>/]", re.IGNORECASE)
_HREF = re.compile(r"(?:^|[\s/])href\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>]+))", re.IGNORECASE)
_OUR_TAG = re.compile(r"(<[^<>]*>)")
_EMPTY = re.compile(r"<(p|b|i|em|strong|li|ul|ol|blockquote|del|sub|sup|h[1-6]|a)(?: [^<>]*)?>\s*</\1>")
_NAMES = re.compile(r"<([a-z][a-z0-9]*)")
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

_CLEANER = nh3.Cleaner(
    tags=set(_ALLOWED), attributes={"a": {"href"}}, url_schemes={"http", "https"}, strip_comments=True,
    link_rel="nofollow noopener noreferrer")


def safe_html(markup: str, base: str, masked: tuple[str, str] = ("", "")) -> str:
    """The markup by the allow-list, personal data masked; base: what its links are relative to.

    masked: its plain text and the same masked, where the caller has both: masking costs half of all this.

    Empty where paragraphs and line breaks are all there is (the plain text says that too), where it is longer than
    64 KiB or has more than 10,000 tags, and where personal data runs over tags and cannot be masked in place.
    """
    if _MORE.search(markup) is None:
        return ""
    rough = _rewritten(text.without_comments(markup), base)
    if not _says_more(rough):
        return ""
    clean = _HIDDEN.sub("", text.clean(_CLEANER.clean(rough)))
    clean = _EMPTY.sub("", _EMPTY.sub("", clean)).strip()
    if len(clean.encode()) > MAX_BYTES or not _says_more(clean):
        return ""
    return _masked(clean, *masked)


def _says_more(clean: str) -> bool:
    return not _PLAIN.issuperset(_NAMES.findall(clean))


def _rewritten(markup: str, base: str) -> str:
    """The same text between allowed tags that are all closed; references are left as they are."""
    out: list[str] = []
    stack: list[str] = []
    links: dict[str, str] = {}
    at, tags, unclosed = 0, 0, set[str]()
    while (match := _TAG.search(markup, at)) is not None:
        tags += 1
        if tags > MAX_TAGS:
            return ""
        out.append(_between(markup[at:match.start()]))
        at = match.end()
        closing, name = match[1] or match[4], (match[2] or match[5]).lower()
        if name in _SILENT and not closing and name not in unclosed:
            stop = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(markup, at)
            at = stop.end() if stop else at
            unclosed |= set() if stop else {name}       # looked for once: it is not there further on either
        elif closing:
            _close("p" if name in _AS_P else name, stack, out)
        else:
            name = "p" if name in _AS_P else name
            _open(name, _link(match[3] or match[6] or "", base, links) if name == "a" else name, stack, out)
    out.append(_between(markup[at:]))
    out += [f"</{name}>" for name in reversed(stack)]
    return "".join(out)


def _between(words: str) -> str:
    return words.replace("<", "&lt;").replace(">", "&gt;")


def _link(attributes: str, base: str, known: dict[str, str]) -> str:
    """The tag of a link with its address, absolute and without what names a person; nothing without an address."""
    found = _HREF.search(attributes)
    written = text.unescape(found[1] or found[2] or found[3] or "") if found else ""
    if written not in known:
        known[written] = public_link(written, base)
    return f'a href="{html.escape(known[written])}"' if known[written] else ""


def _open(name: str, written: str, stack: list[str], out: list[str]) -> None:
    if name not in _ALLOWED or not written:
        return
    ends = _ENDS.get(name, _P if name in _BLOCKS or name == "hr" else frozenset())
    while stack and stack[-1] in ends:
        out.append(f"</{stack.pop()}>")
    if name in _VOID:
        out.append(f"<{name}>")
    elif len(stack) < MAX_DEPTH:
        stack.append(name)
        out.append(f"<{written}>")


def _close(name: str, stack: list[str], out: list[str]) -> None:
    """Up to the innermost such element, if one is open."""
    if name in stack:
        while (last := stack.pop()) != name:
            out.append(f"</{last}>")
        out.append(f"</{name}>")


def _masked(clean: str, known: str, known_masked: str) -> str:
    """With personal data masked between the tags, if that comes to the same as masking the whole text."""
    words = text.to_text(clean)
    hidden = known_masked if words == known else mask(words)
    if hidden == words:
        return clean
    parts = _OUR_TAG.split(clean)
    for at in range(0, len(parts), 2):                  # text stands between the tags
        written = text.unescape(parts[at])
        changed = mask(written)
        if changed != written:
            parts[at] = html.escape(changed, quote=False)
    clean = "".join(parts)
    return clean if text.to_text(clean) == hidden else ""
