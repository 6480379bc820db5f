"""An escalation as a message: a subject line, a short text of limited size, a long text and a body for web hooks.

Everything that came from a feed goes through safe.py here, so senders may pass the texts on as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from pipeline.model import Escalation, EscalationKind, EventHead, Excerpt
from pipeline.notify import safe, wording
from pipeline.notify.card import Card, CardExcerpt
from pipeline.notify.safe import line, link, paragraph, shorten
from pipeline.rulebook.schema import RuleBook
from pipeline.times import rfc3339

SHORT_BYTES = 2048
EXCERPTS = 3
DIGEST_LINES = 20
BODY_VERSION = 1


class Message(msgspec.Struct, frozen=True):
    """subject: one line. short: at most the asked bytes of UTF-8. text: all of it, lines. body: for JSON. card: for
    chat programs. fields: for the places of templates, `number level title why link clock` and `text`, a sentence to
    read out; each one line, all keys always there."""

    subject: str
    short: str
    text: str
    body: dict[str, Any]
    card: Card
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a message says beside the escalation. link: where it is answered (signed), empty: none.

    usual: items an hour that the subject has, over the last 7 days; now_items: those of the last hour. None: not known.
    """

    link: str = ""
    usual: float | None = None
    now_items: int | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a message is written with. desk_url: how receivers reach the desk, empty if they cannot.
    banner: words that mark a drill or a demonstration, in front of everything."""

    book: RuleBook
    zone: ZoneInfo
    desk_url: str = ""
    banner: str = ""
    short_bytes: int = SHORT_BYTES
    subjects: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.subjects.update({subject.id: subject.title for subject in self.book.subjects})

    def subject(self, ident: str) -> str:
        return line(self.subjects.get(ident, "未归类话题" if ident == "*" else ident))

    def event_link(self, event_id: str) -> str:
        return f"{self.desk_url}/events/{event_id}" if self.desk_url else ""


def render(escalation: Escalation, setting: Setting, facts: Facts = Facts()) -> Message:
    """The message. Pure: the same escalation, setting and facts give the same bytes."""
    subject = _marks(escalation, setting) + _headline(escalation, setting)
    paragraphs = _paragraphs(escalation, setting)
    where = facts.link or (setting.event_link(escalation.event_id) if escalation.head else setting.desk_url)
    tail = [f"查看并确认：{where}" if escalation.kind is EscalationKind.PAGE else f"查看：{where}"] if where else []
    text = "\n\n".join([subject, *paragraphs, *tail])
    return Message(
        subject=shorten(subject, 200), text=text,
        short=_short([subject, _gist(escalation, setting), *paragraphs[1:]], tail, setting.short_bytes),
        body=_body(escalation, setting, subject, text), card=_card(escalation, setting, subject, where),
        fields=_fields(escalation, setting, subject, where))


def _card(escalation: Escalation, setting: Setting, subject: str, where: str) -> Card:
    head, ladder = escalation.head, setting.book.levels.ladder
    known = 0 < escalation.level <= len(ladder)
    lines = [row.partition("：") for row in (_paragraphs(escalation, setting) or [""])[0].splitlines()]
    quoted = tuple(
        CardExcerpt(shorten(line(one.title), 80), shorten(line(one.text), 80), line(one.source_name),
                    wording.short_moment(one.at, setting.zone), link(one.url))
        for one in (head.excerpts[:EXCERPTS] if head else ()))
    return Card(
        title=shorten(subject, 200), level=line(escalation.level_name),
        color=ladder[escalation.level - 1].color if known else "#888888", drill=escalation.drill,
        lines=tuple((label, text) if text else ("", label) for label, _, text in lines if label), excerpts=quoted,
        link=where, link_text="查看并确认" if escalation.kind is EscalationKind.PAGE else "查看",
        mention=shorten(subject, 200))


def _fields(escalation: Escalation, setting: Setting, subject: str, where: str) -> dict[str, str]:
    head = escalation.head
    return {
        "number": head.short if head else "", "level": line(escalation.level_name),
        "title": shorten(line(head.title if head else escalation.title or escalation.why), 80),
        "why": line(wording.escalation_why(escalation, setting.book.levels)), "link": where, "clock": "",
        "text": shorten(subject, 200)}


def as_html(text: str) -> str:
    """The long text for a mail program: escaped, paragraphs and lines kept, nothing else."""
    blocks = (escape(block).replace("\n", "<br>\n") for block in text.split("\n\n"))
    inner = "\n".join(f"<p>{one}</p>" for one in blocks)
    return f'<!doctype html>\n<html lang="zh-CN"><body>\n{inner}\n</body></html>\n'


# ---------------------------------------------------------------- the parts of a text


def _marks(escalation: Escalation, setting: Setting) -> str:
    """`【演示】【较大】`: what a reader must know before the first word."""
    marks = (line(setting.banner), _mark(escalation, setting))
    return "".join(f"【{mark}】" for mark in marks if mark)


def _mark(escalation: Escalation, setting: Setting) -> str:
    if escalation.kind in (EscalationKind.SYSTEM, EscalationKind.TEST):
        return wording.KIND[escalation.kind]
    name = line(escalation.level_name or setting.book.levels.name(escalation.level))
    if escalation.kind is EscalationKind.INFORM and escalation.head:
        return f"降为{name}" if escalation.level else wording.EVENT_STATUS[escalation.head.status]
    return name


def _headline(escalation: Escalation, setting: Setting) -> str:
    if escalation.kind is EscalationKind.DIGEST:
        return f"汇总：{len(_listed(escalation))} 个事件"
    if escalation.head is None:
        return shorten(line(escalation.title or escalation.why), 120)
    head = escalation.head
    return " ".join(part for part in (head.short, shorten(line(head.title), 80)) if part)


def _paragraphs(escalation: Escalation, setting: Setting) -> list[str]:
    if escalation.kind is EscalationKind.DIGEST:
        return _digest(escalation, setting)
    if escalation.head is None:
        shown = safe.notice if escalation.kind is EscalationKind.SYSTEM else paragraph
        return [one for one in (shown(escalation.text), _drill(setting)) if one]
    head = escalation.head
    facts = [
        f"级别：{wording.change(head.decision, setting.book.levels)} · {wording.EVENT_STATUS[head.status]}",
        f"话题：{setting.subject(head.subject)}",
        f"原因：{_why(head, setting)}",
        f"命中：{terms}" if (terms := _terms(head)) else "",
        f"数据：{_figures(head, setting)}",
        f"通知：{step}" if (step := wording.step(escalation)) else "",
    ]
    parts = ["\n".join(filter(None, facts)), _excerpts("摘录", head.excerpts, setting),
             _excerpts("官方回应", head.statements, setting), _drill(setting)]
    return [part for part in parts if part]


def _gist(escalation: Escalation, setting: Setting) -> str:
    """What the short text says first: enough to act on when the rest is cut."""
    if escalation.head is None or escalation.kind is EscalationKind.DIGEST:
        return (_paragraphs(escalation, setting) or [""])[0]
    step = wording.step(escalation)
    return "。".join(filter(None, (_why(escalation.head, setting), step, _figures(escalation.head, setting))))


def _why(head: EventHead, setting: Setting) -> str:
    return line(wording.why_of(head, setting.book.levels))


def _drill(setting: Setting) -> str:
    return f"这是{line(setting.banner)}，不是真实事件。" if setting.banner else ""


def _terms(head: EventHead) -> str:
    """The distinct matched terms of the excerpts, in order."""
    found = dict.fromkeys(line(span.term) for excerpt in head.excerpts for span in excerpt.spans)
    return "、".join(list(found)[:12])


def _figures(head: EventHead, setting: Setting) -> str:
    parts = [f"{head.items} 条、{head.sources} 个独立来源"]
    if head.negative:
        parts.append(f"负面 {head.negative} 条")
    if head.questions:
        parts.append(f"提问 {head.questions} 条")
    first, last = (wording.short_moment(at, setting.zone) for at in (head.first_item_at, head.last_item_at))
    return "，".join([*parts, f"首条 {first}，最新 {last}"])


def _excerpts(title: str, excerpts: tuple[Excerpt, ...], setting: Setting) -> str:
    if not excerpts:
        return ""
    lines = [_excerpt(count, one, setting) for count, one in enumerate(excerpts[:EXCERPTS], 1)]
    return "\n".join([f"{title}：", *lines])


def _excerpt(count: int, one: Excerpt, setting: Setting) -> str:
    body = shorten(line(one.text), 80)
    quoted = f"「{shorten(line(one.title), 80)}」" + (f" {body}" if body and body != line(one.title) else "")
    origin = (line(one.source_name), wording.short_moment(one.at, setting.zone), link(one.url))
    return f"{count}. {quoted}\n   {' · '.join(filter(None, origin))}"


# ---------------------------------------------------------------- digest


def _listed(escalation: Escalation) -> tuple[EventHead, ...]:
    return escalation.digest or ((escalation.head,) if escalation.head else ())


def _digest(escalation: Escalation, setting: Setting) -> list[str]:
    """One block per event, the highest level and the most items first."""
    heads = sorted(_listed(escalation), key=lambda head: (-head.level, -head.items, head.number))
    blocks = [_digest_entry(head, setting) for head in heads[:DIGEST_LINES]]
    if len(heads) > DIGEST_LINES:
        blocks.append(f"另有 {len(heads) - DIGEST_LINES} 个事件，请在值班台查看。")
    return [*blocks, *filter(None, [_drill(setting)])]


def _digest_entry(head: EventHead, setting: Setting) -> str:
    levels = setting.book.levels
    name = line(head.level_name or levels.name(head.level))
    rows = [f"{head.short} 【{name}】{shorten(line(head.title), 60)}".strip(),
            *(f"   {one}" for one in (_why(head, setting), _figures(head, setting),
                                      setting.event_link(head.id)))]
    return "\n".join(row for row in rows if row.strip())


# ---------------------------------------------------------------- short text and body


def _short(parts: list[str], tail: list[str], size: int) -> str:
    """As much as fits in `size` bytes; the link to the desk is kept whole when it fits at all."""
    end = "".join(f"\n{one}" for one in tail)
    room = size - len(end.encode())
    if room <= 0:
        end, room = "", size
    return safe.cut("\n".join(filter(None, parts)), room) + end


def _body(escalation: Escalation, setting: Setting, subject: str, text: str) -> dict[str, Any]:
    """What a web hook gets. Members are only ever added; `version` changes if one must change its meaning."""
    head = escalation.head
    return {
        "type": f"wenxun.{escalation.kind.value}",
        "version": BODY_VERSION,
        "timestamp": rfc3339(escalation.at),
        "data": {
            "escalation_id": escalation.id, "alert_id": escalation.alert_id, "drill": line(setting.banner),
            "subject": subject, "text": text, "step": escalation.step + 1,
            "why": line(wording.escalation_why(escalation, setting.book.levels)),
            "round": escalation.repeat + 1, "level": escalation.level, "level_name": line(escalation.level_name),
            "event": _event(head, setting) if head else None,
            "events": [_event(one, setting) for one in escalation.digest],
        },
    }


def _event(head: EventHead, setting: Setting) -> dict[str, Any]:
    return {
        "id": head.id, "number": head.short, "title": line(head.title), "status": head.status.value,
        "subject": line(head.subject), "subject_title": setting.subject(head.subject),
        "level": head.level, "level_name": line(head.level_name), "previous_level": head.decision.previous,
        "why": _why(head, setting),
        "items": head.items, "sources": head.sources, "negative": head.negative, "questions": head.questions,
        "first_item_at": rfc3339(head.first_item_at), "last_item_at": rfc3339(head.last_item_at),
        "terms": [term for term in _terms(head).split("、") if term], "url": setting.event_link(head.id),
        "excerpts": [_quote(one) for one in head.excerpts[:EXCERPTS]],
        "statements": [_quote(one) for one in head.statements[:EXCERPTS]],
    }


def _quote(one: Excerpt) -> dict[str, Any]:
    return {"title": line(one.title), "text": line(one.text), "source": line(one.source_name), "url": link(one.url),
            "at": rfc3339(one.at), "official": one.official}
