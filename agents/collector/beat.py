"""The heartbeat's beginning: a record on each partition of items.raw whose number this collector has of `polls`.

It goes through every stage on one partition of each topic; deliver calls the dead-man URL while all of them come. The
collector's own loop sends it, so a loop that hangs is missed like a process that died. Times are real.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from aiokafka.errors import KafkaError

from agents.bus import Bus
from agents.deps import Deps
from pipeline import topics
from pipeline.ids import digest
from pipeline.model import Heartbeat, Millis
from pipeline.rulebook.schema import MINUTE

log = logging.getLogger("wenxun.collect")


def interval(deps: Deps) -> Millis:
    """Of the rule book, else a minute: the beats are measured also where no URL is called."""
    heartbeat = deps.rules.book.heartbeat
    return heartbeat.every if heartbeat is not None else MINUTE


class Beat:
    """real: milliseconds of real time."""

    def __init__(self, deps: Deps, bus: Bus, real: Callable[[], Millis] = lambda: time.time_ns() // 1_000_000) -> None:
        self._deps, self._bus, self._real = deps, bus, real
        self._next: Millis = 0
        self._sending: asyncio.Task[None] | None = None

    def tell(self, partitions: Collection[int]) -> None:
        """Begin to send a beat when one is due; a broker that is away keeps at most one waiting."""
        now = self._real()
        if now < self._next or (self._sending is not None and not self._sending.done()):
            return
        self._next = now + interval(self._deps)
        self._sending = asyncio.create_task(self._send(sorted(partitions), now), name="heartbeat")

    async def stop(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self, partitions: list[int], now: Millis) -> None:
        try:
            for each in partitions:
                beat = Heartbeat(id=digest("heartbeat", each, now), at=now, partition=each)
                await self._bus.send(topics.ITEMS_RAW, "heartbeat", beat, ident=beat.id, partition=each)
        except (KafkaError, TimeoutError) as error:
            log.warning("heartbeat not sent: %s", type(error).__name__)
