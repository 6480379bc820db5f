"""An escalation as a message: a subject line, a short text of limited size, a long text, a card, a body for web hooks.

Everything that came from a feed goes through safe.py here, so senders may pass the texts on as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

from pipeline.model import Escalation, EscalationKind, EventHead
from pipeline.notify import content, digest, safe, said, wording
from pipeline.notify.body import body
from pipeline.notify.card import Card
from pipeline.notify.content import Row
from pipeline.notify.message import SHORT_BYTES, Facts, Message, Setting
from pipeline.notify.safe import inert, line, paragraph, shorten

__all__ = ["SHORT_BYTES", "Facts", "Message", "Setting", "as_html", "render"]

MENTION = 200
SPOKEN = 200
_NOTHING = Facts()


def render(escalation: Escalation, setting: Setting, facts: Facts = _NOTHING) -> Message:
    """The message. Pure: the same escalation, setting and facts give the same bytes."""
    subject = content.marks(escalation, setting) + _headline(escalation, setting)
    rows = _rows(escalation, setting, facts)
    where, word = _where(escalation, setting, facts), _link_word(escalation)
    tail = [f"{word}：{where}"] if where else []
    blocks = [_lines(rows), *_notice(escalation), *_quotes(escalation, setting)]
    warned = content.not_real(escalation, setting)
    text = "\n\n".join(filter(None, (subject, *blocks, warned, *tail)))
    return Message(
        subject=shorten(subject, 200), text=text,
        short=_short([subject, _gist(escalation, rows), *blocks[1:], warned], tail, setting.short_bytes),
        body=body(escalation, setting, facts, subject, text),
        card=_card(escalation, setting, subject, rows, (where, word)),
        fields=_fields(escalation, setting, where))


def as_html(text: str) -> str:
    """The long text for a mail program: escaped, paragraphs and lines kept, nothing else."""
    blocks = (escape(block).replace("\n", "<br>\n") for block in text.split("\n\n"))
    inner = "\n".join(f"<p>{one}</p>" for one in blocks)
    return f'<!doctype html>\n<html lang="zh-CN"><body>\n{inner}\n</body></html>\n'


# ---------------------------------------------------------------- the parts of a text


def _headline(escalation: Escalation, setting: Setting) -> str:
    if escalation.kind is EscalationKind.DIGEST:
        return f"汇总：{len(digest.listed(escalation))} 个事件"
    return content.headline(escalation, setting)


def _rows(escalation: Escalation, setting: Setting, facts: Facts) -> tuple[Row, ...]:
    if escalation.kind is EscalationKind.DIGEST:
        return digest.rows(escalation, setting)
    return content.rows(escalation, escalation.head, setting, facts) if escalation.head else ()


def _lines(rows: tuple[Row, ...]) -> str:
    """The rows of one event are a paragraph; those of a digest, an event each, are one paragraph each."""
    if any(not label for label, _ in rows):
        return "\n\n".join(text for _, text in rows)
    return "\n".join(f"{label}：{text}" for label, text in rows)


def _notice(escalation: Escalation) -> list[str]:
    """The text of a 系统 notice or a test."""
    if escalation.head is not None or escalation.kind is EscalationKind.DIGEST:
        return []
    return [(safe.notice if escalation.kind is EscalationKind.SYSTEM else paragraph)(escalation.text)]


def _quotes(escalation: Escalation, setting: Setting) -> list[str]:
    head = escalation.head
    if head is None or escalation.kind is EscalationKind.DIGEST:
        return []
    stated = content.statements(escalation, setting)
    return ["\n".join(["官方回应：", *(f"{count}. {one}" for count, one in enumerate(stated, 1))]) if stated else "",
            content.quoted("疑似官方信息，待确认", content.proposed(escalation, head), setting),
            content.quoted("摘录", content.representative(head), setting)]


def _gist(escalation: Escalation, rows: tuple[Row, ...]) -> str:
    """What the short text says first: enough to act on when the rest is cut."""
    if escalation.head is None or escalation.kind is EscalationKind.DIGEST:
        return _lines(rows)
    told = dict(rows)
    first = ("原因", "时限", "通知", "进展", "对比", "概况", "牵头")
    return "\n".join(f"{label}：{told[label]}" for label in first if label in told)


def _where(escalation: Escalation, setting: Setting, facts: Facts) -> str:
    return facts.link or (setting.event_link(escalation.event_id) if escalation.head else setting.desk_url)


def _link_word(escalation: Escalation) -> str:
    return "查看并确认" if escalation.kind is EscalationKind.PAGE else "查看"


# ---------------------------------------------------------------- short text, card, fields


def _short(parts: list[str], tail: list[str], size: int) -> str:
    """As much as fits in `size` bytes; the link to the desk is kept whole when it fits at all."""
    end = "".join(f"\n{one}" for one in tail)
    room = size - len(end.encode())
    if room <= 0:
        end, room = "", size
    return safe.cut("\n".join(filter(None, parts)), room) + end


def _card(escalation: Escalation, setting: Setting, subject: str, rows: tuple[Row, ...], link: tuple[str, str]) -> Card:
    head, warned = escalation.head, content.not_real(escalation, setting)
    notice = tuple(("", text) for one in _notice(escalation) for text in one.splitlines())
    stated = tuple(("官方回应", one) for one in content.statements(escalation, setting)) if head else ()
    maybe = tuple(("疑似官方信息，待确认", f"「{shorten(inert(one.title), content.TITLE)}」{inert(one.source_name)}")
                  for one in content.proposed(escalation, head)) if head else ()
    return Card(
        title=shorten(subject, 200), level=content.level_mark(escalation, setting),
        color=setting.color(escalation.level), drill=escalation.drill,
        lines=(*((("", warned),) if warned else ()), *_one_line_each(rows), *notice, *stated, *maybe),
        excerpts=tuple(content.card_excerpt(one, setting) for one in content.representative(head)) if head else (),
        link=link[0], link_text=link[1], mention=_mention(escalation, subject, rows))


def _one_line_each(rows: tuple[Row, ...]) -> Iterator[Row]:
    for label, text in rows:
        for one in text.splitlines():
            yield label, one.strip()


def _mention(escalation: Escalation, subject: str, rows: tuple[Row, ...]) -> str:
    told = dict(rows) if escalation.head else {}
    return shorten(_sentences((subject, told.get("时限", ""), told.get("通知", ""))), MENTION)


def _fields(escalation: Escalation, setting: Setting, where: str) -> dict[str, str]:
    """Each says 演练 itself, as nobody knows which of them a template shows."""
    head, front = escalation.head, "，".join(content.drill_words(escalation, setting))
    running = said.urgent(escalation.clocks, escalation.clock)
    told = {
        "number": head.short if head else "",
        "level": content.level_mark(escalation, setting),
        "title": _short_title(escalation, head, setting),
        "why": content.why(head, setting) if head else line(wording.escalation_why(escalation, setting.book.levels)),
        "clock": line(f"{running.name}{said.left(running, escalation.at)}") if running else ""}
    told["text"] = _spoken(escalation, told)
    marked = {name: f"{front}，{text}" if front and text else text for name, text in told.items()}
    return {**marked, "text": shorten(marked["text"], SPOKEN), "link": where}


def _short_title(escalation: Escalation, head: EventHead | None, setting: Setting) -> str:
    return shorten(inert(head.title), content.TITLE) if head else _headline(escalation, setting)


def _spoken(escalation: Escalation, told: dict[str, str]) -> str:
    """A sentence to read out or to send where there is no room for more."""
    kind = f"{told['level']}{wording.KIND[escalation.kind]}" if escalation.head else told["level"]
    parts = (f"{kind}{told['number']}", told["title"], told["why"] if escalation.head else "", told["clock"],
             line(wording.step(escalation)))
    return _sentences(parts)


def _sentences(parts: Iterable[str]) -> str:
    """One sign between two, whatever a title ends with."""
    return re.sub(r"([？！。…?!])。", r"\1", "。".join(filter(None, parts)))
