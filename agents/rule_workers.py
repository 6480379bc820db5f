"""Which process runs which rule book: each says so on topic rules.workers, at every change and once a minute."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterable, Mapping, Sequence

from aiokafka.errors import KafkaError
from msgspec.structs import replace

from agents.bus import Bus
from agents.deps import Deps
from agents.rule_feed import RETRY_SECONDS
from agents.settings import Settings
from pipeline import topics
from pipeline.model import Millis, Worker
from pipeline.rulebook.schema import MINUTE

log = logging.getLogger("wenxun.rules")

EVERY_SECONDS = 60.0
HEARD_WITHIN = 3 * MINUTE
GOODBYE_SECONDS = 2.0


def name_of(settings: Settings) -> str:
    """The pod's name, else host:pid."""
    return settings.pod_name or f"{socket.gethostname()}:{os.getpid()}"


def alive(workers: Iterable[Worker], now: Millis, pace: float = 1.0) -> list[Worker]:
    """Those heard of within three minutes that did not end, by name. pace: of the clock, against real time."""
    heard = [each for each in workers if not each.stopped and now - each.at < HEARD_WITHIN * max(1.0, pace)]
    return sorted(heard, key=lambda each: each.name)


class Skew:
    """How far the clocks of other processes are ahead of ours: what they say they sent is dated after it came here."""

    def __init__(self, deps: Deps) -> None:
        self._deps, self._own = deps, name_of(deps.settings)
        self._ahead: dict[str, tuple[Millis, float]] = {}
        """By name: when it came here, how far it was ahead."""

    def heard(self, workers: Mapping[str, Worker]) -> None:
        """The newest record of each that came just now. One that is not heard of any more counts no longer."""
        now, pace = self._deps.clock.now(), max(1.0, self._deps.clock.factor)
        for name, worker in workers.items():
            if worker.stopped:
                self._ahead.pop(name, None)
            elif name != self._own:
                self._ahead[name] = now, (worker.at - now) / 1000 / pace
        self._ahead = {name: found for name, found in self._ahead.items() if now - found[0] < HEARD_WITHIN * pace}
        ahead = max((seconds for _, seconds in self._ahead.values()), default=0.0)
        for role in self._deps.metrics.roles:
            self._deps.metrics["clock_ahead_seconds"].labels(role).set(max(0.0, ahead))


async def announce(deps: Deps, roles: Sequence[str]) -> None:
    """Say it until cancelled, and then that this process ended in good order. Waits for a missing broker."""
    speaker = _Speaker(deps, roles)
    deps.rules.subscribe(speaker.changed.set)
    while True:
        try:
            async with Bus(deps.settings, deps.clock, "rules") as bus:
                await speaker.run(bus)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("rules: cannot say which book runs here (%s: %s); trying again", type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)


class _Speaker:
    def __init__(self, deps: Deps, roles: Sequence[str]) -> None:
        self._deps, self._name = deps, name_of(deps.settings)
        self._last = Worker(name=self._name, roles=tuple(roles), at=0, book="", since=deps.clock.now())
        self.changed = asyncio.Event()

    async def run(self, bus: Bus) -> None:
        try:
            while True:
                self.changed.clear()
                await self._send(bus, self._now())
                try:
                    async with asyncio.timeout(EVERY_SECONDS):
                        await self.changed.wait()
                except TimeoutError:
                    continue
        except asyncio.CancelledError:
            try:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._send(bus, replace(self._now(), stopped=True))
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("rules: nobody heard that this process ends: %s: %s", type(error).__name__, error)
            raise

    def _now(self) -> Worker:
        rules, now = self._deps.rules, self._deps.clock.now()
        since = self._last.since if rules.version == self._last.book else now
        self._last = replace(self._last, at=now, book=rules.version, since=since, scorer=rules.scorer)
        return self._last

    async def _send(self, bus: Bus, worker: Worker) -> None:
        await bus.send(topics.WORKERS, worker.name, worker, ident=f"{worker.name}-{worker.at}", partition=0)
