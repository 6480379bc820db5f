"""Records -> rows: whatever order they come in and however often, the same rows."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError

from agents.store import schema, upsert
from agents.store.projection import Entry, project
from pipeline.model import (
    Ack,
    AlertStatus,
    Close,
    Comment,
    Counts,
    CountsBatch,
    CountsRow,
    DeliveryStatus,
    EscalationKind,
    EventStatus,
    HandOver,
    Snooze,
    Tick,
    Verdict,
    VerdictKind,
    WarmEvent,
    Why,
)
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON, book, raw_batch, raw_item, scored_batch, scored_item

MINUTE = 60_000


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return fakes.new_store(tmp_path)


def only(engine: Engine, name: str) -> dict[str, Any]:
    rows = fakes.rows(engine, name)
    assert len(rows) == 1
    return rows[0]


# ---------------------------------------------------------------- items


def test_an_edit_is_a_revision_of_the_same_item(store: Engine) -> None:
    fakes.put(store, raw_batch(raw_item(revision="1" * 16, title="六点关门")))
    fakes.put(store, raw_batch(raw_item(revision="2" * 16, title="八点关门", first_seen_at=NOON + MINUTE)))
    item, earlier = only(store, "items"), only(store, "revisions")
    assert (item["title"], item["first_seen_at"], item["revised_at"]) == ("八点关门", NOON, NOON + MINUTE)
    assert (earlier["revision"], earlier["title"], earlier["seen_at"]) == ("1" * 16, "六点关门", NOON)


def test_an_edit_that_is_taken_back_is_current_and_no_longer_earlier(store: Engine) -> None:
    for offset, revision in enumerate(("1", "2", "1")):
        fakes.put(store, raw_batch(raw_item(revision=revision * 16, first_seen_at=NOON + offset)))
    assert only(store, "items")["revision"] == "1" * 16
    assert [row["revision"] for row in fakes.rows(store, "revisions")] == ["2" * 16]


def test_an_unedited_item_that_is_seen_again_is_not_revised(store: Engine) -> None:
    fakes.put(store, raw_batch(raw_item()))
    fakes.put(store, raw_batch(raw_item(first_seen_at=NOON + MINUTE)))
    assert only(store, "items")["revised_at"] is None


def test_an_item_keeps_a_row_per_subject_with_its_newest_evidence(store: Engine) -> None:
    fakes.put(store, scored_batch(scored_item()), scored_batch(scored_item(), subject="queues"))
    fakes.put(store, scored_batch(scored_item(revision="2" * 16, at=NOON + 1, title="新")))
    fakes.put(store, scored_batch(scored_item()))
    rows = {row["subject"]: row for row in fakes.rows(store, "scored")}
    assert {subject: row["revision"][0] for subject, row in rows.items()} == {"polling": "2", "queues": "0"}
    assert json.loads(rows["polling"]["detail"])["item"]["title"] == "新"


def test_counts_are_a_series_of_the_item_and_a_repeat_adds_nothing(store: Engine) -> None:
    batch = CountsBatch(source_id="xinwen", at=NOON + MINUTE, items=(
        CountsRow("a1", NOON + MINUTE, Counts(comments=5, views=900)), CountsRow("unknown", NOON, Counts(likes=1))))
    for _ in range(2):
        fakes.put(store, raw_batch(raw_item(counts=Counts(comments=3))), batch)
    found = sorted((row["item_id"], row["at"], row["comments"], row["likes"], row["views"])
                   for row in fakes.rows(store, "counts"))
    assert found == [("a1", NOON, 3, None, None), ("a1", NOON + MINUTE, 5, None, 900), ("unknown", NOON, None, 1, None)]


def test_an_item_without_counts_has_no_row_of_them(store: Engine) -> None:
    fakes.put(store, raw_batch(raw_item()))
    assert fakes.rows(store, "counts") == []


# ---------------------------------------------------------------- events


def test_only_a_newer_head_replaces_an_event_and_members_of_all_are_kept(store: Engine) -> None:
    fakes.put(store, fakes.head(8, "a2", items=24), fakes.head(7, "a1", items=23))
    event = only(store, "events")
    assert (event["version"], event["items"]) == (8, 24)
    assert "joined" not in json.loads(event["head"])
    assert {row["item_id"] for row in fakes.rows(store, "members")} == {"a1", "a2"}


def kinds(engine: Engine) -> list[str]:
    return sorted(row["kind"] for row in fakes.rows(engine, "timeline"))


def test_a_repeated_decision_is_one_line_and_a_real_change_is_another(store: Engine) -> None:
    first = messages.decision(level=1, previous=0)
    for version in (3, 4, 5):
        fakes.put(store, fakes.head(version, decision=first, level=1, raises=1))
    assert kinds(store) == ["level", "opened"]
    fakes.put(store, fakes.head(6, decision=messages.decision(level=2, previous=1), level=2, raises=2))
    assert kinds(store) == ["level", "level", "opened"]


def test_calm_closed_and_open_again_are_lines_of_their_own(store: Engine) -> None:
    calmed = messages.decision(Why.CALMED, level=0, previous=2)
    closed = messages.decision(Why.CLOSED, level=0, previous=0)
    again = messages.decision(level=1, previous=0)
    fakes.put(store, fakes.head(8, decision=calmed, status=EventStatus.CALM, level=0),
              fakes.head(9, decision=closed, status=EventStatus.CLOSED, level=0, closed_by="zhang",
                         closed_reason="已处置"),
              fakes.head(10, decision=again, level=1, raises=3))
    found = [json.loads(row["detail"]) for row in fakes.rows(store, "timeline") if row["kind"] == "status"]
    assert found == [{"status": "calm"}, {"status": "closed", "by": "zhang", "reason": "已处置"}, {"status": "open"}]


def test_an_event_below_every_level_has_no_timeline(store: Engine) -> None:
    watching = messages.decision(Why.BELOW, level=0, previous=0)
    fakes.put(store, fakes.head(1, decision=watching, level=0, number=0, raises=0, status=EventStatus.WATCHING))
    assert kinds(store) == []


def test_a_statement_of_the_office_is_a_line_without_its_text(store: Engine) -> None:
    said = messages.excerpt("s1", official=True, source_name="县选委会", text="投票至晚八点")
    fakes.put(store, fakes.head(8, statements=(said,)), fakes.head(9, statements=(said,)))
    found = [row for row in fakes.rows(store, "timeline") if row["kind"] == "statement"]
    assert len(found) == 1
    assert json.loads(found[0]["detail"]) == {"item_id": "s1", "source_name": "县选委会"}


def test_commands_messages_and_how_they_ended_are_in_the_timeline(store: Engine) -> None:
    fakes.put(
        store,
        Ack(id="c1", event_id="e1", alert_id="al1", by="wang", at=NOON, note="在看"),
        Snooze(id="c2", event_id="e1", alert_id="al1", by="wang", at=NOON, until=NOON + MINUTE),
        Close(id="c3", event_id="e1", key="polling", by="wang", at=NOON, reason="已处置"),
        messages.page(), fakes.delivery(status=DeliveryStatus.PENDING, attempts=0), fakes.delivery())
    assert kinds(store) == ["ack", "close", "delivery", "escalation", "snooze"]


def test_a_digest_is_a_line_of_each_of_its_events_and_a_notice_of_none(store: Engine) -> None:
    both = (messages.head("e1"), messages.head("e2"))
    fakes.put(store, messages.page("dg", kind=EscalationKind.DIGEST, head=None, digest=both), messages.system())
    assert sorted(row["event_id"] for row in fakes.rows(store, "timeline")) == ["e1", "e2"]
    assert len(fakes.rows(store, "escalations")) == 2


# ---------------------------------------------------------------- the rest


def test_alerts_compare_by_version_then_revision(store: Engine) -> None:
    fakes.put(store, fakes.alert(revision=2, status=AlertStatus.ACKED))
    fakes.put(store, fakes.alert(revision=1))
    assert only(store, "alerts")["status"] == "acked"
    fakes.put(store, fakes.alert(event_version=8, revision=1, status=AlertStatus.PENDING))
    assert only(store, "alerts")["status"] == "pending"


def test_a_confirmed_delivery_never_becomes_pending_again(store: Engine) -> None:
    fakes.put(store, fakes.delivery(attempts=2))
    fakes.put(store, fakes.delivery(status=DeliveryStatus.PENDING, attempts=9, at=NOON + MINUTE))
    assert (only(store, "deliveries")["status"], only(store, "deliveries")["attempts"]) == ("confirmed", 2)


def test_a_dead_delivery_that_was_replayed_is_confirmed(store: Engine) -> None:
    fakes.put(store, fakes.delivery(status=DeliveryStatus.DEAD, attempts=10), fakes.delivery(attempts=1))
    assert only(store, "deliveries")["status"] == "confirmed"


def test_a_book_that_comes_back_into_force_is_the_latest_again(store: Engine) -> None:
    for at, name in ((1, "a"), (2, "b"), (3, "a")):
        fakes.put(store, book(hash=name * 16), at=at)
    assert {row["hash"][0]: row["at"] for row in fakes.rows(store, "books")} == {"a": 3, "b": 2}


def test_what_is_no_news_to_the_archive_is_passed_over(store: Engine) -> None:
    assert project(store, [Entry(Tick(at=NOON), NOON), Entry(WarmEvent(head=fakes.head(), rows=()), NOON)]) == {}
    assert all(rows == [] for rows in fakes.dump(store).values())


@pytest.mark.sqlite
def test_a_batch_is_written_whole_or_not_at_all(store: Engine) -> None:
    with store.begin() as connection:
        connection.exec_driver_sql("CREATE TRIGGER full BEFORE INSERT ON dead_letters BEGIN "
                                   "SELECT RAISE(ABORT, 'database or disk is full'); END")
    with pytest.raises(Exception, match="disk is full"):
        fakes.put(store, raw_batch(raw_item()), fakes.head(7, "a1"), fakes.dead())
    assert all(rows == [] for rows in fakes.dump(store).values())


def everything() -> list[Any]:
    """Records of every kind, with edits, versions and states that follow one another."""
    edits = [raw_item(f"a{n}", revision=f"{r:016d}", title=f"第{r}版", first_seen_at=NOON + r * MINUTE,
                      backfill=r == 0, html=f"<p>第{r}版</p>", counts=Counts(comments=r))
             for n in range(6) for r in range(n % 3 + 1)]
    raw = [raw_batch(*edits[at:at + 3]) for at in range(0, len(edits), 3)]
    scored = [scored_batch(*(scored_item(f"a{n}", revision=f"{r:016d}", at=NOON + r * MINUTE) for n in range(6)),
                           subject=subject) for r in range(2) for subject in ("polling", "queues")]
    decisions = [messages.decision(level=1, previous=0), messages.decision(level=2, previous=1),
                 messages.decision(Why.CALMED, level=0, previous=2)]
    heads = [fakes.head(version, f"a{version}", event_id=event, decision=decisions[version // 2], items=version,
                        raises=min(version // 2 + 1, 2)) for version in range(6) for event in ("e1", "e2")]
    states = [fakes.alert(event_version=version, revision=revision, status=status)
              for version in (1, 3) for revision, status in enumerate((AlertStatus.PENDING, AlertStatus.NOTIFIED))]
    sent = [fakes.delivery(status=status, attempts=tries, at=NOON + tries)
            for tries, status in enumerate((DeliveryStatus.PENDING, DeliveryStatus.PENDING, DeliveryStatus.CONFIRMED))]
    polls = [fakes.source_state(polled_at=NOON + n, failures=n) for n in range(4)]
    grown = [CountsBatch(source_id="xinwen", at=NOON + at, items=tuple(
        CountsRow(f"a{n}", NOON + at, Counts(comments=at, views=9 * at)) for n in range(6))) for at in (7, 8)]
    return [*raw, *grown, *scored, *heads, *states, *sent, *polls, messages.page(), messages.system(), fakes.dead(),
            book(), Ack(id="c1", event_id="e1", alert_id="al1", by="wang", at=NOON), *in_shadow(), *of_people()]


def of_people() -> list[Any]:
    """What people did about events: clocks that ran and stopped, statements, a silence that was ended, a hand-over."""
    said = fakes.statement()
    clock = fakes.clock()
    stopped = replace(clock, warned=50, stopped_at=NOON + 9, stopped_by="wang", stopped_why="statement", ref=said.id)
    clocks = [fakes.clocks(1, clock), fakes.clocks(2, replace(clock, warned=50)), fakes.clocks(3, stopped, said)]
    silence = fakes.silence(event_id="e1")
    return [*clocks, said, fakes.statement("st2", item_id="a1"), fakes.statement("st3", item_id="a2", rejected=True),
            silence, replace(silence, at=NOON + 5, expired_at=NOON + 5),
            HandOver(id="h1", event_id="e1", alert_id="al1", by="wang", at=NOON, to="leaders"),
            Comment(id="n1", event_id="e1", by="wang", at=NOON, text="已电话联系"),
            replace(messages.page("held", at=NOON + 4), suppressed_by="silence:si1"),
            replace(messages.page("clk", at=NOON + 4), kind=EscalationKind.CLOCK, clock="answer", percent=50)]


def in_shadow() -> list[Any]:
    """What runs in shadow beside it, and what people said."""
    heads = [fakes.head(version, "a1", event_id="s1", subject="~queues", raises=version) for version in (1, 2)]
    said = [Verdict(id=f"v{n}", subject="~queues", kind=kind, by="wang", at=NOON + n, event_id="s1" if n else "",
                    item_id="" if n else "a1") for n, kind in enumerate(VerdictKind)]
    return [*heads, *said, replace(messages.page("sh", event_id="s1"), shadow=True),
            replace(book(hash="6" * 16), shadow=book(hash="5" * 16)), replace(book(), shadow=book(hash="6" * 16))]


@pytest.mark.parametrize("seed", range(12))
def test_repeats_and_any_order_leave_the_same_database(tmp_path: Path, seed: int) -> None:
    records = everything()
    expected = fakes.new_store(tmp_path / "once")
    fakes.put(expected, *records)
    chance = random.Random(seed)
    mixed = records + chance.sample(records, len(records) // 2)
    chance.shuffle(mixed)
    found = fakes.new_store(tmp_path / "mixed")
    while mixed:
        some = chance.randint(1, 9)
        fakes.put(found, *mixed[:some])
        del mixed[:some]
    wanted = fakes.dump(expected)
    assert all(wanted.values()), "a test that fills every table"
    assert fakes.dump(found) == wanted


def test_rows_written_are_counted_by_table_and_a_repeat_writes_none(store: Engine) -> None:
    entries = [Entry(record, NOON) for record in everything()]
    first, second = project(store, entries), project(store, entries)
    assert first["events"] == 3 and first["items"] == 6
    assert {name: count for name, count in second.items() if name != "books"} == {}


def test_the_upserts_can_be_said_in_postgresql() -> None:
    class Recorder:
        dialect = postgresql.dialect()
        said = ""
        rowcount = 1

        def execute(self, statement: Any, rows: Any) -> Recorder:
            self.said = str(statement.compile(dialect=self.dialect))
            return self

    recorder: Any = Recorder()
    upsert.keep_newest(recorder, schema.alerts, [{"event_id": "e1", "event_version": 1, "revision": 1}],
                       lambda of: [of["event_version"], of["revision"]])
    newer = "(excluded.event_version, excluded.revision) > (alerts.event_version, alerts.revision)"
    assert f"WHERE {newer}" in recorder.said
    upsert.keep_greatest(recorder, schema.books, [{"hash": "a", "at": 1, "book": ""}], "at")
    assert "greatest(" in recorder.said
    upsert.insert_once(recorder, schema.timeline, [{"event_id": "e1", "ref": "r"}], on=("event_id", "ref"))
    assert "ON CONFLICT (event_id, ref) DO NOTHING" in recorder.said


@pytest.mark.sqlite
def test_a_locked_store_is_an_error_after_the_wait_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fakes.new_store(tmp_path)
    monkeypatch.setattr("agents.store.engine.BUSY_SECONDS", 0.05)
    with store.connect() as waiting:
        with store.begin() as other:
            other.exec_driver_sql("DELETE FROM books")
            with pytest.raises(OperationalError, match="locked"):
                waiting.exec_driver_sql("DELETE FROM items")
