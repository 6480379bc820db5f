"""Personal data in texts, masked before anything is written.

Masked: phone numbers, identity-card numbers, e-mail addresses, bank cards, messenger numbers, homes, @names. They
are looked for in the folded text, so that neither full-width nor zero-width characters hide any, and cut out of the
original. A home is an address down to a building's unit or room, or a street number after words such as
`家住`; a street number alone stays, because it is where polling stations and offices are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pipeline.fold import Folded, fold

PHONE, CARD, IDENTITY, MAIL = "[电话]", "[银行卡]", "[证件号]", "[邮箱]"
HOME, NAME, MESSENGER = "[住址]", "@[用户]", "[账号]"

ROUNDS = 4
"""A number may come to light only when its neighbour is masked; so few rounds end it, and most texts need one."""

_DASH = re.compile("[\u2010-\u2014\u2212]")

_BIRTH = r"(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_IDENTITY = re.compile(
    rf"(?:(?<![0-9A-Za-z])|(?<=ID)|(?<=id)|(?<=No)|(?<=NO)|(?<=\d[Xx]))[1-9]\d{{5}}[ -]?{_BIRTH}[ -]?\d{{3}}"
    r"(?:\d(?![0-9A-Za-z])|[Xx](?![A-Za-z]))"
    r"|(?<!\d)[1-9]\d{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}(?!\d)")
_CARD = re.compile(r"(?<![\d.])[2-9]\d{3}(?:[ -]?\d{4}){3}(?:[ -]?\d{1,3})?(?![\d.]\d)(?!\d)")
_CARD_NAMED = re.compile(r"(?:卡号|账号|帐号|账户|帐户)\D{0,6}?(\d(?:[ -]?\d){9,20})")
_MOBILE = re.compile(r"(?<![\d.])(?:(?:\+|00)?86[ -]?)?1[3-9]\d(?:[ .·-]?\d{4}){2}(?!\d)")
_LANDLINE = re.compile(
    r"(?<![\d-])(?:(?:\+|00)86[ -]?)?\(0(?:10|2\d|[3-9]\d{2})\)[ -]?[2-9]\d{2,3}[ -]?\d{4}(?!\d)"
    r"|(?<![\d-])(?:(?:\+|00)86[ -]?)?0(?:10|2\d|[3-9]\d{2})[ -]?[2-9]\d{2,3}[ -]?\d{4}(?:[-转]\d{1,6})?(?!\d)")
_PHONE_NAMED = re.compile(
    r"(?:电话|手机|座机|致电|拨打|tel|phone)\D{0,4}?([2-9]\d{2,3}[ -]?\d{4})(?![\d-])", re.IGNORECASE)
_MAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}")
_MESSENGER = re.compile(
    r"(?:微信(?:号码?|id)|微信 ?:|加微信?|(?<![a-z])vx)[ :=是]{0,3}([a-z0-9][a-z0-9_-]{4,19})(?![a-z0-9])"
    r"|(?<![a-z])qq(?:号码?|群)?[ :=是]{0,3}(\d{5,12})(?!\d)", re.IGNORECASE)
_AT_NAME = re.compile(r"@(?!\[)[\w·-]{1,30}")
_SUSPECT = re.compile(
    r"[\d@号栋幢座楼室弄组门\u00b2\u00b3\u00b9\u2070-\u2089\u2460-\u24ff\u2776-\u2793\ufe6b\uff20-\uff3a\uff41-\uff5a"
    r"\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]|微信|加微|[vV][xX]")
"""Every pattern needs one of these, as it is or folded; most headlines have none."""
_POSTED = re.compile(r"^([^\s]{1,30})(?= 发表于 ?\d{4}-)", re.MULTILINE)

_NUMBER = r"(?:[A-Za-z]?\d{1,5}[A-Za-z]?|[一二三四五六七八九十百零〇]{1,5}|[甲乙丙丁东西南北A-Za-z])"
_BUILDING = rf"{_NUMBER}(?:号楼|栋|幢|座|楼)"
_UNIT = rf"{_NUMBER}(?:单元|门)"
_ROOM = rf"{_NUMBER}(?:室|房)"
_DOOR = rf"(?:{_NUMBER}(?:室|户|房)|\d{{3,4}}(?![\d年月日人元户]))"
_FLOOR = rf"(?:{_NUMBER}(?:层|楼))?"
_DOWN_TO_ROOM = re.compile(
    rf"{_BUILDING}{_UNIT}{_FLOOR}{_DOOR}?|{_BUILDING}{_FLOOR}(?:{_ROOM}|\d{{3,4}}(?![\d年月日人元户]))|{_UNIT}{_DOOR}"
    rf"|{_NUMBER}[号弄]{_ROOM}|村{_NUMBER}(?:组|队|社){_NUMBER}号")
_LEADING = re.compile(r"[\u4e00-\u9fff0-9A-Za-z·]{0,30}$")
_CUE = re.compile(r".*(?:家住|住址[是为在]?|地址[是为在]?|位于|我住|[在到去从是])")
_HOME_NAMED = re.compile(
    rf"(?:家住|我住|她住|他住|住在|住址|居住在|家在|户籍|家庭地址|收货地址|现住)[在于为是地: ]{{0,3}}"
    rf"([\u4e00-\u9fffA-Za-z0-9-]{{2,24}}?{_NUMBER}(?:号院|号|弄|组|栋|幢|楼))")


def mask(text: str) -> str:
    """The text with personal data replaced by what it was, in square brackets. Masking twice changes nothing more."""
    if _SUSPECT.search(text) is None:
        return text
    for _ in range(ROUNDS):
        before, text = text, _once(_POSTED.sub("[用户]", text) if "发表于" in text else text)
        if text == before:
            break
    return text


def _once(text: str) -> str:
    folded, words = _folded(text)
    there: dict[re.Pattern[str], bool] = {}             # most texts lack most needs: each is looked for once
    for need, find, label in _FINDERS:
        if need not in there:
            there[need] = need.search(words) is not None
        if there[need] and (spans := [folded.span(*each) for each in find(words)]):
            text = _replaced(text, spans, label)
            folded, words = _folded(text)
            there.clear()
    return text


def _folded(text: str) -> tuple[Folded, str]:
    """The text folded, and its words with plain hyphens, of the same length."""
    folded = fold(text)
    return folded, _DASH.sub("-", folded.text)


Find = Callable[[str], Iterable[tuple[int, int]]]


def _replaced(text: str, spans: Iterable[tuple[int, int]], label: str) -> str:
    out: list[str] = []
    at = 0
    for start, end in spans:
        out += (text[at:start], label)
        at = end
    return "".join(out) + text[at:]


def _matches(pattern: re.Pattern[str]) -> Find:
    """The spans of a pattern: of its group if it has one, else the whole."""
    return lambda folded: (match.span(match.lastindex or 0) for match in pattern.finditer(folded))


def _cards(folded: str) -> Iterable[tuple[int, int]]:
    return (match.span() for match in _CARD.finditer(folded) if _luhn(match[0]))


def _luhn(written: str) -> bool:
    digits = [int(ch) for ch in written if ch.isdigit()][::-1]
    total = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return total % 10 == 0


def _homes(folded: str) -> Iterable[tuple[int, int]]:
    """From where the address begins (after `住在` and the like) to its room."""
    last = 0
    for match in _DOWN_TO_ROOM.finditer(folded):
        window = max(last, match.start() - 30)
        lead = _LEADING.search(folded[window:match.start()])
        start = match.start() - len(lead[0]) if lead else match.start()
        cue = _CUE.match(folded[start:match.start()])
        start += cue.end() if cue else 0
        yield start, match.end()
        last = match.end()


_DIGITS = re.compile(r"(?:\d\D*){7}")
_AT, _CHAT, _PLACE = re.compile("@"), re.compile("微信|加微|vx|qq", re.IGNORECASE), re.compile("[号栋幢座楼元门弄村组]")
_FINDERS: tuple[tuple[re.Pattern[str], Find, str], ...] = (
    (_AT, _matches(_MAIL), MAIL), (_DIGITS, _matches(_IDENTITY), IDENTITY), (_DIGITS, _matches(_CARD_NAMED), CARD),
    (_DIGITS, _cards, CARD), (_DIGITS, _matches(_MOBILE), PHONE), (_DIGITS, _matches(_LANDLINE), PHONE),
    (_DIGITS, _matches(_PHONE_NAMED), PHONE), (_CHAT, _matches(_MESSENGER), MESSENGER), (_PLACE, _homes, HOME),
    (_PLACE, _matches(_HOME_NAMED), HOME), (_AT, _matches(_AT_NAME), NAME),
)
"""What a text must have at all, the search, and what stands there instead."""
