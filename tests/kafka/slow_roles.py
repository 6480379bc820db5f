"""`wenxun` with a tracker that takes its time: each Close is sent on to `events` after four seconds."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from agents import app as apps
from agents import cli
from agents.deps import Deps
from agents.stream import Out, consume
from agents.tables import PartitionedTable
from pipeline import topics
from pipeline.model import Ack, Close

SLOW_SECONDS = 4.0


def register(app: Any, deps: Deps) -> None:
    out, table = Out(app, deps, "track"), PartitionedTable(app, "events")

    async def handle(record: Any, partition: int) -> None:
        if isinstance(record, Close):
            await out.post(topics.EVENTS, "begun", _ack(record, "begun"), ident="begun")
            await asyncio.sleep(SLOW_SECONDS)
            table.apply(partition, {record.id.encode(): b"1"})
            await out.post(topics.EVENTS, "ended", _ack(record, "ended"), ident="ended")

    async def track(stream: Any) -> None:
        await consume(stream.events(), handle, out=out, deps=deps, role="track")

    app.agent(app.topic(topics.ITEMS_SCORED, key_type=bytes, value_type=bytes), name="track")(track)


def _ack(record: Close, state: str) -> Ack:
    return Ack(id=record.id, event_id="e", alert_id="a", by=state, at=1)


if __name__ == "__main__":
    apps.FAUST["track"] = "tests.kafka.slow_roles"
    sys.exit(cli.main())
