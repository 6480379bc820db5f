"""The collector put together: clients, the states read first, the loop."""

from __future__ import annotations

from contextlib import AsyncExitStack

from agents import outbound
from agents.bus import Bus
from agents.collector.alarms import Alarms
from agents.collector.backpressure import Gate, MeasuredGate, OpenGate, Unread
from agents.collector.loop import Collector
from agents.collector.poll import Poller
from agents.collector.publish import Publisher
from agents.collector.states import read_states
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
        states = await read_states(deps.settings)
        poller = Poller(deps, Fetcher(client), parser, Publisher(bus, gate, deps.metrics), gate)
        collector = Collector(deps, poller, Alarms(deps, bus), states)
        await collector.run()


async def _gate(deps: Deps, stack: AsyncExitStack) -> Gate:
    if not deps.settings.embedded:
        return OpenGate()
    unread = await stack.enter_async_context(Unread(deps.settings))
    return MeasuredGate(unread, deps.metrics["feed_waiting"].set)
