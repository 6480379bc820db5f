"""Time as records: each worker sends a Tick to the partitions it has, and checks there that its commits arrive."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Any

from agents.app import group_of
from agents.deadletter import describe
from agents.deps import Deps
from agents.lag import Lag, Position
from agents.stream import Out
from pipeline import topics
from pipeline.ids import digest
from pipeline.model import Tick

log = logging.getLogger("wenxun.ticker")

INPUTS = {"score": topics.ITEMS_RAW, "track": topics.ITEMS_SCORED, "escalate": topics.EVENTS}
"""The one input topic of each Faust role."""

TICKED = ("track", "escalate")
STUCK_SECONDS = 60.0
CHECK_SECONDS = 5.0


class CommitStuck(RuntimeError):
    """Events done more than a minute ago are not committed: only a restart is known to help."""


class CommitCheck:
    """Compares what was done with what the broker has as committed. `seconds` is any steadily growing time."""

    def __init__(self) -> None:
        self._done: dict[int, deque[tuple[float, int]]] = {}

    def note(self, partition: int, seconds: float, done: int, committed: int) -> int:
        """Records done more than STUCK_SECONDS ago and not committed. done: the offset after the newest done one."""
        samples = self._done.setdefault(partition, deque())
        samples.append((seconds, done))
        while len(samples) > 1 and samples[1][0] <= seconds - STUCK_SECONDS:
            samples.popleft()
        at, then = samples[0]
        return max(0, then - committed) if at <= seconds - STUCK_SECONDS else 0

    def keep(self, partitions: set[int]) -> None:
        """Forget partitions that other workers have now."""
        for partition in self._done.keys() - partitions:
            del self._done[partition]


async def tick(app: Any, deps: Deps, role: str) -> None:
    """Send ticks for ever (roles that have a state); `behind` while items.raw has records that score has not done."""
    out, topic = Out(app, deps, role), INPUTS[role]
    async with Lag(deps.settings) as lag:
        while True:
            await asyncio.sleep(deps.settings.tick_seconds)
            partitions = assigned(app, topic)
            if partitions:
                record = Tick(at=deps.clock.now(), behind=await _behind(lag, deps))
                for partition in sorted(partitions):
                    await out.post(topic, "tick", record, ident=digest("tick", topic, partition, record.at),
                                   partition=partition)


async def _behind(lag: Lag, deps: Deps) -> bool:
    """True also when it is not known: nothing calms down on a guess."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await lag.unread(group_of("score"), topics.ITEMS_RAW) > 0
    except Exception as error:
        log.warning("cannot read how far score is: %s", describe(error))
        return True


async def check_commits(app: Any, deps: Deps, role: str) -> None:
    """Watch for ever that what is done is committed; raises CommitStuck."""
    topic, check, group = INPUTS[role], CommitCheck(), group_of(role)
    async with Lag(deps.settings) as lag:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    positions = await lag.of(group, topic)
            except Exception as error:
                log.warning("cannot read the offsets of %s: %s", group, describe(error))
                continue
            _compare(app, deps, role, check, positions)


def _compare(app: Any, deps: Deps, role: str, check: CommitCheck, positions: dict[int, Position]) -> None:
    topic, group, worst = INPUTS[role], group_of(role), 0
    mine = assigned(app, topic)
    check.keep(mine)
    for partition in mine & positions.keys():
        committed, done = positions[partition].committed, app.done.get((topic, partition), 0)
        worst = max(worst, done - committed)
        if late := check.note(partition, time.monotonic(), done, committed):
            raise CommitStuck(f"{group}: {late} records of {topic}[{partition}] done {STUCK_SECONDS:g} s ago are not "
                              f"committed (done up to {done}, committed {committed})")
    deps.metrics["uncommitted_records"].labels(role).set(worst)
    app.sensor.look(app, len(mine))


def assigned(app: Any, topic: str) -> set[int]:
    """This worker's partitions of a topic; none while it is rebalancing."""
    if app.rebalancing or not app.tables.recovery.completed.is_set():
        return set()
    return {tp.partition for tp in app.consumer.assignment() if tp.topic == topic}
