"""Whatever comes in whatever order: every raise is accounted for, repeats change nothing, restarts lose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.model import (
    Ack,
    AlertStatus,
    Comment,
    EscalationKind,
    EventStatus,
    HandOver,
    Silence,
    Snooze,
    Statement,
    Tick,
)
from pipeline.replay import Input, Replay
from pipeline.rulebook.schema import Quiet, RuleBook
from pipeline.topics import EVENTS
from tests.builders import levels, routes
from tests.pipeline.escalate_kit import CLOCKS, HOUR, MINUTE, NOON, Desk, closed, raised, route, routed

EVENTS_OF = ("e1", "e2", "e3")
FINAL = (AlertStatus.ACKED, AlertStatus.ENDED, AlertStatus.EXPIRED)
SENT_KINDS = (EscalationKind.PAGE, EscalationKind.DIGEST)

BOOKS: tuple[RuleBook, ...] = (
    routed(route(0, 5, 20, levels=("重大",), repeat=10 * MINUTE, until=3 * HOUR, id="a"),
           route(0, 15, levels=("较大",), until=2 * HOUR, id="b"), routes()[2], levels=levels(clocks=CLOCKS),
           quiet=(Quiet(levels=("一般", "较大"), hours="13:00-14:30"),)),
    routed(route(0, 10, repeat=30 * MINUTE, id="c"), levels=levels(clocks=CLOCKS[:1])),
)

books = st.integers(0, 1).map(lambda n: BOOKS[n])
minutes = st.integers(0, 60)
event_ids = st.sampled_from(EVENTS_OF)
steps = st.lists(st.one_of(
    st.tuples(st.just("tick"), minutes), st.tuples(st.just("tick"), st.just(1)),
    st.tuples(st.just("level"), event_ids, st.integers(0, 3)), st.tuples(st.just("close"), event_ids),
    st.tuples(st.just("ack"), event_ids), st.tuples(st.just("snooze"), event_ids, minutes),
    st.tuples(st.just("hand"), event_ids, st.sampled_from(["li", "t1"])),
    st.tuples(st.just("silence"), event_ids, st.integers(1, 120)), st.tuples(st.just("end silence"), event_ids),
    st.tuples(st.just("silence level"), st.sampled_from(["较大", "重大"]), minutes),
    st.tuples(st.just("say"), event_ids), st.tuples(st.just("comment"), event_ids)), max_size=40)


class World:
    """Turns steps into records that could come, as the escalator's answers so far make them."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.now, self.count = desk, NOON, 0
        self.heads: dict[str, Any] = {}
        self.alerts: dict[str, None] = {}
        self.overtaken: set[str] = set()

    def record(self, step: Sequence[Any]) -> Any:
        self.count += 1
        kind, *more = step
        if kind == "tick":
            self.now += more[0] * MINUTE
            return Tick(at=self.now)
        if kind == "silence level":
            return self.silence(f"l{self.count}", more[1], levels=(more[0],))
        event_id = more[0]
        if kind == "level":
            return self.head(event_id, more[1])
        if kind == "close":
            return self.close(event_id)
        return self.command(kind, event_id, *more[1:])

    def head(self, event_id: str, level: int) -> Any:
        known = self.heads.get(event_id)
        before, raises, version = (known.level, known.raises, known.version) if known else (0, 0, 0)
        head = raised(version + 1, level, raises + (level > before), self.now, id=event_id)
        head = replace(head, status=EventStatus.OPEN if level else EventStatus.CALM,
                       decision=replace(head.decision, previous=before), peak=max(level, known.peak if known else 0))
        self.heads[event_id] = head
        return head

    def close(self, event_id: str) -> Any:
        known = self.heads.get(event_id) or self.head(event_id, 0)
        self.heads[event_id] = closed(known.version + 1, self.now, id=event_id, raises=known.raises, peak=known.peak)
        return self.heads[event_id]

    def silence(self, ident: str, length: int, **more: Any) -> Silence:
        return Silence(id=ident, by="w", at=self.now + self.count, owner="w", reason="r", starts_at=self.now,
                       ends_at=self.now + length * MINUTE, **more)

    def command(self, kind: str, event_id: str, *more: Any) -> Any:
        state = self.desk.states.get(event_id)
        alert_id = state.alert_id if state else "none"
        common = {"id": f"r{self.count}", "event_id": event_id, "by": f"p{self.count % 3}", "at": self.now}
        match kind:
            case "ack":
                return Ack(**common, alert_id=alert_id)
            case "snooze":
                return Snooze(**common, alert_id=alert_id, until=self.now + more[0] * MINUTE)
            case "hand":
                return HandOver(**common, alert_id=alert_id, to=more[0])
            case "silence":
                return self.silence(f"s{event_id}", more[0], event_id=event_id)
            case "end silence":
                return replace(self.silence(f"s{event_id}", 60, event_id=event_id), expired_at=self.now)
            case "say":
                return Statement(**common, title="t", published_at=self.now)
        return Comment(**common, text="c")


def played(rules: RuleBook, chosen: Sequence[Sequence[Any]], *, restart: int = 0, twice: bool = False) -> World:
    """restart: after every so many records. twice: every record comes a second time."""
    world = World(Desk(rules))
    for number, step in enumerate(chosen):
        record = world.record(step)
        world.desk(record)
        if twice:
            before, sent = dict(world.desk.rows), len(world.desk.sent) + len(world.desk.held)
            again = world.desk(record)
            assert len(world.desk.sent) + len(world.desk.held) == sent, "a repeat tells nobody anything"
            assert {k: v for k, v in world.desk.rows.items() if k != b"t"} == {
                k: v for k, v in before.items() if k != b"t"}
            assert not again.escalations
        if restart and number % restart == 0:
            world.desk.restart()
    return world


def outcome(world: World) -> Any:
    """Rows without what is in them: an event's figures are written with its next change."""
    desk = world.desk
    return (desk.states, desk.clocks, [each.id for each in desk.sent], [each.id for each in desk.held], set(desk.rows))


def each_once(ids: list[str]) -> bool:
    return len(set(ids)) == len(ids)


@settings(max_examples=100, deadline=None)
@given(books, steps)
def test_every_raise_is_answered_ended_expired_or_waits_with_a_time(rules: RuleBook, chosen: Any) -> None:
    world = played(rules, chosen)
    desk = world.desk
    for head in world.heads.values():
        if head.raises:
            state = desk.states[head.id]
            said_all = state.status is AlertStatus.EXHAUSTED and not any(
                each.repeat or each.until for each in rules.routes if each.id == state.route)
            collected = state.route == "general" and state.status is AlertStatus.NOTIFIED
            assert state.status in FINAL or state.due_at is not None or said_all or collected
            assert (state.due_at is None) or state.status not in FINAL
    assert each_once([each.id for each in desk.sent]), "no two messages share a number"
    assert not {each.id for each in desk.sent} & {each.id for each in desk.held}


@settings(max_examples=100, deadline=None)
@given(books, steps)
def test_what_was_held_back_is_sent_waits_or_was_overtaken(rules: RuleBook, chosen: Any) -> None:
    """Of the steps of alerts: suppressed = sent later + still held + answered, raised or ended before it could be."""
    world = played(rules, chosen)
    desk = world.desk
    sent = {(each.alert_id, each.step, each.repeat) for each in desk.sent if each.kind is EscalationKind.PAGE}
    for each in desk.held:
        if each.kind is not EscalationKind.PAGE:
            continue
        state = desk.states[each.event_id]
        waits = state.alert_id == each.alert_id and bool(state.held_by)
        overtaken = state.alert_id != each.alert_id or state.status in FINAL or _acted(desk, each.event_id)
        assert waits or overtaken or (each.alert_id, each.step, each.repeat) in sent


def _acted(desk: Desk, event_id: str) -> bool:
    """A person moved it: snoozed, or handed over, so that its chain went another way."""
    return any(act.kind in ("snooze", "hand_over") for act in desk.escalator._cases[event_id].acts)


@settings(max_examples=80, deadline=None)
@given(books, steps)
def test_every_record_twice_is_as_once(rules: RuleBook, chosen: Any) -> None:
    assert outcome(played(rules, chosen, twice=True)) == outcome(played(rules, chosen))


@settings(max_examples=80, deadline=None)
@given(books, steps, st.integers(1, 5))
def test_a_restart_at_any_point_goes_on_as_if_there_had_been_none(rules: RuleBook, chosen: Any, every: int) -> None:
    assert outcome(played(rules, chosen, restart=every)) == outcome(played(rules, chosen))


@settings(max_examples=80, deadline=None)
@given(books, steps, st.lists(st.tuples(st.integers(0, 60), st.integers(1, 59)), max_size=8))
def test_ticks_that_come_late_and_out_of_order_change_nothing(rules: RuleBook, chosen: Any, late: Any) -> None:
    straight, mixed = World(Desk(rules)), World(Desk(rules))
    for number, step in enumerate(chosen):
        straight.desk(straight.record(step))
        mixed.desk(mixed.record(step))
        for place, minutes_ago in late:
            if place == number:
                mixed.desk(Tick(at=min(mixed.now, mixed.desk.escalator.now) - minutes_ago * MINUTE))
    assert [each.id for each in mixed.desk.sent] == [each.id for each in straight.desk.sent]
    assert mixed.desk.states == straight.desk.states


@settings(max_examples=40, deadline=None)
@given(books, steps)
def test_replay_of_the_topic_decides_the_same(rules: RuleBook, chosen: Any) -> None:
    world, said = World(Desk(rules)), []
    flow, replayed = Replay(rules, 1, frozenset({EVENTS})), []
    for step in chosen:
        record = world.record(step)
        out = world.desk(record)
        said += [*out.escalations, *out.states, *out.clocks]
        replayed += flow.feed(Input(EVENTS, record, 0))
    assert replayed == said
