"""Topic escalations into the ledger: one transaction for what a poll brought, in its order, and only then the offsets.

Escalations become rows; states of alerts and clocks end rows that nobody needs any more; heartbeats are noted. A record
that is none of ours becomes a dead letter; a store that cannot be written holds the consumer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from msgspec.structs import replace
from sqlalchemy.exc import DataError, SQLAlchemyError

from agents import commits
from agents.bus import Bus
from agents.deadletter import Reason, dead_letter, describe
from agents.deliverer.ledger import Ledger
from agents.deliverer.outage import Outage, cause
from agents.deliverer.parcel import PENDING, Parcel, delivery_id, parcels_of
from agents.deliverer.reporter import NOWHERE, hourly
from agents.deliverer.senders import real_now
from agents.deliverer.suppress import Placed
from agents.deps import Deps
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.model import AlertState, DeadLetter, Escalation, EscalationKind, EventClocks, Heartbeat, Millis
from pipeline.notify.route import receivers

log = logging.getLogger("wenxun.deliver")

GROUP = "wenxun-deliver"
MAX_RECORDS = 200
REPLAYED = b"/wenxun/dlq"
"""`ce_source` of a record that a person sent again from the dead letters: what was given up is tried anew."""
_TAKEN = ("escalation", "alert.state", "event.clocks", "heartbeat")
_OTHERS = frozenset(f"wenxun.{name}" for name in codec.TYPES if name not in _TAKEN)


@dataclass(slots=True)
class Taken:
    """What a poll brought. steps: rows to write and records that end rows, in order. again: ids to be tried anew."""

    steps: list[Parcel | Placed] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    beats: list[Heartbeat] = field(default_factory=list)
    handled: int = 0

    @property
    def parcels(self) -> list[Parcel]:
        return [each for each in self.steps if isinstance(each, Parcel)]


class Intake:
    """arrived: called with the channels that new rows are for; ended: when rows may have ended. outage: hears of writes
    that fail. beat: is given heartbeats."""

    def __init__(
        self, deps: Deps, ledger: Ledger, bus: Bus, arrived: Callable[[Iterable[str]], None],
        real: Callable[[], Millis] = real_now, outage: Outage | None = None, ended: Callable[[], None] = lambda: None,
        beat: Callable[[list[Heartbeat]], Awaitable[None]] | None = None,
    ) -> None:
        self._deps, self._ledger, self._bus, self._arrived, self._real = deps, ledger, bus, arrived, real
        self._outage, self._ended, self._beat = outage, ended, beat
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="deliver-intake")

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """Until cancelled. The consumer is started and stopped by the caller."""
        while True:
            batches = await consumer.getmany(timeout_ms=1000, max_records=MAX_RECORDS)
            commits.holds(self._deps.metrics, "deliver", len(consumer.assignment()))
            for place, records in batches.items():
                await self.take(records)
                await self._commit(consumer, {place: records[-1].offset + 1})

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[Any, int]) -> None:
        """A commit that fails is made good by the next one: what is read again is in the ledger already."""
        try:
            await consumer.commit(offsets)
            commits.committed(self._deps.metrics, "deliver")
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            log.warning("offsets of escalations not committed: %s", type(error).__name__)

    async def take(self, records: Iterable[Any]) -> None:
        """Everything in these records, of one partition, is in the ledger, or dead-lettered, when this returns."""
        taken = Taken()
        for record in records:
            headers = dict(record.headers or ())
            if (headers.get("ce_type") or b"").decode("utf-8", "replace") not in _OTHERS:
                await self._read(record, headers, taken)
        if taken.steps:
            await self._until_written(taken.steps, taken.again)
            self._deps.metrics["records_total"].labels("deliver", "handled").inc(taken.handled)
            self._arrived({parcel.channel for parcel in taken.parcels if parcel.status == PENDING})
            self._ended()
        if taken.beats and self._beat is not None:
            await self._beat(taken.beats)

    async def _read(self, record: Any, headers: dict[str, bytes], taken: Taken) -> None:
        try:
            value = codec.decode(record.value, headers)
        except CodecError as error:
            await self._dead(record, Reason.UNDECODABLE, str(error))
            return
        match value:
            case AlertState() | EventClocks():
                taken.steps.append(Placed(value, record.offset))
            case Heartbeat():
                taken.beats.append(value)
            case Escalation():
                found = await self._parcels(record, value)
                taken.steps += found
                taken.handled += bool(found)
                if headers.get("ce_source") == REPLAYED:
                    taken.again += [ident for each in found for ident in ids_of(each)]

    async def _parcels(self, record: Any, escalation: Escalation) -> list[Parcel]:
        if replace(escalation, suppressed_by="").unsendable:
            return []                    # of a shadow rule: the archive has it, and nobody is told
        try:
            found = self._addressed(escalation, record.offset)
        except Exception as error:   # a roster nobody foresaw must not stop the alerts behind this one
            await self._dead(record, Reason.FAILED, describe(error))
            return []
        if not found:
            await self._dead(record, Reason.REFUSED, "roster.yml: nobody to tell, and the fallback has no channel")
            await self._mourn(escalation)
        return found

    async def _mourn(self, escalation: Escalation) -> None:
        """To ops, once an hour; a notice that reaches nobody brings no other, which would reach nobody either."""
        if escalation.kind is not EscalationKind.SYSTEM:
            whom, about = "、".join(escalation.tell), escalation.head.short if escalation.head else ""
            notice = hourly(f"nobody:{whom}", self._deps.clock.now(), "有消息没有人可通知", (
                f"{about}{'：' if about else ''}应通知 {whom}，但当班的人和备用接收人都没有可用的通道。"
                "请核对 roster.yml，再用 wenxun dlq list 查看、wenxun dlq replay 重发。"))
            await self._until_sent(topics.ESCALATIONS, notice.id, notice)

    def _addressed(self, escalation: Escalation, place: int) -> list[Parcel]:
        told = receivers(escalation.tell, self._deps.rules.book.roster, escalation.at, self._deps.settings.zone,
                         escalation.channels)
        return parcels_of(escalation, told, place)

    async def _until_written(self, steps: Sequence[Parcel | Placed], again: list[str]) -> None:
        pause, loop = 0.5, asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._thread, self._ledger.take, steps, again, self._real())
                if self._outage is not None:
                    self._outage.over()
                return
            except DataError as error:      # no waiting mends it: the one at fault is set aside, the others go on
                await self._one_by_one(steps, again, describe(error))
                return
            except SQLAlchemyError as error:
                self._deps.metrics["agent_errors_total"].labels("deliver").inc()
                log.error("escalations cannot be written to the outbox (%s), no message goes out: check the disk and "
                          "the database; holding %d", cause(error), len(steps))
                if self._outage is not None:
                    await self._outage.failed(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 15.0)

    async def _one_by_one(self, steps: Sequence[Parcel | Placed], again: list[str], error: str) -> None:
        if len(steps) > 1:
            for step in steps:
                await self._until_written([step], again)
            return
        for step in steps:
            if isinstance(step, Parcel):
                await self._set_aside(dead_letter(
                    topics.ESCALATIONS, NOWHERE, NOWHERE, key=step.id.encode(), value=step.escalation.encode(),
                    headers=[("ce_type", b"wenxun.escalation")], reason=Reason.FAILED, error=error, part=step.id,
                    at=self._deps.clock.now()))

    async def _dead(self, record: Any, reason: Reason, error: str) -> None:
        """Sent until the broker has it: the offset behind it is committed afterwards."""
        letter = dead_letter(
            record.topic, record.partition, record.offset, key=record.key, value=record.value, headers=record.headers,
            reason=reason, error=error, at=self._deps.clock.now())
        self._deps.metrics["dead_letters_total"].labels("deliver", reason.value).inc()
        log.error("escalation at %s/%d/%d set aside: %s", record.topic, record.partition, record.offset, reason.value)
        await self._set_aside(letter)

    async def _set_aside(self, letter: DeadLetter) -> None:
        await self._until_sent(topics.DEAD_LETTERS, letter.topic, letter)

    async def _until_sent(self, topic: str, key: str, record: DeadLetter | Escalation) -> None:
        while True:
            try:
                await self._bus.send(topic, key, record, ident=record.id)
                return
            except (KafkaError, TimeoutError) as error:
                log.error("a record for %s cannot be sent: %s; trying again", topic, type(error).__name__)
                await asyncio.sleep(1.0)


def ids_of(parcel: Parcel) -> list[str]:
    """Of its row, and of those that it became where a channel did not work."""
    return [parcel.id, *(delivery_id(parcel.escalation_id, parcel.person, each) for each in parcel.next_channels)]
