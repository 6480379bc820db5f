"""Which sources are this collector's: Kafka's group assignment on topic `polls`, whose records are people's requests.

Partition n of `polls` and partition n of `collector.state` belong to the same hosts. Whoever is assigned it reads those
states to their end and only then polls; before it is handed on, nothing of it is in flight.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from agents.bus import Bus, consumer, session_seconds
from agents.collector.patience import FIRST_WAIT, patiently
from agents.collector.states import read_states
from agents.deadletter import Reason, dead_letter, describe
from agents.deps import Deps
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.model import Millis, PollRequest, SourceState
from pipeline.rulebook.schema import MINUTE

log = logging.getLogger("wenxun.collect")

GROUP = "wenxun-collect"
SESSION_SECONDS = 20
"""A killed collector's sources are another's after this: within two intervals of the shortest usual one, 1 min."""
REBALANCE_MS = 60_000
"""How long the group waits for a member that still ends its polls."""
STALE: Millis = 10 * MINUTE
"""A request older than this is nobody's wish any more."""
READ_MS = 500
MAX_RECORDS = 100


class Shared(Protocol):
    """What is shared out: agents.collector.loop.Collector."""

    def take(self, partitions: Collection[int], states: Mapping[str, SourceState]) -> None: ...
    async def give_up(self, partitions: Collection[int]) -> None: ...
    def ask(self, source_id: str) -> str: ...


Read = Callable[[Settings, Collection[int]], Awaitable[dict[str, SourceState]]]


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """`run` takes partitions and gives them up as the group says, and handles requests. read: states.read_states."""

    def __init__(
        self, deps: Deps, bus: Bus, collector: Shared, read: Read = read_states, first_wait: float = FIRST_WAIT
    ) -> None:
        self._deps, self._bus, self._collector = deps, bus, collector
        self._read, self._first_wait = read, first_wait
        self._owned: set[int] = set()
        self._taking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled, or until the broker refuses for good. A broker that is away is waited for."""
        client = consumer(
            self._deps.settings, group=GROUP, session=min(SESSION_SECONDS, session_seconds(self._deps.settings)),
            rebalance_timeout_ms=REBALANCE_MS, metadata_max_age_ms=30_000, partition_assignment_strategy=(_sticky(),))
        client.subscribe([topics.POLLS], listener=self)
        try:
            await client.start()
            await self._follow(client)
        finally:
            await self._release()
            await client.stop()

    async def _follow(self, client: AIOKafkaConsumer) -> None:
        while True:
            await patiently(lambda: self.step(client), f"topic {topics.POLLS}", self._first_wait)

    # ---------------------------------------------------------------- partitions

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Returns when nothing of these partitions is polled here: the group waits for it."""
        await self._release()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Reading takes a while, so it is a task of its own: the group goes on, and the next revoke ends it."""
        self._owned = {place.partition for place in assigned}
        self._taking = asyncio.create_task(self._take(frozenset(self._owned)), name="states")

    async def _release(self) -> None:
        """All of it: this kind of group shares out everything anew each time."""
        taking, self._taking = self._taking, None
        if taking is not None:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        owned, self._owned = self._owned, set()
        if owned:
            await self._collector.give_up(owned)
            log.info("gave up partitions %s of %s", sorted(owned), topics.POLLS)

    async def _take(self, partitions: Collection[int]) -> None:
        """Read, then begin. Raises only what no waiting mends."""
        states = await patiently(lambda: self._read(self._deps.settings, partitions),
                                 f"topic {topics.COLLECTOR_STATE}", self._first_wait)
        self._collector.take(partitions, states)
        log.info("took partitions %s of %s, %d sources known", sorted(partitions), topics.POLLS, len(states))

    # ---------------------------------------------------------------- requests

    async def step(self, client: AIOKafkaConsumer) -> None:
        """What lies on the topic now. Errors of the broker are raised, and so are those of taking over."""
        found: Mapping[TopicPartition, list[Any]] = await client.getmany(timeout_ms=READ_MS, max_records=MAX_RECORDS)
        taking = self._taking
        if taking is not None and (found or taking.done()):
            await asyncio.wait([taking])
            if not taking.cancelled():
                taking.result()
        for place, records in found.items():
            if place.partition not in self._owned:      # given up meanwhile: its next owner reads them
                continue
            for record in records:
                await self._handle(record)
            await _commit(client, {place: records[-1].offset + 1})

    async def _handle(self, record: Any) -> None:
        try:
            request = codec.decode(record.value, record.headers)
        except CodecError as error:
            return await self._set_aside(record, Reason.UNDECODABLE, str(error))
        if not isinstance(request, PollRequest):
            what = f"a {codec.type_name(request)} is no request to poll a source"
            return await self._set_aside(record, Reason.REFUSED, what)
        age = self._deps.clock.now() - request.at
        why = f"it is {age // MINUTE} minutes old" if age > STALE else self._collector.ask(request.source_id)
        self._deps.metrics["records_total"].labels("collect", "passed_over" if why else "handled").inc()
        if why:
            log.warning("request %s of %s to poll source %r: %s", request.id, request.by, request.source_id, why)

    async def _set_aside(self, record: Any, reason: Reason, error: str) -> None:
        """To the dead letters, tried until the broker has it: the offset is committed afterwards."""
        letter = dead_letter(
            record.topic, record.partition, record.offset, key=record.key, value=record.value, headers=record.headers,
            reason=reason, error=error, at=self._deps.clock.now())
        self._deps.metrics["dead_letters_total"].labels("collect", str(reason)).inc()
        log.error("%s[%d]@%d set aside as %s: %s", record.topic, record.partition, record.offset, reason, error)
        await patiently(lambda: self._bus.send(topics.DEAD_LETTERS, letter.topic, letter, ident=letter.id),
                        "a dead letter cannot be sent", self._first_wait)


async def _commit(client: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """A commit that fails is made good by the next one: a request that is read again costs one look."""
    try:
        await client.commit(offsets)
    except KafkaError as error:
        log.warning("offsets of %s not committed: %s", topics.POLLS, describe(error))


def _sticky() -> type[StickyPartitionAssignor]:
    """Partitions stay where they are as far as equal counts allow. The library keeps what a member had on the class:
    so each client has one of its own."""
    return type("Sticky", (StickyPartitionAssignor,), {})
