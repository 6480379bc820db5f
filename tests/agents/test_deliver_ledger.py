from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from agents.deliverer.claims import Claims, Line
from agents.deliverer.ledger import Ledger
from agents.deliverer.parcel import CONFIRMED, DEAD
from tests.delivery_fakes import claim, ledger_with, parcel, rows, store

NOW, LEASE = 1_000_000, 60_000


@pytest.fixture
def engine(tmp_path: Path) -> Engine:  # type: ignore[misc]
    engine = store(tmp_path)
    yield engine
    engine.dispose()


def test_a_repeat_of_an_escalation_changes_nothing(engine: Engine) -> None:
    ledger = Ledger(engine)
    ledger.take([parcel("d1"), parcel("d2")], (), NOW)
    [first] = claim(ledger, "hook", NOW, NOW + LEASE, 1)
    ledger.confirm([first], NOW)
    ledger.take([parcel("d1"), parcel("d2"), parcel("d3")], (), NOW + 1)
    assert [row.status for row in rows(engine)] == [CONFIRMED, "pending", "pending"]


def test_rows_are_written_all_or_none(engine: Engine) -> None:
    ledger = Ledger(engine)
    with pytest.raises(Exception, match="(?i)not.null"):
        ledger.take([parcel("d1"), replace(parcel("d2"), channel=None)], (), NOW)  # type: ignore[arg-type]
    assert rows(engine) == []


def test_two_processes_never_hold_one_row(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), parcel("d2"), parcel("d3"), now=NOW)
    first = claim(ledger, "hook", NOW, NOW + LEASE, 2)
    second = claim(Ledger(engine), "hook", NOW, NOW + LEASE, 2)
    assert [one.id for one in first] == ["d1", "d2"] and [one.id for one in second] == ["d3"]


def test_a_row_of_a_process_that_died_is_taken_over_when_its_lease_ends(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), now=NOW)
    claim(ledger, "hook", NOW, NOW + LEASE, 1)
    assert claim(ledger, "hook", NOW + LEASE - 1, NOW + 2 * LEASE, 1) == []
    assert Claims(ledger).next_due(Line("hook"), NOW) == NOW + LEASE
    assert [one.id for one in claim(ledger, "hook", NOW + LEASE, NOW + 2 * LEASE, 1)] == ["d1"]


def test_one_who_lost_the_lease_cannot_postpone_or_bury_but_can_confirm(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), now=NOW)
    [slow] = claim(ledger, "hook", NOW, NOW + LEASE, 1)
    [quick] = claim(ledger, "hook", NOW + LEASE, NOW + 2 * LEASE, 1)
    ledger.bury([slow], "too late", NOW)
    ledger.postpone([slow], "too late", 0)
    assert (rows(engine)[0].status, rows(engine)[0].lease_until) == ("pending", quick.lease)
    ledger.confirm([slow], NOW)
    ledger.bury([quick], "later still", NOW)
    assert rows(engine)[0].status == CONFIRMED


def test_only_due_rows_of_the_channel_are_claimed_oldest_first(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), parcel("d2"), parcel("d3", channel="mail"), now=NOW)
    [first] = claim(ledger, "hook", NOW, NOW + LEASE, 1)
    ledger.postpone([first], "HTTP 500", NOW + 500)
    assert [one.id for one in claim(ledger, "hook", NOW + 499, NOW + LEASE, 9)] == ["d2"]
    assert [(one.id, one.attempts, one.error) for one in claim(ledger, "hook", NOW + 500, NOW + LEASE, 9)] == [
        ("d1", 1, "HTTP 500")]


def test_a_released_row_is_free_at_once(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), now=NOW)
    [held] = claim(ledger, "hook", NOW, NOW + LEASE, 1)
    ledger.release([held])
    assert claim(ledger, "hook", NOW, NOW + LEASE, 1) != []


def test_ended_rows_are_unreported_until_said_otherwise(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), parcel("d2"), parcel("d3"), now=NOW)
    one, two, _ = claim(ledger, "hook", NOW, NOW + LEASE, 3)
    ledger.confirm([one], NOW + 7)
    ledger.bury([two], "HTTP 404", NOW)
    found = ledger.unreported(10)
    assert [(each.id, each.status, each.ended_at) for each in found] == [("d1", CONFIRMED, NOW + 7), ("d2", DEAD, None)]
    ledger.reported(found)
    assert ledger.unreported(10) == [] and ledger.pending() == (1, rows(engine)[2].decided_at)
    assert ledger.waiting_channels() == ["hook"]


def test_a_replay_revives_only_what_was_given_up(engine: Engine) -> None:
    ledger = ledger_with(engine, parcel("d1"), parcel("d2"), now=NOW)
    one, two = claim(ledger, "hook", NOW, NOW + LEASE, 2)
    ledger.confirm([one], NOW)
    ledger.bury([two], "HTTP 404", NOW)
    ledger.reported(ledger.unreported(10))
    ledger.take([parcel("d1"), parcel("d2")], ["d1", "d2"], NOW + 5)
    assert [(each.id, each.attempts) for each in claim(ledger, "hook", NOW + 5, NOW + LEASE, 9)] == [("d2", 0)]


def test_a_lease_taken_while_the_start_looks_for_a_clock_set_back_is_kept(engine: Engine) -> None:
    """`now` was read before the claim. Cut by that, the lease would be nobody's, its outcome could not be written."""
    ledger = ledger_with(engine, parcel("d1"))
    held = claim(ledger, "hook", NOW + 200, NOW + 200 + LEASE, 1)
    ledger.set_back(NOW)
    ledger.postpone(held, "HTTP 500", NOW + 300)
    assert rows(engine)[0].attempts == 1
