"""The collector put together: clients, the group that shares the sources out, the loop that polls them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from agents import outbound
from agents.bus import Bus
from agents.collector.alarms import Alarms
from agents.collector.assignment import Assignment
from agents.collector.backpressure import Gate, MeasuredGate, OpenGate, Unread
from agents.collector.beat import Beat
from agents.collector.loop import Collector
from agents.collector.poll import Poller
from agents.collector.publish import Publisher
from agents.collector.pulse import feel
from agents.deps import Deps
from agents.feeds.fetch import Fetcher
from agents.feeds.parsing import ParsePool

ROLE = "collect"


async def serve(deps: Deps) -> None:
    """See agents.collector.run."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus(deps.settings, deps.clock, ROLE))
        client = await stack.enter_async_context(outbound.feed_client(deps.settings))
        parser = await stack.enter_async_context(ParsePool())
        gate = await _gate(deps, stack)
        await deps.rules.ready()
        poller = Poller(deps, Fetcher(client), parser, Publisher(bus, gate, deps.metrics), gate)
        collector = Collector(deps, poller, Alarms(deps, bus), Beat(deps, bus))
        await together(collector.run(), feel(deps.metrics["feed_loop_lag_seconds"].set),
                       Assignment(deps, bus, collector).run())


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run until one ends or this is cancelled. The last stops first: the group hears of the end while polls can still
    bring theirs about."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _gate(deps: Deps, stack: AsyncExitStack) -> Gate:
    if not deps.settings.embedded:
        return OpenGate()
    unread = await stack.enter_async_context(Unread(deps.settings))
    return MeasuredGate(unread, deps.metrics["feed_waiting"].set)
