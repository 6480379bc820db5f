"""Feed documents written for the tests, and how they are read in them."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from pipeline.collect.entries import Parsed, Reading
from pipeline.collect.feed import parse_feed
from pipeline.rulebook.schema import JsonList, SourceFormat
from tests.builders import NOON

SHANGHAI = ZoneInfo("Asia/Shanghai")
HEAD_LINES = (
    ("三号投票站改到文化馆", "因校舍检修，原定在第三小学的投票站改到县文化馆，时间不变。"),
    ("东街积水已经排除", "市政人员凌晨三点完成排水，早高峰通行正常。"),
    ("图书馆周末延长开放", "本周六、周日开放到晚上九点，请读者带好借书证。"),
)


def rss(*entries: str, head: str = "", declaration: str = '<?xml version="1.0" encoding="utf-8"?>') -> str:
    return f"""{declaration}
<rss version="2.0"><channel><title>青山县新闻网</title><link>http://news.example/</link>{head}
{"".join(entries)}</channel></rss>"""


def entry(number: int, title: str, text: str, date: str = "", extra: str = "") -> str:
    stamp = f"<pubDate>{escape(date)}</pubDate>" if date else ""
    return (f"<item><title>{escape(title)}</title><link>http://news.example/{number}</link>"
            f"<guid>news-{number}</guid><description>{escape(text)}</description>{stamp}{extra}</item>")


def county_news(declaration: str = '<?xml version="1.0" encoding="utf-8"?>') -> str:
    """Three entries, newest first, an hour apart."""
    dated = [entry(3 - place, title, text, f"Sun, 22 Nov 2026 {11 - place}:00:00 +0800")
             for place, (title, text) in enumerate(HEAD_LINES)]
    return rss(*dated, declaration=declaration)


def reading(**changes: Any) -> Reading:
    values: dict[str, Any] = {"source_id": "news", "url": "http://news.example/rss", "zone": SHANGHAI, "now": NOON,
                              **changes}
    return Reading(**values)


def parsed(body: bytes | str, *, content_type: str = "", form: SourceFormat = SourceFormat.AUTO,
           rules: JsonList | None = None, **changes: Any) -> Parsed:
    return parse_feed(body.encode() if isinstance(body, str) else body, reading(**changes), content_type=content_type,
                      form=form, rules=rules)


def titles(found: Parsed) -> list[str]:
    """Newest first, as the documents are written."""
    return [item.title for item in reversed(found.items)]


TITLES = [title for title, _ in HEAD_LINES]
