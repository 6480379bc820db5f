"""Repeats and clocks that are wrong: what is wanted goes out whatever was said before it, and soon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from agents.deliverer.claims import HOPELESS, Claims, Line
from agents.deliverer.gates import Change
from agents.deliverer.parcel import CONFIRMED, DEAD, PENDING, SUPPRESSED
from agents.deliverer.suppress import Placed
from pipeline.model import AlertStatus
from pipeline.notify.breaker import Breaker
from pipeline.notify.retry import HORIZON
from tests.agents.test_deliver_suppress import MINUTE, STAYS, ends, state, waiting
from tests.builders import NOON
from tests.delivery_fakes import claim, ledger_with, parcel, rows, store
from tests.pipeline.escalate_kit import Desk, route, routed
from tests.pipeline.test_escalate import head

LATER = NOON + 2 * MINUTE


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = store(tmp_path)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("stale", [
    state(), state(AlertStatus.NOTIFIED), state(AlertStatus.SNOOZED, alert_id="al2"), state(AlertStatus.ENDED),
    state(alert_id="al2", acked_at=NOON)], ids=["acked", "notified", "snoozed", "ended", "acked-same"])
@pytest.mark.parametrize("held", [False, True], ids=["waits", "under-way"])
def test_a_page_that_is_decided_again_is_wanted_whatever_a_killed_escalator_said_again_before_it(
    engine: Engine, stale: object, held: bool
) -> None:
    """Pages 10, killed before its rows were written; it reads on from before: 12 says an old state, 14 the page again."""
    ledger = ledger_with(engine, waiting(alert_id="al2", place=10, decided_at=LATER))
    taken = claim(ledger) if held else []
    ledger.take([Placed(stale, 12)], (), 0)  # type: ignore[arg-type]
    assert ends(engine)["d1"] != STAYS
    page = waiting(alert_id="al2", place=14, decided_at=LATER)
    ledger.take([page, Placed(state(AlertStatus.NOTIFIED, alert_id="al2", raised_at=LATER), 15)], (), 0)
    assert ends(engine)["d1"] == STAYS
    if taken:
        ledger.confirm(taken, NOON)
        assert ends(engine)["d1"] == (CONFIRMED, "")
    else:
        assert [each.id for each in claim(ledger)] == ["d1"]


def test_the_same_place_read_again_and_a_person_who_replays_bring_nothing_back(engine: Engine) -> None:
    ledger = ledger_with(engine, waiting())
    answered = Placed(state(), 6)
    for again in ((), ("d1",)):
        ledger.take([answered], (), 0)
        ledger.take([waiting(place=5 if not again else 40)], again, 0)
        assert ends(engine)["d1"] == (SUPPRESSED, "acked:白班")


def test_a_repeat_of_what_was_sent_or_went_another_way_sends_it_no_second_time(engine: Engine) -> None:
    ledger = ledger_with(engine, waiting("d1"), waiting("d2", next_channels=("sms",)))
    ledger.confirm(claim(ledger, limit=1), NOON)
    with engine.begin() as connection:
        Change("hook", lambda _: Breaker(3, 1, 10**15)).run(connection)
    claim(ledger, now=10**15 - 1)
    ledger.take([waiting("d1", place=40), waiting("d2", place=41, next_channels=("sms",))], (), 0)
    assert (ends(engine)["d1"], ends(engine)["d2"]) == ((CONFIRMED, ""), (SUPPRESSED, "failover:sms"))


def test_a_hand_over_after_an_ack_goes_out_though_both_are_read_twice(engine: Engine) -> None:
    desk = Desk(routed(route(0, 5)), head(level=2))             # ticks lag: the last one was at noon
    desk.ack(NOON + 3000)
    acked, [page] = desk.state, desk.hand("li", NOON + 5000).escalations
    row, ledger = parcel("d1", escalation=page, place=7, decided_at=page.at), ledger_with(engine)
    for _ in range(2):
        ledger.take([Placed(acked, 5), row], (), 0)
    assert ends(engine)["d1"] == STAYS


def test_what_is_past_its_time_at_a_broken_channel_is_tried_by_the_next_one(engine: Engine) -> None:
    old = NOON - HORIZON - 1
    ledger = ledger_with(engine, *(waiting(each, decided_at=old, next_channels=("sms",)) for each in ("d1", "d2")),
                         waiting("d3", decided_at=old))
    with engine.begin() as connection:
        for channel in ("hook", "sms"):
            Change(channel, lambda _: Breaker(20, HOPELESS, NOON + MINUTE)).run(connection)
    Claims(ledger).claim(Line("hook"), NOON, LATER, 4, NOON - HORIZON)
    assert [(row.channel, row.status) for row in rows(engine)].count(("hook", DEAD)) == 3
    assert [row.next_channels for row in rows(engine) if (row.channel, row.status) == ("sms", PENDING)] == ["", ""]
