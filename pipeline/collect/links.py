"""Links to entries, without what names a person: logins, handles, profile pages, personal query parameters."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit, urlunsplit

MAX_URL = 2048

_PROFILE = re.compile(
    r"/(?:u|user|users|people|profile|profiles|member|members|author|authors|space|home)/[^/]+/?$"
    r"|/space-(?:uid|username)-|/home\.php$", re.IGNORECASE)
_PERSONAL = re.compile(
    r"^(?:tel|phone|mobile|e?mail|user|user_?name|user_?id|uid|fromuid|author(?:_?id)?|nick(?:name)?|id_?card|openid)$",
    re.IGNORECASE)


def public_link(link: str, base: str) -> str:
    """An absolute http(s) link without what names a person, or nothing.

    Where the path itself names one (`/@name/1`, `/users/name`) only the site's front page is left.
    """
    try:
        parts = urlsplit(urljoin(base, link.strip()) if link.strip() else "")
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or len(link) > MAX_URL:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{host}:{port}" if port else host
    path = unquote(parts.path)
    if "@" in path or _PROFILE.search(path):
        return urlunsplit((parts.scheme, place, "/", "", ""))
    fragment = "" if "@" in unquote(parts.fragment) else parts.fragment
    return urlunsplit((parts.scheme, place, parts.path, _impersonal(parts.query), fragment))


def _impersonal(query: str) -> str:
    """The query as it was written, or without its personal parameters."""
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if not _PERSONAL.match(name) and "@" not in value]
    return query if len(kept) == len(pairs) else urlencode(kept)
