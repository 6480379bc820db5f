"""What people say of events and matches: by command, API and command line; on its way to the stream, and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from agents import cli
from agents.desk import accounts, reads, verdicts
from agents.desk.accounts import Role
from agents.desk.commands import Order, Refused
from agents.desk.rule_figures import KEPT, FigureCache
from agents.desk.sender import _address, unsent
from agents.store import rule_reads, schema
from agents.store.engine import open_store, upgrade
from agents.store.projection import Entry, project
from pipeline import codec
from pipeline.model import Verdict
from pipeline.rulebook.schema import DAY
from tests.agents import store_fakes as fakes
from tests.builders import NOON, scored_batch, scored_item
from tests.desk.conftest import Stand
from tests.desk.test_api import client


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    engine = fakes.new_store(tmp_path)
    fakes.put(engine, fakes.head(event_id="e1", number=317), fakes.head(event_id="s1", number=1, subject="~bus"),
              scored_batch(scored_item("i1")), scored_batch(scored_item("i1"), subject="~bus", book="5" * 16))
    return engine


def order(event_id: str = "e1", by: str = "wang", at: int = NOON, real: int = NOON) -> Order:
    return Order(event_id, by, at, real)


def said(store: Engine) -> list[Verdict]:
    return [each.command for each in unsent(store) if isinstance(each.command, Verdict)]


def rows(store: Engine, name: str) -> list[dict[str, Any]]:
    return fakes.rows(store, name)


class StoppedClock:
    """Real time that stands until it is moved."""

    at = 0

    def now(self) -> int:
        return self.at


def test_a_verdict_in_the_archive_shows_at_once_and_other_figures_within_ten_seconds(store: Engine) -> None:
    clock = StoppedClock()
    cache = FigureCache(store, clock)  # type: ignore[arg-type]

    def seen() -> tuple[int, int]:
        found = cache.of(["polling"], NOON)["polling"]
        return found.matches.day, found.verdicts.judged

    assert seen() == (1, 0)
    fakes.put(store, scored_batch(scored_item("i2")))
    assert seen() == (1, 0), "kept"
    verdicts.on_event(store, order(), "relevant")
    project(store, [Entry(each, NOON) for each in said(store)])
    assert seen() == (2, 1)
    fakes.put(store, scored_batch(scored_item("i3")))
    clock.at = KEPT
    assert seen() == (3, 1)


def test_a_verdict_says_by_which_rules_it_was_matched_and_goes_to_the_events_topic(store: Engine) -> None:
    verdicts.on_event(store, order(), "not-relevant", " 说的是\n别处 ")
    verdicts.on_event(store, order("s1"), "relevant")
    verdicts.on_match(store, order(""), "i1", "~bus", "duplicate")
    found = {each.event_id or each.item_id: each for each in said(store)}
    assert found["e1"] == replace(found["e1"], subject="polling", kind="not_relevant", by="wang", at=NOON,
                                  note="说的是 别处", book="b" * 16)
    assert (found["s1"].subject, found["i1"].subject, found["i1"].book) == ("~bus", "~bus", "5" * 16)
    assert {_address(each) for each in found.values()} == {("events", "e1"), ("events", "s1"), ("events", "i1")}
    assert [(row["action"], row["object"], row["detail"]) for row in rows(store, "audit")] == [
        ("event.verdict", "E-0317", "无关；说的是 别处"), ("event.verdict", "S-0001", "有关"),
        ("match.verdict", "i1 ~bus", "重复")]


def test_the_same_word_again_is_one_command_and_a_change_of_mind_another(store: Engine) -> None:
    words = ["relevant", "relevant", "not_relevant", "relevant", "relevant"]
    done = [verdicts.on_event(store, order(at=NOON + n, real=NOON + n), word) for n, word in enumerate(words)]
    assert [each.repeated for each in done] == [False, True, False, False, True]
    assert not verdicts.on_event(store, order(by="li", real=NOON + 9), "relevant").repeated
    assert not verdicts.on_event(store, order(by="li", at=NOON + 9, real=NOON + 10), "relevant", "再看了一遍").repeated
    project(store, [Entry(each, NOON) for each in said(store)])
    with store.connect() as connection:
        assert rule_reads.verdicts(connection, ["polling"]) == {"polling": rule_reads.Verdicts(relevant=1)}


@pytest.mark.parametrize(("thing", "kind", "code"), [
    ("e9", "relevant", "not_found"), ("", "relevant", "not_found"), ("e1", "bad", "bad_kind"), ("e1", "", "bad_kind")])
def test_what_makes_no_sense_is_refused(store: Engine, thing: str, kind: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        verdicts.on_event(store, order(thing), kind)
    assert refused.value.code == code and said(store) == []


@pytest.mark.parametrize(("item", "subject", "kind", "code"), [
    ("i9", "polling", "relevant", "not_found"), ("i1", "bus", "relevant", "no_match"),
    ("i1", "polling", "wrong_level", "bad_kind")])
def test_a_match_that_is_none_is_refused(store: Engine, item: str, subject: str, kind: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        verdicts.on_match(store, order(""), item, subject, kind)
    assert refused.value.code == code and said(store) == []


def test_an_event_with_a_verdict_under_way_is_shown_as_before(store: Engine) -> None:
    verdicts.on_event(store, order(), "relevant")
    page = reads.event_page(store, "E-0317", NOON)
    assert page is not None and page.event.pending == ()


async def test_verdicts_by_api(stand: Stand) -> None:
    fakes.put(stand.engine, fakes.head(event_id="e1", number=317), scored_batch(scored_item("i1")))
    async with client(stand, "ack") as http:
        def post(**body: Any) -> Any:
            return http.post("/api/v1/verdicts", json=body)

        answers = [await post(event="E-0317", kind="not_relevant", note="别处"),
                   await post(event="317", kind="not_relevant", note="别处"),
                   await post(item="i1", subject="polling", kind="relevant"),
                   await post(event="E-0999", kind="relevant"), await post(event="317", kind="maybe"),
                   await post(kind="relevant"), await post(item="i1", subject="bus", kind="relevant")]
    assert [(each.status_code, each.json().get("repeated"), each.json().get("error", {}).get("code"))
            for each in answers] == [
        (202, False, None), (202, True, None), (202, False, None), (404, None, "not_found"), (400, None, "bad_kind"),
        (400, None, "bad_field"), (409, None, "no_match")]
    assert [row.type for row in stand.rows(schema.commands)] == ["verdict", "verdict"]


async def test_a_token_without_the_scope_of_acks_gives_no_verdict(stand: Stand) -> None:
    fakes.put(stand.engine, fakes.head(event_id="e1", number=317))
    async with client(stand, "read", "close") as http:
        assert (await http.post("/api/v1/verdicts", json={"event": "317", "kind": "relevant"})).status_code == 403


async def test_events_in_shadow_are_listed_by_the_api_only_when_asked_for(stand: Stand) -> None:
    fakes.put(stand.engine, fakes.head(event_id="e1", number=317), fakes.head(event_id="s1", number=2, subject="~bus"))
    async with client(stand, "read") as http:
        listed = [[each["number"] for each in (await http.get(f"/api/v1/events{query}")).json()["events"]]
                  for query in ("", "?shadow=1", "?subject=~bus", "?subject=bus")]
        one = (await http.get("/api/v1/events/S-0002")).json()
    assert listed == [["E-0317"], ["S-0002"], ["S-0002"], []] and one["subject"] == "~bus"


# ---------------------------------------------------------------- the command line


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def at_work(data: Path) -> Engine:
    url = f"sqlite:///{data / 'wenxun.db'}"
    data.mkdir()
    upgrade(url)
    engine = open_store(url)
    fakes.put(engine, fakes.head(event_id="e1", number=317), scored_batch(scored_item("i1", at=NOON - DAY)))
    accounts.add(engine, "wang", Role.ADMIN, "not-a-secret-9", now=NOON)
    return engine


def test_verdicts_by_command_wait_for_the_stream(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = at_work(data)
    for _ in range(2):
        assert cli.main(["event", "verdict", "E-0317", "wrong-level", "--note", "太高"]) == 0
    assert cli.main(["rules", "verdict", "--item", "i1", "--subject", "polling", "not-relevant", "--json"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "E-0317：已收下评价（wrong-level）。" and "已经收过" in shown[1]
    assert json.loads(shown[2])["repeated"] is False
    with engine.connect() as connection:
        records = connection.execute(schema.commands.select().order_by(schema.commands.c.accepted_at)).all()
    engine.dispose()
    said = [codec.decode_as(Verdict, row.record.encode()) for row in records]
    assert [(each.kind.value, each.by) for each in said] == [("wrong_level", "wang"), ("not_relevant", "wang")]
    assert [row.sent_at for row in records] == [None, None]


@pytest.mark.parametrize(("arguments", "word"), [
    (["event", "verdict", "E-0999", "relevant"], "E-0999：没有这个事件"),
    (["event", "verdict", "E-0317", "relevant", "--as", "nobody"], "没有可用的账号 nobody"),
    (["rules", "verdict", "--item", "i1", "--subject", "bus", "relevant"], "它匹配的是 polling"),
    (["rules", "verdict", "--item", "i1", "--subject", "polling", "wrong-level"], "评价只能是")])
def test_a_wrong_command_says_what_to_write(
    data: Path, arguments: list[str], word: str, capsys: pytest.CaptureFixture[str],
) -> None:
    at_work(data).dispose()
    assert cli.main(arguments) == 2 and word in capsys.readouterr().err


@pytest.mark.sqlite                                     # where an archive is a file that may not be there
def test_without_an_archive_the_folder_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["event", "verdict", "E-0317", "relevant"]) == 2
    assert str(data) in capsys.readouterr().err and not data.exists(), "looking makes no archive"
