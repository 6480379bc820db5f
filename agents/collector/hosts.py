"""Politeness towards hosts: one request in flight per host, so many in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

AT_ONCE = 50


class Hosts:
    """`async with hosts.turn(url): request`. Hosts that nobody asks or waits for are forgotten."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[None]:
        host = urlsplit(url).netloc.lower()
        lock, users = self._locks.get(host, (asyncio.Lock(), 0))
        self._locks[host] = (lock, users + 1)
        try:
            async with lock, self._slots:
                yield
        finally:
            lock, users = self._locks[host]
            if users == 1:
                del self._locks[host]
            else:
                self._locks[host] = (lock, users - 1)
