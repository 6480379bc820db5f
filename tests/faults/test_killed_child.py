"""`wenxun up` as its parts: the child with all roles is killed with SIGKILL; the broker and the store live on."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.clock import Clock
from agents.commands.serve import prepare_store
from agents.embedded import embedded_broker
from agents.settings import Settings
from agents.supervisor import Supervisor
from pipeline import topics
from pipeline.model import Escalation, EventHead, RawBatch, ScoredBatch
from tests.builders import raw_item
from tests.kafka.broker import Broker, until
from tests.kafka.installation import Installation, repeated

pytestmark = [pytest.mark.embedded, pytest.mark.fault]


class EmbeddedInstallation(Installation):
    """All roles in a supervised child on the embedded broker."""

    def environ(self, **more: str) -> dict[str, str]:
        return super().environ(WENXUN_EMBEDDED="1", WENXUN_METRICS_BIND="127.0.0.1:0", **more)

    def up(self) -> Supervisor:
        environ = self.environ()
        prepare_store(Settings.from_env(environ))
        self._log = os.open(self.folder / "child.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        parent = Supervisor([sys.executable, "-m", "agents", "run", "--roles", "all"], environ, 20, self._log)
        self.thread = threading.Thread(target=parent.run)
        self.thread.start()
        return parent

    def down(self, parent: Supervisor) -> None:
        parent.stop()
        self.thread.join(90)
        os.close(self._log)
        assert not self.thread.is_alive()


    def delivered(self) -> list[str]:
        """Ids of the deliveries that were made, from the log."""
        return re.findall(r"delivery (\w+) by channel console, attempt \d+: confirmed", self.said_whole())

    def said_whole(self) -> str:
        return (self.folder / "child.log").read_text()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[EmbeddedInstallation]:
    with embedded_broker() as address:
        yield EmbeddedInstallation(_at(address, tmp_path), tmp_path)


def batches(first: int, count: int, at: int) -> list[tuple[str, str, RawBatch]]:
    made = []
    for number in range(first, first + count, 4):
        source = f"s{number % 24}"
        items = tuple(raw_item(f"{each:020x}", source_id=source, first_seen_at=at, published_at=at,
                               title="城西投票站几点关门", text=f"有人说城西投票站下午三点截止,第{each}条")
                      for each in range(number, number + 4))
        made.append((topics.ITEMS_RAW, source, RawBatch(source_id=source, polled_at=at, items=items)))
    return made


async def test_a_killed_child_loses_nothing_and_nobody_is_alerted_twice(installation: EmbeddedInstallation) -> None:
    at = Clock().now()
    parent = installation.up()
    try:
        await installation.send(*batches(0, 400, at))
        await until(lambda: _escalated(installation), 180, f"an escalation\n{installation.said()}")
        await installation.send(*batches(400, 400, at))
        assert parent.child is not None
        parent.child.send_signal(signal.SIGKILL)        # with unread and uncommitted records at every stage
        await installation.send(*batches(800, 80, at))
        await until(lambda: _all_scored(installation, 880), 120, f"all scored\n{installation.said()}")
        await installation.done(240, "wenxun-score", "wenxun-track", "wenxun-escalate")
        assert parent.starts == 2, installation.said()
    finally:
        installation.down(parent)
    heads = [each for each in await installation.read(topics.EVENTS) if isinstance(each, EventHead) and each.level]
    assert len({head.id for head in heads}) == 1, "the event goes on, no second one is opened"
    assert max(head.items for head in heads) == 880
    told = {each.id: (each.event_id, each.alert_id, each.kind, each.step, each.repeat)
            for each in await installation.read(topics.ESCALATIONS) if isinstance(each, Escalation)}
    assert len(set(told.values())) == len(told), "the same message under two ids"


async def test_after_everything_was_killed_the_event_goes_on_and_nothing_is_sent_again(tmp_path: Path) -> None:
    at = Clock().now()
    with embedded_broker() as address:
        installation = EmbeddedInstallation(_at(address, tmp_path), tmp_path)
        parent = installation.up()
        try:
            await installation.send(*batches(0, 60, at))
            await until(lambda: _delivered(installation), 180, "a delivery")
            await installation.done(240, "wenxun-score", "wenxun-track", "wenxun-escalate")
            await until(lambda: _archived(installation), 180, "all archived")
            first = await _event(installation)
        finally:
            assert parent.child is not None
            parent.stop()
            parent.child.kill()                         # parent, child and broker are gone
            installation.down(parent)
    sent = installation.delivered()
    with embedded_broker() as address:
        installation.broker = _at(address, tmp_path)
        parent = installation.up()
        try:
            await until(lambda: _warm(installation), 180, "warmed up")
            await installation.send(*batches(60, 4, at))
            await until(lambda: _grown(installation, 64), 180, f"the event has 64 items\n{installation.said()}")
            await installation.done(240, "wenxun-escalate")
            again = await _event(installation)
        finally:
            installation.down(parent)
    assert (again.id, again.short) == (first.id, first.short)
    assert again.version > first.version
    assert not repeated(installation.delivered()), "a delivery was made twice"
    assert set(sent) <= set(installation.delivered())


def _at(address: str, folder: Path) -> Broker:
    broker = Broker(folder)
    broker.address = address
    return broker


async def _delivered(installation: EmbeddedInstallation) -> bool:
    return bool(installation.delivered())


async def _warm(installation: EmbeddedInstallation) -> bool:
    return installation.said_whole().count("running: ") == 2


async def _archived(installation: EmbeddedInstallation) -> bool:
    return all([not await installation.behind("wenxun-archive", topic.name) for topic in topics.CATALOG])


async def _event(installation: EmbeddedInstallation) -> EventHead:
    heads = [each for each in await installation.read(topics.EVENTS) if isinstance(each, EventHead) and each.level]
    return max(heads, key=lambda head: head.version)


async def _grown(installation: EmbeddedInstallation, items: int) -> bool:
    return any(isinstance(each, EventHead) and each.items >= items
               for each in await installation.read(topics.EVENTS))


async def _escalated(installation: Installation) -> bool:
    return any(isinstance(each, Escalation) for each in await installation.read(topics.ESCALATIONS))


async def _all_scored(installation: Installation, count: int) -> bool:
    scored = {item.item.id for batch in await installation.read(topics.ITEMS_SCORED)
              if isinstance(batch, ScoredBatch) for item in batch.items}
    return len(scored) == count
