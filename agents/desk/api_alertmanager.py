"""What an Alertmanager tells us: each alert of its webhook is a 系统 notice to `ops`, never an event.

Its repeats are one notice: the id is of the group, the alert, its start and its status. Our own alerts that come back
are dropped, or the two systems would tell each other for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from starlette.routing import Route

from agents.desk import commands, runbooks
from agents.desk.api_call import Call, Problem, endpoint
from agents.desk.sessions import Scope
from agents.notices import system_notice
from pipeline.ids import digest
from pipeline.model import Escalation, Millis
from pipeline.notify.alertmanager import OWN
from pipeline.notify.safe import line, link, paragraph, shorten

MOST = 100
"""Notices of one request; what is past it is told by one more."""
_TITLE, _VALUE, _TEXT, _LABELS = 120, 1200, 2000, 20


class Alert(msgspec.Struct, frozen=True):
    status: str = "firing"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    startsAt: str = ""
    endsAt: str = ""
    fingerprint: str = ""


class Payload(msgspec.Struct, frozen=True):
    """Version 4 of the webhook's payload, as far as it is read. truncatedAlerts: left out by its max_alerts."""

    version: str
    groupKey: str
    alerts: list[Alert]
    truncatedAlerts: int = 0
    receiver: str = ""
    externalURL: str = ""


def receive(call: Call) -> dict[str, Any]:
    """Body: the webhook payload of an Alertmanager, version 4. Each of its alerts is a notice to ops."""
    try:
        payload = msgspec.convert(call.body, Payload)
    except msgspec.ValidationError:
        raise Problem(400, "bad_payload", "请求体要是 Alertmanager 的 webhook，有 groupKey 和 alerts") from None
    if payload.version != "4":
        raise Problem(400, "bad_version", "只认 Alertmanager webhook 的 version 4")
    counts: Counter[str] = Counter(dict.fromkeys(("notice", "repeat", "own"), 0))
    foreign = [each for each in payload.alerts if each.labels.get("alertname") not in OWN]
    counts["own"] = len(payload.alerts) - len(foreign)
    now = call.desk.deps.clock.now()
    with call.desk.engine.begin() as connection:
        for record in _notices(payload, foreign, now, call.desk.deps.settings.link_url):
            done = commands.accept(connection, call.order(record.id), record, record.id, "alertmanager.notice",
                                   record.title, shown=payload.receiver[:64] or "alertmanager")
            counts["repeat" if done.repeated else "notice"] += 1
    for outcome, count in counts.items():
        call.desk.deps.metrics["alertmanager_received_total"].labels(outcome).inc(count)
    return {"accepted": counts["notice"], "repeated": counts["repeat"], "own": counts["own"]}


def _notices(payload: Payload, alerts: list[Alert], now: Millis, desk_url: str) -> Iterator[Escalation]:
    for each in alerts[:MOST]:
        ident = each.fingerprint or digest(*sorted(f"{name}={value}" for name, value in each.labels.items()))
        yield system_notice(key=f"alertmanager:{payload.groupKey}:{ident}:{each.startsAt}:{each.status}", episode=0,
                            title=_title(each), text=_text(each, desk_url), at=now)
    left = max(0, payload.truncatedAlerts) + max(0, len(alerts) - MOST)
    if left:
        known = digest(*sorted(f"{each.fingerprint}{each.startsAt}{each.status}" for each in alerts))
        yield system_notice(
            key=f"alertmanager:{payload.groupKey}:more:{known}", episode=0, at=now,
            title=f"Alertmanager 还有 {left} 条告警没有列出", text="一次通知里的告警太多，其余请到 Alertmanager 查看。")


def _title(alert: Alert) -> str:
    name = shorten(line(alert.labels.get("alertname", "")), _TITLE // 2) or "未命名的告警"
    said = line(alert.annotations.get("summary", "") or alert.annotations.get("message", ""))
    front = "已恢复：" if alert.status == "resolved" else ""
    return shorten(front + "：".join(part for part in (name, said) if part), _TITLE)


def _text(alert: Alert, desk_url: str) -> str:
    """What it means comes first, then where to read on: with the address under which this desk's people open it."""
    labels = [line(f"{name}={shorten(value, 80)}") for name, value in sorted(alert.labels.items())
              if name != "alertname"]
    book = runbooks.link(desk_url, alert.labels.get("alertname", "")) or link(alert.annotations.get("runbook_url", ""))
    rows = [
        "已经结束，当时的情况：" if alert.status == "resolved" else "",
        shorten(paragraph(alert.annotations.get("description", "")), _VALUE),
        f"手册：{book}" if book else "",
        f"标签：{'，'.join(labels[:_LABELS])}" if labels else "",
        f"开始：{shorten(line(alert.startsAt), 40)}" if alert.startsAt else "",
        f"结束：{shorten(line(alert.endsAt), 40)}" if alert.status == "resolved" and alert.endsAt else "",
        "来自 Alertmanager。"]
    return shorten("\n".join(row for row in rows if row), _TEXT)


def routes() -> list[Route]:
    """Routes below /api/v1."""
    return [Route("/alertmanager", endpoint(receive, Scope.ALERTMANAGER), methods=["POST"])]
