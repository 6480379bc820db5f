"""A role that leaves records lying is a 系统 notice: in time, once per episode, and again when it has caught up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from agents import lag_watch, runtime
from agents.app import FAUST, group_of
from agents.archivist import GROUP as ARCHIVE
from agents.bus import Bus, consumer
from agents.clock import Clock
from agents.deliverer.intake import GROUP as DELIVER
from agents.deps import Deps, RuleStore
from agents.embedded import embedded_broker
from agents.lag import Lag, Position
from agents.lag_watch import LATE_SECONDS, READERS, LagWatch, Reader
from agents.metrics import Metrics
from agents.runtime import START_ORDER, Process
from agents.settings import Settings
from agents.ticker import INPUTS
from pipeline import codec, topics
from pipeline.model import Escalation, EscalationKind
from tests.builders import NOON, book, raw_batch, raw_item

TRACK = Reader("track", (topics.ITEMS_SCORED,), "告警会推迟")
PLACE = (topics.ITEMS_SCORED, 2)


class Rig:
    """A watch over one role. place, seconds and fail are set by the test before each look."""

    def __init__(self, reader: Reader = TRACK) -> None:
        self.deps = Deps(Settings(), Clock(NOON, 0, 0.0), Metrics(), RuleStore(book()))
        self.position = Position(0, 0)
        self.seconds = 0.0
        self.away = self.deaf = False
        self.told: list[dict[str, Any]] = []
        self.reader = reader
        self.watch = self.new()

    def new(self) -> LagWatch:
        return LagWatch(self.deps, self._measure, self._tell, readers=[self.reader], seconds=lambda: self.seconds)

    async def _measure(self, reader: Reader) -> dict[tuple[str, int], Position]:
        if self.away:
            raise KafkaConnectionError("away")
        return {(reader.topics[0], 1): Position(7, 7), (reader.topics[0], 2): self.position}

    async def _tell(self, **about: Any) -> None:
        if self.deaf:
            raise TimeoutError
        self.told.append(about)

    async def look(self, seconds: float, committed: int, end: int) -> list[str]:
        self.seconds, self.position = seconds, Position(committed, end)
        await self.watch.look()
        return [each["title"] for each in self.told]


def test_every_role_that_reads_a_topic_is_watched_in_its_own_group() -> None:
    assert {each.role for each in READERS} == set(START_ORDER) - {"collect", "desk", "rules"}
    groups = {each.role: each.group for each in READERS}
    assert groups == {**{role: group_of(role) for role in FAUST}, "deliver": DELIVER, "archive": ARCHIVE}
    read = {each.role: each.topics for each in READERS}
    assert all(read[role] == (topic,) for role, topic in INPUTS.items())


async def test_one_record_that_nobody_takes_is_told_once_with_what_to_do() -> None:
    rig = Rig()
    await rig.look(0, 10, 10)
    assert await rig.look(20, 10, 11) == []
    assert await rig.look(20 + LATE_SECONDS - 1, 10, 11) == []
    assert await rig.look(20 + LATE_SECONDS, 10, 11) == ["角色 track 处理不过来或已停下"]
    assert len(await rig.look(20 + 9 * LATE_SECONDS, 10, 500)) == 1
    (notice,) = rig.told
    assert "1 条记录" in notice["text"] and topics.ITEMS_SCORED in notice["text"] and "5 分钟" in notice["text"]
    assert "告警会推迟" in notice["text"] and "/readyz" in notice["text"] and "--roles track" in notice["text"]


async def test_a_busy_role_that_keeps_up_is_no_trouble() -> None:
    """There is always much unread, but nothing of it is old."""
    rig = Rig()
    for step in range(100):
        assert await rig.look(step * 20.0, step * 1000, step * 1000 + 5000) == []


async def test_a_role_that_goes_on_but_ever_later_is_told() -> None:
    rig = Rig()
    for step in range(100):
        await rig.look(step * 20.0, step * 10, step * 1000)
    assert len(rig.told) == 1


async def test_catching_up_is_told_and_the_next_trouble_again() -> None:
    rig = Rig()
    await rig.look(0, 10, 11)
    await rig.look(LATE_SECONDS, 10, 11)
    assert (await rig.look(LATE_SECONDS + 20, 11, 11))[1:] == ["角色 track 已跟上"]
    await rig.look(LATE_SECONDS + 40, 11, 12)
    assert len(await rig.look(2 * LATE_SECONDS + 40, 11, 12)) == 3
    ids = [(each["key"], each["episode"]) for each in rig.told]
    assert len(set(ids)) == 3, "three notices, not one"


async def test_a_watch_that_starts_anew_tells_a_stopped_role_under_the_same_id() -> None:
    rig = Rig()
    for _ in range(2):
        rig.watch = rig.new()
        await rig.look(rig.seconds + 1, 10, 11)
        await rig.look(rig.seconds + LATE_SECONDS, 10, 11)
    first, second = rig.told
    assert (first["key"], first["episode"]) == (second["key"], second["episode"])


async def test_time_without_a_broker_is_not_held_against_a_role() -> None:
    rig = Rig()
    await rig.look(0, 10, 11)
    rig.away = True
    await rig.look(LATE_SECONDS, 10, 11)
    rig.away = False
    assert await rig.look(LATE_SECONDS + 20, 10, 11) == []
    assert len(await rig.look(2 * LATE_SECONDS + 20, 10, 11)) == 1


async def test_a_notice_that_could_not_be_sent_is_sent_at_the_next_look() -> None:
    rig = Rig()
    await rig.look(0, 10, 11)
    rig.deaf = True
    await rig.look(LATE_SECONDS, 10, 11)
    rig.deaf = False
    assert len(await rig.look(LATE_SECONDS + 20, 10, 11)) == 1


def sample(rig: Rig, name: str, **labels: str) -> float | None:
    return rig.deps.metrics.registry.get_sample_value(f"wenxun_{name}", labels)


@pytest.mark.parametrize("reader", READERS, ids=lambda each: each.role)
async def test_how_far_every_role_is_behind_is_a_metric(reader: Reader) -> None:
    rig = Rig(reader)
    await rig.look(0, 10, 15)
    await rig.look(40, 10, 16)
    assert sample(rig, "consumer_lag_records", topic=reader.topics[0], group=reader.group) == 6
    assert sample(rig, "consumer_oldest_wait_seconds", group=reader.group) == 40
    assert sample(rig, "broker_reachable") == 1
    await rig.look(60, 16, 16)
    assert sample(rig, "consumer_oldest_wait_seconds", group=reader.group) == 0


async def test_a_broker_that_does_not_answer_leaves_no_lag_of_before() -> None:
    rig = Rig()
    assert sample(rig, "broker_reachable") is None, "nobody has looked yet"
    await rig.look(0, 10, 15)
    rig.away = True
    await rig.look(20, 10, 15)
    assert sample(rig, "broker_reachable") == 0
    assert sample(rig, "consumer_lag_records", topic=topics.ITEMS_SCORED, group=TRACK.group) is None
    assert sample(rig, "consumer_oldest_wait_seconds", group=TRACK.group) is None
    rig.away = False
    await rig.look(40, 10, 15)
    assert sample(rig, "broker_reachable") == 1


async def test_records_that_the_log_has_dropped_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group whose offsets the broker forgot, and a topic whose records are past their time: nothing is unread."""
    class Client:
        def partitions_for_topic(self, topic: str) -> set[int]:
            return {0, 1}

        async def beginning_offsets(self, places: list[Any]) -> dict[Any, int]:
            return dict.fromkeys(places, 90)

        async def end_offsets(self, places: list[Any]) -> dict[Any, int]:
            return dict.fromkeys(places, 100)

        async def committed(self, place: Any) -> int | None:
            return 95 if place.partition else None

    async def client(self: Lag, group: str) -> Client:
        return Client()

    monkeypatch.setattr(Lag, "_client", client)
    assert await Lag(Settings()).of("wenxun-score", topics.ITEMS_RAW) == {0: Position(90, 100), 1: Position(95, 100)}


@pytest.fixture
async def embedded() -> AsyncIterator[Settings]:
    with embedded_broker() as address:
        yield Settings(bootstrap=address, embedded=True)


@pytest.mark.embedded
async def test_records_without_a_scorer_become_a_notice_to_ops(
    embedded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag_watch, "LATE_SECONDS", 0.3)
    monkeypatch.setattr(lag_watch, "LOOK_SECONDS", 0.1)
    deps = Deps(embedded, Clock(NOON, 0, 0.0), Metrics(), RuleStore(book()))
    async with Bus(embedded, deps.clock, "collect") as bus:
        await bus.send(topics.ITEMS_RAW, "news", raw_batch(raw_item("a")), ident="a")
    reader = consumer(embedded, topics.ESCALATIONS, group=None)
    watching = asyncio.create_task(lag_watch.watch(deps))
    try:
        await reader.start()
        found: list[Escalation] = []
        async with asyncio.timeout(60):
            while not any("score" in each.title for each in found):
                for records in (await reader.getmany(timeout_ms=200)).values():
                    found += [codec.decode(each.value, each.headers) for each in records]
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await reader.stop()
    assert all(each.kind is EscalationKind.SYSTEM and each.tell == ("ops",) and not each.event_id for each in found)


@pytest.mark.parametrize(("roles", "watched"), [(("rules",), True), (("archive",), False)])
async def test_the_watch_runs_beside_the_one_role_rules(
    roles: tuple[str, ...], watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> None:
        await asyncio.sleep(3600)

    async def no_topics(*_: Any) -> list[str]:
        return []

    for module in ("agents.rule_feed.follow", "agents.rule_watch.run", "agents.archivist.run",
                   "agents.lag_watch.watch"):
        monkeypatch.setattr(module, nothing)
    monkeypatch.setattr(runtime.topics_admin, "ensure", no_topics)
    process = Process(Deps(Settings(), Clock(), Metrics(), RuleStore(book())), roles)
    try:
        await process._start()
        assert ("lag watch" in process._tasks) is watched
    finally:
        await process._shut_down()
