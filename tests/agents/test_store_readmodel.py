"""What the desk asks and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, insert

from agents.store import readmodel, schema
from pipeline.model import AlertStatus, DeliveryStatus, EscalationKind, EventStatus
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON, book, raw_batch, raw_item, scored_batch, scored_item

MINUTE = 60_000


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return fakes.new_store(tmp_path)


@pytest.fixture
def ask(store: Engine) -> Connection:
    with store.connect() as connection:
        yield connection


def test_an_empty_store_answers_everything(ask: Connection) -> None:
    assert readmodel.open_events(ask) == [] == readmodel.sources(ask) == readmodel.deliveries(ask)
    assert readmodel.event(ask, "E-0001") is None and readmodel.book(ask) is None
    assert readmodel.head(ask, "nothing") is None and readmodel.alert(ask, "nothing") is None
    assert readmodel.dead_letters(ask) == [] == readmodel.audit(ask)
    assert readmodel.counts(ask) == readmodel.Counts(0, 0, 0, 0, None, 0, 0)


def test_open_events_come_highest_level_first_then_the_latest(store: Engine, ask: Connection) -> None:
    fakes.put(store, fakes.head(event_id="low", level=1, number=1, changed_at=NOON + 9),
              fakes.head(event_id="early", level=3, number=2, changed_at=NOON),
              fakes.head(event_id="late", level=3, number=3, changed_at=NOON + 5),
              fakes.head(event_id="calm", level=0, number=4, status=EventStatus.CALM),
              fakes.alert(event_id="late"))
    cards = readmodel.open_events(ask)
    assert [card.head.id for card in cards] == ["late", "early", "low"]
    assert [card.alert is not None for card in cards] == [True, False, False]


def test_a_cluster_that_never_reached_a_level_is_not_listed(store: Engine, ask: Connection) -> None:
    fakes.put(store, fakes.head(number=0, status=EventStatus.WATCHING, level=0))
    assert readmodel.events(ask, list(EventStatus)) == []


@pytest.mark.parametrize("ref", ["E-0317", "e-317", "317", "E317", "e1"])
def test_an_event_is_found_by_number_or_id(store: Engine, ask: Connection, ref: str) -> None:
    fakes.put(store, fakes.head())
    assert readmodel.event_id(ask, ref) == "e1"


@pytest.mark.parametrize("ref", ["E-0318", "0", "x317", "", "E-", "'; drop table events"])
def test_what_names_no_event_finds_none(store: Engine, ask: Connection, ref: str) -> None:
    fakes.put(store, fakes.head(), fakes.head(event_id="e2", number=0))
    assert readmodel.event_id(ask, ref) is None


def test_one_event_comes_with_all_that_belongs_to_it(store: Engine, ask: Connection) -> None:
    edited = raw_item("a2", revision="1" * 16, first_seen_at=NOON + 1)
    fakes.put(store, raw_batch(raw_item("a1"), raw_item("a2"), edited), scored_batch(scored_item("a1")),
              scored_batch(scored_item("a1"), subject="queues"), fakes.head(7, "a1", "a2", "a3"), fakes.alert(),
              messages.page(), fakes.delivery(), fakes.head(7, "b1", event_id="other", number=318))
    view = readmodel.event(ask, "E-0317")
    assert view is not None
    assert (view.head.id, view.head.joined, view.expired) == ("e1", (), False)
    assert view.alert is not None and view.alert.alert_id == "al1"
    by_id = {member.item_id: member for member in view.members}
    assert set(by_id) == {"a1", "a2", "a3"}
    assert by_id["a1"].scored is not None and by_id["a1"].scored.item.title == "投票站几点关门"
    assert by_id["a1"].row.origin == "xinwen.example" and by_id["a1"].source_id == "xinwen"
    assert (by_id["a2"].edited, by_id["a1"].edited) == (True, False)
    assert by_id["a3"].scored is None and not by_id["a3"].expired
    assert [line.at for line in view.timeline] == sorted(line.at for line in view.timeline)
    assert [each.id for each in view.escalations] == ["esc1"]
    assert [(row.kind, row.event_number) for row in view.deliveries] == [("page", 317)]


def test_members_come_newest_first_and_in_pages(store: Engine, ask: Connection) -> None:
    rows = tuple(fakes.member(f"a{n}", NOON + n) for n in range(5))
    fakes.put(store, messages.head("e1", joined=rows))
    pages = [readmodel.members(ask, "e1", subject="polling", limit=2, offset=at) for at in (0, 2, 4)]
    assert [[member.item_id for member in page] for page in pages] == [["a4", "a3"], ["a2", "a1"], ["a0"]]


def test_deliveries_are_filtered_and_paged(store: Engine, ask: Connection) -> None:
    fakes.put(store, messages.system(), *(fakes.delivery(f"d{n}", at=NOON + n) for n in range(4)),
              fakes.delivery("dead", status=DeliveryStatus.DEAD, channel="mail", person="ops-a", event_id="",
                             escalation_id="sys1", at=NOON + 9, error="550 no such user"))
    assert [row.id for row in readmodel.deliveries(ask, limit=2)] == ["dead", "d3"]
    assert [row.id for row in readmodel.deliveries(ask, before=NOON + 2)] == ["d1", "d0"]
    failed = readmodel.deliveries(ask, status=DeliveryStatus.DEAD)
    assert [(row.error, row.kind, row.event_number) for row in failed] == [
        ("550 no such user", str(EscalationKind.SYSTEM), 0)]
    assert len(readmodel.deliveries(ask, channel="mail", person="ops-a")) == 1
    assert len(readmodel.deliveries(ask, event="e1")) == 4


def test_sources_say_where_they_stand_and_how_much_they_brought(store: Engine, ask: Connection) -> None:
    fakes.put(store, fakes.source_state(), fakes.source_state("luntan", outcome="timeout", failures=3,
                                                              succeeded_at=None, error="no answer in 20 s"),
              raw_batch(raw_item("a1"), raw_item("a2")))
    assert [(row.id, row.items, row.failures, row.error) for row in readmodel.sources(ask)] == [
        ("luntan", 0, 3, "no answer in 20 s"), ("xinwen", 2, 0, "")]


def test_counts_are_for_the_top_of_a_page(store: Engine, ask: Connection) -> None:
    fakes.put(store, fakes.source_state(polled_at=NOON + 7), fakes.source_state("luntan", failures=1), fakes.head(),
              fakes.alert(), fakes.alert(event_id="e2", status=AlertStatus.ACKED), raw_batch(raw_item()),
              fakes.dead())
    assert readmodel.counts(ask) == readmodel.Counts(
        items=1, open_events=1, sources=2, sources_ok=1, last_polled_at=NOON + 7, waiting_alerts=1, dead_letters=1)


def test_the_latest_book_is_the_one_in_force_and_any_is_found_by_its_hash(store: Engine, ask: Connection) -> None:
    fakes.put(store, book(hash="a" * 16, timezone="Asia/Urumqi"), at=1)
    fakes.put(store, book(), at=2)
    latest, old = readmodel.book(ask), readmodel.book(ask, "a" * 16)
    assert latest == book() and old is not None and old.timezone == "Asia/Urumqi"
    assert readmodel.book(ask, "nothing") is None


def test_dead_letters_are_whole_and_the_waiting_ones_can_be_asked_for(store: Engine, ask: Connection) -> None:
    fakes.put(store, fakes.dead("x1"), fakes.dead("x2", at=NOON + 1))
    with store.begin() as connection:
        connection.exec_driver_sql("UPDATE dead_letters SET replayed_at = 5 WHERE id = 'x2'")
    assert [row.id for row in readmodel.dead_letters(ask)] == ["x2", "x1"]
    waiting = readmodel.dead_letters(ask, waiting=True)
    assert [row.id for row in waiting] == ["x1"] and waiting[0].letter == fakes.dead("x1")
    assert readmodel.dead_letter(ask, "x2") is not None and readmodel.dead_letter(ask, "x3") is None


def test_audit_lines_come_latest_first_and_in_pages(store: Engine, ask: Connection) -> None:
    lines = [{"at": NOON + n, "account": who, "action": "event.read", "object": "e1", "detail": ""}
             for n, who in enumerate(("wang", "zhang", "wang"))]
    with store.begin() as connection:
        connection.execute(insert(schema.audit), lines)
    first = readmodel.audit(ask, limit=2)
    assert [row.at for row in first] == [NOON + 2, NOON + 1]
    assert [row.at for row in readmodel.audit(ask, before=first[-1].seq)] == [NOON]
    assert [row.account for row in readmodel.audit(ask, account="wang")] == ["wang", "wang"]


def test_items_are_found_by_id_however_many(store: Engine, ask: Connection) -> None:
    fakes.put(store, *(scored_batch(*(scored_item(f"a{n}") for n in range(at, at + 60))) for at in range(0, 600, 60)))
    found = readmodel.scored_items(ask, [f"a{n}" for n in range(600)], "polling")
    assert {item.item.id for item in found} == {f"a{n}" for n in range(600)}
    assert readmodel.scored_items(ask, ["a1"], "queues") == []
