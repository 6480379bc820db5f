"""Rules by API: the same as on the pages, for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.desk.accounts import Role
from agents.desk.explains import MAX_CHARACTERS, PER_MINUTE
from agents.store import schema
from pipeline import topics
from pipeline.model import RulesAnswer
from tests.desk import seed, seed_rules
from tests.desk.conftest import Stand, make_stand
from tests.desk.test_api import client
from tests.desk.test_commands import sent


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Stand]:
    made = make_stand(tmp_path, book=seed_rules.book())
    seed.put_book(made.engine, seed_rules.book())
    made.desk.deps.rules.state, made.desk.deps.rules.workers = seed_rules.waiting(), seed_rules.workers()
    yield made
    made.engine.dispose()


async def test_the_state_the_workers_and_every_subject_with_its_figures(ruled: Stand) -> None:
    seed_rules.fill(ruled.engine)
    async with client(ruled, "read") as http:
        found = (await http.get("/api/v1/rules")).json()
        shadow = (await http.get("/api/v1/rules?status=shadow")).json()
    assert (found["in_force"], found["pending"], found["raise_count"]) == (seed.HASH, seed_rules.WAITING, 14)
    assert found["raises"][0]["short"] == "E-0301" and found["problems"] == []
    assert {each["name"]: each["state"] for each in found["workers"]} == {
        "wx-2:871": "bad", "wx-3:990": "bad", "wx-4:12": "wait", "wx-1:2211": "good"}
    assert ("大屏", "rules.read", seed_rules.WAITING) in ruled.audit()        # the titles of those events
    subjects = {each["id"]: each for each in found["subjects"]}
    closing = subjects["closing-time"]
    assert closing["matches"]["day"] == 4 and closing["judged"] == 8 and closing["false_positives"] == 3 / 8
    assert closing["owner"] == "选务一组" and subjects["polling"]["false_positives"] is None
    assert [each["key"] for each in shadow["subjects"]] == ["~queue"] and shadow["subjects"][0]["matches"]["day"] == 3


async def test_problems_of_the_files_are_listed(ruled: Stand) -> None:
    ruled.desk.deps.rules.state = seed_rules.broken()
    async with client(ruled, "read") as http:
        found = (await http.get("/api/v1/rules")).json()
    assert found["problems"][0].startswith("levels.yml:7:3") and len(found["problems"]) == 3


async def test_one_subject_with_its_definition_matches_and_verdicts(ruled: Stand) -> None:
    seed_rules.fill(ruled.engine)
    async with client(ruled, "read") as http:
        found = (await http.get("/api/v1/rules/closing-time")).json()
        shadow = (await http.get("/api/v1/rules/~queue")).json()
        missing = await http.get("/api/v1/rules/nothing")
    assert found["definition"]["threshold"] == 1.5 and found["definition"]["exclude"][0] == {"text": "打榜"}
    assert len(found["matches"]) == 4 and "not_relevant" in {each["verdict"] for each in found["matches"]}
    assert found["verdicts"][0]["kind"] == "wrong_level"
    assert shadow["shadow"] and shadow["key"] == "~queue"
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "not_found"
    assert ("大屏", "rule.read", "closing-time") in ruled.audit()


async def test_an_admins_token_answers_what_waits(ruled: Stand) -> None:
    async with client(ruled, "admin", role=Role.ADMIN) as http:
        body = {"hash": seed_rules.WAITING, "accept": True}
        first = await http.post("/api/v1/rules/confirm", json=body)
        again = await http.post("/api/v1/rules/confirm", json=body)
        wrong = await http.post("/api/v1/rules/confirm", json={"hash": "0" * 16, "accept": True})
        bad = await http.post("/api/v1/rules/confirm", json={"hash": seed_rules.WAITING, "accept": "yes"})
    assert (first.status_code, first.json()["repeated"], again.json()["repeated"]) == (202, False, True)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (409, "superseded")
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "bad_field")
    (topic, key, record), = await sent(ruled, 1)
    assert (topic, key) == (topics.RULES, "answer") and isinstance(record, RulesAnswer) and record.accept
    assert ("大屏", "rules.confirm", seed_rules.WAITING) in ruled.audit()


@pytest.mark.parametrize(("scopes", "role"), [
    (("read", "ack", "close", "poll", "intake"), Role.ADMIN), (("read",), Role.VIEWER)])
async def test_without_the_scope_admin_nothing_is_answered(
        ruled: Stand, scopes: tuple[str, ...], role: Role) -> None:
    async with client(ruled, *scopes, role=role) as http:
        answer = await http.post("/api/v1/rules/confirm", json={"hash": seed_rules.WAITING, "accept": True})
    assert answer.status_code == 403 and ruled.rows(schema.commands) == []


async def test_a_text_is_explained(ruled: Stand) -> None:
    async with client(ruled, "read") as http:
        answer = await http.post("/api/v1/explain", json={"title": "投票站三点关门了吗", "source": "luntan"})
    found = answer.json()
    assert answer.status_code == 200 and found["book"] == seed.HASH and found["question"] is True
    polling, closing = (next(each for each in found["rules"] if each["subject"] == name)
                        for name in ("polling", "closing-time"))
    assert polling["matched"] and polling["weight"] == 2 and polling["why_not"] == []
    assert polling["terms"][0]["places"] == [{"field": "title", "start": 0, "end": 3, "text": "投票站"}]
    assert closing["unmet"] == ["inactive"] and closing["why_not"] and closing["condition"][0]["holds"] is True


async def test_an_event_is_explained(ruled: Stand) -> None:
    seed.put_event(ruled.engine, seed.head(level=1))
    async with client(ruled, "read") as http:
        found = (await http.post("/api/v1/explain", json={"event": "E-0317"})).json()
        missing = await http.post("/api/v1/explain", json={"event": "E-9"})
    assert found["event"] == "E-0317" and [each["name"] for each in found["levels"]] == ["一般", "较大", "重大"]
    assert found["levels"][1]["ways"][0]["factors"][0] == {"name": "items", "value": 0, "need": 10, "missing": 10}
    assert found["text"].startswith("离较大") and missing.status_code == 404


@pytest.mark.parametrize(("body", "code"), [
    ({}, "bad_text"), ({"title": 5}, "bad_field"), ({"title": "x", "shadow": "yes"}, "bad_field"),
    ({"text": "字" * (MAX_CHARACTERS + 1)}, "bad_text"), ({"title": "x", "source": "gone"}, "bad_text")])
async def test_what_cannot_be_explained_is_named(ruled: Stand, body: dict[str, object], code: str) -> None:
    async with client(ruled, "read") as http:
        answer = await http.post("/api/v1/explain", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == code


async def test_a_program_that_asks_without_end_is_slowed(ruled: Stand) -> None:
    async with client(ruled, "read") as http:
        codes = [(await http.post("/api/v1/explain", json={"title": "投票站"})).status_code
                 for _ in range(PER_MINUTE + 1)]
        last = await http.post("/api/v1/explain", json={"title": "投票站"})
        assert (await http.post("/api/v1/explain", json={"event": "E-0402"})).status_code == 429
    assert codes[:PER_MINUTE] == [200] * PER_MINUTE and last.json()["error"]["code"] == "busy"
    assert last.status_code == 429


@pytest.mark.parametrize(("path", "status"), [
    ("rules?status=odd", 400), ("rules?page=x", 400), ("rules?page=99", 200), ("rules/confirm", 404)])
async def test_bad_queries_are_answered_as_json(ruled: Stand, path: str, status: int) -> None:
    async with client(ruled, "read") as http:
        answer = await http.get(f"/api/v1/{path}")
    assert answer.status_code == status and isinstance(answer.json(), dict)


async def test_before_any_book_the_answer_is_empty(tmp_path: Path) -> None:
    stand = make_stand(tmp_path)
    async with client(stand, "read") as http:
        found = (await http.get("/api/v1/rules")).json()
        explained = await http.post("/api/v1/explain", json={"title": "x"})
    assert found["subjects"] == [] and found["in_force"] == "" and explained.status_code == 400
    stand.engine.dispose()


@pytest.mark.parametrize("path, body", [
    ("explain", b'{"event": "\\ud800"}'), ("explain", b'{"text": "a", "source": "\\ud800"}'),
    ("rules/confirm", b'{"hash": "\\ud800", "accept": true}'),
    ("verdicts", b'{"event": "\\ud800", "kind": "relevant"}'),
], ids=["event", "source", "hash", "verdict"])
async def test_half_a_character_is_a_bad_request(ruled: Stand, path: str, body: bytes) -> None:
    async with client(ruled, "read", "ack", "admin", role=Role.ADMIN) as http:
        answer = await http.post(f"/api/v1/{path}", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_json")
