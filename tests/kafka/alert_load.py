"""Alerts to be answered and receivers that keep an account, for processes that are killed meanwhile.

Events are told to topic events as a tracker would; a plan of what people do follows each, by chance of a seed.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from msgspec.structs import replace

from agents.bus import Bus
from agents.clock import Clock
from pipeline import topics
from pipeline.codec import Value
from pipeline.ids import digest
from pipeline.model import (
    Ack,
    Comment,
    EventHead,
    EventStatus,
    HandOver,
    LevelDecision,
    Millis,
    Silence,
    Snooze,
    Statement,
    Why,
)
from tests.channel_servers import WecomRobot
from tests.delivery_fakes import Server
from tests.messages import decision, head

FACTOR = 60
MINUTE: Millis = 60_000
NAMES = {0: "", 1: "一般", 2: "较大", 3: "重大"}
ROSTER = """people:
  - {id: duty, name: 值班员, channels: [hook, robot], wecom: zhiban}
  - {id: leader, name: 带班领导, channels: [hook]}
  - {id: backup, name: 备勤领导, channels: [hook]}
teams:
  - {id: duty-team, name: 值班组, shifts: [{members: [duty]}]}
  - {id: leaders, name: 带班领导, shifts: [{members: [leader]}]}
fallback: backup
ops: duty-team
"""
ROUTES = """routes:
  - {id: major, levels: [重大], lead: leaders, repeat: 5m, until: 20m,
     steps: [{tell: [duty-team]}, {tell: [leaders], after: 3m}]}
  - {id: larger, levels: [较大], steps: [{tell: [duty-team], channels: [hook]}, {tell: [leaders], after: 6m}]}
  - {id: ordinary, levels: [一般], mode: digest, steps: [{tell: [leaders]}], hours: "00:00-23:59", every: 4m}
"""
CHANNELS = """channels:
  - {id: hook, type: webhook, url: 'http://127.0.0.1:%(hook)d/'}
  - {id: robot, type: wecom-bot, url_file: robot.url, rate: 60}
"""
CLOCKS = """clocks:
  - {id: answer, name: 首次权威回应, within: 20m, start_level: 较大,
     warnings: [{at: 50, tell: [duty-team]}, {at: 100, tell: [leaders]}]}
"""


# ---------------------------------------------------------------- receivers


@dataclass(frozen=True, slots=True)
class Call:
    """A web hook's request. accepted: it was answered with 200. Times are of time.monotonic()."""

    id: str
    escalation: str
    arrived: float
    accepted: bool


class Hook(Server):
    """Takes its time, and now and then says that it is overloaded or hangs up."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self.calls: list[Call] = []
        self.once: Callable[[Call], None] | None = None
        """Called when a message was accepted, before its sender has the answer."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived = time.monotonic()
        top = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", top)
        body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
        mood = self._chance.random()
        await asyncio.sleep(self._chance.uniform(0, 0.15))
        status = 0 if mood < 0.02 else 503 if mood < 0.08 else 200
        self.calls.append(Call(body["id"], body["data"]["escalation_id"], arrived, status == 200))
        if status == 200 and self.once is not None:
            self.once(self.calls[-1])
            self.once = None
        if not status:
            writer.transport.abort()
            return
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()

    @property
    def taken(self) -> dict[str, list[Call]]:
        """Accepted calls by escalation: its receivers share one."""
        found: dict[str, list[Call]] = {}
        for call in self.calls:
            if call.accepted:
                found.setdefault(call.escalation, []).append(call)
        return found


class Robot(WecomRobot):
    """A WeCom robot that says all is 200: its first message was one too many, some later ones find it busy."""

    def __init__(self, chance: Random) -> None:
        super().__init__({"errcode": 45009, "errmsg": "api freq out of limit"})
        self._chance = chance
        self.busy = 0

    def recent(self) -> int:
        return 0

    def answer(self, query: dict[str, str], path: str, body: dict[str, Any], raw: bytes) -> dict[str, Any]:
        if self._chance.random() < 0.06:
            self.busy += 1
            return {"errcode": -1, "errmsg": "system busy"}
        return super().answer(query, path, body, raw)

    def numbers(self) -> set[str]:
        return {number for body in self.taken for number in re.findall(r"E-\d{4,}", json.dumps(body))}


# ---------------------------------------------------------------- what happens


@dataclass
class Story:
    """An event as its tracker would have it, and what is planned with it."""

    head: EventHead
    left: bool = False
    """Nobody answers, so that it goes through all its steps."""

    @property
    def alert(self) -> str:
        return digest("alert", self.head.id, self.head.level, self.head.raises)


@dataclass
class Load:
    """Begins events until `stop`, then ends what is not left alone."""

    bus: Bus
    clock: Clock
    chance: Random
    name: str
    stories: list[Story] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    _ids: int = 0

    async def run(self, every: float, stop: Callable[[], bool]) -> None:
        """An event every so many seconds, about."""
        async with asyncio.TaskGroup() as plans:
            while not stop():
                plans.create_task(self._live(self._begin()))
                await asyncio.sleep(self.chance.uniform(0.3, 1.7) * every)
        for story in self.stories:
            if not story.left:
                await self._end(story)

    def _begin(self) -> Story:
        number, now = len(self.stories) + 1, self.clock.now()
        level = self.chance.choices((1, 2, 3), (1, 2, 2))[0]
        ident = digest(self.name, number)
        first = head(ident, number=number, version=1, level=level, level_name=NAMES[level], peak=level, raises=1,
                     decision=self._decision(level, 0), first_item_at=now, last_item_at=now, opened_at=now,
                     changed_at=now, title=f"投票站几点关门的说法 {number}")
        self.stories.append(Story(first, left=level > 1 and self.chance.random() < 0.2))
        return self.stories[-1]

    async def _live(self, story: Story) -> None:
        await self._tell(story, story.head)
        for _ in range(self.chance.randrange(0, 4)):
            await asyncio.sleep(self.chance.uniform(0.1, 6))
            await self._something(story)

    async def _something(self, story: Story) -> None:
        level, what = story.head.level, self.chance.random()
        if what < 0.2 and level < 3:
            await self._grow(story, level=level + 1, level_name=NAMES[level + 1], raises=story.head.raises + 1,
                             peak=level + 1, decision=self._decision(level + 1, level))
        elif what < 0.35:
            await self._grow(story, items=story.head.items + 3)
        elif what < 0.45:
            await self._put(Comment(event_id=story.head.id, text="已联系投票站", **self._who()))
        elif not story.left:
            await self._act(story, what)

    async def _act(self, story: Story, what: float) -> None:
        who, about = self._who(), {"event_id": story.head.id, "alert_id": story.alert}
        if what < 0.7:
            await self._put(Ack(**about, **who))
            if self.chance.random() < 0.2:             # two of them at once
                await self._put(Ack(**about, **self._who("li")))
        elif what < 0.8:
            await self._put(Snooze(**about, **who, until=who["at"] + 4 * MINUTE))
        elif what < 0.9:
            await self._put(HandOver(**about, **who, to="leaders"))
        else:
            await self._silence(story)

    async def _silence(self, story: Story) -> None:
        who = self._who()
        silence = Silence(**who, owner="wang", reason="演习", starts_at=who["at"], ends_at=who["at"] + 5 * MINUTE,
                          event_id=story.head.id)
        for partition in range(self.bus.partitions(topics.EVENTS)):
            await self._put(silence, partition)

    async def _end(self, story: Story) -> None:
        """Closed, or answered with a statement that stops the clock: after that nothing of it is due."""
        if story.head.level == 1 or self.chance.random() < 0.5:
            return await self._grow(
                story, level=0, level_name="", status=EventStatus.CLOSED, closed_reason="不相关", closed_by="chen",
                decision=self._decision(0, story.head.level, Why.CLOSED))
        who = self._who()
        await self._put(Ack(event_id=story.head.id, alert_id=story.alert, **who))
        await self._put(Statement(event_id=story.head.id, **self._who(), title="投票时间不变", published_at=who["at"]))

    def _decision(self, level: int, previous: int, why: Why = Why.RAISED) -> LevelDecision:
        made = decision(why, level=level, previous=previous)
        return LevelDecision(level, previous, why, made.evidence, self.clock.now(), NAMES[level])

    async def _grow(self, story: Story, **changes: Any) -> None:
        await self._tell(story, replace(story.head, version=story.head.version + 1, changed_at=self.clock.now(),
                                        **changes))

    async def _tell(self, story: Story, grown: EventHead) -> None:
        story.head = grown
        await self._put(grown)

    def _who(self, by: str = "wang") -> dict[str, Any]:
        self._ids += 1
        return {"id": digest(self.name, "act", self._ids), "by": by, "at": self.clock.now()}

    async def _put(self, record: Value, partition: int | None = None) -> None:
        ident = record.id if not isinstance(record, EventHead) else f"{record.id}-{record.version}"  # type: ignore
        key = record.id if isinstance(record, EventHead) else record.event_id                         # type: ignore
        await self.bus.send(topics.EVENTS, key, record, ident=ident, partition=partition)
        self.sent[type(record).__name__] += 1

