"""What all couriers share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from random import Random, SystemRandom
from typing import TypeVar

from agents.deliverer.claims import Claims, Load
from agents.deliverer.facts import FactFinder
from agents.deliverer.ledger import Ledger
from agents.deliverer.senders import Senders, real_now
from agents.deps import Deps
from pipeline.model import Millis
from pipeline.notify.breaker import FIRST_PAUSE
from pipeline.notify.message import Setting
from pipeline.rulebook.schema import Channel

T = TypeVar("T")
ATTEMPT_SECONDS = 30.0
HASTY_SECONDS = 10.0
"""Of an attempt at a message that could go by another channel."""
STORE_THREADS = 8


class Office:
    """ended: called after a parcel's end is in the ledger; arrived: with channels that have new rows; trouble: with a
    channel that keeps failing since this time of the installation's clock (None: it works again).

    Waits for the store take threads of their own: the loop's other threads resolve names and read secrets, and a
    channel whose name hangs must not keep the ledger waiting, nor a locked store the channels.
    """

    def __init__(
        self, deps: Deps, ledger: Ledger, senders: Senders, ended: Callable[[], None],
        trouble: Callable[[str, Millis | None, str], None], real: Callable[[], Millis] = real_now,
        chance: Random | None = None, attempt_seconds: float = ATTEMPT_SECONDS, first_pause: Millis = FIRST_PAUSE,
    ) -> None:
        self.deps, self.ledger, self.senders, self.ended, self.trouble = deps, ledger, senders, ended, trouble
        self.real, self.chance, self.first_pause = real, chance or SystemRandom(), first_pause
        self.claims = Claims(ledger)
        self.arrived: Callable[[Iterable[str]], None] = lambda _: None
        self._attempt_seconds = attempt_seconds
        self._threads = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="deliver-store")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="deliver-facts")
        self.facts = FactFinder(deps, ledger.engine, self._readers, real)

    async def store(self, work: Callable[..., T], *args: object) -> T:
        """Blocking work on the store, in a thread of ours."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args))

    def close(self) -> None:
        for each in (self._threads, self._readers):
            each.shutdown(wait=False, cancel_futures=True)

    def channel(self, ident: str) -> Channel | None:
        return next((each for each in self.deps.rules.book.channels if each.id == ident), None)

    def seconds(self, load: Load) -> float:
        """How long an attempt at it may take."""
        elsewhere = any(each.next_channels for each in load.parcels)
        return min(self._attempt_seconds, HASTY_SECONDS) if elsewhere else self._attempt_seconds

    def setting(self) -> Setting:
        settings = self.deps.settings
        return Setting(self.deps.rules.book, settings.zone, settings.link_url, settings.banner)
