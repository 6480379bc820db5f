"""Counts as publishers write them -> numbers: `1,234`, `1.2k`, `3.5万`, `10万+`, `1.2亿`, `328 条评论`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from pipeline.model import Counts

MOST = 10**12
"""No feed has more of anything; a larger number is something else."""

_UNITS = {
    "": 1, "千": 1000, "k": 1000, "万": 10_000, "萬": 10_000, "w": 10_000, "百万": 10**6, "m": 10**6, "千万": 10**7,
    "亿": 10**8, "億": 10**8, "b": 10**9, "万亿": 10**12,
}
_WORDS = (r"(?:人|次|个?赞|评论|回复|回帖|跟帖|帖子?|留言|讨论|转发|分享|点赞|喜欢|阅读量?|浏览量?|查看|观看|播放量?"
          r"|热度|comments?|replies|reply|shares?|reposts?|likes?|upvotes?|votes?|points?|views?|reads?)")
_FIGURE = re.compile(
    rf"{_WORDS}?(?:数|量)?[ :(]{{0,3}}(?:约|超过?)?[ ]?(\d{{1,15}}|\d{{1,3}}(?:,\d{{3}}){{1,4}})(\.\d{{1,6}})?[ ]?"
    rf"(万亿|千万|百万|[千万萬亿億kwmb])?[ ]?(?:\+|多|余)?[ ]?(?:条|篇|楼|次|个|人)?{_WORDS}?(?:数|量)?\)?",
    re.IGNORECASE)
_HALF = {**{0xFF10 + digit: str(digit) for digit in range(10)}, 0xFF0C: ",", 0xFF0E: ".", 0xFF1A: ":", 0xFF08: "(",
         0xFF09: ")", 0xFF0B: "+", 0xA0: " ", 0x3000: " "}


def figure(value: Any) -> int | None:
    """A count from a JSON member or a text; None when it is negative, absurd or no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return int(value) if 0 <= value <= MOST else None              # NaN is not
    if not isinstance(value, str) or len(value) > 40:
        return None
    match = _FIGURE.fullmatch(value.translate(_HALF).strip())
    if match is None:
        return None
    number = Decimal(match[1].replace(",", "") + (match[2] or "")) * _UNITS[(match[3] or "").lower()]
    return int(number) if number <= MOST else None


def counts(*, comments: Any = None, forwards: Any = None, likes: Any = None, views: Any = None) -> Counts | None:
    """The counts of an entry from its members as they stand there; None when no member is a count."""
    found = Counts(figure(comments), figure(forwards), figure(likes), figure(views))
    return None if found == Counts() else found


def less_one(value: Any) -> int | None:
    """Replies, where the first post is counted with them."""
    found = figure(value)
    return found - 1 if found else None
