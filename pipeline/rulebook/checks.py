"""What the checks of several rule files share. Problems are noted, nothing is raised."""

from __future__ import annotations

import zoneinfo
from urllib.parse import urlsplit


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


def inside(path: str, name: str) -> str:
    """The path of a field of the object at `path`."""
    return f"{path}.{name}" if path else name
