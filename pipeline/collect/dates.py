"""Dates as feeds write them, to epoch milliseconds.

A date without a zone is in the source's zone. `CST` is China's standard time: the feeds read here are Chinese. Relative
dates (`3 小时前`, `昨天 15:05`) count from the time of the poll.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from pipeline.model import Millis

HOUR = 3_600_000
_FIRST_YEAR = 1990

_MONTHS = {name: number for number, name in enumerate(
    "jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)}
_CHINESE_MONTHS = {name + "月": number for number, name in enumerate(
    ("一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二"), start=1)}
_CHINESE_MONTHS |= {f"{digits}月": number for number in range(1, 13) for digits in (f"{number}", f"{number:02d}")}
_ZONES = {
    "utc": 0, "gmt": 0, "ut": 0, "z": 0, "cst": 8 * 60, "bjt": 8 * 60, "hkt": 8 * 60, "jst": 9 * 60, "kst": 9 * 60,
    "est": -5 * 60, "edt": -4 * 60, "cdt": -5 * 60, "mst": -7 * 60, "mdt": -6 * 60, "pst": -8 * 60, "pdt": -7 * 60,
    "cet": 60, "cest": 120, "bst": 60, "msk": 180, "ist": 330,
}
_WORDS = {
    **dict.fromkeys(("上午", "凌晨", "早上", "早晨"), "am"),
    **dict.fromkeys(("下午", "晚上", "傍晚"), "pm"),
    "中午": "noon",
}
_TIME = re.compile(
    r"(上午|凌晨|早上|早晨|下午|晚上|傍晚|中午)?\s*(\d{1,2})\s*[:时点]\s*(\d{1,2})?\s*(?:[:分]\s*(\d{1,2})(?:[.,]\d+)?\s*秒?|分)?"
    r"\s*([AaPp]\.?[Mm]\b\.?)?")
_ZONE = re.compile(r"([+-])(\d{2}):?(\d{2})\b|\b(UTC|GMT)\s*([+-])\s*(\d{1,2})\b|([A-Za-z]{1,4})")
_YMD = re.compile(r"(?<!\d)(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})(?!\d)")
_COMPACT = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?:T?(\d{2})(\d{2})(\d{2}))?(?!\d)")
_MD = re.compile(r"(?<![\d年])(\d{1,2})\s*(?:月|-|/)\s*(\d{1,2})(?!\d)")
_MONTH = f"({'|'.join(_MONTHS)})[a-z]*\\.?"
_DMY = re.compile(rf"(?<!\d)(\d{{1,2}})[\s-]+{_MONTH},?[\s-]+(\d{{2,4}})(?!\d)", re.IGNORECASE)
_CHINESE_MONTH = "(十[一二]月|[一二三四五六七八九十]月|[01]?\\d月)"
_DMY_CHINESE = re.compile(rf"(?<!\d)(\d{{1,2}})[\s-]+{_CHINESE_MONTH},?[\s-]+(\d{{2}}|\d{{4}})(?!\d)")
_YMD_CHINESE = re.compile(rf"(?<!\d)(\d{{4}})\s*年?\s*{_CHINESE_MONTH}\s*(\d{{1,2}})日?(?!\d)")
_MDY_CHINESE = re.compile(rf"{_CHINESE_MONTH}\s*(\d{{1,2}})\s*[,日]?\s+(\d{{4}})(?!\d)")
_MDY = re.compile(
    rf"\b{_MONTH}\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?:(\d{{4}})|[\d:]+\s+(?:[A-Z+:\d-]+\s+)?(\d{{4}}))", re.IGNORECASE)
_AGO = re.compile(r"(\d{1,6}|半|几)\s*个?\s*(秒钟?|分钟?|小时|天|日|周|星期|月)(半)?[之以]?前")
_UNITS = {"秒": 1, "分": 60, "小": 3600, "天": 86400, "日": 86400, "周": 7 * 86400, "星": 7 * 86400, "月": 30 * 86400}
_AGO_ENGLISH = re.compile(r"\b(\d{1,6}|an?)\s+(sec|min|hour|day|week|month)(?:ond|ute)?s?\s+ago\b", re.IGNORECASE)
_UNITS_ENGLISH = {"sec": 1, "min": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "month": 30 * 86400}
_NOW = ("刚刚", "刚才", "just now")
_FRACTION = re.compile(r":\d\d[.,](\d{1,3})")
_DAYS = {"大前天": 3, "今天": 0, "昨天": 1, "昨日": 1, "今日": 0, "前天": 2, "前日": 2}


def parse_date(text: str, zone: ZoneInfo, now: Millis) -> Millis | None:
    """When this says, None when it says nothing readable. A time in the future is clamped to an hour from now."""
    at = date_in(text, zone, now)
    return None if at is None else min(at, now + HOUR)


def date_in(text: str, zone: ZoneInfo, now: Millis) -> Millis | None:
    """When this says, as far in the future as it likes."""
    text = " ".join(text.translate(_HALF_WIDTH).split())[:100]
    try:
        at = _relative(text, zone, now) or _number(text) or _calendar(text, zone, now)
    except (ValueError, OverflowError, OSError):
        return None
    return None if at is None or at < _since(_FIRST_YEAR) else at


def is_relative(text: str) -> bool:
    """Whether these words say another time at each poll."""
    return "前" in text or any(word in text.lower() for word in (*_NOW, *_DAYS, " ago", "yesterday", "today"))


_HALF_WIDTH = {0xFF0C: ",", 0xFF1A: ":", 0xFF0D: "-", 0xFF0F: "/", 0x3000: " ", 0xA0: " ",
               **{0xFF10 + digit: str(digit) for digit in range(10)}}


def _since(year: int) -> Millis:
    return _millis(datetime(year, 1, 1, tzinfo=UTC))


def _millis(moment: datetime) -> Millis:
    return int(moment.timestamp() * 1000)


def _number(text: str) -> Millis | None:
    """Seconds or milliseconds since 1970."""
    if not re.fullmatch(r"\d{9,10}|\d{12,13}", text):
        return None
    return int(text) * (1000 if len(text) <= 10 else 1)


def _relative(text: str, zone: ZoneInfo, now: Millis) -> Millis | None:
    lower = text.lower()
    if any(word in lower for word in _NOW):
        return now
    if ago := _AGO.search(text):
        count = {"半": 0.5, "几": 3.0}.get(ago[1]) or float(ago[1])
        return now - int((count + (0.5 if ago[3] else 0)) * _UNITS[ago[2][0]] * 1000)
    if ago := _AGO_ENGLISH.search(lower):
        return now - int("1" if ago[1].startswith("a") else ago[1]) * _UNITS_ENGLISH[ago[2]] * 1000
    for word, days in (*_DAYS.items(), ("yesterday", 1), ("today", 0)):
        _, found, after = lower.partition(word)
        if found:
            day = datetime.fromtimestamp(now / 1000, zone) - timedelta(days=days)
            hour, minute, second, _ = _time(after)
            return _millis(day.replace(hour=hour, minute=minute, second=second, microsecond=0))
    return None


def _calendar(text: str, zone: ZoneInfo, now: Millis) -> Millis | None:
    found = _day(text, zone, now)
    if found is None:
        return None
    (year, month, day), rest, compact = found
    hour, minute, second, after = compact if compact else _time(rest)
    moment = datetime(year, month, day, hour, minute, second, tzinfo=_zone(after) or zone)
    fraction = _FRACTION.search(rest)
    return _millis(moment) + (int(fraction[1].ljust(3, "0")) if fraction else 0)


_Day = tuple[tuple[int, int, int], str, tuple[int, int, int, str] | None]


def _day(text: str, zone: ZoneInfo, now: Millis) -> _Day | None:
    """(year, month, day), where the time may stand, and the time if it was part of the same digits."""
    if match := _YMD.search(text):
        return (int(match[1]), int(match[2]), int(match[3])), text[match.end():], None
    if match := _DMY.search(text):
        return (_year(match[3]), _MONTHS[match[2].lower()], int(match[1])), text[match.end():], None
    if match := _DMY_CHINESE.search(text):
        return (_year(match[3]), _CHINESE_MONTHS[match[2]], int(match[1])), text[match.end():], None
    if match := _YMD_CHINESE.search(text):
        return (int(match[1]), _CHINESE_MONTHS[match[2]], int(match[3])), text[match.end():], None
    if match := _MDY_CHINESE.search(text):
        return (int(match[3]), _CHINESE_MONTHS[match[1]], int(match[2])), text[match.end():], None
    if match := _MDY.search(text):
        return (int(match[3] or match[4]), _MONTHS[match[1].lower()], int(match[2])), text[match.end(2):], None
    if match := _COMPACT.search(text):
        clock = (int(match[4]), int(match[5]), int(match[6]), text[match.end():]) if match[4] else None
        return (int(match[1]), int(match[2]), int(match[3])), text[match.end():], clock
    if match := _MD.search(text):
        return _without_year(int(match[1]), int(match[2]), zone, now), text[match.end():], None
    return None


def _without_year(month: int, day: int, zone: ZoneInfo, now: Millis) -> tuple[int, int, int]:
    """This year's day, or last year's when it would be more than a day ahead."""
    today = datetime.fromtimestamp(now / 1000, zone)
    ahead = datetime(today.year, month, day, tzinfo=zone) - today
    return (today.year - 1 if ahead > timedelta(days=1) else today.year), month, day


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) == 4 else year + (2000 if year < 70 else 1900)


def _time(text: str) -> tuple[int, int, int, str]:
    """hour, minute, second and what follows; midnight without a time."""
    match = _TIME.search(text)
    if match is None:
        return 0, 0, 0, text
    hour, minute, second = int(match[2]), int(match[3] or 0), int(match[4] or 0)
    half = _WORDS.get(match[1] or "") or (match[5] or "").lower().replace(".", "")
    if (half == "pm" and hour < 12) or (half == "noon" and hour < 3):
        hour += 12
    elif half == "am" and hour == 12:
        hour = 0
    return hour, minute, min(second, 59), text[match.end():]


def _zone(after: str) -> tzinfo | None:
    match = _ZONE.search(after)
    if match is None:
        return None
    if match[1]:
        return _offset(match[1], int(match[2]) * 60 + int(match[3]))
    if match[5]:
        return _offset(match[5], int(match[6]) * 60)
    minutes = _ZONES.get(match[7].lower())
    return timezone(timedelta(minutes=minutes)) if minutes is not None else None


def _offset(sign: str, minutes: int) -> timezone:
    return timezone(timedelta(minutes=-minutes if sign == "-" else minutes))
