"""The heartbeat: a beat per partition from the collector, on through score and track, and the call at its end."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from agents import outbound
from agents.clock import Clock
from agents.collector.beat import Beat
from agents.deliverer.heartbeat import Pulse
from agents.deps import Deps, RuleStore
from agents.metrics import Metrics
from agents.scorer import Score
from agents.settings import Settings
from agents.store import heartbeats
from agents.store.heartbeats import ARCHIVE, DELIVER, Seen
from agents.tracker import Track
from pipeline import topics
from pipeline.model import Heartbeat
from pipeline.rulebook import schema
from pipeline.track.pair import TrackerPair
from tests.builders import NOON, book
from tests.delivery_fakes import Hook, delivery_deps, store

EVERY = 60_000
PARTITIONS = 2


def beat(partition: int = 0, at: int = NOON) -> Heartbeat:
    return Heartbeat(id=f"beat{partition}", at=at, partition=partition)


class Places:
    """Remembers the topic and partition of each record. hold: sends wait until it is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[str, int | None, Any]] = []
        self.error, self.hold = error, asyncio.Event()
        self.hold.set()

    async def send(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        await self.hold.wait()
        if self.error is not None:
            raise self.error
        self.sent.append((topic, partition, record))

    post = send


class States:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def of(self, partition: int) -> TrackerPair:
        if self.error is not None:
            raise self.error
        return TrackerPair(partition, PARTITIONS)


def plain_deps() -> Deps:
    return Deps(Settings(partitions=PARTITIONS), Clock(NOON, 0, 0.0), Metrics(), RuleStore(book()))


async def test_the_collector_beats_on_its_partitions_once_an_interval() -> None:
    out, times = Places(), [NOON, NOON + 1000, NOON + EVERY - 1, NOON + EVERY]
    sender = Beat(plain_deps(), out, iter(times).__next__)  # type: ignore[arg-type]
    for _ in times:
        sender.tell({1, 0})
        await asyncio.sleep(0)
    await sender.stop()
    assert [(topic, place, record.partition, record.at) for topic, place, record in out.sent] == [
        (topics.ITEMS_RAW, place, place, at) for at in (NOON, NOON + EVERY) for place in (0, 1)]
    assert len({record.id for _, _, record in out.sent}) == 4


async def test_a_broker_that_takes_nothing_keeps_one_beat_waiting_and_stops_no_polls() -> None:
    out, times = Places(), [NOON, NOON + EVERY, NOON + 2 * EVERY]
    out.hold.clear()
    sender = Beat(plain_deps(), out, iter(times).__next__)  # type: ignore[arg-type]
    for _ in times:
        sender.tell({0})
        await asyncio.sleep(0)
    out.hold.set()
    await asyncio.sleep(0.05)
    assert [record.at for _, _, record in out.sent] == [NOON]
    await sender.stop()


async def test_a_beat_that_cannot_be_sent_is_said_and_the_next_one_is_tried() -> None:
    out, now = Places(KafkaError()), NOON
    sender = Beat(plain_deps(), out, lambda: now)  # type: ignore[arg-type]
    sender.tell({0})
    await asyncio.sleep(0.01)
    out.error, now = None, NOON + EVERY
    sender.tell({0})
    await asyncio.sleep(0.01)
    assert len(out.sent) == 1


async def test_score_and_track_send_it_on_to_the_same_partition() -> None:
    deps, out = plain_deps(), Places()
    await Score(deps, out)(beat(1), 1)  # type: ignore[arg-type]
    await Track(deps, out, None, States())(beat(1), 1)  # type: ignore[arg-type]
    assert out.sent == [(topics.ITEMS_SCORED, 1, beat(1)), (topics.EVENTS, 1, beat(1))]


async def test_a_tracker_that_has_lost_its_state_sends_none_on() -> None:
    out = Places()
    with pytest.raises(RuntimeError):
        await Track(plain_deps(), out, None, States(RuntimeError("no rows")))(beat(), 0)  # type: ignore[arg-type]
    assert not out.sent


def everywhere(at: int, **late: int) -> list[Seen]:
    return [Seen(stage, place, late.get(f"{stage}{place}", at), late.get(f"{stage}{place}", at))
            for stage in (DELIVER, ARCHIVE) for place in range(PARTITIONS)]


@pytest.mark.parametrize(("beats", "gone"), [
    ([], [(DELIVER, 0, None), (DELIVER, 1, None), (ARCHIVE, 0, None), (ARCHIVE, 1, None)]),
    (everywhere(NOON), []),
    (everywhere(NOON, archive1=NOON - 91_000), [(ARCHIVE, 1, 91_000)]),
    ([one for one in everywhere(NOON) if one.partition == 0], [(DELIVER, 1, None), (ARCHIVE, 1, None)]),
    ([Seen(one.stage, one.partition, NOON - 100_000, NOON) for one in everywhere(NOON)],   # old ones, read just now
     [(DELIVER, 0, 100_000), (DELIVER, 1, 100_000), (ARCHIVE, 0, 100_000), (ARCHIVE, 1, 100_000)]),
])
def test_a_beat_is_missing_on_every_partition_and_at_both_ends(
    beats: list[Seen], gone: list[tuple[str, int, int | None]],
) -> None:
    assert heartbeats.missing(beats, PARTITIONS, NOON, 90_000) == gone


async def looked(path: Path, hook: Hook, beats: list[Seen], **url: str) -> tuple[bool, Deps]:
    rules = replace(book(), heartbeat=schema.Heartbeat(**{"url": f"http://127.0.0.1:{hook.port}/ping/k3y", **url}))
    deps = delivery_deps(path, rules, hook, partitions=PARTITIONS)
    engine = store(path)
    heartbeats.note(engine, beats)
    async with outbound.client(deps.settings) as client:
        return await Pulse(deps, engine, client, lambda: NOON).look(EVERY), deps


async def test_the_url_is_called_while_all_beats_are_fresh(tmp_path: Path) -> None:
    async with Hook() as hook:
        well, deps = await looked(tmp_path, hook, everywhere(NOON - 30_000))
    assert well and [got.line for got in hook.got] == ["GET /ping/k3y HTTP/1.1"]
    assert deps.metrics.registry.get_sample_value("wenxun_heartbeat_calls_total", {"outcome": "ok"}) == 1
    assert deps.metrics.registry.get_sample_value("wenxun_heartbeat_age_seconds") == 30
    assert deps.metrics.registry.get_sample_value("wenxun_heartbeat_interval_seconds") == EVERY / 1000


@pytest.mark.parametrize("late", ["deliver0", "deliver1", "archive0", "archive1"])
async def test_one_partition_that_misses_its_beat_stops_the_calls(tmp_path: Path, late: str) -> None:
    async with Hook() as hook:
        well, _ = await looked(tmp_path, hook, everywhere(NOON, **{late: NOON - EVERY * 2}))
    assert not well and not hook.got


async def test_what_has_just_started_waits_for_the_first_beats_before_it_complains(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    now = NOON
    async with Hook() as hook:
        deps = delivery_deps(tmp_path, book(), hook, partitions=PARTITIONS)
        async with outbound.client(deps.settings) as client:
            pulse = Pulse(deps, store(tmp_path), client, lambda: now)
            assert not await pulse.look(EVERY) and caplog.text == ""
            now += EVERY + EVERY // 2
            assert not await pulse.look(EVERY) and "never" in caplog.text
    age = deps.metrics.registry.get_sample_value("wenxun_heartbeat_age_seconds")
    assert age == 1.5 * EVERY / 1000, "what never came is as old as the process that waits for it"


@pytest.mark.parametrize("step", [500, 302, "reset"])
async def test_a_url_that_does_not_take_the_call_is_said_without_the_url(
    tmp_path: Path, step: int | str, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with Hook(step) as hook:
        well, deps = await looked(tmp_path, hook, everywhere(NOON))
    assert not well and "k3y" not in caplog.text and "dead-man" in caplog.text
    assert deps.metrics.registry.get_sample_value("wenxun_heartbeat_calls_total", {"outcome": "failed"}) == 1


async def test_a_missing_file_with_the_url_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Hook() as hook:
        well, _ = await looked(tmp_path, hook, everywhere(NOON), url="", url_file="secrets/deadman.url")
    assert not well and "deadman.url" in caplog.text


async def test_what_comes_late_changes_nothing_that_is_newer(tmp_path: Path) -> None:
    engine, deps = store(tmp_path), delivery_deps(tmp_path, book())
    async with outbound.client(deps.settings) as client:
        pulse = Pulse(deps, engine, client, lambda: NOON + 500)
        await pulse.note([beat(at=NOON), beat(at=NOON - EVERY)])
        await pulse.note([beat(at=NOON - EVERY)])
    assert heartbeats.read(engine) == [Seen(DELIVER, 0, NOON, NOON + 500)]
