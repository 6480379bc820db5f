"""Alerts as Alertmanager's API v2 knows them. Labels are what an alert is: the same at every message about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.model import Escalation, EscalationKind, EventHead, Millis
from pipeline.notify.message import Message
from pipeline.notify.safe import line, shorten
from pipeline.times import rfc3339

EVENT = "WenxunEvent"
NOTICE = "WenxunNotice"
TEST = "WenxunTest"
OWN = frozenset((EVENT, NOTICE, TEST))
"""Names of our alerts: one that comes back to us is dropped, or two systems would tell each other for ever."""

Alert = dict[str, Any]


def alerts(escalation: Escalation, message: Message, now: Millis) -> list[Alert]:
    """What is posted about a message that begins or goes on; one alert for each event that it lists.

    now: real time: no alert starts in the future.
    """
    if escalation.head is not None:
        return [firing(escalation.head, escalation.level_name, message, min(escalation.at, now))]
    if escalation.digest:
        found = {event["id"]: event for event in message.body["data"]["events"]}
        return [_alert(_labels(head, head.level_name), message, min(escalation.at, now), found[head.id]["url"])
                for head in escalation.digest]
    name = TEST if escalation.kind is EscalationKind.TEST else NOTICE
    return [_alert({"alertname": name, "notice": escalation.id}, message, min(escalation.at, now), "")]


def firing(head: EventHead, level_name: str, message: Message, starts_at: Millis, acked_by: str = "") -> Alert:
    """Without an end: it goes out by itself if nobody sends it again for the receiver's resolve_timeout."""
    url = (message.body["data"]["event"] or {}).get("url", "")
    return _alert(_labels(head, level_name), message, starts_at, url, acked_by)


def ended(head: EventHead, level_name: str, starts_at: Millis, ends_at: Millis) -> Alert:
    return {"labels": _labels(head, level_name), "startsAt": rfc3339(min(starts_at, ends_at)),
            "endsAt": rfc3339(ends_at)}


def merged(found: Iterable[Alert]) -> list[Alert]:
    """One of each set of labels: what still fires counts, then what ended last."""
    kept: dict[tuple[tuple[str, str], ...], Alert] = {}
    for each in found:
        key = tuple(sorted(each["labels"].items()))
        if key not in kept or _later(each) > _later(kept[key]):
            kept[key] = each
    return list(kept.values())


def _later(alert: Alert) -> tuple[bool, str]:
    return "endsAt" not in alert, str(alert.get("endsAt", alert["startsAt"]))


def _labels(head: EventHead, level_name: str) -> dict[str, str]:
    return {"alertname": EVENT, "event": head.short, "event_id": head.id, "level": line(level_name),
            "subject": head.subject, "drill": "true" if head.drill else "false"}


def _alert(labels: dict[str, str], message: Message, starts_at: Millis, url: str, acked_by: str = "") -> Alert:
    told = {"summary": message.subject, "description": shorten(message.text, 4000),
            "why": message.fields["why"], "clock": message.fields["clock"], "acked_by": line(acked_by)}
    made: Alert = {"labels": labels, "startsAt": rfc3339(starts_at),
                   "annotations": {name: text for name, text in told.items() if text}}
    return {**made, "generatorURL": url} if url else made
