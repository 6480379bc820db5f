"""URLs of sources as people outside the desk may see them: RSSHub and others carry access keys in the query."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_SECRET = re.compile(
    r"(?i)(?<![^?&;])([^=&;]*(?:key|token|secret|sign|passw|pwd|auth|code|credential|session|ticket)[^=&;]*)=[^&;]*")


def shown(url: str) -> str:
    """The URL without user info and fragment, and with `…` for the values of parameters that look like keys."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "…"
    return urlunsplit((parts.scheme, place, parts.path, _SECRET.sub(r"\1=…", parts.query), ""))
