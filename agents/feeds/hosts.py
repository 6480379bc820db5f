"""Politeness towards hosts: one request in flight per host with the pause it wants, so many in all; hosts that asked
to be left alone are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pipeline.collect.schedule import RETRY_AFTER_CAP
from pipeline.model import Millis
from pipeline.topics import host_of

AT_ONCE = 50
MAX_HELD = 10_000
"""Hosts and addresses that asked to be left alone; past this those whose time comes first are forgotten."""


@dataclass(slots=True)
class _Host:
    """users: who has the turn or waits for it. free_at: loop time before which the next request must not be made."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    free_at: float = 0.0


class Hosts:
    """`async with hosts.turn(url): request`. Hosts that nobody asks or waits for are forgotten."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._hosts: dict[str, _Host] = {}
        self._held: dict[str, Millis] = {}

    @asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[None]:
        """The host is ours, and so is one of the slots; neither is held while the other or the pause is waited for."""
        name = host_of(url)
        host = self._hosts.setdefault(name, _Host())
        host.users += 1
        try:
            async with host.lock:
                await asyncio.sleep(max(0.0, host.free_at - asyncio.get_running_loop().time()))
                async with self._slots:
                    yield
        finally:
            host.users -= 1
            if not host.users:
                self._forget(name, host)

    def pace(self, url: str, seconds: float) -> None:
        """The host wants so many real seconds from now to the next request (Crawl-delay)."""
        host = self._hosts.setdefault(host_of(url), _Host())
        host.free_at = max(host.free_at, asyncio.get_running_loop().time() + seconds)

    def pause(self, url: str) -> float:
        """Real seconds until the host may be asked again; 0 for one that wants no pauses."""
        host = self._hosts.get(host_of(url))
        return 0.0 if host is None else max(0.0, host.free_at - asyncio.get_running_loop().time())

    def _forget(self, name: str, host: _Host) -> None:
        left = host.free_at - asyncio.get_running_loop().time()
        if left <= 0:
            self._hosts.pop(name, None)
        else:
            asyncio.get_running_loop().call_later(left, self._forget_idle, name, host)

    def _forget_idle(self, name: str, host: _Host) -> None:
        if not host.users and self._hosts.get(name) is host:
            self._forget(name, host)

    # ------------------------------------------------------------ Retry-After

    def hold(self, url: str, now: Millis, length: Millis, *, alone: bool = False) -> None:
        """Leave the host alone for so long, at most a day. alone: only this address, of a host that serves many sites
        (RSSHub). now: the installation's clock."""
        if length <= 0:
            return
        name = url if alone else host_of(url)
        self._held[name] = max(self._held.get(name, 0), now + min(length, RETRY_AFTER_CAP))
        if len(self._held) > MAX_HELD:
            self._held = {each: until for each, until in self._held.items() if until > now}
            while len(self._held) > MAX_HELD:
                del self._held[min(self._held, key=lambda each: self._held[each])]

    def held_until(self, url: str, now: Millis, *, alone: bool = False) -> Millis | None:
        """When this address may be asked again; None when it may."""
        name = url if alone else host_of(url)
        until = self._held.get(name)
        if until is not None and until <= now:
            del self._held[name]
            return None
        return until
