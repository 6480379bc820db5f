"""GBK with a byte too many or too few: where its characters begin again.

GBK has no marks to find the next character by: one lost byte turns the rest of its run into other characters. Runs that
look like that are read anew along the cheapest path: common characters cost nothing, rare ones little, a byte left out
more. Linear in the length.
"""

from __future__ import annotations

import re
from functools import cache

_RUN = re.compile(rb"[^\x00-\x2f\x3a-\x3f]+")
"""No GBK character has a byte of the others, so damage ends there. Digits may be part of a four-byte one."""
RARE, LEFT_OUT = 1.5, 3.0
MAX_BYTES = 256 * 1024
"""Bytes of a document that are read anew; a text all of rare characters is not worth more."""


def resynced(body: bytes, text: str) -> str:
    """`text`, which is `body` read as GB 18030, or a better reading of its runs that look misread."""
    if _suspicious().search(text) is None:
        return text
    out: list[str] = []
    at, left = 0, MAX_BYTES
    for run in _RUN.finditer(body):
        if _suspicious().search(_read(run[0])) is None:
            continue
        left -= len(run[0])
        if left < 0:
            break
        out += (_read(body[at:run.start()]), _cheapest(run[0]))
        at = run.end()
    return "".join(out) + _read(body[at:])


@cache
def _common() -> frozenset[str]:
    """The first level of GB 2312 with its punctuation, without full-width letters: few texts have them."""
    codes = (bytes((lead, trail)) for lead in (0xA1, 0xA3, *range(0xB0, 0xD8)) for trail in range(0xA1, 0xFF))
    found = "".join(code.decode("gb2312", "ignore") for code in codes)
    return frozenset(ch for ch in found if not "\uff10" <= ch <= "\uff5a" or not ch.isalnum())


@cache
def _suspicious() -> re.Pattern[str]:
    """Two uncommon characters in a row, or one that could not be read."""
    return re.compile(f"[^\x00-\x7f{''.join(map(re.escape, sorted(_common())))}]{{2}}|\ufffd")


def _read(data: bytes) -> str:
    return data.decode("gb18030", "replace")


def _cheapest(run: bytes) -> str:
    """The reading of the run that costs least, from its end back to its beginning."""
    size, common = len(run), _common()
    cost, step, word = [0.0] * (size + 1), [1] * size, [""] * size
    for at in range(size - 1, -1, -1):
        if run[at] < 0x80:
            cost[at], word[at] = cost[at + 1], chr(run[at])
            continue
        cost[at] = cost[at + 1] + LEFT_OUT
        for length in (2, 4):
            if at + length > size:
                break
            try:
                one = run[at:at + length].decode("gb18030")
            except UnicodeDecodeError:
                continue
            price = cost[at + length] + (0.0 if one in common else RARE)
            if len(one) == 1 and price < cost[at]:
                cost[at], step[at], word[at] = price, length, one
    out: list[str] = []
    at = 0
    while at < size:
        out.append(word[at])
        at += step[at]
    return "".join(out)
