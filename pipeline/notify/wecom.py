"""WeCom: messages of a group robot and of an own app. Sizes are bytes of UTF-8, as the documentation counts them.

Robot: mentions work only in `text`, so a short text with the mentions goes before the markdown. Template cards are not
used: they need a link, and a message may have none. App: a text card or a text, which WeChat shows too (it shows no
markdown): the card when its lines fit into it and there is a link, which it needs; the text holds four times as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.notify import chat
from pipeline.notify.card import Card
from pipeline.notify.chat import Block, fit, plain
from pipeline.rulebook.schema import Person

MARKDOWN_BYTES = 4096
TEXT_BYTES = 2048
TITLE_BYTES = 128
CARD_BYTES = 512
BREAK = "<br>"
BUTTON = 4
"""Characters of a text card's button."""
DUPLICATE_SECONDS = 1800
"""How long WeCom drops a message of the same bytes: a retry whose first attempt did arrive."""
_HUES = ((70, "warning"), (280, "info"), (360, "warning"))


def mention(card: Card, people: Sequence[Person]) -> dict[str, Any] | None:
    """The text that goes first, None when nobody of these can be mentioned."""
    accounts, mobiles, names = chat.split(people, lambda person: person.wecom)
    if not card.mention or not (accounts or mobiles):
        return None
    content = fit([Block(chat.marked(card, card.mention)), Block(chat.to(names))], TEXT_BYTES)
    return {"msgtype": "text", "text": {
        "content": content, "mentioned_list": accounts, "mentioned_mobile_list": mobiles}}


def markdown(card: Card, people: Sequence[Person]) -> dict[str, Any]:
    """The card as the robot's markdown; who could not be mentioned is named in it when nobody could."""
    accounts, mobiles, names = chat.split(people, lambda person: person.wecom)
    named = chat.to(names) if not (accounts or mobiles) else ""
    link = chat.href(card.link)
    last = "\n".join(part for part in (named, f"[{_word(card)}]({link})" if link else "") if part)
    return {"msgtype": "markdown", "markdown": {"content": fit(_blocks(card), MARKDOWN_BYTES, last=last)}}


def app(card: Card, user: str, agent: int, ident: str) -> dict[str, Any]:
    """A message of the app to one account. ident: the delivery id; a piece of it is shown, so that the bytes of two
    messages differ and WeCom drops only true repeats."""
    link, mark = chat.href(card.link), f"消息 {plain(ident)[:8]}"
    rows = [Block(text, f"{label}：" if label else "") for label, text in chat.lines(card)]
    quoted = [Block(chat.quote_of(one)) for one in card.excerpts]
    head = {"touser": user, "agentid": agent, "enable_duplicate_check": 1,
            "duplicate_check_interval": DUPLICATE_SECONDS}
    grey = f'<div class="gray">{mark}</div>'
    if not link or chat.utf8(fit(rows, 2 * CARD_BYTES, last=grey, gap=BREAK)) > CARD_BYTES:
        last = "\n".join(part for part in (f'<a href="{link}">{_word(card)}</a>' if link else "", mark) if part)
        content = fit([Block(chat.title(card)), *rows, *quoted], TEXT_BYTES, last=last)
        return {**head, "msgtype": "text", "text": {"content": content}}
    return {**head, "msgtype": "textcard", "textcard": {
        "title": chat.cut(chat.title(card), TITLE_BYTES), "url": link,
        "btntxt": _word(card) if len(_word(card)) <= BUTTON else "去处理",
        "description": fit([*rows, *quoted], CARD_BYTES, last=grey, gap=BREAK)}}


def _word(card: Card) -> str:
    return plain(card.link_text) or "查看"


def _blocks(card: Card) -> Iterator[Block]:
    hue = chat.nearest(card.color, "comment", _HUES)
    yield Block(chat.title(card), f'**<font color="{hue}">', "</font>**")
    for label, text in chat.lines(card):
        yield Block(text, f'> <font color="comment">{label}：</font>' if label else "> ")
    yield from chat.excerpts(card)
