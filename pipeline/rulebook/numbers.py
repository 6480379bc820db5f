"""Telephone numbers as they are typed, and as gateways want them."""

from __future__ import annotations

import re
import unicodedata

NUMBER = re.compile(r"1[3-9][0-9]{9}|\+[1-9][0-9]{6,14}")
_BETWEEN = re.compile(r"[\s().\-_/·‐-―−]+")
_LETTERS = str.maketrans({"o": "0", "O": "0", "l": "1", "I": "1", "i": "1"})
"""What a hand or a scan writes for a digit."""


def mended(raw: str) -> str:
    """The number that was probably meant; empty if none shows."""
    plain = _BETWEEN.sub("", unicodedata.normalize("NFKC", raw)).translate(_LETTERS)
    for each in (plain, f"+{plain.removeprefix('00')}" if plain.startswith("00") else "",
                 plain.removeprefix("86") if re.fullmatch(r"86[0-9]{11}", plain) else ""):
        if NUMBER.fullmatch(each):
            return each.removeprefix("+86") if re.fullmatch(r"\+861[3-9][0-9]{9}", each) else each
    return ""
