"""A source looked at once because a person asks: with the desk's own client and parse process, one at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agents import outbound
from agents.clock import Clock
from agents.desk.limits import Brakes, Busy
from agents.feeds.checkup import Checkup, How, check
from agents.feeds.parsing import ParsePool
from agents.settings import Settings

__all__ = ["SECONDS", "Busy", "Checks"]

PER_MINUTE = 6
"""Checks of one account."""
AT_ONCE = 2
"""Checks of all accounts: each has a parse process of its own."""
SECONDS = 60.0
"""Real time of one check with all its requests."""


@dataclass(slots=True)
class Checks:
    """Brakes on checks: one at a time for each account, a few in a minute. Used on the event loop only."""

    settings: Settings
    real: Clock
    brakes: Brakes = field(init=False)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def __post_init__(self) -> None:
        self.brakes = Brakes(self.real, PER_MINUTE, "您还有一个网址正在测试，等它出结果后再试下一个。",
                              f"测试 {PER_MINUTE} 个网址")

    async def check(self, account: str, url: str, how: How) -> Checkup:
        """Look at an address; Busy when this account has to wait, TimeoutError after SECONDS."""
        with self.brakes.hold(account):
            async with asyncio.timeout(SECONDS), self._places:
                async with outbound.feed_client(self.settings) as client, ParsePool(workers=1) as parser:
                    return await check(url, how, client=client, parser=parser, timeout=20.0)
