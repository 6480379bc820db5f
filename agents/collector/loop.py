"""When which source is polled, and one poll from request to stored state."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from aiokafka.errors import KafkaError

from agents.collector.alarms import Alarms
from agents.collector.backpressure import Gate
from agents.collector.fetch import Fetched, Fetcher, user_agent
from agents.collector.parsing import ParsePool
from agents.collector.publish import Publisher
from agents.collector.worker import Job
from agents.deps import Deps
from pipeline.collect import identity
from pipeline.collect.schedule import Outcome, Poll, next_state
from pipeline.model import Millis, RawItem, SourceState
from pipeline.rulebook.schema import DAY, RuleBook, Source

log = logging.getLogger("wenxun.collect")

AT_ONCE = 50
LOOK_SECONDS = 0.25
"""Real seconds after which a new rule book is seen at the latest."""


class Collector:
    """Polls every enabled source of the live rule book; one request per host and 50 in all at a time."""

    def __init__(
        self, deps: Deps, fetcher: Fetcher, parser: ParsePool, publisher: Publisher, gate: Gate, alarms: Alarms,
        states: dict[str, SourceState],
    ) -> None:
        self._deps, self._fetcher, self._parser, self._publisher = deps, fetcher, parser, publisher
        self._gate, self._alarms, self.states = gate, alarms, states
        self._book: RuleBook | None = None
        self._sources: dict[str, Source] = {}
        self._due: list[tuple[Millis, int, str]] = []
        self._turn: dict[str, int] = {}
        self._turns = itertools.count(1)
        self._polling: dict[str, asyncio.Task[None]] = {}
        self._hosts: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._ids: dict[str, set[str]] = {}

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
        before, self._sources = self._sources, {each.id: each for each in book.sources if each.enabled}
        for gone in before.keys() - self._sources.keys():
            self._turn.pop(gone, None)
            self._ids.pop(gone, None)
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
        """Fetch, send what is new, then remember. Raises only KafkaErrors that no waiting mends."""
        try:
            await self._gate.open()
            before = self._known(source)
            poll, fresh, ids = await self._read(source, before)
            now = self._deps.clock.now()
            if fresh:
                await self._publisher.items(source.id, now, fresh)
            await self._remember(source, next_state(source, before, poll, now), now)
        except KafkaError:
            raise
        except Exception as error:
            log.exception("source %s: poll failed", source.id)
            self._deps.metrics["agent_errors_total"].labels("collect").inc()
            await self._remember(source, next_state(source, self._known(source), Poll(
                Outcome.NO_ANSWER, error=f"程序内部错误（{type(error).__name__}），详见日志"), self._deps.clock.now()),
                self._deps.clock.now())
        else:
            self._count(source, poll, fresh, ids)

    def _known(self, source: Source) -> SourceState | None:
        state = self.states.get(source.id)
        return state if state is not None and state.url == source.url else None

    async def _read(
        self, source: Source, before: SourceState | None
    ) -> tuple[Poll, Sequence[RawItem], set[str]]:
        """How the poll ended, the items not seen before (oldest first), and the ids of all."""
        now = self._deps.clock.now()
        agent = user_agent(self._deps.settings.contact, len(self._sources))
        async with self._hosts[urlsplit(source.url).netloc.lower()], self._slots:
            fetched = await self._fetcher.fetch(source, before, now, agent)
        if isinstance(fetched, Poll):
            return fetched, (), set()
        done = await self._parser.parse(self._job(source, fetched, backfill=before is None or not before.backfilled))
        if done.error:
            return Poll(Outcome.NOT_A_FEED, error=done.error), (), set()
        seen = before.seen if before else b""
        old = frozenset(identity.unpack_seen(seen))
        fresh = [item for item in done.items if identity.seen_hash(item.id, item.revision) not in old]
        current = identity.pack_seen((item.id, item.revision) for item in reversed(done.items))
        asked = max(done.ttl or 0, fetched.fresh_for or 0) or None
        return Poll(
            Outcome.OK, asked=asked, etag=fetched.etag, last_modified=fetched.last_modified, fresh=bool(fresh),
            seen=identity.remember(current, seen), asked_all=fetched.asked_all), fresh, {item.id for item in done.items}

    def _job(self, source: Source, fetched: Fetched, *, backfill: bool) -> Job:
        book = self._deps.rules.book
        return Job(
            body=fetched.body, content_type=fetched.content_type, form=str(source.format), source_id=source.id,
            url=fetched.url, zone=source.timezone or book.timezone, now=self._deps.clock.now(), backfill=backfill)

    async def _remember(self, source: Source, state: SourceState, now: Millis) -> None:
        """Store, then believe: what the broker does not have is asked for again after a restart."""
        await self._publisher.state(state)
        self.states[source.id] = state
        self._alarms.watch(source, state, now)
        metrics = self._deps.metrics
        if source.id in self._sources:
            metrics["feed_consecutive_failures"].labels(source.id).set(state.failures)
            if state.succeeded_at is not None:
                metrics["feed_last_success_timestamp_seconds"].labels(source.id).set(state.succeeded_at / 1000)
        metrics["feed_fetches_total"].labels(state.outcome).inc()
        if state.error:
            log.warning("source %s: %s (%d in a row): %s", source.id, state.outcome, state.failures, state.error)

    def _count(self, source: Source, poll: Poll, fresh: Sequence[RawItem], ids: set[str]) -> None:
        known = self._ids.get(source.id, set())
        for item in fresh:
            kind = "backfill" if item.backfill else "revision" if item.id in known else "new"
            self._deps.metrics["items_collected_total"].labels(kind).inc()
        if poll.outcome is Outcome.OK:
            self._ids[source.id] = ids
