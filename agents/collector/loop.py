"""When which source is polled."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from contextlib import suppress

from agents.collector.alarms import Alarms
from agents.collector.poll import Poller
from agents.deps import Deps
from pipeline.collect.schedule import Outcome
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import DAY, RuleBook, Source

log = logging.getLogger("wenxun.collect")

LOOK_SECONDS = 0.25
"""Real seconds after which a new rule book is seen at the latest."""


class Collector:
    """Polls every enabled source of the live rule book."""

    def __init__(self, deps: Deps, poller: Poller, alarms: Alarms, states: dict[str, SourceState]) -> None:
        self._deps, self._poller, self._alarms, self.states = deps, poller, alarms, states
        self._book: RuleBook | None = None
        self._sources: dict[str, Source] = {}
        self._due: list[tuple[Millis, int, str]] = []
        self._turn: dict[str, int] = {}
        self._turns = itertools.count(1)
        self._polling: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled, or until the broker refuses for good."""
        try:
            while True:
                self._adopt(self._deps.rules.book)
                self._start_due()
                await self._alarms.tell(self._deps.clock.now())
                await asyncio.sleep(self._pause())
                self._finish()
        finally:
            for task in self._polling.values():
                task.cancel()
            await asyncio.gather(*self._polling.values(), return_exceptions=True)

    # ------------------------------------------------------------ schedule

    def _adopt(self, book: RuleBook) -> None:
        """Sources of a new book: new or changed ones are due at once, those that left are not polled again."""
        if book is self._book:
            return
        self._book, now = book, self._deps.clock.now()
        before, self._sources = self._sources, {each.id: each for each in book.sources if each.polled}
        for gone in before.keys() - self._sources.keys():
            self._turn.pop(gone, None)
            self._poller.forget(gone)
            for name in ("feed_last_success_timestamp_seconds", "feed_consecutive_failures"):
                with suppress(KeyError):
                    self._deps.metrics[name].remove(gone)
        for source in self._sources.values():
            if before.get(source.id) != source:
                self._plan(source, self._first_due(source, now))

    def _first_due(self, source: Source, now: Millis) -> Millis:
        """A known source keeps its turn, but no longer than its interval asks now; any other is due."""
        state = self.states.get(source.id)
        if state is None or state.url != source.url:
            return now
        told_to_wait = state.outcome in (Outcome.RATE_LIMITED, Outcome.GONE, Outcome.REFUSED_BY_SITE)
        return min(state.next_poll_at, now + (2 * DAY if told_to_wait else source.interval))

    def _plan(self, source: Source, at: Millis) -> None:
        """This turn replaces any earlier one of the source: the heap's older entries are passed over."""
        self._turn[source.id] = next(self._turns)
        heapq.heappush(self._due, (at, self._turn[source.id], source.id))

    def _start_due(self) -> None:
        now = self._deps.clock.now()
        while self._due and self._due[0][0] <= now:
            _, turn, source_id = heapq.heappop(self._due)
            if self._turn.get(source_id) != turn or source_id in self._polling:
                continue
            self._polling[source_id] = asyncio.create_task(self._poll(self._sources[source_id]), name=source_id)

    def _pause(self) -> float:
        """Real seconds until the next source is due, at most LOOK_SECONDS."""
        if not self._due:
            return LOOK_SECONDS
        clock = self._deps.clock
        return min(LOOK_SECONDS, max(0.005, (self._due[0][0] - clock.now()) / 1000 / clock.factor))

    def _finish(self) -> None:
        """Plan the next turn of sources whose poll is over. A broker that refuses for good ends the role."""
        for source_id in [source_id for source_id, task in self._polling.items() if task.done()]:
            self._polling.pop(source_id).result()
            source, state = self._sources.get(source_id), self.states.get(source_id)
            if source is not None:
                known = state is not None and state.url == source.url
                self._plan(source, state.next_poll_at if known and state else self._deps.clock.now())

    # ------------------------------------------------------------ one poll

    async def _poll(self, source: Source) -> None:
        """Raises only KafkaErrors that no waiting mends."""
        state = await self._poller.poll(source, self._known(source), len(self._sources))
        self.states[source.id] = state
        self._alarms.watch(source, state, self._deps.clock.now())
        self._measure(source, state)

    def _known(self, source: Source) -> SourceState | None:
        state = self.states.get(source.id)
        return state if state is not None and state.url == source.url else None

    def _measure(self, source: Source, state: SourceState) -> None:
        metrics = self._deps.metrics
        if source.id in self._sources:
            metrics["feed_consecutive_failures"].labels(source.id).set(state.failures)
            if state.succeeded_at is not None:
                metrics["feed_last_success_timestamp_seconds"].labels(source.id).set(state.succeeded_at / 1000)
        metrics["feed_fetches_total"].labels(state.outcome).inc()
        if state.error:
            log.warning("source %s: %s (%d in a row): %s", source.id, state.outcome, state.failures, state.error)
