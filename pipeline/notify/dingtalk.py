"""DingTalk: messages of a group robot, one call each.

A mention has two halves: the `at` object says who is notified, `@number` or `@userid` in the text where it stands; the
text of an action card takes them as markdown does. `isAtAll` is never set. Without a link there is no button to draw,
so the message is plain markdown.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote_plus

import msgspec

from pipeline.model import Millis
from pipeline.notify import chat
from pipeline.notify.card import Card
from pipeline.notify.chat import Block, fit, plain
from pipeline.rulebook.schema import Person

BODY_BYTES = 20_000
TITLE_CHARACTERS = 60
"""Of what the list of conversations shows."""


def payload(card: Card, people: Sequence[Person]) -> dict[str, Any]:
    """The request's body, at most BODY_BYTES as JSON."""
    accounts, mobiles, names = chat.split(people, lambda person: person.dingtalk)
    title, link = chat.cut(chat.title(card), TITLE_CHARACTERS, len), chat.href(card.link)
    tokens = " ".join(f"@{one}" for one in (*mobiles, *accounts))
    last = "\n\n".join(part for part in (chat.to(names), tokens) if part)
    about: dict[str, Any] = {"title": title, "text": ""}
    if link:
        about |= {"singleTitle": plain(card.link_text) or "查看", "singleURL": link}
    kind = "actionCard" if link else "markdown"
    whole = {"msgtype": kind, kind: about,
             "at": {"atMobiles": mobiles, "atUserIds": accounts, "isAtAll": False}}
    room = BODY_BYTES - len(msgspec.json.encode(whole))
    about["text"] = fit(_blocks(card), room, last=last, gap="\n\n", weigh=chat.in_json)
    return whole


def sign(secret: str, now: Millis) -> str:
    """Base64 of HMAC-SHA256 of `now\\nsecret` under the secret."""
    return base64.b64encode(hmac.digest(secret.encode(), f"{now}\n{secret}".encode(), hashlib.sha256)).decode()


def signed(url: str, secret: str, now: Millis) -> str:
    """The robot's address with time and signature; as it is without a secret. now: of the real clock, ms."""
    if not secret:
        return url
    return f"{url}{'&' if '?' in url else '?'}timestamp={now}&sign={quote_plus(sign(secret, now))}"


def _blocks(card: Card) -> Iterator[Block]:
    yield Block(chat.title(card), f"#### <font color={chat.color(card.color)}>", "</font>")
    for label, text in chat.lines(card):
        yield Block(text, f"**{label}**：" if label else "> ")
    yield from chat.excerpts(card, "> ")
