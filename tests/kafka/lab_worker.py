"""A worker of the rebalance lab: each record sets a table row and is sent on.

    python -m tests.kafka.lab_worker BOOTSTRAP RUN fenced|unfenced
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from faust.transport.drivers import aiokafka as driver

from agents import transport
from agents.app import App, QuickConsumer, quiet, settings_of
from agents.clock import Clock
from agents.deps import Deps
from agents.metrics import Metrics
from agents.settings import Settings
from agents.tables import PartitionedTable

QUICK: dict[str, Any] = {"broker_session_timeout": 8.0, "broker_heartbeat_interval": 1.0,
                         "broker_request_timeout": 20.0, "broker_rebalance_timeout": 30.0}


SEEK_SECONDS = 2.5
"""How long a broker under load may take to say where a group stands: the race that the fence closes is wide open."""


class Fenced(QuickConsumer):
    async def _seek_back(self) -> None:
        await asyncio.sleep(SEEK_SECONDS)
        await super()._seek_back()


class Unfenced(Fenced):
    """Fetches run during a seek, and what they brought is handed on after it, as Faust does."""

    async def _alone(self, operation: Any, seeks: bool | None = None) -> Any:
        return await operation

    async def getmany(self, timeout: float) -> Any:
        async for tp, message in driver.Consumer.getmany(self, timeout):
            if not self._is_changelog_tp(tp):
                self._hand_on(tp, message.offset)
            yield tp, message


class LabApp(App):
    consumer_class: type[transport.Consumer] = Fenced

    def _new_transport(self) -> Any:
        made = super()._new_transport()
        made.Consumer = self.consumer_class
        return made


def make_app(bootstrap: str, run: str, kind: str) -> App:
    deps = Deps(Settings(bootstrap=bootstrap), Clock(), Metrics())
    app = LabApp(f"lab-{run}", **{**settings_of(deps, "track"), **QUICK})
    app.bind(deps, "track")
    app.consumer_class = {"fenced": Fenced, "unfenced": Unfenced}[kind]
    table = PartitionedTable(app, "seen")

    async def forward(stream: Any) -> None:
        async for event in stream.events():
            partition = event.message.partition
            table.apply(partition, {event.message.key: b"1"})
            await app.producer.send(f"out-{run}", event.message.key, event.message.value, partition, None, None)

    app.agent(app.topic(f"in-{run}", key_type=bytes, value_type=bytes), name="forward")(forward)
    return app


async def main(bootstrap: str, run: str, kind: str) -> int:
    quiet()
    app = make_app(bootstrap, run, kind)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    starting = asyncio.create_task(app.start())
    await asyncio.wait([asyncio.create_task(app._crashed.wait()), asyncio.create_task(stop.wait())],
                       return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    if app.crashed:
        print(f"crashed: {app.crash_reason!r}", flush=True)
        return 1
    await app.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:4])))
