"""The broker is waited for: what it could not do is tried again, ever more seldom, until it can."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError, KafkaTimeoutError

from agents.deadletter import describe

log = logging.getLogger("wenxun.collect")

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Real seconds between attempts while the broker is away."""

T = TypeVar("T")


async def patiently(act: Callable[[], Awaitable[T]], what: str, first_wait: float = FIRST_WAIT) -> T:
    """What `act` brings, however often that takes. what: the log's words for its failing.

    Raises only what no waiting mends: the role then ends and is started again.
    """
    wait = first_wait
    while True:
        try:
            return await act()
        except (KafkaError, TimeoutError, ConnectionError) as error:
            if isinstance(error, KafkaError) and not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
            log.warning("%s: %s; trying again in %g s", what, describe(error), wait)
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
