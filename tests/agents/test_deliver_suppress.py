"""What was answered, snoozed, raised or closed is not sent any more; what was under way is told as it ended."""

from __future__ import annotations

from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from agents.deliverer.ledger import Ledger
from agents.deliverer.parcel import CONFIRMED, DEAD, PENDING, SUPPRESSED, Parcel, delivery_id
from agents.deliverer.reporter import Reporter
from agents.deliverer.suppress import Placed
from pipeline import topics
from pipeline.model import AlertState, AlertStatus, DeliveryStatus, EscalationKind, EventClock, EventClocks
from tests.agents.test_deliver_intake import CONSOLE, OTHER, Record, intake, record
from tests.builders import NOON
from tests.delivery_fakes import FakeBus, claim, delivery_book, delivery_deps, ledger_with, parcel, rows, store
from tests.messages import page

MINUTE = 60_000


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = store(tmp_path)
    yield engine
    engine.dispose()


def state(status: AlertStatus = AlertStatus.ACKED, **changes: Any) -> AlertState:
    values: dict[str, Any] = {"event_id": "e1", "alert_id": "al1", "event_version": 1, "revision": 2, "level": 2,
                              "status": status, "raised_at": NOON, **changes}
    if status is AlertStatus.ACKED:
        values = {"acked_by": "白班", "acked_at": NOON + MINUTE, **values}
    return AlertState(**values)


def waiting(ident: str = "d1", **changes: Any) -> Parcel:
    return parcel(ident, **{"place": 5, "decided_at": NOON, **changes})


def ends(engine: Engine) -> dict[str, tuple[str, str]]:
    return {row.id: (row.status, row.suppressed_by) for row in rows(engine)}


STAYS = (PENDING, "")


@pytest.mark.parametrize("row,said,place,expected", [
    ({}, state(), 6, (SUPPRESSED, "acked:白班")),
    ({}, state(AlertStatus.SNOOZED), 6, (SUPPRESSED, "snoozed")),
    ({}, state(AlertStatus.ENDED), 6, (SUPPRESSED, "closed")),
    ({"alert_id": "older"}, state(AlertStatus.ENDED), 6, (SUPPRESSED, "closed")),
    ({}, state(AlertStatus.NOTIFIED, alert_id="al2"), 6, (SUPPRESSED, "raised:al2")),
    ({}, state(AlertStatus.NOTIFIED), 6, STAYS),
    ({}, state(AlertStatus.EXHAUSTED), 6, STAYS),
    ({}, state(event_id="e2"), 6, STAYS),
    ({"alert_id": "al2", "decided_at": NOON + 2 * MINUTE}, state(), 4, STAYS),      # a raise after the ack
    ({"decided_at": NOON + 2 * MINUTE}, state(), 4, STAYS),                         # handed over after the ack
    ({"decided_at": NOON + 2 * MINUTE}, state(), 6, (SUPPRESSED, "acked:白班")),     # decided late, answered after it
    ({"place": 900}, state(), 3, (SUPPRESSED, "acked:白班")),                        # a topic that began anew
    ({"kind": "inform"}, state(), 6, STAYS),
    ({"kind": "digest"}, state(AlertStatus.ENDED), 6, STAYS),
    ({"kind": "clock"}, state(), 6, STAYS),
])
def test_which_rows_a_state_ends(
    engine: Engine, row: dict[str, Any], said: AlertState, place: int, expected: tuple[str, str]
) -> None:
    ledger = ledger_with(engine, waiting(**row))
    ledger.take([Placed(said, place)], (), 0)
    assert ends(engine)["d1"] == expected
    ledger.take([Placed(said, place)], (), 0)
    assert ends(engine)["d1"] == expected
    assert claim(ledger) == [] or expected == STAYS


async def test_the_order_of_the_topic_decides_within_one_poll(engine: Engine, tmp_path: Path) -> None:
    def at(offset: int, value: Any) -> Record:
        return changed(record(value), offset=offset)

    handed = page("handed", at=NOON + 2 * MINUTE)
    again = [at(1, page("first")), at(2, state()), at(3, handed), at(4, state(AlertStatus.NOTIFIED, revision=3))]
    for _ in range(2):               # a poll whose offsets were not committed is read again
        await intake(engine, tmp_path, rules=delivery_book(CONSOLE)).take(again)
    found = ends(engine)
    assert found[delivery_id("first", "duty-a", "hook")] == (SUPPRESSED, "acked:白班")
    assert found[delivery_id("handed", "duty-a", "hook")] == STAYS


@pytest.mark.parametrize("end,expected", [
    (lambda ledger, held: ledger.confirm(held, 9), (CONFIRMED, "")),
    (lambda ledger, held: ledger.postpone(held, "HTTP 500", 9), (SUPPRESSED, "acked:白班")),
    (lambda ledger, held: ledger.bury(held, "HTTP 404", 9), (SUPPRESSED, "acked:白班")),
], ids=["sent", "not now", "refused"])
def test_what_is_under_way_when_the_answer_comes_ends_as_it_went(
    engine: Engine, end: Any, expected: tuple[str, str]
) -> None:
    ledger = ledger_with(engine, waiting(next_channels=("sms",)))
    held = claim(ledger, now=0, until=60_000)
    ledger.take([Placed(state(), 6)], (), 1)
    assert ends(engine) == {"d1": (PENDING, "acked:白班")} and claim(ledger, now=2) == []
    end(ledger, held)
    assert ends(engine) == {"d1": expected}, "and nothing goes to the next channel"
    assert rows(engine)[0].attempts == 1


def test_what_was_under_way_in_a_process_that_died_ends_with_its_lease(engine: Engine) -> None:
    ledger = ledger_with(engine, waiting(), waiting("d2", event_id="e2"))
    claim(ledger, now=0, until=60_000)
    ledger.take([Placed(state(), 6)], (), 1)
    assert [one.id for one in claim(ledger, now=60_001, until=120_000)] == ["d2"]
    assert ends(engine)["d1"] == (SUPPRESSED, "acked:白班")


def test_warnings_of_a_clock_that_stopped_are_not_sent(engine: Engine) -> None:
    def clock_row(ident: str, clock: str) -> Parcel:
        return waiting(ident, escalation=page(ident, kind=EscalationKind.CLOCK, clock=clock), kind="clock")

    ledger = ledger_with(engine, clock_row("answered", "answer"), clock_row("brief", "briefing"), waiting("page"))
    clocks = EventClocks(event_id="e1", revision=4, clocks=(
        EventClock("answer", "首次权威回应", NOON, NOON + MINUTE, stopped_at=NOON, stopped_by="白班"),
        EventClock("briefing", "新闻发布", NOON, NOON + MINUTE)))
    ledger.take([Placed(clocks, 9)], (), 0)
    assert ends(engine) == {"answered": (SUPPRESSED, "stopped:白班"), "brief": STAYS, "page": STAYS}


@pytest.mark.parametrize("why", ["silence:s1", "quiet"])
async def test_what_a_silence_held_back_is_in_the_ledger_and_is_not_sent(
    engine: Engine, tmp_path: Path, why: str
) -> None:
    taker = intake(engine, tmp_path)
    await taker.take([record(page(suppressed_by=why))])
    assert set(ends(engine).values()) == {(SUPPRESSED, why)} and len(rows(engine)) == 2
    assert taker.woken == [] and claim(Ledger(engine)) == []  # type: ignore[attr-defined]


async def test_a_suppressed_row_is_reported_with_its_reason_and_without_a_dead_letter(
    engine: Engine, tmp_path: Path
) -> None:
    bus, ledger = FakeBus(), ledger_with(engine, waiting())
    ledger.take([Placed(state(), 6)], (), 0)
    reporter = Reporter(delivery_deps(tmp_path, delivery_book(CONSOLE, OTHER)), ledger, bus)  # type: ignore[arg-type]
    assert await reporter._report() == 1
    [told] = bus.on(topics.DELIVERIES)
    assert (told.status, told.suppressed_by, told.attempts) == (DeliveryStatus.SUPPRESSED, "acked:白班", 0)
    assert bus.on(topics.DEAD_LETTERS) == [] and await reporter._report() == 0


OPERATIONS = st.lists(st.sampled_from(
    ["page", "handed", "raised", "ack", "snooze", "close", "claim", "sent", "later", "refused", "again"]), max_size=25)


@settings(max_examples=40, deadline=None)
@given(OPERATIONS)
def test_suppressed_and_sent_and_pending_and_dead_are_all_that_was_decided(
    tmp_path_factory: pytest.TempPathFactory, operations: list[str]
) -> None:
    """D9: whatever happens in whatever order, no row is lost, and none that was sent is called unsent."""
    engine = store(tmp_path_factory.mktemp("rows"))
    ledger, held, sent, place = Ledger(engine), list[Parcel](), set[str](), 0
    decided: set[str] = set()
    for now, each in enumerate(operations, 1):
        place += 1
        if each in ("page", "handed", "raised"):
            alert = "al2" if each == "raised" else "al1"
            one = waiting(f"d{now}", place=place, alert_id=alert, decided_at=NOON + now, next_channels=("sms",))
            ledger.take([one], (), now)
            decided.add(one.escalation_id)
        elif each in ("ack", "snooze", "close"):
            status = {"ack": AlertStatus.ACKED, "snooze": AlertStatus.SNOOZED, "close": AlertStatus.ENDED}[each]
            ledger.take([Placed(state(status), place)], (), now)
        elif each == "claim":
            held += claim(ledger, now=now, until=now + 1000)
        elif each == "again":
            ledger.take([waiting(row.id) for row in rows(engine)], [row.id for row in rows(engine)], now)
        elif held:
            one = held.pop()
            if each == "sent":
                ledger.confirm([one], now)
                sent.add(one.id)
            elif each == "later":
                ledger.postpone([one], "HTTP 500", now)
            else:
                ledger.bury([one], "HTTP 404", now)
    found = rows(engine)
    engine.dispose()
    assert {row.escalation_id for row in found} == decided
    assert {row.status for row in found} <= {PENDING, CONFIRMED, DEAD, SUPPRESSED}
    assert {row.id for row in found if row.status == CONFIRMED} == sent
    assert all(row.suppressed_by for row in found if row.status == SUPPRESSED)
