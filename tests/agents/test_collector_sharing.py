"""Which sources are this collector's, and when: what the group says, what people ask for, hosts that take turns."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError, KafkaConnectionError

from agents.clock import Clock
from agents.collector.alarms import Alarms
from agents.collector.assignment import STALE, Assignment, _sticky
from agents.collector.loop import CROWD, Collector
from agents.collector.pulse import feel
from agents.collector.role import together
from agents.collector.states import _merged
from agents.collector.turns import Turns
from agents.deps import Deps, RuleStore
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline import topics
from pipeline.model import DeadLetter, Millis, PollRequest, SourceState
from pipeline.rulebook.schema import MINUTE, Source
from tests.agents.test_archivist import FakeBus, FakeConsumer, on
from tests.builders import NOON, book

PARTITIONS = 4
POLLS = [TopicPartition(topics.POLLS, number) for number in range(PARTITIONS)]


def on_partition(number: int, name: str = "") -> str:
    """A URL whose host lies on this partition."""
    hosts = (f"h{each}{name}.example" for each in range(10_000))
    return next(f"http://{host}/feed" for host in hosts if topics.partition_of_host(f"http://{host}/", 4) == number)


def source(name: str, partition: int = 0, **changes: Any) -> Source:
    return Source(**{"id": name, "name": name, "url": on_partition(partition, name), **changes})


def state(of: Source, **changes: Any) -> SourceState:
    return SourceState(**{"source_id": of.id, "url": of.url, "polled_at": NOON - MINUTE, "next_poll_at": NOON,
                          "outcome": "ok", "succeeded_at": NOON - MINUTE, "backfilled": True, **changes})


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


# ---------------------------------------------------------------- the group's word


@dataclass
class FakeShared:
    """A collector that only remembers."""

    told: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    why_not: str = ""

    def take(self, partitions: Collection[int], states: Mapping[str, SourceState]) -> None:
        self.told.append(("take", set(partitions), dict(states)))

    async def give_up(self, partitions: Collection[int]) -> None:
        await asyncio.sleep(0)
        self.told.append(("give up", set(partitions)))

    def ask(self, source_id: str) -> str:
        self.asked.append(source_id)
        return self.why_not


@dataclass
class Reader:
    """Stands for read_states. raises: errors of the first reads."""

    states: dict[str, SourceState] = field(default_factory=dict)
    raises: list[Exception] = field(default_factory=list)
    hold: asyncio.Event | None = None
    asked: list[set[int]] = field(default_factory=list)

    async def __call__(self, settings: Settings, partitions: Collection[int]) -> dict[str, SourceState]:
        self.asked.append(set(partitions))
        if self.hold is not None:
            await self.hold.wait()
        if self.raises:
            raise self.raises.pop(0)
        return self.states


class Idle(FakeConsumer):
    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        await asyncio.sleep(0.01)
        return {}


def deps_with(*sources: Source, at: Millis = NOON, factor: float = 1e-9) -> Deps:
    clock = Clock(at, time.time_ns() // 1_000_000, factor)
    return Deps(Settings(partitions=PARTITIONS), clock, Metrics(), RuleStore(book(sources=sources)))


def sharing(shared: FakeShared, reader: Reader, bus: FakeBus | None = None) -> Assignment:
    return Assignment(deps_with(), bus or FakeBus(), shared, reader, first_wait=0.01)  # type: ignore[arg-type]


async def test_states_of_exactly_the_assigned_partitions_are_read_before_their_sources_are_polled() -> None:
    known = {"a": state(source("a", 1))}
    shared, reader = FakeShared(), Reader(known, hold=asyncio.Event())
    group = sharing(shared, reader)
    await group.on_partitions_assigned(POLLS[1:3])
    await until(lambda: reader.asked)
    assert reader.asked == [{1, 2}] and shared.told == []
    reader.hold.set()                                   # type: ignore[union-attr]
    await until(lambda: shared.told)
    await group.on_partitions_revoked(POLLS[1:3])
    assert shared.told == [("take", {1, 2}, known), ("give up", {1, 2})]


async def test_a_revoke_while_states_are_read_ends_the_reading_and_the_next_assignment_counts() -> None:
    shared, reader = FakeShared(), Reader(hold=asyncio.Event())
    group = sharing(shared, reader)
    await group.on_partitions_assigned(POLLS)
    await until(lambda: reader.asked)
    await group.on_partitions_revoked(POLLS)
    reader.hold = None
    await group.on_partitions_assigned(POLLS[3:])
    await until(lambda: len(shared.told) == 2)
    assert shared.told == [("give up", {0, 1, 2, 3}), ("take", {3}, {})]


async def test_a_broker_away_while_states_are_read_is_waited_for_and_a_refusal_ends_the_role() -> None:
    shared = FakeShared()
    group = sharing(shared, Reader(raises=[KafkaConnectionError(), TimeoutError()]))
    await group.on_partitions_assigned(POLLS)
    await until(lambda: shared.told)
    refused = sharing(FakeShared(), Reader(raises=[GroupAuthorizationFailedError("no")]))
    await refused.on_partitions_assigned(POLLS)
    with pytest.raises(GroupAuthorizationFailedError):
        await asyncio.wait_for(refused._follow(Idle([])), 60)  # type: ignore[arg-type]


def request(name: str, at: Millis = NOON) -> PollRequest:
    return PollRequest(id=f"r-{name}", source_id=name, by="wang", at=at)


async def test_requests_are_asked_for_and_committed_once_states_are_there_and_old_ones_are_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shared, reader, bus = FakeShared(), Reader(hold=asyncio.Event()), FakeBus()
    group = sharing(shared, reader, bus)
    client = FakeConsumer(on(topics.POLLS, request("new"), request("old", NOON - STALE - 1),
                             request("edge", NOON - STALE)))
    await group.on_partitions_assigned(POLLS[:1])
    step = asyncio.create_task(group.step(client))  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    assert shared.asked == [] and not client.committed
    reader.hold.set()                                   # type: ignore[union-attr]
    with caplog.at_level(logging.WARNING, logger="wenxun.collect"):
        await step
    assert shared.asked == ["new", "edge"] and client.committed == {POLLS[0]: 3} and bus.sent == []
    assert "'old'" in caplog.text and "10 minutes old" in caplog.text


async def test_a_request_that_cannot_be_fulfilled_says_why_and_a_failing_commit_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing(FakeConsumer):
        async def commit(self, offsets: dict[TopicPartition, int]) -> None:
            raise CommitFailedError("rebalanced")

    group = sharing(FakeShared(why_not="no such source is polled here"), Reader())
    await group.on_partitions_assigned(POLLS[:1])
    with caplog.at_level(logging.WARNING, logger="wenxun.collect"):
        await group.step(Refusing(on(topics.POLLS, request("ghost"))))  # type: ignore[arg-type]
    assert "'ghost': no such source is polled here" in caplog.text and "not committed" in caplog.text


async def test_a_request_of_a_partition_given_up_meanwhile_is_left_to_its_next_owner() -> None:
    shared = FakeShared()
    group = sharing(shared, Reader())
    await group.on_partitions_assigned(POLLS[1:])
    client = FakeConsumer(on(topics.POLLS, request("a")))
    await group.step(client)  # type: ignore[arg-type]
    assert shared.asked == [] and not client.committed


async def test_a_dead_letter_is_tried_until_the_broker_has_it() -> None:
    bus = FakeBus(failures=2)
    group = sharing(FakeShared(), Reader(), bus)
    await group.on_partitions_assigned(POLLS[:1])
    client = FakeConsumer(on(topics.POLLS, b"{not json"))
    await group.step(client)  # type: ignore[arg-type]
    assert len(bus.records(DeadLetter)) == 1 and client.committed == {POLLS[0]: 1}


def test_two_clients_of_a_process_do_not_share_what_they_had() -> None:
    one, two = _sticky(), _sticky()
    one.member_assignment = POLLS[:2]
    assert one.metadata([topics.POLLS]).user_data and not two.metadata([topics.POLLS]).user_data


async def test_the_group_leaves_before_the_polls_are_cancelled() -> None:
    order: list[str] = []

    async def part(name: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            order.append(name)

    running = asyncio.create_task(together(part("polls"), part("group")))
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert order == ["group", "polls"] and running.cancelled()


def test_a_source_that_changed_its_host_has_the_state_of_its_later_poll() -> None:
    old, new = state(source("a", 0)), state(source("a", 1), polled_at=NOON)
    assert _merged([{"a": old}, {"a": new}]) == _merged([{"a": new}, {"a": old}]) == {"a": new}


# ---------------------------------------------------------------- the collector's sources


@dataclass
class FakePoller:
    """Polls take until `let`; what is sent can be held too."""

    clock: Clock
    asked: list[str] = field(default_factory=list)
    broken_off: list[str] = field(default_factory=list)
    before: list[SourceState | None] = field(default_factory=list)
    sending: set[str] = field(default_factory=set)
    request: asyncio.Event = field(default_factory=asyncio.Event)
    broker: asyncio.Event = field(default_factory=asyncio.Event)
    wait: Millis = 5 * MINUTE
    at_once: int = 0
    most: int = 0

    async def poll(self, of: Source, before: SourceState | None, sources: int, due: Millis) -> SourceState:
        self.asked.append(of.id)
        self.before.append(before)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.request.wait()
            self.sending.add(of.id)
            await self.broker.wait()
        except asyncio.CancelledError:
            self.broken_off.append(of.id)
            raise
        finally:
            self.sending.discard(of.id)
            self.at_once -= 1
        now = self.clock.now()
        return state(of, polled_at=now, next_poll_at=now + self.wait)

    def forget(self, source_id: str) -> None:
        return

    def pause(self, source: Source) -> float:
        return 0.0

    def let(self) -> None:
        self.request.set()
        self.broker.set()


@asynccontextmanager
async def collecting(*sources: Source, factor: float = 1e-9, send_seconds: float = 5.0) -> AsyncIterator[Any]:
    deps = deps_with(*sources, factor=factor)
    poller = FakePoller(deps.clock)
    alarms = Alarms(deps, FakeBus())  # type: ignore[arg-type]
    collector = Collector(deps, poller, alarms, send_seconds=send_seconds)  # type: ignore[arg-type]
    task = asyncio.create_task(collector.run())
    try:
        yield deps, poller, collector
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def assigned(deps: Deps) -> float | None:
    return deps.metrics.registry.get_sample_value("wenxun_feed_polls_assigned")


async def test_only_sources_of_own_partitions_are_polled_and_they_are_counted() -> None:
    sources = [source(f"s{number}", number % 4) for number in range(8)]
    async with collecting(*sources) as (deps, poller, collector):
        await asyncio.sleep(0.1)
        assert poller.asked == [], "nothing is assigned yet"
        poller.let()
        collector.take({1}, {"s1": state(sources[1], etag="1")})
        await until(lambda: len(collector.states) == 2)
        assert sorted(poller.asked) == ["s1", "s5"] and assigned(deps) == 2
        assert {before.etag if before else None for before in poller.before} == {"1", None}
        collector.take({2}, {})
        await until(lambda: len(poller.asked) == 4)
        assert sorted(poller.asked[2:]) == ["s2", "s6"] and assigned(deps) == 4
        await collector.give_up({1, 2})
        assert assigned(deps) == 0 and collector.states == {}


async def test_a_request_in_flight_is_broken_off_when_its_partition_is_given_up() -> None:
    async with collecting(source("a", 0), source("b", 1)) as (_, poller, collector):
        collector.take({0, 1}, {})
        await until(lambda: len(poller.asked) == 2)
        await collector.give_up({0})
        assert poller.broken_off == ["a"] and poller.at_once == 1
        poller.let()
        await until(lambda: "b" in collector.states)
        collector.take({0}, {})
        await until(lambda: "a" in collector.states)
        assert poller.asked == ["a", "b", "a"]


async def test_what_is_on_its_way_to_the_broker_is_waited_for_before_a_partition_is_handed_on() -> None:
    async with collecting(source("a")) as (_, poller, collector):
        poller.request.set()
        collector.take({0}, {})
        await until(lambda: poller.sending)
        handing_on = asyncio.create_task(collector.give_up({0}))
        await asyncio.sleep(0.05)
        assert not handing_on.done()
        poller.broker.set()
        await handing_on
        assert poller.broken_off == [] and poller.at_once == 0 and collector.states == {}


async def test_items_that_the_broker_does_not_take_in_time_are_kept_in_hand_and_not_polled_twice() -> None:
    async with collecting(source("a"), send_seconds=0.05) as (_, poller, collector):
        poller.request.set()
        collector.take({0}, {})
        await until(lambda: poller.sending)
        await collector.give_up({0})
        assert poller.sending == {"a"} and poller.broken_off == []
        later = state(source("a"), polled_at=NOON + 1, next_poll_at=NOON + MINUTE, etag="the other's")
        collector.take({0}, {"a": later})
        await asyncio.sleep(0.3)
        assert poller.asked == ["a"]
        poller.broker.set()
        await until(lambda: not collector._polling)
        assert collector.states["a"] == later, "what another polled later is newer"
        assert poller.asked == ["a"] and collector._turns.planned("a") == NOON + MINUTE


async def test_a_state_of_a_clock_that_is_ahead_is_replaced_by_the_next_poll() -> None:
    ahead = state(source("a"), polled_at=NOON + MINUTE)
    async with collecting(source("a")) as (_, poller, collector):
        poller.let()
        collector.take({0}, {"a": ahead})
        await until(lambda: collector._turns.planned("a") == NOON + 5 * MINUTE)
        assert poller.asked == ["a"] and collector.states["a"].polled_at == NOON


async def test_a_source_whose_url_goes_to_a_host_of_another_collector_is_left_to_it() -> None:
    mine = source("a", 0)
    async with collecting(mine, source("b", 0)) as (deps, poller, collector):
        poller.let()
        collector.take({0}, {})
        await until(lambda: len(collector.states) == 2)
        deps.rules.offer(book(sources=(source("a", 3), source("b", 0))))
        await until(lambda: assigned(deps) == 1)
        deps.rules.offer(book(sources=(source("a", 0, url=on_partition(0, "new")), source("b", 0))))
        await until(lambda: len(poller.asked) == 3)
        assert poller.asked[2] == "a" and poller.before[2] is None, "a new address is read as a new source"


@pytest.mark.parametrize(("known", "why", "wait"), [
    (None, "", 0), ({"next_poll_at": NOON + 4 * MINUTE}, "", 0),
    ({"polled_at": NOON - 10_000, "next_poll_at": NOON + 4 * MINUTE}, "", 50_000),
    ({"outcome": "rate_limited", "next_poll_at": NOON + 4 * MINUTE}, "wait for another 240 s", None),
    ({"outcome": "rate_limited", "next_poll_at": NOON}, "", 0),
    ({"outcome": "server_error", "failures": 9, "next_poll_at": NOON + 60 * MINUTE}, "", 0),
], ids=["never polled", "at rest", "just polled", "told to wait", "was told to wait", "failing"])
async def test_a_person_can_have_a_source_polled_now(known: dict[str, Any] | None, why: str, wait: int | None) -> None:
    one = source("a")
    async with collecting(one) as (_, _, collector):
        collector._adopt(collector._deps.rules.book)
        collector.take({0}, {"a": state(one, **known)} if known is not None else {})
        assert why in collector.ask("a") and bool(why) == bool(collector.ask("a"))
        at = collector._turns.planned("a")
        assert at == (NOON + wait if wait is not None else NOON + 4 * MINUTE)
        assert "no such source" in collector.ask("ghost")


async def test_a_request_polls_a_source_at_rest() -> None:
    one = source("a")
    async with collecting(one) as (_, poller, collector):
        poller.let()
        collector.take({0}, {"a": state(one, next_poll_at=NOON + 4 * MINUTE)})
        await asyncio.sleep(0.3)
        assert poller.asked == []
        assert collector.ask("a") == ""
        await until(lambda: poller.asked == ["a"])


async def test_many_sources_due_at_once_are_spread_over_their_interval_and_few_are_not() -> None:
    crowd = [source(f"s{number}", number % 4) for number in range(8 * CROWD)]
    async with collecting(*crowd) as (_, poller, collector):
        poller.let()
        collector.take(range(4), {})
        await until(lambda: len(collector.states) == len(crowd) and not collector._polling, 60)
        waits = sorted(collector._turns.planned(each.id) - NOON for each in crowd)
        assert MINUTE <= waits[0] < 2 * MINUTE and waits[-1] <= 5 * MINUTE
        quarters = [sum(low <= wait < low + MINUTE for wait in waits) for low in range(MINUTE, 5 * MINUTE, MINUTE)]
        assert min(quarters) > len(crowd) / 8, f"by minute: {quarters}"
        extra = source("extra", 1)
        collector._deps.rules.offer(book(sources=(*crowd, extra)))
        await until(lambda: "extra" in collector.states and not collector._polling)
        assert collector._turns.planned("extra") == NOON + 5 * MINUTE


async def test_a_rule_that_was_edited_applies_at_once_and_a_takeover_keeps_the_turns() -> None:
    one = source("a", interval=60 * MINUTE)
    async with collecting(one) as (deps, _, collector):
        collector._adopt(deps.rules.book)
        collector.take({0}, {"a": state(one, next_poll_at=NOON + 300 * MINUTE)})
        assert collector._turns.planned("a") == NOON + 300 * MINUTE
        deps.rules.offer(book(sources=(msgspec.structs.replace(one, interval=5 * MINUTE),)))
        await until(lambda: collector._turns.planned("a") == NOON + 5 * MINUTE)


# ---------------------------------------------------------------- turns


def begun(turns: Turns, now: Millis) -> list[str]:
    return [source_id for source_id, _, _ in turns.ready(now)]


def test_hosts_take_turns_and_a_busy_one_holds_nobody_else_up() -> None:
    turns = Turns(at_work=10, per_host=2)
    for number in range(4):
        turns.plan(f"a{number}", "a", 10 + number)
    turns.plan("b0", "b", 20)
    assert begun(turns, 9) == [] and turns.next_at() == 10
    assert begun(turns, 30) == ["a0", "b0", "a1"] and begun(turns, 30) == []
    turns.done("a")
    assert begun(turns, 30) == ["a2"]
    turns.done("b"), turns.done("a"), turns.done("a")
    assert begun(turns, 30) == ["a3"] and turns.next_at() is None


def test_no_more_polls_are_under_way_than_allowed() -> None:
    turns = Turns(at_work=3)
    for number in range(5):
        turns.plan(f"s{number}", f"h{number}", 0)
    assert begun(turns, 0) == ["s0", "s1", "s2"]
    turns.done("h1")
    assert begun(turns, 0) == ["s3"] and begun(turns, 0) == []


def test_a_later_plan_replaces_an_earlier_one_and_a_dropped_source_has_none() -> None:
    turns = Turns()
    turns.plan("a", "h", 10), turns.plan("a", "h", 5), turns.plan("b", "h", 5)
    turns.drop("b")
    assert turns.planned("a") == 5 and turns.planned("b") is None
    assert list(turns.ready(20)) == [("a", "h", 5)]
    turns.done("h")
    assert begun(turns, 20) == []


def test_hosts_that_want_pauses_take_no_places_while_they_last() -> None:
    turns = Turns(at_work=4, per_host=2)
    for number in range(8):
        turns.plan(f"a{number}", f"h{number % 4}", 0)
    first = begun(turns, 0)
    assert sorted(first) == ["a0", "a1", "a2", "a3"]
    for number in range(4):
        turns.done(f"h{number}", 60_000)
    turns.plan("b", "quick", 0)
    assert begun(turns, 1_000) == ["b"] and turns.next_at() == 60_000
    turns.done("quick")
    turns.plan("a0", "h0", 60_000)
    assert sorted(begun(turns, 60_000)) == ["a4", "a5", "a6", "a7"], "one of each host, though two would have room"
    turns.done("h0")
    assert begun(turns, 60_001) == ["a0"]


def test_hosts_that_do_not_answer_never_take_all_places() -> None:
    turns = Turns(at_work=10, per_host=2, in_doubt=3)
    for number in range(20):
        turns.plan(f"dead{number}", f"d{number}", 0, answers=False)
        turns.plan(f"other{number}", f"o{number}", 1)
    assert begun(turns, 1) == [*(f"dead{number}" for number in range(3)), *(f"other{number}" for number in range(7))]
    turns.done("o0")
    assert begun(turns, 1) == ["other7"]
    turns.done("d0")
    assert begun(turns, 1) == ["dead3"]
    turns.plan("dead4", "d4", 0)                        # it is heard again: one like the others
    turns.done("o1"), turns.done("o2")
    assert begun(turns, 1) == ["other8", "other9"]


def test_a_clock_that_is_set_back_stops_nobody() -> None:
    turns = Turns()
    for number in range(10):
        turns.plan(f"s{number}", f"h{number}", NOON + number * MINUTE)
    assert begun(turns, NOON) == ["s0"]
    turns.done("h0", NOON + 10_000)
    back = NOON - 60 * MINUTE
    assert begun(turns, back) == [] and turns.next_at() == back + 10_000
    assert begun(turns, back + 3 * MINUTE) == ["s1", "s2", "s3"]
    assert turns.planned("s4") == back + 4 * MINUTE


# ---------------------------------------------------------------- pulse


async def test_a_blocked_loop_is_seen() -> None:
    told: list[float] = []
    beating = asyncio.create_task(feel(told.append, every=0.02))
    await asyncio.sleep(0.1)
    time.sleep(0.4)
    await until(lambda: told)
    beating.cancel()
    assert max(told) >= 0.3
