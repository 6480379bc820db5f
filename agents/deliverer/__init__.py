"""The role `deliver`: escalations to messages that arrive, each once if the network lets us, at least once if not.

    escalations ──▶ intake ──▶ ledger (SQL) ──▶ couriers, one per channel ──▶ chat · SMTP · SMS · web hooks …
                                   ▲                    │
                                   └── reporter ◀───────┘ ──▶ deliveries, dead.letters, 系统 notices
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.exc import SQLAlchemyError

from agents import bus, outbound
from agents.deliverer.alertmanager import Alertmanager
from agents.deliverer.claims import Load
from agents.deliverer.courier import LAST_SECONDS, Courier, stop
from agents.deliverer.heartbeat import Pulse
from agents.deliverer.intake import GROUP, Intake
from agents.deliverer.ledger import Ledger
from agents.deliverer.letter import Outcome
from agents.deliverer.office import Office
from agents.deliverer.outage import Outage
from agents.deliverer.parcel import Parcel
from agents.deliverer.reporter import Reporter
from agents.deliverer.senders import Senders, real_now, senders
from agents.deliverer.standing import Standing
from agents.deliverer.watch import Watch
from agents.deps import Deps
from agents.store import reachable
from agents.store.shared_clock import SharedClock
from pipeline import topics
from pipeline.model import Millis
from pipeline.rulebook.schema import ChannelType

log = logging.getLogger("wenxun.deliver")

WATCH_SECONDS = 2.0
THREADS = 64
"""Of the loop, for names and secrets: the default on few cores is few, and channels whose names hang hold some each."""


async def run(deps: Deps) -> None:
    """Deliver until cancelled. Raises when the broker cannot be reached at the start."""
    await deps.rules.ready()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="loop"))
    engine = await reachable.ready(deps, "deliver")
    clock = await SharedClock.of(engine)
    following = asyncio.create_task(clock.follow())
    try:
        async with bus.Bus(deps.settings, deps.clock, "deliver") as sender, outbound.client(deps.settings) as client:
            pulse = Pulse(deps, engine, client)
            by_type = senders(deps.settings, client, standing=Standing(deps, engine))
            await deliver(deps, Ledger(engine), sender, by_type, real=clock.now, pulse=pulse)
    finally:
        following.cancel()
        engine.dispose()


async def deliver(
    deps: Deps, ledger: Ledger, sender: bus.Bus, by_type: Senders, real: Callable[[], Millis] = real_now,
    pulse: Pulse | None = None,
) -> None:
    """The parts, bound, until cancelled. Attempts under way then get a little time; ends that are in the ledger and not
    yet reported are reported by the next start."""
    reporter = Reporter(deps, ledger, sender)
    office = Office(deps, ledger, by_type, ended=reporter.wake, trouble=reporter.trouble, real=real)
    couriers = Couriers(office)

    async def directly(parcel: Parcel) -> Outcome:
        return (await Courier(office, parcel.channel).attempt(Load((parcel,))))[2]

    intake = Intake(deps, ledger, sender, couriers.wake, real, Outage(deps, directly), reporter.wake,
                    pulse.note if pulse else None)
    consumer = bus.consumer(deps.settings, topics.ESCALATIONS, group=GROUP)
    try:
        await consumer.start()   # waits for partitions: it may be cancelled here, and must be stopped then too
        async with asyncio.TaskGroup() as group:
            group.create_task(intake.run(consumer))
            group.create_task(couriers.run())
            if isinstance(again := by_type.get(ChannelType.ALERTMANAGER), Alertmanager):
                group.create_task(again.run(deps, reporter.trouble))
            group.create_task(reporter.run())
            group.create_task(Watch(office, reporter.tell).run())
            if pulse:
                group.create_task(pulse.run())
    finally:
        await consumer.stop()
        office.close()


class Couriers:
    """A courier for every channel of the rule book and for every channel that has pending rows."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._by_id: dict[str, tuple[Courier, asyncio.Task[None]]] = {}
        office.arrived = self.wake

    def wake(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._ensure(channel)
            self._by_id[channel][0].wake()

    async def run(self) -> None:
        try:
            while True:
                await self._watch()
                await asyncio.sleep(WATCH_SECONDS)
        finally:
            await stop([task for _, task in self._by_id.values()], 2 * LAST_SECONDS + 1)

    async def _watch(self) -> None:
        """Couriers for new channels, anew for one that broke."""
        try:
            waiting = await self._office.store(self._office.ledger.waiting_channels)
        except SQLAlchemyError as error:
            log.error("the outbox cannot be read: %s", type(error).__name__)
            return
        for channel in (*waiting, *(each.id for each in self._office.deps.rules.book.channels)):
            self._ensure(channel)

    def _ensure(self, channel: str) -> None:
        found = self._by_id.get(channel)
        if found is not None and not found[1].done():
            return
        if found is not None and not found[1].cancelled() and (error := found[1].exception()) is not None:
            log.error("the courier of channel %s broke (%s): starting it again", channel, type(error).__name__)
            self._office.deps.metrics["agent_errors_total"].labels("deliver").inc()
        courier = Courier(self._office, channel)
        self._by_id[channel] = (courier, asyncio.create_task(courier.run(), name=f"courier {channel}"))
