"""Kinds that several rule files share."""

from __future__ import annotations

import datetime as dt

from pipeline.rulebook.kinds import Word, pattern

TIME = pattern("时刻 HH:MM", "\"08:30\"", "([01][0-9]|2[0-3]):[0-5][0-9]")
HOURS = pattern("时段 HH:MM-HH:MM", "\"08:30-18:00\"", "([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
COLOR = pattern("颜色 #RRGGBB", "\"#d97706\"", "#[0-9a-fA-F]{6}")
FILE = pattern("相对于规则目录的文件名", "secrets/duty.url", r"(?!/)(?!.*\.\.)(?!.*://)[^\s\\]{1,200}")
HOST = pattern("主机名", "smtp.example.org", r"[A-Za-z0-9._:\-\[\]]{1,253}")
MAIL = pattern("邮箱地址", "duty@example.org", r"[^@\s]{1,64}@[^@\s]{1,253}")
URL = pattern("http 或 https 网址", "https://news.example.org/rss.xml", r"https?://[^\s/?#]+([/?#]\S*)?")
POSITIVE = (1, 1_000_000)
"""Bounds of a count."""


def date_of(raw: str) -> str | None:
    try:
        return dt.date.fromisoformat(raw).isoformat() if len(raw) == 10 else None
    except ValueError:
        return None


DATE = Word("日期 年-月-日", "2026-12-31", date_of, {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})
