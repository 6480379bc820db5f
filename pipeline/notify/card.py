"""A message as a card: what chat programs draw. Its texts went through safe.py; channels escape for their markup."""

from __future__ import annotations

import msgspec


class CardExcerpt(msgspec.Struct, frozen=True):
    """A representative item. source, time and url may be empty; url is an http(s) link."""

    title: str
    text: str
    source: str
    time: str
    url: str


class Card(msgspec.Struct, frozen=True):
    """title: number, level and what, one line. color: `#rrggbb` of the level. drill: it says 演练 in front already.

    lines: (label, text), one line each, the most important first. link: where it is answered or read, empty when
    messages carry none. mention: at most 200 characters that stand beside the names of who is mentioned.
    """

    title: str
    level: str
    color: str
    drill: bool
    lines: tuple[tuple[str, str], ...] = ()
    excerpts: tuple[CardExcerpt, ...] = ()
    link: str = ""
    link_text: str = ""
    mention: str = ""

    def __repr__(self) -> str:
        """Without the signed link."""
        return f"Card({self.title!r})"
