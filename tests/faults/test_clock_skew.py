"""Hosts whose clocks differ: track on one, the others on another, a broker between them. Nothing is lost or comes in
another order, every timer runs, and the difference is shown."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest

from pipeline import topics
from pipeline.ids import digest
from pipeline.model import Ack, AlertState, AlertStatus, DeadLetter, Escalation, EventHead, RawBatch
from tests.builders import raw_item
from tests.faults.test_clock_jumps import APART, JUMP, faketime, installation, set_clock  # noqa: F401
from tests.kafka.broker import until
from tests.kafka.conftest import kafka, kafka_jars  # noqa: F401
from tests.kafka.installation import Installation

pytestmark = [pytest.mark.kafka, pytest.mark.fault]


def now() -> int:
    return time.time_ns() // 1_000_000


def polls(name: str, ahead: int) -> list[tuple[str, str, RawBatch]]:
    """Reports of eight sites about one thing that no other test names, for they share a broker. ahead: ms by which the
    clock of every other collector is."""
    found, words = [], " ".join(digest("skew", name, number) for number in range(6))
    for number in range(8):
        at = now() + (ahead if number % 2 else 0)
        item = raw_item(digest("skew", name, number), source_id=f"s{number}", first_seen_at=at, published_at=None,
                        title=f"投票站几点关门 {name} {words}", text="", url=f"http://s{number}.example/{number}")
        found.append((topics.ITEMS_RAW, f"s{number}", RawBatch(source_id=f"s{number}", polled_at=at, items=(item,))))
    return found


async def clock_ahead(installation: Installation, number: int, role: str) -> float:  # noqa: F811
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{installation.ports[number]}/metrics")).text
    found = re.search(rf'^wenxun_clock_ahead_seconds{{role="{role}"}} (\S+)$', text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


async def heads(installation: Installation, name: str) -> list[EventHead]:  # noqa: F811
    found = await installation.read(topics.EVENTS)
    return [each for each in found if isinstance(each, EventHead) and name in each.title]


async def pages(installation: Installation, name: str) -> list[Escalation]:  # noqa: F811
    """Each escalation of the test's event once, in the order of the topic."""
    found = {each.id: each for each in await installation.read(topics.ESCALATIONS)
             if isinstance(each, Escalation) and each.head is not None and name in each.head.title}
    return list(found.values())


@pytest.mark.parametrize("off", [600, -600, JUMP, -JUMP])
async def test_a_tracker_on_a_host_with_another_clock_raises_and_pages_as_any_other(
    installation: Installation, faketime: dict[str, str], tmp_path: Path, off: int,  # noqa: F811
) -> None:
    name = f"offby{off + 5000}"
    set_clock(tmp_path, off)
    installation.start("score,escalate", POD_NAME="right", WENXUN_TICK_SECONDS="0.5")
    installation.start("track", POD_NAME="off", WENXUN_TICK_SECONDS="0.5", **faketime)
    for number in (0, 1):
        await installation.ready(number)
    await installation.send(*polls(name, max(0, off) * 1000 + 20 * 60_000))
    await three_steps(installation, name)
    sent = await pages(installation, name)
    assert len({each.event_id for each in sent}) == len({each.alert_id for each in sent}) == 1, "one event, one alert"
    assert [(each.repeat, each.step) for each in sent[:3]] == [(0, 0), (0, 1), (0, 2)]
    assert min(late.at - early.at for early, late in zip(sent, sent[1:3], strict=False)) >= APART
    raised = [each for each in await heads(installation, name) if each.raises]
    assert max(each.items for each in raised) == 8
    assert all(each.level for each in raised), "what is of the future is of now, and nothing falls"
    await shown(installation, off)
    await answered(installation, sent[-1])
    assert [each for each in await installation.read(topics.DEAD_LETTERS) if isinstance(each, DeadLetter)] == []
    assert "the clocks of two hosts differ" in (tmp_path / "1.log").read_text()


async def three_steps(installation: Installation, name: str) -> None:  # noqa: F811
    async def told() -> bool:
        return len(await pages(installation, name)) >= 3

    try:
        await until(told, 180, "three steps")
    except AssertionError as error:
        sent = [(each.step, each.repeat, each.kind, each.why) for each in await pages(installation, name)]
        raise AssertionError(f"{error}: {sent}, levels {[each.level for each in await heads(installation, name)]}\n"
                             f"{installation.said()}") from None


async def shown(installation: Installation, off: int) -> None:  # noqa: F811
    """The one whose clock is behind sees what the other dates into its future; the right one sees no worse."""
    behind = (0, "escalate") if off > 0 else (1, "track")

    async def seen() -> bool:
        return await clock_ahead(installation, *behind) >= abs(off) - 60

    await until(seen, 150, f"wenxun_clock_ahead_seconds of {behind[1]}")
    print("clock_ahead_seconds of", behind[1], round(await clock_ahead(installation, *behind)))


async def answered(installation: Installation, page: Escalation) -> None:  # noqa: F811
    """An ack by the right clock ends the chain, whatever the event's host says the time is."""
    await installation.send((topics.EVENTS, page.event_id, Ack(
        id="ack", event_id=page.event_id, alert_id=page.alert_id, by="li", at=now())))

    async def acked() -> bool:
        states = [each for each in await installation.read(topics.ESCALATIONS) if isinstance(each, AlertState)]
        return bool(states) and states[-1].status is AlertStatus.ACKED and states[-1].due_at is None

    await until(acked, 180, "the ack")


async def test_a_clock_more_than_an_hour_ahead_is_refused_by_the_broker_and_once_set_right_nothing_is_missing(
    installation: Installation, faketime: dict[str, str], tmp_path: Path,  # noqa: F811
) -> None:
    name = "toofar"
    set_clock(tmp_path, 2 * 3600)
    installation.start("track", POD_NAME="off", WENXUN_TICK_SECONDS="0.5", **faketime)
    installation.start("score,escalate", POD_NAME="right", WENXUN_TICK_SECONDS="0.5")
    await installation.ready(1)
    await installation.send(*polls(name, 0))

    async def complains() -> bool:
        return "InvalidTimestamp" in (tmp_path / "0.log").read_text()

    await until(complains, 180, f"the broker's refusal\n{installation.said()}")
    assert not await pages(installation, name)
    set_clock(tmp_path, 0)

    async def told() -> bool:
        if installation.processes[-1].poll() is not None or (
                len(installation.processes) == 2 and installation.processes[0].poll() is not None):
            installation.start("track", POD_NAME="off", WENXUN_TICK_SECONDS="0.5")      # as a supervisor does
        return bool(await pages(installation, name)) and max(
            each.items for each in await heads(installation, name)) == 8

    await until(told, 180, f"a page of all eight\n{installation.said()}")
    assert [each for each in await installation.read(topics.DEAD_LETTERS) if isinstance(each, DeadLetter)] == []
