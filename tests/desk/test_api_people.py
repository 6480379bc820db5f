"""What people do about events and silences by API, and what a shift asks for: the desk's own commands and reads."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agents.desk import commands
from agents.desk.accounts import Role
from agents.desk.commands import Order
from agents.store import schema
from agents.store.projection import Entry, project
from pipeline.model import AlertStatus
from pipeline.rulebook.schema import HOUR
from tests.agents import store_fakes as fakes
from tests.desk import seed
from tests.desk.conftest import Stand
from tests.desk.test_api import client


def put(stand: Stand) -> Any:
    one = seed.put_event(stand.engine, seed.head())
    return one, seed.put_alert(stand.engine, seed.alert(one))


async def post(http: httpx.AsyncClient, path: str, **body: Any) -> tuple[int, str]:
    """Status, and the code of the refusal if it is one."""
    answer = await http.post(f"/api/v1/{path}", json=body)
    return answer.status_code, answer.json().get("error", {}).get("code", "")


async def test_every_act_is_a_command_of_the_tokens_account_that_says_how_it_came(stand: Stand) -> None:
    one, state = put(stand)
    item = seed.put_item(stand.engine, one, 1, "关于投票时间的说明", source_id="gonggao", official=True)
    other = seed.put_item(stand.engine, one, 2, "排队情况通报", source_id="gonggao", official=True)
    async with client(stand, "ack", "silence") as http:
        answers = [
            await post(http, "events/E-0317/handover", alert_id=state.alert_id, to="leaders", note="换班"),
            await post(http, "events/E-0317/comment", text="已联系"),
            await post(http, "events/E-0317/statements", title="答复", url="https://gonggao.example/88",
                       at="2026-11-22 03:00"),
            await post(http, "events/E-0317/statements", item=item.item.id),
            await post(http, "events/E-0317/statements/reject", item=other.item.id, note="说的是别处"),
            await post(http, "silences", minutes=30, reason="检修", levels=["一般"], event="317")]
    assert answers == [(202, "")] * 6
    rows = stand.rows(schema.commands)
    assert sorted(row.type for row in rows) == [
        "alert.handover", "alert.silence", "event.comment", "event.statement", "event.statement", "event.statement"]
    assert all('"by":"大屏"' in row.record for row in rows)
    assert all('"via":"API 屏"' in row.record for row in rows if row.type != "alert.silence")
    with stand.engine.connect() as connection:
        done = [row.detail for row in connection.execute(schema.audit.select()) if row.account == "大屏"]
    assert len(done) == 6 and all("API 屏" in detail for detail in done)


@pytest.mark.parametrize(("path", "body", "answer"), [
    ("events/E-9/comment", {"text": "在吗"}, (404, "not_found")),
    ("events/317/comment", {"text": "  "}, (400, "empty")), ("events/317/comment", {"text": 3}, (400, "bad_field")),
    ("events/317/handover", {"alert_id": "x", "to": "leaders"}, (409, "superseded")),
    ("events/317/handover", {"alert_id": "x", "to": "nobody"}, (400, "unknown_receiver")),
    ("events/317/statements", {}, (400, "empty")), ("events/317/statements", {"url": "gonggao"}, (400, "bad_url")),
    ("events/317/statements", {"title": "答复", "clocks": "answer"}, (400, "bad_field")),
    ("events/317/statements", {"title": "答复", "clocks": ["x"]}, (400, "bad_clock")),
    ("events/317/statements", {"title": "答复", "at": "昨天"}, (400, "bad_time")),
    ("events/317/statements", {"item": "0" * 20}, (404, "no_item")),
    ("events/317/statements/reject", {"item": ""}, (400, "bad_field")),
    ("silences", {"minutes": "30", "reason": "检修"}, (400, "bad_field")),
    ("silences", {"minutes": 30, "reason": "检修"}, (409, "highest_level")),
    ("silences", {"minutes": 30, "reason": "检修", "even_highest": True}, (400, "no_matcher")),
    ("silences", {"minutes": 30, "reason": "检修", "even_highest": "yes"}, (400, "bad_field")),
    ("silences", {"minutes": 99_999, "reason": "检修", "levels": ["一般"]}, (400, "bad_length")),
    ("silences", {"minutes": 30, "reason": "检修", "levels": ["很大"]}, (400, "bad_matcher"))])
async def test_what_makes_no_sense_is_named(
        stand: Stand, path: str, body: dict[str, Any], answer: tuple[int, str]) -> None:
    put(stand)
    async with client(stand, "ack", "silence") as http:
        assert await post(http, path, **body) == answer
    assert stand.rows(schema.commands) == []


@pytest.mark.parametrize(("method", "path", "scopes"), [
    ("POST", "events/317/comment", ("read", "close")), ("POST", "events/317/handover", ("read", "close")),
    ("POST", "events/317/statements", ("read", "close")), ("POST", "events/317/statements/reject", ("read",)),
    ("POST", "silences", ("read", "ack", "close")), ("DELETE", "silences/abc", ("read", "ack", "close")),
    ("GET", "silences", ("ack", "silence")), ("GET", "clocks", ("ack",)), ("GET", "handover", ("ack", "close"))])
async def test_each_needs_its_scope(stand: Stand, method: str, path: str, scopes: tuple[str, ...]) -> None:
    async with client(stand, *scopes) as http:
        assert (await http.request(method, f"/api/v1/{path}")).status_code == 403


async def test_a_silence_is_listed_and_ended_by_delete(stand: Stand) -> None:
    put(stand)
    async with client(stand, "read", "silence") as http:
        body = {"minutes": 30, "reason": "检修", "owner": "李敏", "subjects": ["polling"], "levels": ["一般"]}
        made = (await http.post("/api/v1/silences", json=body)).json()
        listed = (await http.get("/api/v1/silences")).json()["silences"]
        assert [(each["id"], each["owner"], each["active"], each["subjects"]) for each in listed] == [
            (made["id"], "李敏", True, ["polling"])]
        ended = await http.delete(f"/api/v1/silences/{made['id'][:8]}")
        assert ended.status_code == 202 and ended.json()["accepted"]
        assert (await http.get("/api/v1/silences")).json()["silences"] == []
        every = (await http.get("/api/v1/silences?all=1")).json()["silences"]
        assert [(each["id"], each["active"], each["expired_at"]) for each in every] == [(made["id"], False, seed.NOW)]
        again = await http.delete(f"/api/v1/silences/{made['id']}")
        missing = await http.delete("/api/v1/silences/0000000")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "ended")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


async def test_running_clocks_and_the_hand_over_are_read(stand: Stand) -> None:
    seed.morning(stand.engine)
    one = seed.head(317)
    project(stand.engine, [Entry(fakes.clocks(
        1, fakes.clock(started_at=seed.NOW - HOUR, due_at=seed.NOW + 4 * HOUR), event_id=one.id), seed.NOW)])
    async with client(stand, "read", role=Role.VIEWER) as http:
        clocks = (await http.get("/api/v1/clocks")).json()["clocks"]
        found = (await http.get("/api/v1/handover?since=20:00")).json()
        wrong = await http.get("/api/v1/handover?since=soon")
        event = (await http.get("/api/v1/events/317")).json()
    assert [(each["event"], each["clock"], each["left"]) for each in clocks] == [("E-0317", "answer", 4 * HOUR)]
    assert (found["unanswered"], found["events"][0]["number"], found["since"]) == (
        ["E-0317", "E-0319"], "E-0317", seed.NOW - 7 * HOUR - 12 * 60_000)
    assert found["text"].startswith("交接班 ") and [each["id"] for each in found["blind"]] == ["ribao"]
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "bad_since")
    assert [each["id"] for each in event["clocks"]] == ["answer"]
    assert [each["item_id"] for each in event["proposals"]] == ["f" * 20] and event["statements"] == []
    assert ("大屏", "handover.read", "handover") in stand.audit()


async def test_two_acks_by_api_tell_the_second_who_was_first(stand: Stand) -> None:
    one, state = put(stand)
    stand.account("值班员乙")

    commands.ack(stand.engine, Order(one.id, "值班员乙", seed.NOW, seed.NOW), state.alert_id)
    async with client(stand, "ack") as http:
        answer = await http.post("/api/v1/events/317/ack", json={"alert_id": state.alert_id})
    assert answer.status_code == 202 and answer.json()["note"].startswith("值班员乙 已先确认（刚刚）")


async def test_an_alert_that_expired_is_still_answered_by_api(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    state = seed.put_alert(stand.engine, seed.alert(one, AlertStatus.EXPIRED))
    async with client(stand, "ack") as http:
        assert await post(http, "events/317/ack", alert_id=state.alert_id) == (202, "")


async def test_events_of_drills_are_listed_only_when_asked_for(stand: Stand) -> None:
    project(stand.engine, [Entry(each, seed.NOW) for each in (
        seed.head(317), seed.head(3, id="d" * 20, subject="!polling"))])
    async with client(stand, "read") as http:
        listed = [[each["number"] for each in (await http.get(f"/api/v1/events{query}")).json()["events"]]
                  for query in ("", "?drill=1", "?subject=!polling", "?drill=1&q=D-3")]
        one = (await http.get("/api/v1/events/D-0003")).json()
    assert listed == [["E-0317"], ["D-0003"], ["D-0003"], ["D-0003"]] and one["drill"] is True
