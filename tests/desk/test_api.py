"""The JSON API: tokens with scopes, the same commands, errors that a program and a person can read."""

from __future__ import annotations

import httpx
import pytest

from agents.desk import accounts, sessions
from agents.desk.accounts import Role
from agents.desk.sessions import Scope
from agents.store import schema
from tests.desk import seed
from tests.desk.conftest import Stand


def client(stand: Stand, *scopes: str, role: Role = Role.DUTY) -> httpx.AsyncClient:
    stand.account("大屏", role)
    token = sessions.create_token(stand.engine, "屏", "大屏", frozenset(Scope(each) for each in scopes), now=seed.NOW,
                                  expires_at=None)
    return stand.client(headers={"authorization": f"Bearer {token}"})


async def test_events_are_listed_and_read_with_their_evidence(stand: Stand) -> None:
    seed.morning(stand.engine)
    async with client(stand, "read") as http:
        listed = (await http.get("/api/v1/events?status=open&level=3")).json()
        one = (await http.get("/api/v1/events/E-0317")).json()
    assert [each["number"] for each in listed["events"]] == ["E-0317"] and listed["total"] == 1
    assert listed["events"][0]["alert"]["status"] == "notified"
    assert one["why"].startswith("3 小时内 34 条") and one["pages"] == 3
    assert {span[1] for item in one["items"] for span in item["spans"]} == {"投票站", "三点", "关门"}
    assert [line["kind"] for line in one["timeline"]][0] == "opened"
    assert {row["status"] for row in one["deliveries"]} == {"confirmed", "dead"}
    assert stand.audit()[-2:] == [("大屏", "events.read", "events"), ("大屏", "event.read", "E-0317")]


async def test_an_ack_by_api_is_a_command_of_the_account(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    state = seed.put_alert(stand.engine, seed.alert(one))
    async with client(stand, "ack") as http:
        body = {"alert_id": state.alert_id, "note": "自动"}
        first, second = [await http.post("/api/v1/events/E-0317/ack", json=body) for _ in range(2)]
        refused = await http.post("/api/v1/events/E-0317/ack", json={"alert_id": "0" * 20})
    assert (first.status_code, first.json()["repeated"], second.json()["repeated"]) == (202, False, True)
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "superseded"
    command, = stand.rows(schema.commands)
    assert '"by":"大屏"' in command.record
    assert ("大屏", "alert.ack", one.id) in stand.audit()


async def test_snooze_and_close_by_api(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head())
    state = seed.put_alert(stand.engine, seed.alert(one))
    async with client(stand, "ack", "close") as http:
        snoozed = await http.post("/api/v1/events/317/snooze", json={"alert_id": state.alert_id, "minutes": 15})
        closed = await http.post("/api/v1/events/317/close", json={"version": one.version, "reason": "已处置"})
    assert (snoozed.status_code, closed.status_code) == (202, 202)
    assert [row.type for row in stand.rows(schema.commands)] == ["alert.snooze", "event.close"]


@pytest.mark.parametrize(("method", "path", "scopes"), [
    ("GET", "/api/v1/events", ("ack", "close")), ("GET", "/api/v1/sources", ("ack",)),
    ("GET", "/api/v1/deliveries", ("close",)), ("POST", "/api/v1/events/E-0317/ack", ("read", "close")),
    ("POST", "/api/v1/events/E-0317/snooze", ("read",)), ("POST", "/api/v1/events/E-0317/close", ("read", "ack"))])
async def test_a_token_does_only_what_its_scopes_say(
        stand: Stand, method: str, path: str, scopes: tuple[str, ...]) -> None:
    seed.put_event(stand.engine, seed.head())
    async with client(stand, *scopes) as http:
        answer = await http.request(method, path)
    assert answer.status_code == 403 and "没有" in answer.json()["error"]["message"]


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic abc", "Bearer ", "Bearer wxt_" + "x" * 43])
async def test_without_a_valid_token_nothing_is_said(stand: Stand, header: str | None) -> None:
    async with stand.client(headers={"authorization": header} if header else {}) as http:
        answer = await http.get("/api/v1/events")
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert "wenxun token create" in answer.json()["error"]["message"]


async def test_a_cookie_is_no_token_and_a_token_no_cookie(stand: Stand) -> None:
    seed.put_event(stand.engine, seed.head())
    async with await stand.signed_in() as browser, client(stand, "read") as http:
        assert (await browser.get("/api/v1/events")).status_code == 401, "so no other site can use the API by CSRF"
        assert (await http.get("/events")).status_code == 303


async def test_a_token_stops_with_its_account(stand: Stand) -> None:
    stand.account("局长", Role.ADMIN)
    async with client(stand, "read") as http:
        assert (await http.get("/api/v1/sources")).status_code == 200
        accounts.disable(stand.engine, "大屏", now=seed.NOW)
        assert (await http.get("/api/v1/sources")).status_code == 401


@pytest.mark.parametrize(("path", "body", "code"), [
    ("E-0317/ack", b"{", "bad_json"), ("E-0317/ack", b"[]", "bad_json"), ("E-0317/ack", b"{}", "bad_field"),
    ("E-0317/ack", b"[" * 50_000, "bad_json"), ("E-0317/snooze", b'{"alert_id": "a", "minutes": "5"}', "bad_field"),
    ("E-0317/close", b'{"version": true, "reason": "x"}', "bad_field"),
    ("E-0317/close", b'{"version": 1, "reason": "x"}', "bad_reason"), ("E-9/ack", b'{"alert_id": "a"}', "not_found")])
async def test_bad_bodies_are_named(stand: Stand, path: str, body: bytes, code: str) -> None:
    seed.put_event(stand.engine, seed.head())
    async with client(stand, "ack", "close") as http:
        answer = await http.post(f"/api/v1/events/{path}", content=body)
    assert answer.status_code in (400, 404) and answer.json()["error"]["code"] == code


@pytest.mark.parametrize(("path", "status"), [
    ("events?status=odd", 400), ("events?level=x", 400), ("events/E-9", 404), ("nothing", 404),
    ("deliveries?status=odd", 400), ("deliveries?event=E-9", 404), ("events?page=99", 200),
    ("deliveries?event=E-0317&status=dead", 200)])
async def test_bad_queries_are_answered_as_json(stand: Stand, path: str, status: int) -> None:
    seed.put_event(stand.engine, seed.head())
    async with client(stand, "read") as http:
        answer = await http.get(f"/api/v1/{path}")
    assert answer.status_code == status and isinstance(answer.json(), dict)


async def test_sources_and_deliveries(stand: Stand) -> None:
    seed.morning(stand.engine)
    async with client(stand, "read") as http:
        found = {each["id"]: each for each in (await http.get("/api/v1/sources")).json()["sources"]}
        sent = (await http.get("/api/v1/deliveries?status=dead")).json()["deliveries"]
    assert found["ribao"]["state"] == "bad" and found["ribao"]["failures"] == 4 and found["xinwen"]["state"] == "good"
    assert [each["person"] for each in sent] == ["duty-b"]


@pytest.mark.sqlite                                     # where a table that is gone means that the store is
async def test_an_error_inside_is_json_too(stand: Stand) -> None:
    seed.put_event(stand.engine, seed.head())
    async with client(stand, "read") as http:
        with stand.engine.begin() as connection:
            connection.execute(schema.events.update().values(head="{broken"))
        damaged = await http.get("/api/v1/events")
        with stand.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE deliveries RENAME TO away")
        away = await http.get("/api/v1/deliveries")
    assert damaged.status_code == 500 and damaged.json()["error"]["code"] == "internal"
    assert away.status_code == 503 and away.json()["error"]["code"] == "store_unavailable"
