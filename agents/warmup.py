"""A start on the embedded broker: what the archive knows goes to the agents' topics as records.

Run before the collector, with the tables of the agents empty. Every record may repeat. The embedded broker keeps about
5 MB of a partition and drops the oldest without a word, so what is sent here is bounded: events first, then the
items nobody has put into an event yet, the newest of them; what does not fit is said in the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import msgspec
from aiokafka.errors import KafkaError
from sqlalchemy import Connection, Engine

from agents.bus import Bus
from agents.clock import Clock
from agents.deadletter import describe
from agents.deps import Deps
from agents.lag import Lag
from agents.store import readmodel, warm
from agents.store.engine import ready_store
from agents.warm_alerts import alerts_and_heads
from pipeline import codec, topics
from pipeline.acts import REMEMBERED
from pipeline.model import (
    Act,
    AlertState,
    Close,
    EventHead,
    HandOver,
    MemberRow,
    Millis,
    PollRequest,
    RawBatch,
    RulesAnswer,
    ScoredBatch,
    ScoredItem,
    Silence,
    Snooze,
    WarmEvent,
)
from pipeline.rulebook.schema import DAY, EventRules, Levels, RuleBook

log = logging.getLogger("wenxun.warmup")

ARCHIVE_GROUP = "wenxun-archive"
BUDGET_BYTES = 2_500_000
"""Of warm-up per partition of items.scored. As much again is left for unread records and ticks."""
EVENT_BYTES = 600_000
"""Of one event's rows: a record must stay under 1 MB."""
STALLED_SECONDS = 60.0
T = TypeVar("T")


@dataclass(slots=True)
class WarmUp:
    """How much was sent. left_out: member rows and items that did not fit."""

    events: int = 0
    rows: int = 0
    items: int = 0
    alerts: int = 0
    silences: int = 0
    heads: int = 0
    messages: int = 0
    commands: int = 0
    sources: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{each.name.replace('_', ' ')} {getattr(self, each.name)}" for each in fields(self))


async def warm_up(deps: Deps, bus: Bus) -> WarmUp:
    """Bring back what the archive knows. Returns when the broker has all of it."""
    engine = await ready_store(deps.settings.store_url)
    try:
        await archive_caught_up(deps)
        sent = await from_store(deps, bus, engine)
    finally:
        engine.dispose()
    log.info("warm-up from the archive: %s", sent)
    if sent.left_out:
        log.warning("warm-up: %d older items did not fit the embedded broker and are not compared with new ones; "
                    "a site of this size needs a Kafka of its own", sent.left_out)
    return sent


async def from_store(deps: Deps, bus: Bus, engine: Engine) -> WarmUp:
    """Send what this store holds."""
    work = _Work(deps, bus, engine)
    await work.run()
    return work.sent


async def archive_caught_up(deps: Deps, *, stalled_seconds: float = STALLED_SECONDS, poll_seconds: float = 0.2) -> bool:
    """Wait until the archive has all that is on the broker now: after a killed process some is not in SQL yet.

    False if it made no progress for a while: then a start without the rest is better than none.
    """
    async with Lag(deps.settings) as lag:
        marks = {topic.name: {part: place.end for part, place in (await lag.of(ARCHIVE_GROUP, topic.name)).items()}
                 for topic in topics.CATALOG}
        best, since = None, time.monotonic()
        while True:
            missing = await _missing(lag, marks)
            if not missing:
                return True
            if best is None or missing < best:
                best, since = missing, time.monotonic()
            if time.monotonic() - since > stalled_seconds:
                log.error("the archive is %d records behind and makes no progress: warming up without them", missing)
                return False
            await asyncio.sleep(poll_seconds)


async def _missing(lag: Lag, marks: dict[str, dict[int, int]]) -> int:
    """Records before the marks that the archive has not committed."""
    missing = 0
    for topic, ends in marks.items():
        if any(ends.values()):
            try:
                places = await lag.of(ARCHIVE_GROUP, topic)
            except KafkaError as error:
                log.warning("cannot read how far the archive is: %s", describe(error))
                return 1
            missing += sum(max(0, end - places[part].committed) for part, end in ends.items() if part in places)
    return missing


class _Work:
    """One warm-up: reads in threads, sends in order."""

    def __init__(self, deps: Deps, bus: Bus, engine: Engine) -> None:
        self._deps, self._bus, self._engine = deps, bus, engine
        self._now = deps.clock.now()
        self._room: defaultdict[int, int] = defaultdict(lambda: BUDGET_BYTES)
        self._pending: list[asyncio.Future[Any]] = []
        self._acts: dict[str, tuple[Act, ...]] = {}
        self.sent = WarmUp()

    async def run(self) -> None:
        levels = await self._levels()
        for shadow in (False, True):                    # what runs in shadow takes what room is left
            await self._events(levels, shadow)
            await self._items(levels.events, shadow)
        await self._alerts(levels.events)
        await self._messages()
        await self._commands()
        await self._sources()
        await self._flush()

    async def _levels(self) -> Levels:
        """Of the book in force, else of the one that was."""
        rules = self._deps.rules
        book: RuleBook | None = rules.book if rules.loaded else await self._read(readmodel.book)
        return book.levels if book is not None else Levels(ladder=())

    # ---------------------------------------------------------------- items.scored

    async def _events(self, levels: Levels, shadow: bool) -> None:
        held = await self._read(lambda c: warm.events(c, self._now, levels.events))
        heads = [head for head in held if head.shadow is shadow]
        known = {head.id for head in heads}
        numbered = await self._read(lambda c: warm.greatest_numbers(c, self._bus.partitions(topics.ITEMS_SCORED)))
        states = {state.event_id: state for state, _ in await self._read(
            lambda c: warm.alerts(c, self._now - warm.OWED))}
        for head in numbered:
            if head.shadow is shadow and head.id not in known:
                await self._event(head, (), states.get(head.id))
        since = self._now - max([levels.events.join_within, *(each.reach for each in levels.thresholds())])
        for head in heads:
            rows = await self._read(partial(warm.members, event_id=head.id, since=since))
            await self._event(head, rows, states.get(head.id), since)

    async def _event(
        self, head: EventHead, rows: Sequence[MemberRow], state: AlertState | None, since: Millis = 0,
    ) -> None:
        if state is not None and state.event_version > head.version:
            head = msgspec.structs.replace(head, version=state.event_version)   # so that the next one is news
        partition = topics.partition_of(head.key, self._bus.partitions(topics.ITEMS_SCORED))
        bare = len(codec.encode(head))
        room = min(EVENT_BYTES, self._room[partition] - bare)
        kept = _fitting(rows, room)
        counts = await self._read(partial(warm.counts, item_ids=[row.item_id for row in kept], since=since))
        grown = _fitting(counts[::-1], room - len(msgspec.json.encode(kept)))[::-1]
        record = WarmEvent(head=head, rows=kept, counts=grown)
        self._room[partition] -= len(codec.encode(record))
        await self._post(topics.ITEMS_SCORED, head.key, record, f"warm-{head.id}-{head.version}")
        self.sent.events += 1
        self.sent.rows += len(kept)
        self.sent.left_out += len(rows) - len(kept)

    async def _items(self, rules: EventRules, shadow: bool) -> None:
        """Items in no event yet, in the order of their first sight, into batches that keep it per subject."""
        since = self._now - rules.join_within
        oldest, self.sent.left_out = await self._read(lambda c: self._cutoff(c, since, shadow))
        batches = _Batches(self._bus.partitions(topics.ITEMS_SCORED))
        with self._engine.connect() as connection:
            found = warm.lone_items(connection, since, shadow=shadow)
            while some := await asyncio.to_thread(_take, found, warm.CHUNK):
                for subject, book, item in some:
                    if _age(item) > oldest[batches.partition(item, subject)]:
                        self.sent.items += 1
                        await self._batches(batches.add(subject, book, item))
        await self._batches(batches.rest())

    def _cutoff(self, connection: Connection, since: Millis, shadow: bool) -> tuple[dict[int, tuple[Millis, str]], int]:
        """Of each partition the newest item that does not fit any more, and how many do not."""
        oldest: dict[int, tuple[Millis, str]] = defaultdict(lambda: (-1, ""))
        out, partitions = self.sent.left_out, self._bus.partitions(topics.ITEMS_SCORED)
        for subject, _, item in warm.lone_items(connection, since, newest_first=True, shadow=shadow):
            partition = topics.partition_of(topics.item_key(item, subject), partitions)
            self._room[partition] -= _size(item)
            if self._room[partition] < 0:
                oldest[partition] = max(oldest[partition], _age(item))
                out += 1
        return oldest, out

    async def _batches(self, batches: Iterable[tuple[str, ScoredBatch]]) -> None:
        for key, batch in batches:
            first = batch.items[0].item
            await self._post(topics.ITEMS_SCORED, key, batch, f"warm-{batch.subject}-{first.id}-{first.revision}")

    # ---------------------------------------------------------------- events, escalations

    async def _alerts(self, rules: EventRules) -> None:
        """Silences first, so that nothing is told that they hold back; then alerts as they stood, then what happened
        to their events since."""
        for silence in await self._read(lambda c: warm.silences(c, self._now)):
            await self._silence(silence, f"warm-{silence.id}-{silence.at}")
            self.sent.silences += 1
        alerts, heads = await self._read(lambda c: alerts_and_heads(c, self._now, rules))
        for record in alerts:
            state, clocks = record.state, record.clocks.revision if record.clocks is not None else 0
            ident = f"warm-{state.alert_id or state.event_id}-{state.revision}-{clocks}"
            await self._post(topics.EVENTS, state.event_id, record, ident)
            self._acts[state.event_id] = record.acts
            self.sent.alerts += 1
        for head in heads:
            await self._post(topics.EVENTS, head.id, head, f"{head.id}-{head.version}")
            self.sent.heads += 1

    async def _silence(self, silence: Silence, ident: str) -> None:
        """To every partition: nobody knows here which escalator holds what it matches."""
        for each in range(self._bus.partitions(topics.EVENTS)):
            await self._post(topics.EVENTS, silence.id, silence, ident, each)

    async def _messages(self) -> None:
        for escalation in await self._read(lambda c: warm.unledgered(c, self._now - DAY)):
            key = escalation.event_id or escalation.id
            await self._post(topics.ESCALATIONS, key, escalation, escalation.id)
            self.sent.messages += 1

    async def _commands(self) -> None:
        since = Clock().now() - DAY                     # accepted_at is real time
        for command in await self._read(lambda c: warm.commands(c, since)):
            if isinstance(command, Snooze) and command.until <= self._now:
                continue                                # it is over: taken again it would run the next step at once
            if isinstance(command, PollRequest | RulesAnswer):
                continue                                # every source and the rules are read anew anyway
            if isinstance(command, HandOver) and self._long_taken(command):
                continue
            if isinstance(command, Silence):
                await self._silence(command, command.id)
            elif isinstance(command, RawBatch):         # a report that a person filed and the archive has not got yet
                await self._post(topics.ITEMS_RAW, command.source_id, command, command.items[0].id)
            else:
                topic, key = ((topics.ITEMS_SCORED, command.key) if isinstance(command, Close)
                              else (topics.EVENTS, command.event_id or getattr(command, "item_id", "")))
                await self._post(topic, key, command, command.id)
            self.sent.commands += 1

    def _long_taken(self, command: HandOver) -> bool:
        """Whether people did so much since that the escalator would not know it again: nobody is paged twice for it."""
        acts = self._acts.get(command.event_id, ())
        return len(acts) == REMEMBERED and all(act.at > command.at for act in acts)

    async def _sources(self) -> None:
        with self._engine.connect() as connection:
            found = warm.sources(connection, self._now)
            while some := await asyncio.to_thread(_take, found, 20):
                for state in some:
                    where = topics.partition_of_host(state.url, self._bus.partitions(topics.COLLECTOR_STATE))
                    await self._post(topics.COLLECTOR_STATE, state.source_id, state, f"warm-{state.source_id}", where)
                    self.sent.sources += 1

    # ---------------------------------------------------------------- plumbing

    async def _read(self, question: Callable[[Connection], T]) -> T:
        def ask() -> T:
            with self._engine.connect() as connection:
                return question(connection)

        return await asyncio.to_thread(ask)

    async def _post(
        self, topic: str, key: str, record: codec.Value, ident: str, partition: int | None = None
    ) -> None:
        self._pending.append(await self._bus.post(topic, key, record, ident=ident, partition=partition))
        if len(self._pending) >= 100:
            await self._flush()

    async def _flush(self) -> None:
        """Wait until the broker has what was posted: at most 100 records are in flight."""
        pending, self._pending = self._pending, []
        async with asyncio.timeout(60):
            await asyncio.gather(*pending)


@dataclass(slots=True)
class _Batches:
    """Items into records of at most MAX_BATCH_ITEMS and MAX_RECORD_BYTES; the order within a subject's key is kept."""

    partitions: int
    _open: dict[tuple[int, str], tuple[str, list[ScoredItem]]] = field(default_factory=dict)
    _bytes: defaultdict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))

    def partition(self, item: ScoredItem, subject: str) -> int:
        return topics.partition_of(topics.item_key(item, subject), self.partitions)

    def add(self, subject: str, book: str, item: ScoredItem) -> list[tuple[str, ScoredBatch]]:
        """The records that are full because of it."""
        place, size = (self.partition(item, subject), subject), _size(item)
        done = []
        full = self._bytes[place] + size > topics.MAX_RECORD_BYTES - 1024
        if place in self._open and (
                full or self._open[place][0] != book or len(self._open[place][1]) == topics.MAX_BATCH_ITEMS):
            done.append(self._close(place))
        self._open.setdefault(place, (book, []))[1].append(item)
        self._bytes[place] += size
        return done

    def rest(self) -> list[tuple[str, ScoredBatch]]:
        return [self._close(place) for place in list(self._open)]

    def _close(self, place: tuple[int, str]) -> tuple[str, ScoredBatch]:
        book, items = self._open.pop(place)
        self._bytes[place] = 0
        batch = ScoredBatch(subject=place[1], book=book, items=tuple(items))
        return topics.item_key(items[0], place[1]), batch


def _fitting(rows: Sequence[T], room: int) -> tuple[T, ...]:
    """As many of the first rows as fit."""
    kept = []
    for row in rows:
        room -= len(msgspec.json.encode(row)) + 1
        if room < 0:
            break
        kept.append(row)
    return tuple(kept)


def _size(item: ScoredItem) -> int:
    return len(msgspec.json.encode(item)) + 1


def _age(item: ScoredItem) -> tuple[Millis, str]:
    return item.item.first_seen_at, item.item.id


def _take(found: Iterator[T], count: int) -> list[T]:
    return list(islice(found, count))
