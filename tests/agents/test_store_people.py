"""What people did, in the archive: clocks, statements, silences, hand-overs; and drills, which no figure has."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import Engine, text

from agents.store import engine as engine_module
from agents.store import history_reads, readmodel, rule_reads, warm
from agents.store.expiry import expire
from agents.store.rows import Kind
from pipeline.model import (
    Ack,
    AlertStatus,
    Comment,
    DeliveryStatus,
    DrillMark,
    EscalationKind,
    HandOver,
    Heartbeat,
    Verdict,
    VerdictKind,
)
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON, raw_batch, raw_item

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


@pytest.mark.parametrize(("after", "shown"), [(9, {}), (40, {"registered_at": NOON + 40 * 60_000})])
def test_the_line_of_a_stop_that_was_registered_long_after_has_both_times(
        store: Engine, after: int, shown: dict[str, int]) -> None:
    done = fakes.clock(stopped_at=NOON, stopped_by="wang", stopped_why="statement", ref="st1",
                       registered_at=NOON + after * 60_000)
    fakes.put(store, fakes.clocks(1, done))
    [line] = lines(store, Kind.CLOCK_STOPPED)
    assert {name: line[name] for name in line if name == "registered_at"} == shown


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


# ---------------------------------------------------------------- what is asked of it


def ask(engine: Engine, question: Any, *args: Any, **options: Any) -> Any:
    with engine.connect() as connection:
        return question(connection, *args, **options)


def test_running_clocks_of_all_events_come_in_the_order_in_which_they_are_due(store: Engine) -> None:
    stopped = fakes.clock("answer", stopped_at=NOON + 9, stopped_by="wang", stopped_why="statement")
    fakes.put(store, fakes.head(event_id="e1", number=1), fakes.head(event_id="e2", number=2, title="排队两小时"),
              fakes.head(event_id="d1", number=3, subject="!polling"),
              fakes.clocks(1, stopped, fakes.clock("reply", due_at=NOON + 3 * DAY), event_id="e1"),
              fakes.clocks(1, fakes.clock(), fakes.clock("brief", due_at=NOON + DAY), event_id="e2"),
              fakes.clocks(1, fakes.clock(), event_id="d1"), fakes.clocks(1, stopped, event_id="e3"))
    found = ask(store, readmodel.running_clocks)
    assert [(each.number, each.clock.id) for each in found] == [
        ("E-0002", "answer"), ("E-0002", "brief"), ("E-0001", "reply")]
    assert found[1].left(NOON) == DAY and found[0].title == "排队两小时"
    assert [each.number for each in ask(store, readmodel.running_clocks, drills=True)] == ["D-0003"]
    assert [each.number for each in ask(store, readmodel.running_clocks, since=NOON + 2 * DAY)] == ["E-0001"], \
        "one that was due long ago and that nobody stopped does not stand before those that run"


def test_an_event_is_read_with_its_clocks_statements_and_open_proposals(store: Engine) -> None:
    offered = tuple(messages.excerpt(f"s{n}", official=True) for n in range(3))
    said = fakes.statement("st1", item_id="s0")
    fakes.put(store, fakes.head(statements=offered), said, fakes.statement("st2", item_id="s1", rejected=True),
              fakes.clocks(1, fakes.clock(), said))
    view = ask(store, readmodel.event, "E-0317")
    assert view.clocks == fakes.clocks(1, fakes.clock(), said), "with the words that lie in another table"
    assert [(each.id, each.rejected, each.text) for each in view.statements] == [
        ("st1", False, said.text), ("st2", True, said.text)]
    assert [each.item_id for each in view.proposals] == ["s2"]
    expire(store, NOON + DAY)
    view = ask(store, readmodel.event, "E-0317")
    assert [(each.expired, each.title) for each in view.statements] == [(True, ""), (True, "")]
    assert view.clocks.statements[0].id == "st1" and view.clocks.statements[0].title == ""


def test_silences_are_active_until_they_end_or_are_ended(store: Engine) -> None:
    hour = 3_600_000
    ended = fakes.silence("si2", ends_at=NOON + 9 * hour)
    fakes.put(store, fakes.silence("si1", ends_at=NOON + 2 * hour), ended, fakes.silence("si3", ends_at=NOON + hour),
              replace(ended, at=NOON + hour, expired_at=NOON + hour))

    def active(at: int, **options: Any) -> list[str]:
        return [each.id for each in ask(store, readmodel.silences, at, **options)]

    assert active(NOON) == ["si3", "si1", "si2"] and active(NOON + hour) == ["si1"] and active(NOON + DAY) == []
    assert active(NOON + hour, ended_since=NOON) == ["si1", "si2", "si3"]
    assert active(NOON + DAY, ended_since=NOON + hour) == ["si1"]
    assert ask(store, readmodel.silence, "si2").expired_at == NOON + hour
    assert ask(store, readmodel.silence, "none") is None


def test_who_answered_who_did_what_and_who_was_told(store: Engine) -> None:
    fakes.put(store, *(Comment(id=f"c{n}", event_id="e1", by="li", at=NOON + n, text=f"第 {n} 次联系 " + "很" * 99)
                       for n in range(4)),
              Ack(id="a1", event_id="e1", alert_id="al1", by="wang", at=NOON + 10, note="在看"),
              Ack(id="a2", event_id="e1", alert_id="al2", by="li", at=NOON + 20),
              HandOver(id="h", event_id="e1", alert_id="al2", by="li", at=NOON + 30, to="leaders", note="换班"),
              fakes.statement(at=NOON + 40, item_id="s0"), fakes.statement("no", item_id="s1", rejected=True),
              Ack(id="a3", event_id="e2", alert_id="al3", by="zhao", at=NOON),
              fakes.delivery("d1", status=DeliveryStatus.PENDING, attempts=0), fakes.delivery("d1"),
              fakes.delivery("d2", person="duty-b", channel="sms", status=DeliveryStatus.DEAD, decided_at=NOON + 3),
              fakes.delivery("d3", escalation_id="esc2", decided_at=NOON + 9, status=DeliveryStatus.PENDING))
    acks = ask(store, readmodel.last_acks, ["e1", "e2", "e9"])
    assert {event_id: one.by for event_id, one in acks.items()} == {"e1": "li", "e2": "zhao"}
    done = ask(store, warm.acts, ["e1"])["e1"]
    assert [(str(each.kind), each.by, each.text) for each in done[1:]] == [
        ("ack", "wang", "在看"), ("ack", "li", ""), ("hand_over", "li", "leaders，换班"),
        ("statement", "wang", "关于投票时间的说明")]
    assert done[0].text.startswith("第 3 次联系") and len(done[0].text) == 80
    told = ask(store, readmodel.told, ["e1", "e9"])
    assert [(each.person, each.channel, str(each.status)) for each in told["e1"]] == [
        ("duty-a", "console", "pending"), ("duty-b", "sms", "dead")] and list(told) == ["e1"]


def test_a_start_gets_clocks_of_alerts_that_wait_and_of_ended_ones_whose_clock_runs(store: Engine) -> None:
    stopped = fakes.clock(stopped_at=NOON, stopped_by="wang", stopped_why="closed")
    for event_id, status, clock in (("e1", AlertStatus.NOTIFIED, stopped), ("e2", AlertStatus.ENDED, fakes.clock()),
                                    ("e3", AlertStatus.ENDED, stopped)):
        fakes.put(store, fakes.head(event_id=event_id), fakes.alert(event_id=event_id, status=status),
                  fakes.clocks(2, clock, event_id=event_id))
    assert sorted(ask(store, warm.clocks, NOON)) == ["e1", "e2"]
    assert [state.event_id for state, _ in ask(store, warm.alerts, NOON)] == ["e1", "e2"]
    fakes.put(store, fakes.silence())
    assert ask(store, warm.silences, NOON) == [fakes.silence()] and ask(store, warm.silences, NOON + DAY) == []


def test_what_was_held_back_is_not_sent_at_a_start(store: Engine) -> None:
    fakes.put(store, messages.page("sent"), replace(messages.page("held"), suppressed_by="quiet"))
    assert [each.id for each in ask(store, warm.unledgered, NOON - 1)] == ["sent"]


# ---------------------------------------------------------------- drills


def test_a_drill_is_in_no_list_and_no_figure_unless_it_is_asked_for(store: Engine) -> None:
    mark = DrillMark(run="r1", source_name="青禾论坛", origin="luntan.example")
    drill = fakes.head(7, "x1", event_id="d1", number=317, subject="!polling")
    fakes.put(store, fakes.head(7, "a1"), raw_batch(raw_item("a1"), raw_item("x1", drill=mark)), drill,
              fakes.alert(), fakes.alert(event_id="d1", alert_id="al2"),
              messages.page("esc1"), replace(messages.page("esc2"), event_id="d1", head=drill),
              fakes.delivery("d1"), fakes.delivery("d2", event_id="d1", escalation_id="esc2"),
              Verdict(id="v1", subject="!polling", kind=VerdictKind.RELEVANT, by="li", at=NOON, event_id="d1"))
    assert drill.drill and [each.head.id for each in ask(store, readmodel.open_events)] == ["e1"]
    assert [each.head.id for each in ask(store, readmodel.open_events, drill=True)] == ["d1"]
    assert (ask(store, readmodel.event_id, "317"), ask(store, readmodel.event_id, "D-0317")) == ("e1", "d1")
    counts = ask(store, readmodel.counts)
    assert (counts.items, counts.open_events, counts.waiting_alerts) == (1, 1, 1)
    assert [each.id for each in ask(store, readmodel.deliveries)] == ["d1"]
    assert [each.id for each in ask(store, readmodel.deliveries, event="d1")] == ["d2"]
    assert len(ask(store, readmodel.deliveries, drills=True)) == 2
    assert ask(store, history_reads.size, NOON - 1, NOON + 1) == (1, 0)
    part = history_reads.Slice(NOON - 1, NOON + 1, NOON + 1)
    with store.connect() as connection:
        assert [each.id for each in history_reads.contents(connection, part)] == ["a1"]
    assert ask(store, history_reads.marked_events, 0, NOON + 1) == []
    figures = ask(store, rule_reads.rule_figures, NOON, ["polling"])["polling"]
    assert (figures.events.day, figures.pages.day, figures.verdicts.judged) == (1, 1, 0)


def test_numbers_of_drills_go_on_by_themselves(store: Engine) -> None:
    fakes.put(store, fakes.head(event_id="e1", number=5), fakes.head(event_id="s1", number=7, subject="~polling"),
              fakes.head(event_id="d1", number=3, subject="!polling"))
    assert sorted(each.id for each in ask(store, warm.greatest_numbers, 1)) == ["d1", "e1", "s1"]


# ---------------------------------------------------------------- tables of before


def test_rows_of_before_are_of_no_drill_and_were_held_back_by_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    engine = engine_module.open_store(url)
    with engine.begin() as connection:
        command.upgrade(engine_module._config(connection), "0005")
        connection.execute(text("INSERT INTO escalations (id, event_id, kind, at, detail) "
                                "VALUES ('esc1', 'e1', 'page', 5, '')"))
        connection.execute(text(
            "INSERT INTO items (id, source_id, revision, title, text, url, first_seen_at, seen_at, backfill, expired) "
            "VALUES ('a1', 'xinwen', '1', '投票站', '几点关门', 'http://x/', 5, 5, FALSE, FALSE)"))
    engine.dispose()
    engine_module.upgrade(url)
    engine = engine_module.open_store(url)
    message, item = only(engine, "escalations"), only(engine, "items")
    engine.dispose()
    assert (message["drill"], message["suppressed_by"], item["drill"]) == (False, "", False)


def test_the_sixth_migration_can_be_said_in_postgresql() -> None:
    said = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said})
    with Operations.context(context):
        importlib.import_module("agents.store.migrations.versions.0006_clocks_statements_silences").upgrade()
    for line in ("ALTER TABLE items ADD COLUMN drill BOOLEAN DEFAULT false NOT NULL",
                 "ALTER TABLE escalations ADD COLUMN suppressed_by TEXT DEFAULT '' NOT NULL",
                 "PRIMARY KEY (stage, partition)", "CREATE INDEX clocks_open ON clocks (open, next_due_at)"):
        assert line in said.getvalue()
