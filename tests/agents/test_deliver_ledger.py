from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from agents.deliverer.ledger import CONFIRMED, DEAD, Ledger
from tests.delivery_fakes import ledger_with, parcel, rows, store

NOW, LEASE = 1_000_000, 60_000


@pytest.fixture
def engine(tmp_path: Path) -> Engine:  # type: ignore[misc]
    engine = store(tmp_path)
    yield engine
    engine.dispose()


def test_a_repeat_of_an_escalation_changes_nothing(engine: Engine) -> None:
    ledger = Ledger(engine)
    assert ledger.add([parcel("d1"), parcel("d2")], NOW) == 2
    [first] = ledger.claim("hook", NOW, NOW + LEASE, 1)
    ledger.confirm(first, 1, NOW)
    assert ledger.add([parcel("d1"), parcel("d2"), parcel("d3")], NOW + 1) == 1
    assert [row.status for row in rows(engine)] == [CONFIRMED, "pending", "pending"]


def test_rows_are_written_all_or_none(engine: Engine) -> None:
    ledger = Ledger(engine)
    with pytest.raises(Exception, match="NOT NULL"):
        ledger.add([parcel("d1"), replace(parcel("d2"), channel=None)], NOW)  # type: ignore[arg-type]
    assert rows(engine) == []


def test_two_processes_never_hold_one_row(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), parcel("d2"), parcel("d3"), now=NOW)
    first = ledger.claim("hook", NOW, NOW + LEASE, 2)
    second = Ledger(engine).claim("hook", NOW, NOW + LEASE, 2)
    assert [one.id for one in first] == ["d1", "d2"] and [one.id for one in second] == ["d3"]


def test_a_row_of_a_process_that_died_is_taken_over_when_its_lease_ends(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), now=NOW)
    ledger.claim("hook", NOW, NOW + LEASE, 1)
    assert ledger.claim("hook", NOW + LEASE - 1, NOW + 2 * LEASE, 1) == []
    assert ledger.next_due("hook") == NOW + LEASE
    assert [one.id for one in ledger.claim("hook", NOW + LEASE, NOW + 2 * LEASE, 1)] == ["d1"]


def test_one_who_lost_the_lease_cannot_postpone_or_bury_but_can_confirm(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), now=NOW)
    [slow] = ledger.claim("hook", NOW, NOW + LEASE, 1)
    [quick] = ledger.claim("hook", NOW + LEASE, NOW + 2 * LEASE, 1)
    ledger.bury(slow, 1, "too late")
    ledger.postpone(slow, 1, "too late", 0)
    assert (rows(engine)[0].status, rows(engine)[0].lease_until) == ("pending", quick.lease)
    ledger.confirm(slow, 1, NOW)
    ledger.bury(quick, 1, "later still")
    assert rows(engine)[0].status == CONFIRMED


def test_only_due_rows_of_the_channel_are_claimed_oldest_first(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), parcel("d2"), parcel("d3", channel="mail"), now=NOW)
    [first] = ledger.claim("hook", NOW, NOW + LEASE, 1)
    ledger.postpone(first, 1, "HTTP 500", NOW + 500)
    assert [one.id for one in ledger.claim("hook", NOW + 499, NOW + LEASE, 9)] == ["d2"]
    assert [(one.id, one.attempts, one.error) for one in ledger.claim("hook", NOW + 500, NOW + LEASE, 9)] == [
        ("d1", 1, "HTTP 500")]


def test_a_released_row_is_free_at_once(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), now=NOW)
    [held] = ledger.claim("hook", NOW, NOW + LEASE, 1)
    ledger.release(held)
    assert ledger.claim("hook", NOW, NOW + LEASE, 1) != []


def test_ended_rows_are_unreported_until_said_otherwise(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), parcel("d2"), parcel("d3"), now=NOW)
    one, two, _ = ledger.claim("hook", NOW, NOW + LEASE, 3)
    ledger.confirm(one, 1, NOW + 7)
    ledger.bury(two, 2, "HTTP 404")
    found = ledger.unreported(10)
    assert [(each.id, each.status, each.ended_at) for each in found] == [("d1", CONFIRMED, NOW + 7), ("d2", DEAD, None)]
    ledger.reported(found)
    assert ledger.unreported(10) == [] and ledger.pending() == (1, rows(engine)[2].decided_at)
    assert ledger.waiting_channels() == ["hook"]


def test_a_replay_revives_only_what_was_given_up(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), parcel("d2"), now=NOW)
    one, two = ledger.claim("hook", NOW, NOW + LEASE, 2)
    ledger.confirm(one, 1, NOW)
    ledger.bury(two, 9, "HTTP 404")
    ledger.reported(ledger.unreported(10))
    assert ledger.revive(["d1", "d2"], NOW + 5) == 1
    assert [(each.id, each.attempts) for each in ledger.claim("hook", NOW + 5, NOW + LEASE, 9)] == [("d2", 0)]
