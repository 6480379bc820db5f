"""What the desk asks and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, Engine, insert

from agents.store import readmodel, schema
from pipeline.model import (
    AlertStatus,
    Counts,
    CountsBatch,
    CountsRow,
    DeliveryStatus,
    EscalationKind,
    EventStatus,
    Span,
)
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


# ---------------------------------------------------------------- one item


def grown(*totals: tuple[int, Counts]) -> CountsBatch:
    return CountsBatch(source_id="xinwen", at=NOON, items=tuple(CountsRow("a1", at, counts) for at, counts in totals))


def test_an_item_is_shown_with_what_it_said_before_its_counts_its_events_and_why_it_matched(
    store: Engine, ask: Connection,
) -> None:
    fakes.put(store, raw_batch(raw_item(revision="1" * 16, title="三点关门", counts=Counts(comments=1))))
    fakes.put(store, raw_batch(raw_item(revision="2" * 16, title="六点关门", first_seen_at=NOON + MINUTE)))
    last = raw_item(revision="3" * 16, title="八点关门", first_seen_at=NOON + 2 * MINUTE, html="<p><b>八点</b></p>",
                    ref="12345-0601", urgent=True)
    span = Span("polling", "关门", "title", 2, 4)
    fakes.put(store, raw_batch(last), grown((NOON + 9, Counts(comments=4))), fakes.head(7, "a1"),
              fakes.head(3, "a1", event_id="e2", number=0, status=EventStatus.WATCHING, level=0, level_name="",
                         opened_at=NOON - 1),
              scored_batch(replace(scored_item(), item=last, spans=(span,))))
    item = readmodel.item(ask, "a1")
    assert item is not None
    assert (item.title, item.html, item.ref, item.urgent) == ("八点关门", "<p><b>八点</b></p>", "12345-0601", True)
    assert (item.first_seen_at, item.revised_at) == (NOON, NOON + 2 * MINUTE)
    assert [(each.title, each.seen_at) for each in item.revisions] == [("六点关门", NOON + MINUTE), ("三点关门", NOON)]
    assert [(row.at, row.counts.comments) for row in item.counts] == [(NOON, 1), (NOON + 9, 4)]
    assert [(event.id, event.number, event.status) for event in item.events] == [
        ("e1", 317, EventStatus.OPEN), ("e2", 0, EventStatus.WATCHING)]
    assert {subject: seen.spans for subject, seen in item.scored.items()} == {"polling": (span,)}


def test_an_item_the_archive_does_not_have_is_none(ask: Connection) -> None:
    assert readmodel.item(ask, "nothing") is None and readmodel.counts_of(ask, ["nothing"]) == {}


@pytest.mark.parametrize(("series", "growth"), [
    ([Counts(5, 1, 1)], 0),
    ([Counts(5, 1, 1), Counts(9, 1, 3)], 6),
    ([Counts(5, None, 9), Counts(9, 7, 2)], 4),                     # not said before; fewer likes than before
    ([Counts(1, views=5), Counts(1, views=5_000)], 0),              # views are nobody speaking
])
def test_growth_is_what_came_since_the_first_known_counts(
    store: Engine, ask: Connection, series: list[Counts], growth: int,
) -> None:
    fakes.put(store, grown(*((NOON + n, counts) for n, counts in enumerate(series))))
    now = readmodel.counts_of(ask, ["a1", "other"])
    assert list(now) == ["a1"] and (now["a1"].growth, now["a1"].counts) == (growth, series[-1])


def test_the_state_of_a_source_comes_back_as_the_collector_knew_it(store: Engine, ask: Connection) -> None:
    state = fakes.source_state(kind="discourse", failures=3, failed_since=NOON - 9, arrivals=(NOON - 5, NOON - 2),
                               moved_to="https://new.example/", moves=2, by_link=True, seen=b"12345678")
    fakes.put(store, state)
    assert readmodel.source_states(ask) == {"xinwen": replace(state, seen=b"", etag="")}
    row = readmodel.sources(ask)[0]
    assert (row.kind, row.failed_since, row.items) == ("discourse", NOON - 9, 0)
