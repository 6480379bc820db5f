"""While the ledger cannot be written no message can go out, the one about that included: ops are told past it.

Directly to the channels of ops, without Kafka and without the ledger, once per outage. A process that ends in the
outage may tell it once more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from agents.deadletter import describe
from agents.deliverer.letter import Outcome, Sent
from agents.deliverer.parcel import Parcel, parcels_of
from agents.deps import Deps
from agents.notices import OPS, system_notice
from agents.store.engine import shown
from pipeline.model import Escalation
from pipeline.notify.route import receivers

log = logging.getLogger("wenxun.deliver")

PATIENCE_SECONDS = 10.0
"""Real time: a lock or a short restart of the database is no outage."""


class Outage:
    """attempt: one sending of a parcel. seconds: any steadily growing time."""

    def __init__(
        self, deps: Deps, attempt: Callable[[Parcel], Awaitable[Outcome]], seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._deps, self._attempt, self._seconds = deps, attempt, seconds
        self._since: float | None = None
        self._told = False

    def over(self) -> None:
        """A write went well."""
        self._since, self._told = None, False

    async def failed(self, error: BaseException) -> None:
        """A write failed; tells ops when that has gone on for a while, again until a channel took it."""
        now = self._seconds()
        self._since = now if self._since is None else self._since
        if self._told or now - self._since < PATIENCE_SECONDS:
            return
        outcomes = await asyncio.gather(*(self._attempt(each) for each in self._parcels(error)))
        self._told = any(isinstance(each, Sent) for each in outcomes)
        log.error("ops %s that no message can go out", "told directly" if self._told else "could not be told")

    def _parcels(self, error: BaseException) -> list[Parcel]:
        deps, now = self._deps, self._deps.clock.now()
        told = receivers(OPS, deps.rules.book.roster, now, deps.settings.zone)
        return parcels_of(self._notice(error, now), told)

    def _notice(self, error: BaseException, now: int) -> Escalation:
        where = shown(self._deps.settings.store_url)
        return system_notice(
            key="deliver:outbox", episode=now, title="告警暂时发不出去：投递记录写不进数据库",
            text=f"{where} 无法写入（{cause(error)}）。要发的消息留在消息队列里，恢复后自动补发。"
                 "请立即检查磁盘空间和数据库；在此之前请直接看值班台，该通知的人请打电话。")


def cause(error: BaseException) -> str:
    """What the database said, without statement and parameters: those hold texts."""
    return describe(getattr(error, "orig", None) or error)
