"""A source looked at once because a person asks: with the desk's own client and parse process, one at a time."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field

from agents import outbound
from agents.clock import Clock
from agents.feeds.checkup import Checkup, How, check
from agents.feeds.parsing import ParsePool
from agents.settings import Settings
from pipeline.model import Millis

PER_MINUTE = 6
"""Checks of one account."""
AT_ONCE = 2
"""Checks of all accounts: each has a parse process of its own."""
SECONDS = 60.0
"""Real time of one check with all its requests."""
MINUTE = 60_000


class Busy(Exception):
    """A check that is not made now. The text says why and when."""


@dataclass(slots=True)
class Checks:
    """Brakes on checks: one at a time for each account, a few in a minute. Used on the event loop only."""

    settings: Settings
    real: Clock
    _running: set[str] = field(default_factory=set)
    _recent: defaultdict[str, deque[Millis]] = field(default_factory=lambda: defaultdict(deque))
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def check(self, account: str, url: str, how: How) -> Checkup:
        """Look at an address; Busy when this account has to wait, TimeoutError after SECONDS."""
        self._admit(account)
        self._running.add(account)
        try:
            async with asyncio.timeout(SECONDS), self._places:
                async with outbound.feed_client(self.settings) as client, ParsePool(workers=1) as parser:
                    return await check(url, how, client=client, parser=parser, timeout=20.0)
        finally:
            self._running.discard(account)

    def _admit(self, account: str) -> None:
        now, recent = self.real.now(), self._recent[account]
        while recent and now - recent[0] >= MINUTE:
            recent.popleft()
        if account in self._running:
            raise Busy("您还有一个网址正在测试，等它出结果后再试下一个。")
        if len(recent) >= PER_MINUTE:
            raise Busy(f"一分钟内最多测试 {PER_MINUTE} 个网址，请过 {-(-(MINUTE - now + recent[0]) // 1000)} 秒再试。")
        recent.append(now)
