"""What the modules of the chat programs share: plain texts, cuts to the byte, accounts to mention, colours.

Texts of a card went through safe.py; here they go through it again (it changes nothing twice) and lose what chat
programs turn into links by themselves, so that nothing a feed says is ever a mention, a link or markup.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from pipeline.notify import gateway, safe
from pipeline.notify.card import Card, CardExcerpt
from pipeline.rulebook.schema import Person

DRILL = "【演练】"
_MARKED = re.compile(r"(?:【[^】]*】)*【演练】")
_MARKER = re.compile(r"(?:[-+=]+(?=\s|$)|[0-9]{1,9}[.)](?=\s|$)|[-=]{3,})")
"""What starts a list or a rule at the beginning of a line."""
_WIDE = {ord(mark): ord(mark) + 0xFEE0 for mark in "-+=.)"}
_ADDRESS = re.compile(r"https?://\S+")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", re.ASCII)
_URL_SAFE = "/:?&=#%+,;!$-._~"

Weigh = Callable[[str], int]


def plain(text: str) -> str:
    """One line that chat programs show as it stands: no mention, no markup, no link."""
    shown = safe.inert(text)
    return _MARKER.sub(lambda found: found[0].translate(_WIDE), shown, count=1) if _MARKER.match(shown) else shown


def title(card: Card) -> str:
    """The title, with the mark of a drill in front."""
    return marked(card, card.title)


def marked(card: Card, text: str) -> str:
    shown = plain(text)
    return DRILL + shown if card.drill and not _MARKED.match(shown) else shown


def lines(card: Card) -> Iterator[tuple[str, str]]:
    """Its lines, plain. A line that is nothing but an address is left out: no address is a link here but the card's."""
    for label, text in card.lines:
        if label or not _ADDRESS.fullmatch(text.strip()):
            yield plain(label), plain(text)


def quote_of(one: CardExcerpt) -> str:
    """An excerpt on one line, without its link."""
    origin = " · ".join(part for part in (plain(one.source), plain(one.time)) if part)
    return f"「{plain(one.title)}」{plain(one.text)}{f'（{origin}）' if origin else ''}"


def excerpts(card: Card, lead: str = "") -> Iterator[Block]:
    """Numbered, each with its link: `原文`."""
    for count, one in enumerate(card.excerpts, 1):
        link = href(one.url)
        yield Block(quote_of(one), f"{lead}{count}. ", f" [原文]({link})" if link else "")


def href(url: str) -> str:
    """An http(s) URL with every character encoded that could end a link; empty for anything else."""
    return quote(url, safe=_URL_SAFE, errors="replace") if url.startswith(("http://", "https://")) else ""


# ---------------------------------------------------------------- bytes


def utf8(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def in_json(text: str) -> int:
    """Bytes inside a JSON string: quotes, backslashes and line breaks count twice."""
    return len(msgspec.json.encode(text)) - 2


SCRAP = 12
"""Characters of a cut text that are not worth a line."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a message. before and after are markup, whole or not there; text is plain and may be cut."""

    text: str
    before: str = ""
    after: str = ""


def cut(text: str, size: int, weigh: Weigh = utf8) -> str:
    """At most `size` by weight, whole characters, ending in … when something was cut; empty when nothing fits."""
    if weigh(text) <= size:
        return text
    low, high = 0, min(len(text), max(size, 0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weigh(text[:middle] + safe.ELLIPSIS) <= size else (low, middle - 1)
    return text[:low].rstrip() + safe.ELLIPSIS if low else ""


def fit(blocks: Iterable[Block], size: int, *, last: str = "", gap: str = "\n", weigh: Weigh = utf8) -> str:
    """The blocks in order as far as they fit, the one that does not cut within its text; `last` always stands."""
    done, left = "", size - weigh(gap + last if last else "")
    for block in blocks:
        if not (block.before or block.text or block.after):
            continue
        lead = gap if done else ""
        frame = weigh(lead + block.before + block.after)
        text = cut(block.text, left - frame, weigh)
        if frame > left or (text != block.text and (not text or (done and len(text) < SCRAP))):
            break
        done += lead + block.before + text + block.after
        left -= frame + weigh(text)
        if text != block.text:
            break
    return gap.join(part for part in (done, last) if part)


# ---------------------------------------------------------------- people and colours


def account(text: str) -> str:
    """The account if it is one; empty for what programs read as everybody (`@all`, `all`) or that could be markup."""
    found = text.strip()
    return found if _ACCOUNT.fullmatch(found) and found.lower() != "all" else ""


def mobile(text: str) -> str:
    """The number without spaces, dashes and +86; empty when it is none."""
    return gateway.mobile(text).removeprefix("+86")


def split(
    people: Sequence[Person], of: Callable[[Person], str], *, by_number: bool = True
) -> tuple[list[str], list[str], list[str]]:
    """(accounts, mobiles, names): whom a message mentions by account, else by number; who has neither is only named."""
    accounts: dict[str, None] = {}
    mobiles: dict[str, None] = {}
    names: dict[str, None] = {}
    for person in people:
        if known := account(of(person)):
            accounts[known] = None
        elif by_number and (number := mobile(person.mobile)):
            mobiles[number] = None
        else:
            names[plain(person.name or person.id)] = None
    return list(accounts), list(mobiles), list(names)


def to(names: Sequence[str]) -> str:
    """A line for those who cannot be mentioned."""
    return f"致：{'、'.join(names)}" if names else ""


def color(text: str) -> str:
    """`#rrggbb`, or a grey one for anything else."""
    return text if _COLOR.fullmatch(text) else "#888888"


def nearest(text: str, grey: str, hues: Sequence[tuple[int, str]]) -> str:
    """A program's own name for a colour: `grey` for pale ones, else the first of hues (degrees up to, name)."""
    red, green, blue = (int(color(text)[at:at + 2], 16) / 255 for at in (1, 3, 5))
    hue, saturation, _ = colorsys.rgb_to_hsv(red, green, blue)
    if saturation < 0.2:
        return grey
    return next((name for limit, name in hues if hue * 360 <= limit), hues[0][1])
