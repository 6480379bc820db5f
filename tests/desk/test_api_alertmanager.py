"""An Alertmanager's webhook: each alert is one notice to ops, however often it is told; our own are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agents.desk import sessions
from agents.desk.accounts import Role
from agents.desk.sender import _address, unsent
from agents.desk.sessions import Scope
from agents.store import schema
from pipeline.model import Escalation, EscalationKind
from tests.desk import seed
from tests.desk.conftest import Stand

PATH = "/api/v1/alertmanager"


def client(stand: Stand, *scopes: str) -> httpx.AsyncClient:
    stand.account("监控", Role.REPORTER if scopes == ("alertmanager",) else Role.DUTY)
    token = sessions.create_token(stand.engine, "am", "监控", frozenset(Scope(each) for each in scopes), now=seed.NOW,
                                  expires_at=None)
    return stand.client(headers={"authorization": f"Bearer {token}"})


def alert(name: str = "DiskFull", **changes: Any) -> dict[str, Any]:
    return {"status": "firing", "labels": {"alertname": name, "instance": "db-1", "severity": "critical"},
            "annotations": {"summary": "磁盘快满了", "description": "只剩 3%"}, "startsAt": "2026-11-22T04:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prom/graph", "fingerprint": "f00d", **changes}


def payload(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"version": "4", "groupKey": "{}:{alertname=\"DiskFull\"}", "truncatedAlerts": 0, "status": "firing",
            "receiver": "wenxun", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
            "externalURL": "http://am:9093", "alerts": list(alerts), **changes}


def notices(stand: Stand) -> list[Escalation]:
    found = [each.command for each in unsent(stand.engine)]
    assert all(isinstance(each, Escalation) for each in found)
    return found  # type: ignore[return-value]


async def test_a_group_of_alerts_is_more_than_a_form(stand: Stand) -> None:
    """Alertmanager gives up what is refused as too large, and nobody hears of it."""
    many = payload(*(alert(fingerprint=f"{n:04x}", annotations={"runbook": "查 " * 2500}) for n in range(40)))
    async with client(stand, "alertmanager") as http:
        assert (await http.post(PATH, json=many)).json()["accepted"] == 40
        most = b'{"x": "' + b"x" * 1024 * 1024 + b'"}'
        assert (await http.post(PATH, content=most)).status_code == 413

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b"x" * 32 * 1024

        assert (await http.post(PATH, content=endless())).status_code == 413
        assert (await http.post("/api/v1/verdicts", content=most[:70_000])).status_code == 413
    assert len(notices(stand)) == 40


async def test_an_alert_is_a_notice_to_ops_and_its_repeat_is_none(stand: Stand) -> None:
    async with client(stand, "alertmanager") as http:
        first, again = [await http.post(PATH, json=payload(alert())) for _ in range(2)]
        recovered = await http.post(PATH, json=payload(alert(status="resolved", endsAt="2026-11-22T05:00:00Z")))
        later = await http.post(PATH, json=payload(alert(startsAt="2026-11-22T09:00:00Z")))
    assert (first.status_code, first.json()) == (202, {"accepted": 1, "repeated": 0, "own": 0})
    assert again.json() == {"accepted": 0, "repeated": 1, "own": 0}
    assert recovered.json()["accepted"] == later.json()["accepted"] == 1
    told = sorted(notices(stand), key=lambda each: each.title)
    assert len({each.id for each in told}) == 3
    assert {(each.kind, each.tell, each.event_id, each.head) for each in told} == {
        (EscalationKind.SYSTEM, ("ops",), "", None)}
    assert [each.title for each in told] == ["DiskFull：磁盘快满了"] * 2 + ["已恢复：DiskFull：磁盘快满了"]
    assert "只剩 3%" in told[0].text and "instance=db-1" in told[0].text
    assert _address(told[0]) == ("escalations", told[0].id)
    assert stand.audit()[-1][:2] == ("监控", "alertmanager.notice")
    assert not stand.rows(schema.events), "never an event"


async def test_our_own_alerts_that_come_back_are_dropped_and_counted(stand: Stand) -> None:
    own = [alert(name, fingerprint=name) for name in ("WenxunEvent", "WenxunNotice", "WenxunTest")]
    async with client(stand, "alertmanager") as http:
        answer = await http.post(PATH, json=payload(*own, alert()))
    assert answer.json() == {"accepted": 1, "repeated": 0, "own": 3}
    assert len(notices(stand)) == 1
    counted = stand.desk.deps.metrics["alertmanager_received_total"]
    assert [counted.labels(each)._value.get() for each in ("notice", "own")] == [1, 3]


async def test_what_one_request_does_not_list_is_told_by_its_number(stand: Stand) -> None:
    many = [alert(fingerprint=f"f{n}") for n in range(120)]
    async with client(stand, "alertmanager") as http:
        answers = [await http.post(PATH, json=payload(*many, truncatedAlerts=7)) for _ in range(2)]
    assert [each.json()["accepted"] for each in answers] == [101, 0]
    left, = (each.title for each in notices(stand) if "没有列出" in each.title)
    assert left == "Alertmanager 还有 27 条告警没有列出"


async def test_texts_are_short_and_on_their_lines_whatever_is_sent(stand: Stand) -> None:
    hostile = alert("x" * 500, labels={"alertname": "a\nb" * 100, **{f"l{n}": "v" * 500 for n in range(50)}},
                    annotations={"summary": "@all\n<script>" * 50, "description": "d" * 9000})
    async with client(stand, "alertmanager") as http:
        assert (await http.post(PATH, json=payload(hostile))).status_code == 202
    told, = notices(stand)
    assert len(told.title) <= 120 and "\n" not in told.title.split("：")[-1] and len(told.text) <= 2000


async def test_alerts_without_a_fingerprint_are_told_apart_by_their_labels(stand: Stand) -> None:
    one, other = (alert(fingerprint="", labels={"alertname": "A", "instance": name}) for name in ("a", "b"))
    async with client(stand, "alertmanager") as http:
        answers = [await http.post(PATH, json=payload(one, other)) for _ in range(2)]
    assert [each.json()["accepted"] for each in answers] == [2, 0]


@pytest.mark.parametrize(("body", "code"), [
    ({"version": "3", "groupKey": "g", "alerts": []}, "bad_version"), ({"version": "4"}, "bad_payload"),
    ({"version": "4", "groupKey": "g", "alerts": {}}, "bad_payload"), ({}, "bad_payload"),
    ({"version": "4", "groupKey": "g", "alerts": [{"labels": {"a": 1}}]}, "bad_payload")])
async def test_what_is_no_webhook_of_an_alertmanager_is_refused(stand: Stand, body: dict[str, Any], code: str) -> None:
    async with client(stand, "alertmanager") as http:
        answer = await http.post(PATH, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code) and not notices(stand)


async def test_only_a_token_for_it_may_and_may_nothing_else(stand: Stand) -> None:
    async with client(stand, "read", "ack", "intake") as http:
        assert (await http.post(PATH, json=payload(alert()))).status_code == 403
    async with stand.client() as http:
        assert (await http.post(PATH, json=payload(alert()))).status_code == 401
    assert not notices(stand)
