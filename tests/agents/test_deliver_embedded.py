"""The whole role on the embedded broker: an escalation in, a message out, its account on topic deliveries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agents import bus, deliverer
from agents.deps import Deps
from agents.embedded import embedded_broker
from agents.notices import notice
from agents.store.engine import open_store, upgrade
from pipeline import codec, topics
from pipeline.model import AlertStatus, DeliveryStatus
from pipeline.rulebook.schema import Channel, ChannelType
from tests.agents.alert_rows import Rows
from tests.delivery_fakes import Hook, delivery_book, delivery_deps, rows, until
from tests.messages import head, page

pytestmark = pytest.mark.embedded


@asynccontextmanager
async def running(deps: Deps) -> AsyncIterator[None]:
    task = asyncio.create_task(deliverer.run(deps))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=60)
        assert task.cancelled()


async def read(deps: Deps, topic: str, count: int) -> list[Any]:
    """That many records from the beginning of a topic."""
    consumer = bus.consumer(deps.settings, topic, group=None)
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            found = [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()
    return [codec.decode(record.value, record.headers) for record in found]


async def test_an_escalation_is_delivered_reported_and_after_a_restart_not_sent_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    upgrade(url)
    engine = open_store(url)
    with embedded_broker() as address:
        async with Hook(500) as server:
            rules = delivery_book(Channel(id="hook", type=ChannelType.WEBHOOK, url=f"http://127.0.0.1:{server.port}/"))
            deps = delivery_deps(tmp_path, rules, server, bootstrap=address, embedded=True)
            async with bus.Bus(deps.settings, deps.clock, "escalate") as sender:
                fresh = page(at=deps.clock.now())
                async with running(deps):
                    await sender.send(topics.ESCALATIONS, "e1", fresh, ident=fresh.id)
                    await notice(sender, key="source:x", episode=deps.clock.now(), title="来源中断", text="3 次")
                    await until(lambda: [row.reported for row in rows(engine)] == [True, True], 60)
                await sender.send(topics.ESCALATIONS, "e1", fresh, ident=fresh.id)
                other = page("esc2", at=deps.clock.now())
                async with running(deps):
                    await sender.send(topics.ESCALATIONS, "e1", other, ident=other.id)
                    await until(lambda: [row.reported for row in rows(engine)] == [True] * 3, 60)
            accounts = await read(deps, topics.DELIVERIES, 3)
    engine.dispose()
    assert len(server.got) == 3 and len({got.headers["webhook-id"] for got in server.got}) == 2
    assert {one.escalation_id for one in accounts} >= {"esc1", "esc2"}
    assert {one.status for one in accounts} == {DeliveryStatus.CONFIRMED}
    assert sorted(one.attempts for one in accounts) == [1, 1, 2]
    assert "【系统】来源中断" in capfd.readouterr().out


async def test_a_standing_alert_is_sent_again_also_after_a_restart_until_it_ends(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    upgrade(url)
    with embedded_broker() as address:
        async with Hook() as server:
            rules = delivery_book(Channel(
                id="am", type=ChannelType.ALERTMANAGER, url=f"http://127.0.0.1:{server.port}", resend=100))
            deps = delivery_deps(tmp_path, rules, server, bootstrap=address, embedded=True)
            store = Rows(tmp_path)
            now = deps.clock.now()
            fresh = page(at=now, head=head(changed_at=now))

            def posted() -> list[Any]:
                return [alert for got in server.got for alert in json.loads(got.body)]

            async with bus.Bus(deps.settings, deps.clock, "escalate") as sender, running(deps):
                await sender.send(topics.ESCALATIONS, "e1", fresh, ident=fresh.id)
                await until(lambda: len(posted()) >= 3, 60)
            first = len(posted())
            async with running(deps):
                await until(lambda: len(posted()) >= first + 2, 60)
                assert all("endsAt" not in alert for alert in posted())
                store.alert(fresh, AlertStatus.ENDED, raised_at=now, changed_at=deps.clock.now())
                await until(lambda: "endsAt" in posted()[-1], 60)
            assert len(rows(store.engine)) == 1 and len({str(alert["labels"]) for alert in posted()}) == 1
            store.engine.dispose()
