"""Repeats and clocks that are wrong: what is wanted goes out whatever was said before it, and soon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from agents.deliverer.claims import HOPELESS, Claims, Line
from agents.deliverer.gates import Change
from agents.deliverer.office import Office
from agents.deliverer.parcel import CONFIRMED, DEAD, PENDING, SUPPRESSED
from agents.deliverer.suppress import Placed
from agents.deliverer.watch import Watch
from agents.store.schema import outbox
from pipeline.model import AlertStatus
from pipeline.notify.breaker import Breaker
from pipeline.notify.retry import HORIZON
from pipeline.rulebook.schema import Channel, ChannelType
from tests.agents.test_deliver_suppress import MINUTE, STAYS, ends, state, waiting
from tests.builders import NOON
from tests.delivery_fakes import claim, claimed, delivery_book, delivery_deps, ledger_with, parcel, rows, store
from tests.pipeline.escalate_kit import Desk, route, routed
from tests.pipeline.test_escalate import head

LATER, HOUR = NOON + 2 * MINUTE, 60 * MINUTE
CHANNEL = Channel(id="hook", type=ChannelType.CONSOLE)


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
    """The page is at 10; killed before its rows are written it says an old state at 12, and the page again at 14."""
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


@pytest.mark.parametrize("back", [20 * MINUTE, 60 * MINUTE, 300 * MINUTE])
async def test_a_real_clock_that_is_set_back_makes_nothing_wait_for_what_it_said_before(
    engine: Engine, tmp_path: Path, back: int
) -> None:
    """Rows of a wrong hour, one that a dead process holds, an empty bucket, a broken channel on its trial."""
    ahead, line = NOON + back, {"rate": 6, "limit": 2}
    ledger = ledger_with(engine, *(waiting(f"d{each}", person=f"p{each}") for each in range(6)), now=ahead)
    assert len(claim(ledger, now=ahead, until=ahead + MINUTE, **line)) == 2
    ledger_with(engine, waiting("s1", channel="sms"), now=ahead)
    with engine.begin() as connection:
        Change("sms", lambda _: Breaker(5, 2, ahead - 1, ahead + MINUTE)).run(connection)
    real = [ahead]
    deps = delivery_deps(tmp_path, delivery_book(CHANNEL))
    office = Office(deps, ledger, {}, lambda: None, lambda *_: None, real=lambda: real[0])
    watch = Watch(office, lambda _: None)
    await watch.gauges()
    assert claim(ledger, now=ahead, until=ahead + MINUTE, **line) == []
    real[0] = NOON
    await watch.gauges()
    office.close()
    soon = NOON + 6 * MINUTE
    assert {*range(6)} == {int(each.id[1:]) for minute in range(20) for each in claim(
        ledger, now=soon + minute * MINUTE, until=soon + HOUR, **line)}
    assert [each.id for each in claim(ledger, "sms", now=soon, until=soon + MINUTE)] == ["s1"]


async def test_a_clock_that_goes_on_leaves_what_was_asked_for(engine: Engine, tmp_path: Path) -> None:
    ledger = ledger_with(engine, waiting(), now=NOON)
    [held] = claim(ledger, now=NOON, until=NOON + MINUTE)
    real = [NOON]
    office = Office(delivery_deps(tmp_path, delivery_book(CHANNEL)), ledger, {}, lambda: None, lambda *_: None,
                    real=lambda: real[0])
    watch = Watch(office, lambda _: None)
    await watch.gauges()
    ledger.postpone([held], "HTTP 429", NOON + 50 * MINUTE)
    for now in (NOON, NOON - 500, NOON + HOUR // 4):
        real[0] = now
        await watch.gauges()
    assert [row.next_try_at for row in rows(engine)] == [NOON + 50 * MINUTE]
    await Watch(office, lambda _: None).gauges()
    office.close()
    assert [row.next_try_at for row in rows(engine)] == [real[0] + 5 * MINUTE], "a start may have missed it"


def failing(engine: Engine, channel: str, until: int | None) -> None:
    """until: the breaker is open until then; None: it works."""
    with engine.begin() as connection:
        Change(channel, lambda _: Breaker(3, 1, until) if until else Breaker()).run(connection)


@pytest.mark.parametrize("broken", [False, True], ids=["tried-twice", "breaker-open"])
def test_a_page_at_its_last_channel_goes_back_to_one_that_works_again(engine: Engine, broken: bool) -> None:
    ledger = ledger_with(engine, waiting(next_channels=("sms", "mail")), now=NOON)
    failing(engine, "hook", NOON + MINUTE)
    failing(engine, "sms", NOON + HOUR)
    claim(ledger, now=NOON)
    assert {row.channel: row.status for row in rows(engine)} == {"hook": SUPPRESSED, "mail": PENDING}
    for _ in range(2):
        ledger.postpone(claim(ledger, "mail", now=NOON, until=NOON + 1), "HTTP 502", NOON)
    failing(engine, "mail", NOON + HOUR if broken else None)
    assert claim(ledger, "mail", now=NOON + 2, until=NOON + 3) != [] or broken, "nothing else works: it stays"
    failing(engine, "hook", None)
    assert claimed(ledger, "mail", now=NOON + 5).woken == ("hook",)
    [back] = claim(ledger, "hook", now=NOON + 5, until=NOON + MINUTE)
    assert (back.attempts, back.next_channels) == (0, ("sms", "mail"))
    ledger.postpone([back], "HTTP 502", NOON + 6)
    failing(engine, "hook", NOON + HOUR)
    failing(engine, "mail", None)
    assert claimed(ledger, "hook", now=NOON + 7, until=NOON + MINUTE).woken == ("mail",)
    ledger.confirm(claim(ledger, "mail", now=NOON + 7, until=NOON + MINUTE), NOON)
    assert {row.channel: (row.status, row.suppressed_by) for row in rows(engine)} == {
        "hook": (SUPPRESSED, "failover:mail"), "mail": (CONFIRMED, "")}


def test_what_is_past_its_time_goes_round_no_more(engine: Engine) -> None:
    ledger = ledger_with(engine, waiting(next_channels=("sms",), decided_at=NOON - HORIZON - 1), now=NOON)
    failing(engine, "hook", NOON + MINUTE)
    claim(ledger, now=NOON)
    failing(engine, "hook", None)
    for _ in range(5):
        held = Claims(ledger).claim(Line("sms"), NOON, NOON + 1, 4, NOON - HORIZON)
        assert held.woken == ()
        ledger.postpone(held.loads[0].parcels, "HTTP 502", NOON - 1)
        with engine.begin() as connection:
            connection.execute(update(outbox).values(lease_until=0))
    assert max(row.attempts for row in rows(engine)) == 5


def test_a_page_is_not_overtaken_by_a_raise_that_is_held_back_itself(engine: Engine) -> None:
    ledger = ledger_with(engine, waiting())
    raised = {"alert_id": "al2", "raised_at": NOON + MINUTE, "told": ()}
    ledger.take([Placed(state(AlertStatus.PENDING, held_by="silence:s1", **raised), 6)], (), 0)
    assert ends(engine)["d1"] == STAYS
    ledger.take([Placed(state(AlertStatus.NOTIFIED, revision=3, **raised), 9)], (), 0)
    assert ends(engine)["d1"] == (SUPPRESSED, "raised:al2")
