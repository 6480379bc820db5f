"""A start with empty tables: clocks, silences and what people did are back, and nothing is told twice for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, insert, select

from agents.clock import Clock
from agents.deps import Deps
from agents.store import schema
from pipeline import codec, topics
from pipeline.escalate.escalator import Escalator
from pipeline.model import (
    Comment,
    EscalationKind,
    EventClocks,
    EventHead,
    EventStatus,
    HandOver,
    Silence,
    Tick,
    WarmAlert,
)
from pipeline.rulebook.schema import DAY, HOUR, MINUTE
from tests.agents import store_fakes as fakes
from tests.agents.test_warmup import PARTITIONS, deps, store, warm
from tests.pipeline.escalate_kit import NOON, Desk, clocked, closed, raised

__all__ = ["deps", "store"]
BOOK = clocked()


class Archived(Desk):
    """A desk whose records and answers are all in the archive, and whose messages are in deliver's ledger."""

    def __init__(self, engine: Engine, *records: Any) -> None:
        self.engine = engine
        super().__init__(BOOK)
        for each in records:
            self(each)

    def __call__(self, record: Any) -> Any:
        out = super().__call__(record)
        kept = [] if isinstance(record, Tick) else [record]
        fakes.put(self.engine, *kept, *out.states, *out.clocks, *out.escalations)
        rows = [{"id": f"{each.id}-x"[:20], "escalation": codec.encode(each).decode(), "person": "duty-a",
                 "channel": "console", "status": "confirmed", "attempts": 1, "decided_at": each.at, "next_try_at": 0,
                 "lease_until": 0, "error": "", "reported": True} for each in out.escalations]
        if rows:
            with self.engine.begin() as connection:
                connection.execute(insert(schema.outbox), rows)
        return out


async def started(deps: Deps, store: Engine) -> Desk:
    """An escalator that was fed what the warm-up sent."""
    bus, _ = await warm(deps, store)
    fresh = Desk(BOOK)
    for topic, _, record in bus.sent:
        if topic == topics.EVENTS:
            fresh(record)
    return fresh


def commanded(store: Engine, *records: Any) -> None:
    """As the desk accepted them: a start sends those of a day again."""
    with store.begin() as connection:
        connection.execute(insert(schema.commands), [
            {"id": each.id, "event_id": getattr(each, "event_id", ""), "type": codec.type_name(each),
             "record": codec.encode(each).decode(), "accepted_at": Clock().now() - 1000, "sent_at": 1}
            for each in records])


async def test_clocks_and_acts_go_on_where_they_stood(deps: Deps, store: Engine) -> None:
    before = Archived(store, raised(1, 2, 1, NOON))
    before.ack()
    before.comment("已核实", NOON + 1)
    before.tick(NOON + 150 * MINUTE)
    fresh = await started(deps, store)
    for desk in (fresh, before):
        desk.sent.clear()
        for at in range(NOON + 3 * HOUR, NOON + 6 * HOUR, 10 * MINUTE):
            desk.tick(at)
    assert [each.id for each in fresh.sent] == [each.id for each in before.sent] and len(fresh.sent) == 2
    assert fresh.sent[0].acts == before.sent[0].acts != ()
    assert fresh.clocks["e1"] == before.clocks["e1"]


@pytest.mark.parametrize("over", [False, True])
async def test_a_clock_runs_on_though_its_alert_ended_and_a_stopped_one_stays_stopped(
    over: bool, deps: Deps, store: Engine,
) -> None:
    before = Archived(store, raised(1, 2, 1, NOON))
    if over:
        before.say(NOON + 1)
    before(closed(2, NOON + MINUTE, "已处置"))
    fresh = await started(deps, store)
    fresh.tick(NOON + 5 * HOUR)
    assert [each.percent for each in fresh.sent if each.kind is EscalationKind.CLOCK] == ([] if over else [100])
    fresh(raised(3, 2, 2, NOON + 6 * HOUR))
    assert fresh.sent[-1].kind is EscalationKind.PAGE
    assert (fresh.sent[-1].clocks[0].stopped_at is not None) is over
    assert fresh.clocks.get("e1", before.clocks["e1"]).revision >= before.clocks["e1"].revision


async def test_an_event_without_an_alert_brings_its_clock_and_its_level_is_news(deps: Deps, store: Engine) -> None:
    lone = raised(1, 0, 0, NOON, status=EventStatus.WATCHING, urgent_at=NOON, level_name="", peak=0)
    before = Archived(store, lone)
    assert before.clocks["e1"].started_why == "urgent"
    fakes.put(store, raised(2, 2, 1, NOON + MINUTE, urgent_at=NOON))      # the alert of it is not in the archive
    fresh = await started(deps, store)
    assert [each.kind for each in fresh.sent] == [EscalationKind.PAGE]
    assert [each.id for each in fresh.sent[0].clocks] == [each.id for each in before.clocks["e1"].clocks]


async def test_silences_that_run_go_to_every_partition_before_any_alert(deps: Deps, store: Engine) -> None:
    running = Silence(id="s1", by="w", at=NOON - 5, owner="w", reason="r", starts_at=NOON, ends_at=NOON + HOUR,
                      levels=("较大",))
    over = Silence(id="s2", by="w", at=NOON - 5, owner="w", reason="r", starts_at=NOON - HOUR, ends_at=NOON - MINUTE,
                   levels=("较大",))
    fakes.put(store, running, over, raised(1, 2, 1, NOON))
    bus, sent = await warm(deps, store)
    events = [record for topic, _, record in bus.sent if topic == topics.EVENTS]
    assert events[:PARTITIONS] == [running] * PARTITIONS and sent.silences == 1
    assert bus.where[topics.EVENTS][:PARTITIONS] == list(range(PARTITIONS))
    assert [type(each) for each in events[PARTITIONS:]] == [EventHead]
    fresh = await started(deps, store)
    assert fresh.sent == [] and [each.suppressed_by for each in fresh.held] == ["silence:s1"]


async def test_a_silence_that_the_archive_has_not_got_is_sent_to_every_partition_too(deps: Deps, store: Engine) -> None:
    new = Silence(id="s1", by="w", at=NOON, owner="w", reason="r", starts_at=NOON, ends_at=NOON + HOUR,
                  levels=("较大",))
    commanded(store, new)
    bus, sent = await warm(deps, store)
    assert bus.records(Silence) == [new] * PARTITIONS and sent.commands == 1
    assert bus.where[topics.EVENTS] == list(range(PARTITIONS))


async def test_a_hand_over_of_today_pages_nobody_again_however_much_was_done_since(deps: Deps, store: Engine) -> None:
    before = Archived(store, raised(1, 3, 1, NOON))
    hand = HandOver(id="h1", event_id="e1", alert_id=before.state.alert_id, by="wang", at=NOON + 1, to="li")
    before(hand)
    commanded(store, hand)
    assert (await started(deps, store)).sent == []
    before(HandOver(id="h2", event_id="e1", alert_id=before.state.alert_id, by="li", at=NOON + 2, to="zhao"))
    for n in range(6):
        before.comment(f"{n}", NOON + 3 + n, ident=f"c{n}")
    assert (await started(deps, store)).sent == []


@pytest.mark.parametrize("then", ["ack", "hand on"])
async def test_a_hand_over_that_was_answered_or_handed_on_is_over(then: str, deps: Deps, store: Engine) -> None:
    before = Archived(store, raised(1, 3, 1, NOON))
    hand = HandOver(id="h1", event_id="e1", alert_id=before.state.alert_id, by="wang", at=NOON + 1, to="li")
    before(hand)
    if then == "ack":
        before.ack(NOON + 2, by="li")
    else:
        before(replace(hand, id="h2", by="li", at=NOON + 2, to="zhao"))
    commanded(store, hand)
    fresh = await started(deps, store)
    assert fresh.sent == [] and fresh.states == {}, "nothing of it changes"


async def test_a_hand_over_that_was_accepted_and_not_done_is_done(deps: Deps, store: Engine) -> None:
    before = Archived(store, raised(1, 3, 1, NOON))
    hand = HandOver(id="h1", event_id="e1", alert_id=before.state.alert_id, by="wang", at=NOON + 1, to="li")
    fakes.put(store, hand)                                  # the archive has read it, the escalator had not
    commanded(store, hand)
    assert [each.tell for each in (await started(deps, store)).sent] == [("li",)]


async def test_notes_on_an_event_that_reached_no_level_yet_are_kept(deps: Deps, store: Engine) -> None:
    watching = raised(1, 0, 0, NOON, status=EventStatus.WATCHING, level_name="", peak=0)
    fakes.put(store, watching, Comment(id="c1", event_id="e1", by="li", at=NOON, text="先记一笔"))
    fresh = await started(deps, store)
    fresh(raised(2, 3, 1, NOON + 1))
    assert [act.text for act in fresh.sent[0].acts] == ["先记一笔"]


def test_a_state_without_an_alert_is_never_announced(tmp_path: Path) -> None:
    none = WarmAlert(state=fakes.alert(alert_id="", revision=0, event_version=0), head=raised(0, 0, 0, NOON),
                     clocks=EventClocks(event_id="e1", revision=4, clocks=()))
    out = Escalator().handle(none, BOOK)
    assert (out.states, out.clocks, out.escalations) == ([], [], []) and b"a|e1" in out.puts


@pytest.mark.parametrize("fell", [raised(2, 1, 1, NOON + MINUTE), closed(2, NOON + MINUTE)], ids=["lower", "closed"])
async def test_news_that_a_silence_held_back_is_told_at_its_end_after_a_start_too(
    deps: Deps, store: Engine, fell: EventHead
) -> None:
    desk = Archived(store, raised(1, 3, 1, NOON))
    desk.ack(NOON + 1)
    desk.silence(NOON, NOON + HOUR, ident="ab" * 10)
    desk(replace(fell, decision=replace(fell.decision, previous=3)))
    assert [(each.kind, each.suppressed_by) for each in desk.held] == [(EscalationKind.INFORM, f"silence:{'ab' * 10}")]
    fresh = await started(deps, store)
    assert fresh.tick(NOON + 2 * MINUTE) == [] and fresh.held == [], "it is known that it is held"
    told = fresh.tick(NOON + HOUR)
    assert (told, fresh.sent[-1].kind) == ([("duty",)], EscalationKind.INFORM)
    desk.tick(NOON + HOUR)
    again = await started(deps, store)
    assert again.tick(NOON + HOUR + MINUTE) == [], "once"


async def test_a_page_of_a_hand_over_is_no_first_page_in_the_figures(store: Engine) -> None:
    desk = Archived(store, raised(1, 3, 1, NOON))
    desk.hand("li", NOON + 1)
    with store.connect() as connection:
        found = connection.execute(select(schema.escalations.c.first).order_by(schema.escalations.c.at)).scalars().all()
    assert found == [True, False]


@pytest.mark.parametrize(("days", "back"), [(29, True), (33, False)])
async def test_a_clock_that_nobody_stopped_does_not_come_back_for_ever(
    deps: Deps, store: Engine, days: int, back: bool
) -> None:
    Archived(store, raised(1, 3, 1, NOON), closed(2, NOON + HOUR, "已处置"))
    later = Deps(deps.settings, Clock(start=NOON + days * DAY, factor=1e-15), deps.metrics, deps.rules)
    fresh = await started(later, store)
    assert bool(fresh.escalator._cases) is back
