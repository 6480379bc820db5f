"""Items as people write them into a file: source, title or text, and when; see `wenxun replay --help`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.errors import WenxunError
from pipeline.ids import digest
from pipeline.model import Millis, RawItem

FIRST, LAST = 946_684_800_000, 4_102_444_800_000
"""Times of items: from the year 2000 up to 2100."""


def plain_item(path: Path | str, number: int, line: Mapping[str, Any], zone: ZoneInfo) -> RawItem:
    """The item of one line; WenxunError names the line, what is wrong and what to write."""
    source = line.get("source")
    if not isinstance(source, str) or not (line.get("title") or line.get("text")):
        raise WenxunError(f"{path}:{number}: 需要 source 和 title（或 text）")
    title, text, url = (str(line.get(name) or "") for name in ("title", "text", "url"))
    at = moment(path, number, line.get("at"), zone)
    published = moment(path, number, line["published"], zone) if line.get("published") else at
    return RawItem(
        id=digest(source, url or f"{title}{text}{at}"), revision=digest(title, text, size=8), source_id=source,
        title=title, text=text, url=url, first_seen_at=at, published_at=published)


def moment(path: Path | str, number: int, value: Any, zone: ZoneInfo) -> Millis:
    """A time as it may be written: ISO 8601, in `zone` if it has none, or epoch milliseconds."""
    try:
        if isinstance(value, str) and value.isdecimal() and len(value) > 11:
            at = int(value)                 # of a CSV file, where all values are texts
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            at = int(value)
        else:
            written = datetime.fromisoformat(str(value))
            at = int((written if written.tzinfo else written.replace(tzinfo=zone)).timestamp() * 1000)
        if FIRST <= at < LAST:              # a tick is played every five minutes up to the last item
            return at
    except (ValueError, OverflowError):
        pass
    raise WenxunError(f'{path}:{number}: 时间 {value!r} 应写成 "2026-11-22T09:30:00+08:00" 或毫秒数')
