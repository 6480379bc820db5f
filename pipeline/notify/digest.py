"""Many in one message: the digest of low levels, and the bundle of what a channel's rate held up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pipeline.model import Escalation, EscalationKind, EventHead
from pipeline.notify import content, wording
from pipeline.notify.body import body
from pipeline.notify.card import Card
from pipeline.notify.content import Row
from pipeline.notify.message import Facts, Message, Setting
from pipeline.notify.safe import inert, line, shorten

DIGEST_LINES = 20
_NOTICE = 40
_TOLD_KINDS = (EscalationKind.PAGE, EscalationKind.CLOCK, EscalationKind.DIGEST, EscalationKind.INFORM,
               EscalationKind.SYSTEM, EscalationKind.TEST)
"""What comes first in a bundle."""
_WORDS = {EscalationKind.CLOCK: "时限提醒", EscalationKind.DIGEST: "汇总", EscalationKind.INFORM: "降级或结束",
          EscalationKind.SYSTEM: "系统通知", EscalationKind.TEST: "测试"}


# ---------------------------------------------------------------- the digest of low levels


def listed(escalation: Escalation) -> tuple[EventHead, ...]:
    return escalation.digest or ((escalation.head,) if escalation.head else ())


def rows(escalation: Escalation, setting: Setting) -> tuple[Row, ...]:
    """One row per event, without a label, the highest level and the most items first."""
    heads = sorted(listed(escalation), key=lambda head: (-head.level, -head.items, head.number, head.id))
    found = [_entry(head, setting) for head in heads[:DIGEST_LINES]]
    left = heads[DIGEST_LINES:]
    if left:
        found.append(f"另有 {len(left)} 个事件，请在值班台查看：{'、'.join(_name(head) for head in left)}")
    return tuple(("", one) for one in found)


def _entry(head: EventHead, setting: Setting) -> str:
    name = line(head.level_name or setting.book.levels.name(head.level))
    parts = [f"{head.short} 【{name}】{shorten(inert(head.title), 60)}".strip(),
             *(f"   {one}" for one in (content.why(head, setting), content.figures(head, setting),
                                       setting.event_link(head.id)))]
    return "\n".join(part for part in parts if part.strip())


# ---------------------------------------------------------------- the bundle


@dataclass(frozen=True, slots=True)
class Bundle:
    """One message for several escalations: all that it lists, by which each of them is told."""

    message: Message
    escalations: tuple[Escalation, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an escalation adds: names under a heading."""

    group: tuple[int, int]
    heading: str
    names: tuple[str, ...]
    escalation: Escalation

    @property
    def size(self) -> int:
        return len("、".join(("", *self.names)).encode())

    def order(self) -> tuple[Any, ...]:
        return self.escalation.drill, self.group, self.names, self.escalation.id


def render_bundle(
    escalations: Sequence[Escalation], setting: Setting, facts: Facts | None = None,
) -> tuple[Bundle, ...]:
    """All of them in as few messages as `short_bytes` allows; every number is in one, whichever text a channel shows.

    Drills are never beside what is real. The most urgent escalation of a message comes first in its `escalations`.
    """
    found: list[Bundle] = []
    entries = sorted((_bundled(one, setting) for one in escalations), key=_Entry.order)
    for _, some in groupby(entries, key=lambda each: each.escalation.drill):
        parts = _split(tuple(some), setting)
        found += [_bundle(part, setting, facts or Facts(), place, len(parts)) for place, part in enumerate(parts, 1)]
    return tuple(found)


def _bundled(escalation: Escalation, setting: Setting) -> _Entry:
    level = escalation.level if escalation.kind is EscalationKind.PAGE else 0
    heading = content.level_name(escalation, setting) if level else _WORDS.get(escalation.kind, "未达级")
    heads = listed(escalation)
    title = shorten(line(escalation.title or escalation.why), _NOTICE)
    names = tuple(_name(head) for head in heads) or (f"「{title}」",)
    return _Entry((_TOLD_KINDS.index(escalation.kind), -level), heading, names, escalation)


def _name(head: EventHead) -> str:
    return head.short or f"「{shorten(inert(head.title), 20)}」"


def _split(entries: Sequence[_Entry], setting: Setting) -> list[list[_Entry]]:
    """In order, as many as fit; one that is larger than a message stands alone."""
    room = setting.short_bytes - _overhead(entries, setting)
    parts: list[list[_Entry]] = [[]]
    used, headings = 0, set[str]()
    for entry in entries:
        cost = entry.size + (0 if entry.heading in headings else len(entry.heading.encode()) + 30)
        if parts[-1] and used + cost > room:
            parts.append([])
            used, headings = 0, set()
            cost = entry.size + len(entry.heading.encode()) + 30
        parts[-1].append(entry)
        used += cost
        headings.add(entry.heading)
    return parts


def _overhead(entries: Sequence[_Entry], setting: Setting) -> int:
    """Bytes of the lines around the names: the first line, what is said below it, the link."""
    warned = content.not_real(entries[0].escalation, setting)
    return len(f"{setting.desk_url}{warned}".encode()) + 320


def _bundle(part: Sequence[_Entry], setting: Setting, facts: Facts, place: int, count: int) -> Bundle:
    escalations = tuple(each.escalation for each in part)
    first = escalations[0]
    turn = f"（{place}/{count}）" if count > 1 else ""
    front = "".join(f"【{word}】" for word in content.drill_words(first, setting))
    subject = f"{front}【合并】{len(part)} 条消息{turn}：{part[0].heading}"
    lines = (("说明", "通道的发送频率到了上限，以下消息合并为一条，逐条都已记录"), *_grouped(part))
    warned, where = content.not_real(first, setting), facts.link or setting.desk_url
    tail = [f"查看：{where}"] if where else []
    text = "\n".join(filter(None, (subject, *(f"{label}：{said}" for label, said in lines), warned, *tail)))
    spoken = "，".join(filter(None, (*content.drill_words(first, setting), f"合并 {len(part)} 条消息{turn}")))
    return Bundle(Message(
        subject=subject, short=text, text=text, body=_body(escalations, setting, facts, subject, text),
        card=Card(title=subject, level=part[0].heading, color=setting.color(first.level), drill=first.drill,
                  lines=(*((("", warned),) if warned else ()), *lines), link=where, link_text="查看",
                  mention=shorten(subject, 200)),
        fields={"number": spoken, "level": spoken, "title": spoken, "why": spoken, "clock": "", "text": spoken,
                "link": where}), escalations)


def _grouped(part: Sequence[_Entry]) -> Iterable[Row]:
    """(`重大 3 个`, all its numbers, each once)."""
    for heading, some in groupby(part, key=lambda each: each.heading):
        names = dict.fromkeys(name for each in some for name in each.names)
        yield f"{heading} {len(names)} 个", "、".join(names)


def _body(
    escalations: Sequence[Escalation], setting: Setting, facts: Facts, subject: str, text: str,
) -> dict[str, Any]:
    """As of the most urgent one, with all that it stands for."""
    found = body(escalations[0], setting, facts, subject, text)
    found["type"] = "wenxun.bundle"
    found["data"]["bundle"] = [
        {"escalation_id": one.id, "alert_id": one.alert_id, "kind": one.kind.value, "level": one.level,
         "level_name": line(one.level_name), "numbers": [_name(head) for head in listed(one)],
         "why": line(wording.escalation_why(one, setting.book.levels))} for one in escalations]
    return found
