"""A process of escalate that was away over due times, and one whose clock jumps by an hour, on a real Kafka."""

from __future__ import annotations

import asyncio
import glob
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents import topics_admin
from agents.bus import Bus
from agents.clock import Clock
from agents.rule_feed import KEY
from agents.rule_files import load_book
from pipeline import topics
from pipeline.ids import digest
from pipeline.model import Escalation
from pipeline.rulebook.schema import Route, Step
from tests import servers
from tests.kafka.broker import Broker, until
from tests.kafka.conftest import kafka, kafka_jars  # noqa: F401
from tests.kafka.installation import Installation
from tests.messages import decision, head

pytestmark = [pytest.mark.kafka, pytest.mark.fault]

APART = 5_000
"""Milliseconds between two steps."""
ALERTS = 8
JUMP = 3590
"""Seconds: a broker refuses records of more than an hour ahead, as long as they are."""


@pytest.fixture
async def installation(kafka: Broker, tmp_path: Path) -> AsyncIterator[Installation]:  # noqa: F811
    """With a book of three steps."""
    made = Installation(kafka, tmp_path)
    await topics_admin.ensure(made.settings)
    book = load_book(tmp_path / "rules", "Asia/Shanghai")
    steps = tuple(Step(tell=(who,), after=number * APART) for number, who in enumerate(("duty", "leaders", "ops")))
    book = replace(book, routes=(Route(id="r", steps=steps),))
    async with Bus(made.settings, Clock(), "rules", max_bytes=topics.MAX_BOOK_BYTES) as bus:
        await bus.send(topics.RULES, KEY, book, ident=book.hash, partition=0)
    yield made
    await asyncio.to_thread(made.end)


@pytest.fixture
def faketime(tmp_path: Path) -> dict[str, str]:
    """Settings of a process whose clock is off by the seconds in file `offset`; its timers are not."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        servers.missing("fault", "libfaketime is not installed")
    set_clock(tmp_path, 0)
    return {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "offset"), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def set_clock(folder: Path, seconds: int) -> None:
    part = folder / "offset.part"
    part.write_text(f"{seconds:+d}\n")
    part.replace(folder / "offset")


async def raised(installation: Installation, name: str) -> set[str]:
    """Alerts that begin now, on every partition."""
    now = time.time_ns() // 1_000_000
    heads = [head(digest(name, number), number=number, version=1, level=3, level_name="重大", peak=3, raises=1,
                  decision=decision(level=3, previous=0), first_item_at=now, last_item_at=now, opened_at=now,
                  changed_at=now) for number in range(ALERTS)]
    await installation.send(*((topics.EVENTS, each.id, each) for each in heads))
    return {digest("alert", each.id, 3, 1) for each in heads}


async def told(installation: Installation, alerts: set[str]) -> dict[str, list[Escalation]]:
    """What each of the alerts sent, in order."""
    found: dict[str, list[Escalation]] = defaultdict(list)
    for each in await installation.read(topics.ESCALATIONS):
        if isinstance(each, Escalation) and each.alert_id in alerts and each.id not in {
                one.id for one in found[each.alert_id]}:
            found[each.alert_id].append(each)
    return found


async def wait_for(installation: Installation, alerts: set[str], steps: int) -> None:
    async def all_told() -> bool:
        found = await told(installation, alerts)
        return len(found) == len(alerts) and all(len(each) >= steps for each in found.values())

    try:
        await until(all_told, 180, f"{steps} steps of each alert")
    except AssertionError as error:
        raise AssertionError(f"{error}: {[len(each) for each in (await told(installation, alerts)).values()]}\n"
                             f"{installation.said()}") from None


async def each_in_turn(installation: Installation, alerts: set[str]) -> None:
    """Every step once, in order, each its distance after the one before: nothing lost, no burst. After the last one the
    fallback may have been told."""
    for sent in (await told(installation, alerts)).values():
        assert [(each.repeat, each.step) for each in sent] == [(0, 0), (0, 1), (0, 2), (1, 0)][:len(sent)], sent
        apart = [late.at - early.at for early, late in zip(sent, sent[1:], strict=False)]
        print("steps apart, s:", [round(each / 1000, 1) for each in apart])
        assert min(apart) >= APART


async def test_due_times_that_passed_while_nobody_ran_give_one_step_and_the_next_waits(
    installation: Installation,
) -> None:
    first = installation.start("escalate", POD_NAME="e-0", WENXUN_TICK_SECONDS="0.5")
    await installation.ready()
    alerts = await raised(installation, "away")
    await wait_for(installation, alerts, 1)
    first.kill()
    first.wait()
    before = max(each.at for sent in (await told(installation, alerts)).values() for each in sent)
    while time.time_ns() // 1_000_000 < before + 3 * APART:         # both steps are due by now
        await asyncio.sleep(0.2)
    installation.start("escalate", POD_NAME="e-0", WENXUN_TICK_SECONDS="0.5")
    await wait_for(installation, alerts, 3)
    await each_in_turn(installation, alerts)


@pytest.mark.parametrize("jump", [JUMP, -JUMP])
async def test_a_clock_that_jumps_an_hour_and_back_neither_loses_nor_bursts(
    installation: Installation, faketime: dict[str, str], tmp_path: Path, jump: int,
) -> None:
    installation.start("escalate", POD_NAME="e-0", WENXUN_TICK_SECONDS="0.5", **faketime)
    await installation.ready()
    alerts = await raised(installation, f"before {jump}")
    await wait_for(installation, alerts, 1)
    set_clock(tmp_path, jump)
    await wait_for(installation, alerts, 3)
    during = await raised(installation, f"during {jump}")
    await wait_for(installation, during, 1)
    set_clock(tmp_path, 0)
    await wait_for(installation, during, 3)
    for some in (alerts, during):
        await each_in_turn(installation, some)
