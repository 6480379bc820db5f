"""Text of feeds made harmless for any channel: no mention, no markup, no control or direction characters, one line.

Chat programs, mail programs and web hooks read different markup; the wide forms of the characters that start any of
it read the same to people and mean nothing to programs.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, urlsplit

_WIDE = str.maketrans({mark: chr(ord(mark) + 0xFEE0) for mark in "@<>[]{}`*~|\\&#$"})
_MARKING_LINE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Inside a name (WENXUN_DATA_DIR, url_file) it starts no markup, and the name can be copied."""
_MENTIONS = str.maketrans({mark: chr(ord(mark) + 0xFEE0) for mark in "@<>&`"})
_LINK = re.compile(r"\]\((?=\s*(?:[A-Za-z][A-Za-z0-9+.-]*:|//|www\.))")
_PLACE = re.compile(r"\s*[^\s:]+\.ya?ml:\d+:\d+: ")
"""`subjects/a.yml:3:5: `: what follows tells how to mend a rule file, and is typed or copied as it stands."""
_DOMAIN = re.compile(r"(?<=[A-Za-z0-9])\.(?!ya?ml\b)(?=[A-Za-z]{2,})", re.ASCII)
"""The dot of `evil.example` in running text. A file of the rules (`levels.yml`) can still be copied."""
_URL_SAFE = "/:?&=#%+,;!$-._"
_MAX_URL = 500
ELLIPSIS = "…"


def line(text: str) -> str:
    """One line of plain text that no channel reads as a mention or as markup."""
    return _MARKING_LINE.sub("＿", " ".join("".join(map(_visible, text)).split()).translate(_WIDE))


def inert(text: str) -> str:
    """A line of which no program makes a link by itself: for what strangers wrote, beside our own links."""
    return _DOMAIN.sub("．", line(text).replace("://", "：／／"))


def paragraph(text: str) -> str:
    """The same, with its line breaks: for text that the system itself wrote around foreign names."""
    return "\n".join(line(one) for one in text.splitlines()).strip()


def notice(text: str) -> str:
    """A paragraph of the system about itself. Its lines about places of rule files keep brackets, backslashes and
    other signs of expressions, or a mend that is copied would be wrong; mentions, tags and links they have none."""
    return "\n".join(_about_rules(one) if _PLACE.match(one) else line(one) for one in text.splitlines()).strip()


def _about_rules(text: str) -> str:
    return _LINK.sub("］（", " ".join("".join(map(_visible, text)).split()).translate(_MENTIONS))


def link(url: str) -> str:
    """The URL if it is an http(s) one, with every character that could end a link or start markup percent-encoded."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        return ""
    encoded = quote("".join(url.split()), safe=_URL_SAFE, errors="replace").replace("~", "%7E")
    return encoded if len(encoded) <= _MAX_URL else ""


def cut(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8, whole characters, ending in … when something was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= size:
        return raw.decode("utf-8")
    room = size - len(ELLIPSIS.encode())
    if room < 0:
        return ""
    return raw[:room].decode("utf-8", "ignore").rstrip() + ELLIPSIS


def shorten(text: str, count: int) -> str:
    """At most `count` characters, ending in … when something was cut."""
    return text if len(text) <= count else text[: count - 1].rstrip() + ELLIPSIS


def _visible(char: str) -> str:
    """Control, format (zero width, direction), private and surrogate characters go; breaks become spaces."""
    kind = unicodedata.category(char)
    if kind in ("Zl", "Zp") or char in "\t\n\r\x0b\x0c\x85":
        return " "
    return "" if kind in ("Cc", "Cf", "Cs", "Co", "Cn") else char
