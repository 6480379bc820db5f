"""Alertmanager, against a local one: what is posted, sent again, ended; the real one has a file of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agents import outbound
from agents.deliverer.alertmanager import Alertmanager
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from agents.deliverer.standing import Standing
from agents.deps import RuleStore
from agents.settings import Settings
from pipeline.model import AlertStatus, DeliveryStatus, Escalation, EscalationKind
from pipeline.notify.render import Setting, render
from pipeline.rulebook.schema import Channel, ChannelType, Person
from tests.agents.alert_rows import Rows
from tests.builders import NOON, book
from tests.delivery_fakes import RESET, Hook, until
from tests.messages import head, page, system

HOUR = 3_600_000


class Fake(Hook):
    """alerts: what each request brought."""

    @property
    def alerts(self) -> list[list[dict[str, Any]]]:
        return [json.loads(got.body) for got in self.got]


def letter(escalation: Escalation, **changes: Any) -> Letter:
    record = render(escalation, Setting(book(), Settings().zone))
    return Letter("d1", Person(id="duty-a", name="甲", channels=("am",)), escalation, record, **changes)


def channel(server: Fake, **changes: Any) -> Channel:
    return Channel(**{"id": "am", "type": ChannelType.ALERTMANAGER, "url": f"http://127.0.0.1:{server.port}/",
                      "resend": 10, **changes})


@asynccontextmanager
async def sender(server: Fake, path: Path, rows: Rows | None = None, now: int = NOON) -> AsyncIterator[Alertmanager]:
    async with outbound.client(Settings(allow_private=(f"127.0.0.1:{server.port}",))) as client:
        yield Alertmanager(client, Secrets(path), lambda: now, Standing(rows.deps, rows.engine) if rows else None)


async def send(server: Fake, path: Path, given: Letter, rows: Rows | None = None, **fields: Any) -> Outcome:
    async with sender(server, path, rows) as to:
        return await to(channel(server, **fields), given)


def rows_at_noon(path: Path) -> Rows:
    """A store whose installation's clock says a moment after noon of the tests' day."""
    return Rows(path, NOON + 60_000)


async def test_a_page_is_an_alert_with_stable_labels(tmp_path: Path) -> None:
    async with Fake() as server:
        assert await send(server, tmp_path, letter(page())) == Sent()
        assert await send(server, tmp_path, letter(page("p2", head=head(version=9, items=99)))) == Sent()
    assert server.got[0].line.startswith("POST /api/v2/alerts")
    first, later = (each[0] for each in server.alerts)
    assert first["labels"] == later["labels"] == {
        "alertname": "WenxunEvent", "event": "E-0317", "event_id": "e1", "level": "较大", "subject": "polling",
        "drill": "false"}
    assert first["startsAt"] == "2026-11-22T04:00:00.000Z" and "endsAt" not in first
    assert "投票站三点关门的说法" in first["annotations"]["summary"]


@pytest.mark.parametrize(("escalation", "name", "count"), [
    (system(), "WenxunNotice", 1), (system(kind=EscalationKind.TEST), "WenxunTest", 1),
    (page(kind=EscalationKind.DIGEST, head=None, digest=(head("a"), head("b"))), "WenxunEvent", 2)])
async def test_every_kind_is_an_alert(escalation: Escalation, name: str, count: int, tmp_path: Path) -> None:
    async with Fake() as server:
        assert await send(server, tmp_path, letter(escalation)) == Sent()
    assert [each["labels"]["alertname"] for each in server.alerts[0]] == [name] * count


async def test_a_drill_is_labelled_as_one(tmp_path: Path) -> None:
    async with Fake() as server:
        await send(server, tmp_path, letter(page(head=head(subject="!d1"))))
    assert server.alerts[0][0]["labels"]["drill"] == "true"
    assert "演练" in server.alerts[0][0]["annotations"]["summary"]


@pytest.mark.parametrize(("fields", "expected"), [
    ({"secret_file": "token"}, "Bearer canary-token"),
    ({"username": "wenxun", "password_file": "token"}, "Basic " + base64.b64encode(b"wenxun:canary-token").decode())])
async def test_it_signs_in_as_the_channel_says(fields: dict[str, Any], expected: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary-token\n")
    async with Fake() as server:
        assert await send(server, tmp_path, letter(page()), **fields) == Sent()
    assert server.got[0].headers["authorization"] == expected


@pytest.mark.parametrize(("step", "kind"), [
    (400, Refused), (401, Refused), (404, Refused), ((302, "Location: /x"), Refused),
    (503, Retry), (429, Retry), (RESET, Retry)])
async def test_what_is_not_taken_is_no_success(step: Any, kind: type, tmp_path: Path) -> None:
    async with Fake(step) as server:
        assert isinstance(await send(server, tmp_path, letter(page())), kind)


# ---------------------------------------------------------------- what stands


async def again(rows: Rows, server: Fake, path: Path, now: int = NOON + 60_000) -> list[dict[str, Any]]:
    server.got.clear()
    async with sender(server, path, rows, now) as to:
        assert await to.again(channel(server)) == Sent()
    return server.alerts[0] if server.got else []


@pytest.mark.parametrize("status", [each for each in AlertStatus if each is not AlertStatus.ENDED])
async def test_an_alert_stands_until_it_ends_whatever_people_did(status: AlertStatus, tmp_path: Path) -> None:
    rows = rows_at_noon(tmp_path)
    rows.sent("am", page())
    rows.alert(page(), status, raised_at=NOON, acked_by="王某" if status is AlertStatus.ACKED else "")
    async with Fake() as server:
        alert, = await again(rows, server, tmp_path)
    assert "endsAt" not in alert
    assert alert["annotations"].get("acked_by", "") == ("王某" if status is AlertStatus.ACKED else "")


async def test_an_alert_that_the_archive_has_not_read_yet_stands(tmp_path: Path) -> None:
    rows = rows_at_noon(tmp_path)
    rows.sent("am", page())
    async with Fake() as server:
        assert [each["labels"]["event"] for each in await again(rows, server, tmp_path)] == ["E-0317"]


async def test_an_end_is_told_for_an_hour_and_then_no_more(tmp_path: Path) -> None:
    rows = rows_at_noon(tmp_path)
    rows.sent("am", page())
    rows.alert(page(), AlertStatus.ENDED, raised_at=NOON, changed_at=NOON + 30_000)
    async with Fake() as server:
        alert, = await again(rows, server, tmp_path)
        assert alert["endsAt"] == "2026-11-22T04:00:30.000Z" and alert["startsAt"] <= alert["endsAt"]
        rows.at(NOON + 2 * HOUR)
        assert await again(rows, server, tmp_path) == []


async def test_a_raise_ends_the_lower_alert_and_a_fall_changes_nothing(tmp_path: Path) -> None:
    rows = rows_at_noon(tmp_path)
    higher = page("p2", alert_id="al2", level=3, level_name="重大", at=NOON + 20_000)
    fallen = page("p3", alert_id="al2", level=1, level_name="一般", at=NOON + 30_000, repeat=1)
    for each in (page(), higher, fallen):
        rows.sent("am", each)
    rows.alert(higher, AlertStatus.NOTIFIED, raised_at=NOON + 20_000)
    async with Fake() as server:
        found = {each["labels"]["level"]: each for each in await again(rows, server, tmp_path)}
    assert set(found) == {"较大", "重大"} and "endsAt" in found["较大"] and "endsAt" not in found["重大"]


async def test_a_level_that_is_reached_again_stands_again(tmp_path: Path) -> None:
    """Its labels are those of the alert that ended: what stands counts."""
    rows = rows_at_noon(tmp_path)
    second = page("p2", alert_id="al2", at=NOON + 20_000)
    rows.sent("am", page())
    rows.sent("am", second)
    rows.alert(second, AlertStatus.NOTIFIED, raised_at=NOON + 20_000)
    async with Fake() as server:
        alert, = await again(rows, server, tmp_path)
    assert "endsAt" not in alert


async def test_only_what_this_channel_was_given_is_sent_again(tmp_path: Path) -> None:
    rows = rows_at_noon(tmp_path)
    rows.sent("other", page("p1", event_id="e2", head=head("e2"), alert_id="al2"))
    rows.sent("am", page("p2", event_id="e3", head=head("e3"), alert_id="al3"), status=DeliveryStatus.SUPPRESSED.value)
    async with Fake() as server:
        assert await again(rows, server, tmp_path) == []


async def test_an_inform_and_a_bundle_tell_all_that_stands(tmp_path: Path) -> None:
    rows = rows_at_noon(tmp_path)
    rows.sent("am", page())
    rows.alert(page(), AlertStatus.ENDED, raised_at=NOON, changed_at=NOON + 30_000)
    other = page("p2", event_id="e2", alert_id="al2", head=head("e2", number=318))
    rows.sent("am", other)
    async with Fake() as server:
        closed = page("i1", kind=EscalationKind.INFORM, level=0, level_name="")
        assert await send(server, tmp_path, letter(closed), rows) == Sent()
        assert await send(server, tmp_path, letter(other, bundle=True), rows) == Sent()
    for found in server.alerts:
        assert {each["labels"]["event"]: "endsAt" in each for each in found} == {"E-0317": True, "E-0318": False}


# ---------------------------------------------------------------- the rounds


@asynccontextmanager
async def rounds(rows: Rows, server: Fake, path: Path, told: list[Any] | None = None) -> AsyncIterator[None]:
    rules = RuleStore(replace(rows.deps.rules.book, channels=(channel(server),)))
    rows.deps = dataclasses.replace(rows.deps, rules=rules)
    async with sender(server, path, rows, NOON + 60_000) as to:
        task = asyncio.create_task(to.run(rows.deps, lambda *words: (told if told is not None else []).append(words)))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def counted(rows: Rows, outcome: str) -> float:
    return float(rows.deps.metrics["alertmanager_rounds_total"].labels(outcome)._value.get())


async def test_what_stands_is_sent_again_by_any_number_of_processes_and_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agents.deliverer.alertmanager.PAUSE_SECONDS", 0.01)
    rows = rows_at_noon(tmp_path)
    rows.sent("am", page())
    rows.alert(page(), AlertStatus.NOTIFIED, raised_at=NOON)
    async with Fake() as server:
        async with rounds(rows, server, tmp_path), rounds(rows, server, tmp_path):
            await until(lambda: len(server.got) >= 4)
        before = len(server.got)
        async with rounds(rows, server, tmp_path):
            await until(lambda: len(server.got) > before)
        assert len({json.dumps(each, sort_keys=True) for each in server.alerts}) == 1, "the same alert each time"


async def test_rounds_that_fail_are_counted_said_once_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("agents.deliverer.alertmanager.PAUSE_SECONDS", 0.01)
    rows = rows_at_noon(tmp_path)
    rows.sent("am", page())
    caplog.set_level("INFO", "wenxun.deliver")
    told: list[Any] = []
    async with Fake(503, 503, RESET, 503) as server, rounds(rows, server, tmp_path, told):
        await until(lambda: counted(rows, "ok") >= 1)
    assert told == [("am", NOON + 60_000, told[0][2]), ("am", None, "")], "once, and once that it works again"
    assert counted(rows, "failed") == 4 and caplog.text.count("cannot be sent again") == 1
    assert "are sent again" in caplog.text and str(server.port) not in caplog.text


