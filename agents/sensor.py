"""What Faust does for a role, as metrics: records in work, commits, sends, rebalances, recovery, rows of tables.

Commits and sends are measured at the transport: Faust tells its sensors of every commit, also of one that had nothing
to commit or that the broker refused, and of sends only where they go through a topic, which are the table changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from faust.sensors.base import Sensor
from faust.types import TP

from agents import commits, transport
from agents.metrics import Metrics


class RoleSensor(Sensor):  # type: ignore[misc]
    """Of one app. What it is asked per record costs a few microseconds."""

    def __init__(self, metrics: Metrics, role: str) -> None:
        super().__init__()
        self._metrics, self._role = metrics, role
        self._active = 0
        self._worked = metrics["stream_event_seconds"].labels(role).observe
        self._commit = metrics["commit_seconds"].labels(role).observe
        self._produced = metrics["produce_seconds"].labels(role).observe
        self._refused = metrics["produce_errors_total"].labels(role)
        self._rebalances = metrics["rebalances_total"].labels(role)
        metrics["stream_events_active"].labels(role).set_function(lambda: self._active)

    # ---------------------------------------------------------------- records

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> list[float]:
        self._active += 1
        return [time.perf_counter()]

    def on_stream_event_out(self, tp: TP, offset: int, stream: Any, event: Any, state: Any = None) -> None:
        """Faust comes here with the state of the record before it when it skips one after a rebalance: then empty."""
        if state:
            self._active -= 1
            self._worked(time.perf_counter() - state.pop())

    # ---------------------------------------------------------------- the transport

    def committed(self, seconds: float) -> None:
        """Offsets are committed, after everything that was sent before."""
        self._commit(seconds)
        commits.committed(self._metrics, self._role)

    def sent(self, begun: float, delivery: asyncio.Future[Any]) -> None:
        """A send is over. begun: by time.perf_counter."""
        if delivery.cancelled():
            return
        if delivery.exception() is None:
            self._produced(time.perf_counter() - begun)
        else:
            self.not_sent()

    def not_sent(self) -> None:
        self._refused.inc()

    # ---------------------------------------------------------------- partitions

    def on_rebalance_start(self, app: Any) -> dict[str, float]:
        self._rebalances.inc()
        return {}

    def on_rebalance_return(self, app: Any, state: dict[str, float]) -> None:
        """Partitions are known, their tables are read next."""
        state["assigned"] = time.perf_counter()

    def on_rebalance_end(self, app: Any, state: dict[str, float]) -> None:
        if "assigned" in state:
            self._metrics["recovery_seconds"].labels(self._role).set(time.perf_counter() - state["assigned"])

    def look(self, app: Any, partitions: int) -> None:
        """Now and then: what this worker holds. partitions: of its input topic."""
        commits.holds(self._metrics, self._role, partitions)
        for name, table in app.tables.items():
            self._metrics["table_keys"].labels(self._role, name).set(len(table.data.data))


class Consumer(transport.Consumer):
    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        begun = time.perf_counter()
        if committed := await super()._commit_offsets(offsets, start_new_transaction):
            self.app.sensor.committed(time.perf_counter() - begun)
        return committed


class Producer(transport.Producer):
    async def send(self, *args: Any, **kwargs: Any) -> Any:
        begun, sensor = time.perf_counter(), self.app.sensor
        try:
            delivery: asyncio.Future[Any] = await super().send(*args, **kwargs)
        except Exception:
            sensor.not_sent()
            raise
        delivery.add_done_callback(partial(sensor.sent, begun))
        return delivery
