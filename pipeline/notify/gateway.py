"""What SMS and voice gateways are given: numbers, and the values of a template's places.

Providers refuse a message whose place holds a link, 【】 or a symbol, or is too long or empty; a page must not be lost
for what a stranger wrote in a title.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from pipeline.notify import safe

EMPTY = "无"
_URL = re.compile(r"(?i)\b(?:https?|ftp)(?::|：)(?://|／／)[^\s，。；、）]*|\bwww[.．][^\s，。；、）]*")
_DOMAIN = re.compile(r"(?<=[A-Za-z0-9])[.](?=[A-Za-z]{2,})", re.ASCII)
_ADDRESS = re.compile(r"\b([0-9]{1,3})[.]([0-9]{1,3})[.]([0-9]{1,3})[.]([0-9]{1,3})\b", re.ASCII)
_TIME = re.compile(r"\b([0-9]{1,2})[:：]([0-9]{2})\b", re.ASCII)
_BRACKETS = re.compile(r"[【】\[\]［］]+")
_UNREAD = re.compile(r"[#/:%¥￥＃／％_＿|｜~～^*＊@＠<>＜＞{}｛｝\\＼$＄&＆`｀-]+")
"""What Alibaba Cloud's voice service takes for a special sign, and what reads badly aloud."""
_MAINLAND = re.compile(r"1[3-9][0-9]{9}", re.ASCII)
_ABROAD = re.compile(r"\+[1-9][0-9]{5,14}", re.ASCII)


def mobile(text: str) -> str:
    """`+8613800000000` (E.164) of what a roster says, with or without spaces, dashes and +86; empty if it is none."""
    digits = re.sub(r"[\s()-]", "", text)
    local = re.sub(r"^(?:\+86|0086)", "", digits)
    if _MAINLAND.fullmatch(local):
        return f"+86{local}"
    return digits if _ABROAD.fullmatch(digits) and not digits.startswith("+86") else ""


def masked(number: str) -> str:
    """`138****0000`: for logs and errors."""
    shown = number.removeprefix("+86")
    return f"{shown[:3]}****{shown[-4:]}" if len(shown) > 7 else "****"


def filled(params: Sequence[str], fields: Mapping[str, str], longest: int, aloud: bool = False) -> dict[str, str]:
    """Place -> value, in the order of `params` (`number`, or `code=number`). aloud: it is read to somebody."""
    found = {}
    for index, param in enumerate(params, 1):
        name, _, field = param.rpartition("=")
        place = name or (field if field not in found else f"{field}{index}")
        found[place] = value(fields.get(field, ""), longest, aloud)
    return found


def value(text: str, longest: int, aloud: bool = False) -> str:
    """At most so many characters that a provider accepts in a place; never empty."""
    plain = _DOMAIN.sub("．", _URL.sub("网址略", safe.line(text)))
    plain = _BRACKETS.sub(" ", _ADDRESS.sub(r"\1．\2．\3．\4", plain))
    plain = "".join(char for char in plain if unicodedata.category(char) not in ("So", "Sk", "Sm"))
    if aloud:
        plain = _UNREAD.sub(" ", _TIME.sub(r"\1点\2分", plain))
    return safe.shorten(" ".join(plain.split()), longest) or EMPTY
