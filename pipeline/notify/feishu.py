"""Feishu and Lark: interactive cards of a group robot, one call each.

Cards of the first version, which every client draws. Mentions are `<at id=…></at>` in a lark_md text.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from pipeline.notify import chat
from pipeline.notify.card import Card
from pipeline.notify.chat import Block, plain
from pipeline.rulebook.schema import Person

BODY_BYTES = 20_000
_RULE = {"tag": "hr"}
_SIGNED = 160
"""Bytes that the signature's two members need."""
_HUES = ((15, "red"), (45, "orange"), (70, "yellow"), (160, "green"), (190, "turquoise"), (250, "blue"),
         (290, "purple"), (335, "carmine"), (360, "red"))


def payload(card: Card, people: Sequence[Person]) -> dict[str, Any]:
    """The request's body, at most BODY_BYTES as JSON with its signature."""
    end = list(_end(card, people))
    room = BODY_BYTES - _SIGNED - len(msgspec.json.encode(_card(card, [_fields([]), _RULE, *end])))
    lines = (Block(text, f"**{label}**：" if label else "") for label, text in chat.lines(card))
    fields, room = _filled(lines, _field, room)
    quotes, _ = _filled(chat.excerpts(card), _div, room)
    elements = [*([_fields(fields)] if fields else []), *([_RULE, *quotes] if quotes else []), *end]
    return _card(card, elements)


def _card(card: Card, elements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"msg_type": "interactive", "card": {
        "config": {"wide_screen_mode": True},
        "header": {"title": {"tag": "plain_text", "content": chat.cut(chat.title(card), 200, len)},
                   "template": chat.nearest(card.color, "grey", _HUES)},
        "elements": elements}}


def _filled(
    blocks: Iterable[Block], shape: Callable[[str], dict[str, Any]], room: int
) -> tuple[list[dict[str, Any]], int]:
    """As many as fit into `room` bytes of JSON, and what is left of it; nothing is when something was cut."""
    found: list[dict[str, Any]] = []
    for block in blocks:
        frame = len(msgspec.json.encode(shape(block.before + block.after))) + 1
        text = chat.cut(block.text, room - frame, chat.in_json)
        if frame <= room and (text == block.text or len(text) >= chat.SCRAP):
            found.append(shape(block.before + text + block.after))
        if frame > room or text != block.text:
            return found, 0
        room -= frame + chat.in_json(text)
    return found, room


def sign(secret: str, seconds: int) -> str:
    """Base64 of HMAC-SHA256 of nothing under the key `seconds\\nsecret`."""
    return base64.b64encode(hmac.digest(f"{seconds}\n{secret}".encode(), b"", hashlib.sha256)).decode()


def signed(body: dict[str, Any], secret: str, seconds: int) -> dict[str, Any]:
    """The body with time and signature; as it is without a secret. seconds: of the real clock."""
    return {"timestamp": str(seconds), "sign": sign(secret, seconds), **body} if secret else body


def _div(content: str) -> dict[str, Any]:
    return {"tag": "div", "text": {"tag": "lark_md", "content": content}}


def _fields(fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"tag": "div", "fields": fields}


def _field(content: str) -> dict[str, Any]:
    return {"is_short": False, "text": {"tag": "lark_md", "content": content}}


def _end(card: Card, people: Sequence[Person]) -> Iterator[dict[str, Any]]:
    """What always stands: who is meant, and the button."""
    accounts, _, names = chat.split(people, lambda person: person.feishu, by_number=False)
    tags = "".join(f"<at id={one}></at>" for one in accounts)
    if who := " ".join(part for part in (tags, chat.to(names)) if part):
        yield _div(who)
    if link := chat.href(card.link):
        yield {"tag": "action", "actions": [{
            "tag": "button", "type": "primary", "url": link,
            "text": {"tag": "plain_text", "content": plain(card.link_text) or "查看"}}]}
