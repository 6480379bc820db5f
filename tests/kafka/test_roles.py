"""The roles as users run them, on a real Kafka: workers killed under load, records nobody can read, a broker away."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.supervisor import Supervisor
from pipeline import topics
from pipeline.model import Ack, Close, DeadLetter, Escalation, EventHead, RawBatch, ScoredBatch
from tests.builders import NOON, raw_item, scored_batch, scored_item
from tests.kafka.broker import Broker, settled, until
from tests.kafka.installation import Installation, repeated

pytestmark = pytest.mark.kafka
READ = (topics.ITEMS_RAW, topics.ITEMS_SCORED, topics.EVENTS, topics.ESCALATIONS, topics.DELIVERIES)
"""The topics whose readers set aside what they cannot read."""


@pytest.fixture
def installation(kafka: Broker, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(kafka, tmp_path)
    yield made
    made.end()


def load(count: int, at: int) -> list[tuple[str, str, RawBatch]]:
    """Numbered items of many sources, several to a record, enough of them about one thing to raise its level."""
    records = []
    for number in range(0, count, 4):
        source = f"s{number % 40}"
        items = tuple(raw_item(f"{each:020x}", source_id=source, first_seen_at=at, published_at=at,
                               title=f"投票站几点关门 {each % 7}", text=f"有人说城西投票站下午三点截止,第{each}条")
                      for each in range(number, min(count, number + 4)))
        records.append((topics.ITEMS_RAW, source, RawBatch(source_id=source, polled_at=at, items=items)))
    return records


@pytest.mark.fault
async def test_two_scorers_and_two_trackers_one_killed_under_load_skip_nothing_and_alert_once(
    installation: Installation,
) -> None:
    """One process of each pair dies by SIGKILL in the middle; what it had is done by the other."""
    from agents.clock import Clock

    items, at = 6_000, Clock().now()
    installation.start("rules,escalate,score,track", POD_NAME="")
    await installation.ready()
    installation.start("score,track", POD_NAME="")
    await installation.ready()
    for group in ("wenxun-score", "wenxun-track"):
        await settled(installation.broker.address, group, 2)
    records = load(items, at)
    await installation.send(*records[:len(records) // 2])
    sending = asyncio.create_task(installation.send(*records[len(records) // 2:]))
    await until(lambda: _some(installation, 50), 180, "scored records")
    installation.processes[1].send_signal(signal.SIGKILL)
    await sending
    await installation.done(240, "wenxun-score", "wenxun-track", "wenxun-escalate")
    scored = {item.item.id for batch in await installation.read(topics.ITEMS_SCORED)
              if isinstance(batch, ScoredBatch) for item in batch.items}
    assert scored == {f"{number:020x}" for number in range(items)}
    heads = [each for each in await installation.read(topics.EVENTS) if isinstance(each, EventHead)]
    assert heads
    alerts = {each.id: (each.alert_id, each.kind, each.step, each.repeat)
              for each in await installation.read(topics.ESCALATIONS) if isinstance(each, Escalation)}
    assert alerts, "the load raises a level"
    print(f"{items} items, {len(scored)} scored, {len(heads)} heads of {len({each.id for each in heads})} events, "
          f"{len(alerts)} escalations")
    assert not repeated([str(each) for each in alerts.values()]), "one alert under two ids"
    assert [each for each in await installation.read(topics.DEAD_LETTERS) if isinstance(each, DeadLetter)] == []
    assert installation.processes[0].poll() is None, installation.said()


async def test_records_nobody_can_read_are_set_aside_from_each_topic_and_their_neighbours_go_on(
    installation: Installation,
) -> None:
    poison = (b"{not json", b"\xff\xfe\x00", None, b"", b"[" * 20_000, b"x" * 900_000)
    installation.start("all")
    await installation.ready()
    sent = {topic: await installation.send_bytes(topic, *poison, partition=1) for topic in READ}
    await installation.send_bytes(topics.RULES, b"{not json")
    item = raw_item("f" * 20, title="投票站几点关门", source_id="after")
    key = next(f"k{number}" for number in range(99) if topics.partition_of(f"k{number}", 4) == 1)
    await installation.send((topics.ITEMS_RAW, key, RawBatch(source_id="after", polled_at=NOON, items=(item,))),
                            (topics.EVENTS, key, Ack(id="ack", event_id=key, alert_id="a", by="duty", at=NOON)))
    await installation.done(240, "wenxun-score", "wenxun-track", "wenxun-escalate")

    async def all_set_aside() -> bool:
        return all(len(found) == len(poison) for found in (await _letters(installation)).values())

    await until(all_set_aside, 180, f"dead letters: {await _letters(installation)}\n{installation.said()}")
    letters = await _letters(installation)
    assert letters == sent
    scored = [item.item.id for batch in await installation.read(topics.ITEMS_SCORED)
              if isinstance(batch, ScoredBatch) for item in batch.items]
    assert "f" * 20 in scored
    assert installation.processes[0].poll() is None, installation.said()


async def test_a_killed_tracker_has_its_events_back_and_goes_on_with_their_next_version(
    installation: Installation,
) -> None:
    items = [scored_item(f"{number:020d}", origin=f"o{number}.example") for number in range(4)]
    installation.start("rules,track", POD_NAME="worker-0")
    await installation.ready()
    await installation.send((topics.ITEMS_SCORED, "recovery", scored_batch(*items[:3], subject="recovery")))
    await until(lambda: _heads(installation, 3), 180, "an event of three")
    await installation.done(240, "wenxun-track")
    installation.processes[0].send_signal(signal.SIGKILL)
    installation.processes[0].wait()
    installation.start("rules,track", POD_NAME="worker-0")
    await installation.ready()
    await installation.send((topics.ITEMS_SCORED, "recovery", scored_batch(items[3], subject="recovery")))
    await until(lambda: _heads(installation, 4), 180, f"an event of four\n{installation.said()}")
    heads = [each for each in await installation.read(topics.EVENTS)
             if isinstance(each, EventHead) and each.subject == "recovery"]
    assert len({head.id for head in heads}) == 1
    assert len({(head.version, head.items) for head in heads}) == len({head.version for head in heads})


async def test_sigterm_waits_for_the_event_in_work_and_ends_with_0(installation: Installation) -> None:
    process = installation.start("rules,track", "-m", "tests.kafka.slow_roles", POD_NAME="worker-0")
    await installation.ready()
    await installation.send((topics.ITEMS_SCORED, "k", Close(
        id="slow", event_id="e", key="k", by="duty", at=NOON, reason="")))
    await until(lambda: _marked(installation, "begun"), 180, "the event is begun")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 90) == 0, installation.said()
    assert await _marked(installation, "ended")
    assert await installation.behind("wenxun-track", topics.ITEMS_SCORED) == 0


@pytest.mark.fault
async def test_a_broker_that_was_away_costs_nothing_and_nobody_has_to_help(installation: Installation) -> None:
    """Workers that cannot commit may end; their supervisor brings them back. Shortened: what is away for two minutes
    differs from this only in how often they try."""
    environ = installation.environ(WENXUN_METRICS_BIND="127.0.0.1:0", POD_NAME="worker-0")
    parent = Supervisor([sys.executable, "-m", "agents", "run", "--roles", "rules,score,track"], environ, 20)
    thread = threading.Thread(target=parent.run)
    thread.start()
    try:
        at = NOON
        await installation.send(*load(400, at))
        await until(lambda: _some(installation, 20), 180, "scored records")
        installation.broker.kill()
        await asyncio.sleep(8)
        await asyncio.to_thread(installation.broker.start)
        more = tuple(raw_item(f"{number:020x}", first_seen_at=at) for number in range(70_000, 70_040))
        await installation.send((topics.ITEMS_RAW, "more", RawBatch(source_id="more", polled_at=at, items=more)))
        await installation.done(240, "wenxun-score", "wenxun-track")
    finally:
        parent.stop()
        await asyncio.to_thread(thread.join, 90)
    scored = {item.item.id for batch in await installation.read(topics.ITEMS_SCORED)
              if isinstance(batch, ScoredBatch) for item in batch.items}
    assert {f"{number:020x}" for number in (*range(400), *range(70_000, 70_040))} <= scored


async def _heads(installation: Installation, items: int) -> bool:
    return any(isinstance(each, EventHead) and each.subject == "recovery" and each.items == items
               for each in await installation.read(topics.EVENTS))


async def _marked(installation: Installation, state: str) -> bool:
    return any(isinstance(each, Ack) and each.id == "slow" and each.by == state
               for each in await installation.read(topics.EVENTS))


async def _letters(installation: Installation) -> dict[str, set[int]]:
    """Offsets of the records that were set aside, by topic: two readers may set one aside, under one id."""
    found: dict[str, set[int]] = {topic: set() for topic in READ}
    for each in await installation.read(topics.DEAD_LETTERS):
        if isinstance(each, DeadLetter) and each.partition == 1 and each.key == b"poison":
            found.setdefault(each.topic, set()).add(each.offset)
    return found


async def _some(installation: Installation, count: int) -> bool:
    return sum(await installation.broker.committed("wenxun-score", topics.ITEMS_RAW)) >= count
