"""When which source is polled: those of the live rule book whose partition this collector has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from agents import commits
from agents.collector.alarms import Alarms
from agents.collector.beat import Beat
from agents.collector.poll import Poller
from agents.collector.turns import Turns
from agents.deps import Deps
from agents.feeds.hosts import AT_ONCE
from pipeline import topics
from pipeline.collect.schedule import TOLD_TO_WAIT, Outcome
from pipeline.ids import digest
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import DAY, RuleBook, Source

log = logging.getLogger("wenxun.collect")

LOOK_SECONDS = 0.25
"""Real seconds after which a new rule book is seen at the latest."""
SEND_SECONDS = 10.0
"""Real seconds that polls already sending have to end when their partitions are given up."""
CROWD = AT_ONCE
"""So many sources due at the same moment would stay together: their second turns are spread over their interval."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A poll under way."""

    task: asyncio.Task[None]
    source: Source
    host: str
    partition: int


class Collector:
    """Polls what it was given with `take`, until `give_up`. states: what is known of sources of these partitions."""

    def __init__(
        self, deps: Deps, poller: Poller, alarms: Alarms, beat: Beat | None = None, *,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._deps, self._poller, self._alarms, self._send_seconds = deps, poller, alarms, send_seconds
        self._beat = beat
        self.states: dict[str, SourceState] = {}
        self._partitions = topics.partitions_of(topics.POLLS, deps.settings.partitions)
        self._owned: set[int] = set()
        self._book: RuleBook | None = None
        self._polled = 0
        self._sources: dict[str, Source] = {}
        self._turns = Turns()
        self._crowd: set[str] = set()
        self._polling: dict[str, _Work] = {}
        self._ended: list[str] = []
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled, or until the broker refuses for good."""
        try:
            while True:
                self._adopt(self._deps.rules.book)
                self._start_due()
                await self._alarms.tell(self._deps.clock.now())
                if self._beat is not None:
                    self._beat.tell(self._owned)
                await self._pause()
                self._finish()
        finally:
            if self._beat is not None:
                await self._beat.stop()
            tasks = [work.task for work in self._polling.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ partitions

    def take(self, partitions: Collection[int], states: Mapping[str, SourceState]) -> None:
        """Begin with the sources of these partitions. states: all that the broker has of them."""
        self._owned |= set(partitions)
        self.states.update(states)
        if self._book is not None:
            self._choose()
        self._wake.set()

    async def give_up(self, partitions: Collection[int]) -> None:
        """Nothing of these partitions is polled when this returns. A request is broken off; what is on its way to the
        broker gets a little time, so that whoever polls next knows of it, and is never broken off."""
        self._owned -= set(partitions)
        self._choose()
        ending = []
        for source_id, work in self._polling.items():
            if work.partition in partitions:
                ending.append(work.task)
                if source_id not in self._poller.sending:
                    work.task.cancel()
        if ending:
            _, late = await asyncio.wait(ending, timeout=self._send_seconds)
            if late:
                log.warning("%d polls still wait for the broker to take their items: they end later", len(late))
        self.states = {source_id: state for source_id, state in self.states.items()
                       if self._partition(state.url) not in partitions}

    def ask(self, source_id: str) -> str:
        """A person wants this source polled now. Says why it is not, empty if it is or was just polled."""
        source, state, now = self._sources.get(source_id), None, self._deps.clock.now()
        if source is None:
            return "no such source is polled here"
        if source_id in self._polling:
            return ""
        if (state := self._known(source)) is not None:
            if state.outcome == Outcome.RATE_LIMITED and state.next_poll_at > now:
                return f"its site asked us to wait for another {(state.next_poll_at - now) // 1000} s"
            now = max(now, state.polled_at + source.min_interval)
        planned = self._turns.planned(source_id)
        if planned is None or planned > now:
            self._plan(source, now)
            self._wake.set()
        return ""

    def _partition(self, url: str) -> int:
        return topics.partition_of_host(url, self._partitions)

    # ------------------------------------------------------------ schedule

    def _adopt(self, book: RuleBook) -> None:
        """Sources of a new book: new or changed ones are due at once, those that left are not polled again."""
        if book is not self._book:
            first, self._book = self._book is None, book
            self._choose(edited=not first)

    def _choose(self, *, edited: bool = False) -> None:
        """Plan what is ours now and was not; drop what was and is not. edited: because people changed the book."""
        polled = [each for each in self._book.sources if each.polled] if self._book is not None else []
        before, self._polled = self._sources, len(polled)
        self._sources = {each.id: each for each in polled if self._partition(each.url) in self._owned}
        for gone in before.keys() - self._sources.keys():
            self._drop(gone)
        now = self._deps.clock.now()
        new = [each for each in self._sources.values() if before.get(each.id) != each]
        for each in new:
            self._alarms.watch(each, self._known(each), now)
        self._plan_all(((each, self._first_due(each, now, edited=edited)) for each in new), now)
        self._deps.metrics["feed_polls_assigned"].set(len(self._sources))
        commits.holds(self._deps.metrics, "collect", len(self._owned))

    def _plan_all(self, turns: Iterable[tuple[Source, Millis]], now: Millis) -> None:
        at_once = set()
        for source, at in turns:
            self._plan(source, at)
            if at <= now:
                at_once.add(source.id)
        if len(at_once) > CROWD:
            self._crowd |= at_once

    def _drop(self, source_id: str) -> None:
        self._turns.drop(source_id)
        self._crowd.discard(source_id)
        self._poller.forget(source_id)
        self._alarms.forget(source_id)
        with suppress(KeyError):
            self._deps.metrics["feed_last_success_timestamp_seconds"].remove(source_id)

    def _first_due(self, source: Source, now: Millis, *, edited: bool) -> Millis:
        """A known source keeps its turn, one whose rules were edited no longer than its interval asks now; any other
        is due."""
        state = self._known(source)
        if state is None:
            return now
        most = source.interval if edited else max(source.interval, source.max_interval)
        longest = 2 * DAY if state.outcome in TOLD_TO_WAIT else most
        return min(state.next_poll_at, now + longest)

    def _plan(self, source: Source, at: Millis) -> None:
        state = self._known(source)
        self._turns.plan(source.id, topics.host_of(source.url), at,
                         answers=state is None or state.outcome != Outcome.NO_ANSWER)

    def _start_due(self) -> None:
        for source_id, host, due in self._turns.ready(self._deps.clock.now()):
            if source_id in self._polling:              # it is planned again when this poll ends
                self._turns.done(host)
                continue
            source = self._sources[source_id]
            task = asyncio.create_task(self._poll(source, due), name=source_id)
            self._polling[source_id] = _Work(task, source, host, self._partition(source.url))
            task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._ended.append(task.get_name())
        self._wake.set()

    async def _pause(self) -> None:
        """Until a poll ends or the next source is due, at most LOOK_SECONDS."""
        clock, at = self._deps.clock, self._turns.next_at()
        seconds = LOOK_SECONDS if at is None else max(0.005, (at - clock.now()) / 1000 / clock.factor)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK_SECONDS, seconds)):
                await self._wake.wait()
        self._wake.clear()

    def _finish(self) -> None:
        """Plan the next turn of sources whose poll is over. A broker that refuses for good ends the role."""
        ended, self._ended = self._ended, []
        for source_id in ended:
            work = self._polling.pop(source_id)
            self._turns.done(work.host, self._rest(work))
            if not work.task.cancelled():
                work.task.result()
            if (source := self._sources.get(source_id)) is not None:
                self._plan(source, self._next_turn(source))

    def _rest(self, work: _Work) -> Millis:
        """Until when its host wants no other request; 0 if it wants no pauses."""
        clock, seconds = self._deps.clock, self._poller.pause(work.source)
        return clock.now() + round(seconds * 1000 * clock.factor) if seconds else 0

    def _next_turn(self, source: Source) -> Millis:
        now, state = self._deps.clock.now(), self._known(source)
        if state is None:                               # broken off, or its URL was edited meanwhile
            return now
        at = state.next_poll_at
        if source.id in self._crowd:
            self._crowd.discard(source.id)
            if Outcome(state.outcome).good and at <= now + 1.2 * source.interval:
                share = int(digest(source.id, size=4), 16) / 0xFFFFFFFF
                at = now + min(at - now, source.min_interval + round(share * max(0, at - now - source.min_interval)))
        return at

    # ------------------------------------------------------------ one poll

    async def _poll(self, source: Source, due: Millis) -> None:
        """Raises only KafkaErrors that no waiting mends."""
        before = self._known(source)
        state = await self._poller.poll(source, before, self._polled, due)
        if self._partition(source.url) in self._owned:  # else it is somebody else's by now
            known = self._known(source)
            if known is before or known is None or known.polled_at <= state.polled_at:
                self.states[source.id] = state
            self._alarms.watch(source, state, self._deps.clock.now())
        self._measure(source, state)

    def _known(self, source: Source) -> SourceState | None:
        state = self.states.get(source.id)
        return state if state is not None and state.url == source.url else None

    def _measure(self, source: Source, state: SourceState) -> None:
        metrics = self._deps.metrics
        if source.id in self._sources:
            self._alarms.vitals.polled(source.id, state.failures)
            if state.succeeded_at is not None:
                metrics["feed_last_success_timestamp_seconds"].labels(source.id).set(state.succeeded_at / 1000)
        if state.error:
            log.warning("source %s: %s (%d in a row): %s", source.id, state.outcome, state.failures, state.error)
