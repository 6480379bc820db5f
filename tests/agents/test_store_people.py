"""What people did, in the archive: clocks, statements, silences, hand-overs; and drills, which no figure has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from agents.store.expiry import expire
from agents.store.rows import Kind
from pipeline.model import Comment, EscalationKind, HandOver, Heartbeat
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON

DAY = 86_400_000


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return fakes.new_store(tmp_path)


def only(engine: Engine, name: str) -> dict[str, Any]:
    row, = fakes.rows(engine, name)
    return row


def lines(engine: Engine, kind: Kind) -> list[dict[str, Any]]:
    return [json.loads(row["detail"]) for row in fakes.rows(engine, "timeline") if row["kind"] == str(kind)]


def test_only_a_newer_revision_replaces_the_clocks_of_an_event(store: Engine) -> None:
    stopped = fakes.clock(stopped_at=NOON + 9, stopped_by="wang", stopped_why="statement")
    fakes.put(store, fakes.clocks(1, fakes.clock(), fakes.clock("reply", due_at=NOON + DAY)))
    assert (only(store, "clocks")["open"], only(store, "clocks")["next_due_at"]) == (True, fakes.clock().due_at)
    fakes.put(store, fakes.clocks(3, stopped, fakes.clock("reply", due_at=NOON + DAY)),
              fakes.clocks(2, fakes.clock(warned=50)))
    row = only(store, "clocks")
    assert (row["revision"], row["open"], row["next_due_at"]) == (3, True, NOON + DAY)
    fakes.put(store, fakes.clocks(4, stopped))
    row = only(store, "clocks")
    assert (row["open"], row["next_due_at"]) == (False, None)


def test_a_clock_has_a_line_when_it_begins_and_one_when_it_is_stopped_however_often_it_is_said(store: Engine) -> None:
    late = fakes.clock(stopped_at=fakes.clock().due_at + 60_000, stopped_by="wang", stopped_why="closed", ref="重复")
    fakes.put(store, fakes.clocks(1, fakes.clock()), fakes.clocks(2, fakes.clock(warned=80)), fakes.clocks(3, late),
              fakes.clocks(4, late))
    assert lines(store, Kind.CLOCK_STARTED) == [{"id": "answer", "name": "首次权威回应", "why": "level"}]
    assert lines(store, Kind.CLOCK_STOPPED) == [
        {"id": "answer", "name": "首次权威回应", "by": "wang", "why": "closed", "ref": "重复", "late": 60_000}]


def test_a_statement_keeps_its_words_in_one_place_where_they_can_expire(store: Engine) -> None:
    quoted, typed = fakes.statement("st1", item_id="a1"), fakes.statement("st2", title="县选举办答复", text="", url="")
    fakes.put(store, quoted, typed, quoted, fakes.clocks(1, fakes.clock(), quoted))
    assert [each["title"] for each in lines(store, Kind.ANSWERED)] == ["", "县选举办答复"]
    assert "关于投票时间的说明" not in only(store, "clocks")["state"]
    expire(store, NOON + DAY)
    rows = {row["id"]: row for row in fakes.rows(store, "statements")}
    assert (rows["st1"]["title"], rows["st1"]["url"], rows["st1"]["detail"]) == ("", "", "")
    assert (rows["st1"]["by"], rows["st1"]["item_id"]) == ("wang", "a1"), "who confirmed what stays"
    assert rows["st2"]["title"] == "县选举办答复", "the office's own words stay"
    assert "关于投票时间的说明" not in json.dumps(fakes.dump(store), ensure_ascii=False, default=str)


def test_a_rejected_proposal_is_no_answer(store: Engine) -> None:
    fakes.put(store, fakes.statement(item_id="a1", rejected=True))
    assert only(store, "statements")["rejected"] is True
    assert lines(store, Kind.ANSWERED) == [] and len(lines(store, Kind.REJECTED)) == 1


def test_of_a_silence_the_latest_word_counts_whatever_partition_it_came_from(store: Engine) -> None:
    given = fakes.silence()
    ended = replace(given, at=NOON + 60_000, expired_at=NOON + 60_000)
    fakes.put(store, ended, given, given, ended, given)
    row = only(store, "silences")
    assert (row["expired_at"], row["ends_at"]) == (NOON + 60_000, given.ends_at)
    assert fakes.rows(store, "timeline") == [], "it is about no single event"


def test_a_silence_of_one_event_is_on_its_timeline_with_its_end(store: Engine) -> None:
    given = fakes.silence(event_id="e1")
    fakes.put(store, given, given, replace(given, at=NOON + 1, expired_at=NOON + 1))
    assert [each.get("expired_at") for each in lines(store, Kind.SILENCE)] == [None, NOON + 1]


def test_hand_overs_comments_and_what_a_silence_held_back_are_lines(store: Engine) -> None:
    held = replace(messages.page("held"), suppressed_by="silence:si1")
    clock = replace(messages.page("clk"), kind=EscalationKind.CLOCK, clock="answer", percent=80)
    fakes.put(store, HandOver(id="h", event_id="e1", alert_id="al1", by="wang", at=NOON, to="leaders", note="换班"),
              Comment(id="c", event_id="e1", by="wang", at=NOON, text="已电话联系"), held, clock, held)
    assert lines(store, Kind.HAND_OVER)[0]["to"] == "leaders" and lines(store, Kind.COMMENT)[0]["text"] == "已电话联系"
    assert [each["suppressed_by"] for each in lines(store, Kind.SUPPRESSED)] == ["silence:si1"]
    assert [(each["clock"], each["percent"]) for each in lines(store, Kind.ESCALATION)] == [("answer", 80)]
    rows = {row["id"]: row for row in fakes.rows(store, "escalations")}
    assert (rows["held"]["suppressed_by"], rows["held"]["first"], rows["clk"]["suppressed_by"]) == (
        "silence:si1", False, "")


def test_a_heartbeat_leaves_no_row(store: Engine) -> None:
    fakes.put(store, Heartbeat(id="b1", at=NOON, partition=0))
    assert all(rows == [] for rows in fakes.dump(store).values())
