"""What a web hook gets. Members are only ever added; `version` changes if one must change its meaning."""

from __future__ import annotations

from typing import Any

from pipeline.model import Act, Escalation, EventClock, EventHead, Excerpt
from pipeline.notify import content, said, wording
from pipeline.notify.message import Facts, Setting
from pipeline.notify.safe import line, link
from pipeline.times import rfc3339

BODY_VERSION = 1


def body(escalation: Escalation, setting: Setting, facts: Facts, subject: str, text: str) -> dict[str, Any]:
    head = escalation.head
    return {
        "type": f"wenxun.{escalation.kind.value}",
        "version": BODY_VERSION,
        "timestamp": rfc3339(escalation.at),
        "data": {
            "escalation_id": escalation.id, "alert_id": escalation.alert_id,
            "drill": "、".join(content.drill_words(escalation, setting)),
            "subject": subject, "text": text, "step": escalation.step + 1,
            "why": line(wording.escalation_why(escalation, setting.book.levels)),
            "round": escalation.repeat + 1, "level": escalation.level, "level_name": line(escalation.level_name),
            "event": event(head, setting) if head else None,
            "events": [event(one, setting) for one in escalation.digest],
            "link": facts.link, "lead": line(escalation.lead), "clock": line(escalation.clock),
            "clock_percent": escalation.percent,
            "clocks": [_clock(one, escalation) for one in escalation.clocks],
            "acts": [_act(one) for one in escalation.acts],
            "usual_per_hour": facts.usual, "last_hour": facts.now_items,
        },
    }


def event(head: EventHead, setting: Setting) -> dict[str, Any]:
    return {
        "id": head.id, "number": head.short, "title": line(head.title), "status": head.status.value,
        "subject": line(head.subject), "subject_title": setting.subject(head.subject),
        "level": head.level, "level_name": line(head.level_name), "previous_level": head.decision.previous,
        "why": content.why(head, setting),
        "items": head.items, "sources": head.sources, "negative": head.negative, "questions": head.questions,
        "first_item_at": rfc3339(head.first_item_at), "last_item_at": rfc3339(head.last_item_at),
        "terms": content.terms(head), "url": setting.event_link(head.id),
        "excerpts": [_quote(one) for one in content.representative(head)],
        "statements": [_quote(one) for one in head.statements[:content.EXCERPTS]],
    }


def _quote(one: Excerpt) -> dict[str, Any]:
    """Of statements: items that official sources published; whether one answers is for a person to confirm."""
    return {"title": line(one.title), "text": line(one.text), "source": line(one.source_name), "url": link(one.url),
            "at": rfc3339(one.at), "official": one.official}


def _clock(one: EventClock, escalation: Escalation) -> dict[str, Any]:
    stopped = rfc3339(one.stopped_at) if one.stopped_at is not None else None
    return {"id": line(one.id), "name": line(one.name), "started_at": rfc3339(one.started_at),
            "due_at": rfc3339(one.due_at), "left": said.left(one, escalation.at), "stopped_at": stopped,
            "stopped_by": line(one.stopped_by)}


def _act(one: Act) -> dict[str, Any]:
    return {"kind": one.kind.value, "by": line(one.by), "at": rfc3339(one.at), "text": line(one.text)}
