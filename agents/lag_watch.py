"""Tells `ops` when records wait too long for a role: one 系统 notice per episode, and one when it has caught up.

What counts is how long the oldest unread record has waited, not how many there are: a busy worker that keeps up is no
trouble, a worker that is gone is one with a single record. It runs beside role `rules`, of which there is one, and
asks the broker: the role that is behind cannot be trusted to say so. For the same reason the lag of every role is
exported here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from aiokafka.errors import KafkaError

from agents.bus import Bus
from agents.deadletter import describe
from agents.deps import Deps
from agents.lag import Lag, Position
from agents.metrics import Metrics
from agents.notices import notice
from pipeline import topics
from pipeline.model import Millis
from pipeline.rulebook.schema import HOUR

log = logging.getLogger("wenxun.lag")

LOOK_SECONDS = 20.0
LATE_SECONDS = 300.0
"""Real seconds the oldest unread record has waited from which a role is behind."""
CAUGHT_UP_SECONDS = 60.0
MEASURE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reader:
    """A role, what it reads in which group, and what it means for people when it is behind."""

    role: str
    topics: tuple[str, ...]
    means: str

    @property
    def group(self) -> str:
        return f"wenxun-{self.role}"


READERS: tuple[Reader, ...] = (
    Reader("score", (topics.ITEMS_RAW,), "新采集的内容还没有匹配主题，级别和告警会推迟"),
    Reader("track", (topics.ITEMS_SCORED,), "事件和级别不是最新的，告警会推迟"),
    Reader("escalate", (topics.EVENTS,), "该通知的人还没有通知，值班台上的确认也不会生效"),
    Reader("deliver", (topics.ESCALATIONS,), "告警消息还没有发出"),
    Reader("archive", tuple(each.name for each in topics.CATALOG), "值班台上看到的不是最新情况"),
)

Place = tuple[str, int]
"""Topic and partition."""
Places = Mapping[Place, Position]
Measure = Callable[[Reader], Awaitable[Places]]
Tell = Callable[..., Awaitable[None]]


@dataclass
class Waiting:
    """How long the oldest unread record of each partition has waited, from what was seen at the broker.

    seconds: any steadily growing time. A record counts from the first look that saw it, never from before the start.
    """

    _seen: dict[Place, deque[tuple[float, int]]] = field(default_factory=dict)

    def note(self, seconds: float, places: Places) -> tuple[float, Place | None]:
        """The longest wait, and where it is."""
        worst, where = 0.0, None
        for place, position in places.items():
            seen = self._seen.setdefault(place, deque())
            if not seen or seen[-1][1] < position.end:
                seen.append((seconds, position.end))
            while seen and seen[0][1] <= position.committed:
                seen.popleft()
            if seen and seconds - seen[0][0] > worst:
                worst, where = seconds - seen[0][0], place
        return worst, where


class LagWatch:
    """`look` now and then. measure: the positions of a reader; tell: agents.notices.notice, or a stand-in."""

    def __init__(
        self, deps: Deps, measure: Measure, tell: Tell, *, readers: Sequence[Reader] = READERS,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deps, self._measure, self._tell = deps, measure, tell
        self._readers, self._seconds = readers, seconds
        self._waiting: dict[str, Waiting] = {}
        self._told: dict[str, tuple[str, Millis]] = {}
        """Roles that ops know to be behind: where, and since when they know."""

    async def look(self) -> None:
        """Measure each role once. What cannot be measured or told is tried again at the next look."""
        answered = True
        for reader in self._readers:
            try:
                async with asyncio.timeout(MEASURE_SECONDS):
                    places = await self._measure(reader)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("cannot read how far %s is: %s", reader.group, describe(error))
                self._waiting.pop(reader.role, None)    # a broker that was away is no fault of the role
                answered = False
                away(self._deps.metrics, (reader,))
                continue
            late, where = self._waiting.setdefault(reader.role, Waiting()).note(self._seconds(), places)
            self._show(reader, places, late)
            await self._judge(reader, places, late, where)
        self._deps.metrics["broker_reachable"].set(answered)

    def _show(self, reader: Reader, places: Places, late: float) -> None:
        for topic in reader.topics:
            unread = sum(each.unread for (name, _), each in places.items() if name == topic)
            self._deps.metrics["consumer_lag_records"].labels(topic, reader.group).set(unread)
        self._deps.metrics["consumer_oldest_wait_seconds"].labels(reader.group).set(late)

    async def _judge(self, reader: Reader, places: Places, late: float, where: Place | None) -> None:
        now, told = self._deps.clock.now(), self._told.get(reader.role)
        if told is None and where is not None and late >= LATE_SECONDS:
            unread = sum(each.unread for each in places.values())
            log.error("role %s is behind: %d records unread, the oldest on %s[%d] for %.0f s", reader.role, unread,
                      *where, late)
            place = f"{where[0]}:{where[1]}:{places[where].committed}"
            if await self._said(f"lag:{reader.role}:{place}", now, *_behind(reader, where[0], unread, late)):
                self._told[reader.role] = place, now
        elif told is not None and late < CAUGHT_UP_SECONDS:
            log.warning("role %s has caught up", reader.role)
            if await self._said(f"lag-ok:{reader.role}:{told[0]}", told[1], f"角色 {reader.role} 已跟上",
                                "等待处理的记录已经处理完，没有丢失。"):
                del self._told[reader.role]

    async def _said(self, key: str, since: Millis, title: str, text: str) -> bool:
        """The key has the place where the role stands, so a watch that starts anew does not tell the same twice; the
        hour tells it from the same place of another broker."""
        try:
            await self._tell(key=key, episode=since // HOUR * HOUR, title=title, text=text, at=self._deps.clock.now())
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("ops not told yet: %s", describe(error))
            return False
        return True


def away(metrics: Metrics, readers: Sequence[Reader] = READERS) -> None:
    """The broker did not answer: how far these roles are is not known any more."""
    metrics["broker_reachable"].set(0)
    for reader in readers:
        with suppress(KeyError):
            metrics["consumer_oldest_wait_seconds"].remove(reader.group)
        for topic in reader.topics:
            with suppress(KeyError):
                metrics["consumer_lag_records"].remove(topic, reader.group)


def _behind(reader: Reader, topic: str, unread: int, late: float) -> tuple[str, str]:
    return f"角色 {reader.role} 处理不过来或已停下", (
        f"{unread} 条记录等待处理，最早的在 {topic} 上已等了 {late / 60:.0f} 分钟。{reader.means}；数据没有丢失。"
        f"请看运行 {reader.role} 的进程：/readyz 是否正常，日志有没有报错，处理器和磁盘是否已满；"
        f"一直忙不过来就多运行一个（wenxun run --roles {reader.role}）。")


async def watch(deps: Deps) -> None:
    """Look for ever, until cancelled; a broker that is away is waited for."""
    while True:
        try:
            async with Bus(deps.settings, deps.clock, "rules") as bus, Lag(deps.settings) as lag:
                await _watch(deps, bus, lag)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("broker not reachable (%s); trying again", describe(error))
            away(deps.metrics)
            await asyncio.sleep(LOOK_SECONDS)


async def _watch(deps: Deps, bus: Bus, lag: Lag) -> None:
    async def measure(reader: Reader) -> Places:
        return {(topic, partition): position for topic in reader.topics
                for partition, position in (await lag.of(reader.group, topic)).items()}

    async def tell(**about: object) -> None:
        await notice(bus, **about)  # type: ignore[arg-type]

    looking = LagWatch(deps, measure, tell)
    while True:
        await looking.look()
        await asyncio.sleep(LOOK_SECONDS)
