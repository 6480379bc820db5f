"""How late the event loop is: a loop that is held up sends its requests and heartbeats late."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

EVERY_SECONDS = 0.1
WINDOW = 60
"""Seconds over which the worst delay is told."""


async def feel(tell: Callable[[float], None], every: float = EVERY_SECONDS) -> None:
    """Tell once a second the loop's worst delay of the last minute, in seconds, until cancelled."""
    loop = asyncio.get_running_loop()
    worst: deque[float] = deque(maxlen=WINDOW)
    while True:
        found, until = 0.0, loop.time() + 1
        while (before := loop.time()) < until:
            await asyncio.sleep(every)
            found = max(found, loop.time() - before - every)
        worst.append(found)
        tell(max(worst))
