"""Escalations into the ledger: one transaction for what a poll brought, and only then the offsets.

A record that is no escalation of ours becomes a dead letter; a store that cannot be written holds the consumer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from sqlalchemy.exc import DataError, SQLAlchemyError

from agents.bus import Bus
from agents.deadletter import Reason, dead_letter, describe
from agents.deliverer.ledger import Ledger, Parcel
from agents.deliverer.outage import Outage, cause
from agents.deliverer.reporter import NOWHERE, delivery_id
from agents.deliverer.senders import real_now
from agents.deps import Deps
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.model import DeadLetter, Escalation, Millis
from pipeline.notify.route import receivers

log = logging.getLogger("wenxun.deliver")

GROUP = "wenxun-deliver"
MAX_RECORDS = 200
REPLAYED = b"/wenxun/dlq"
"""`ce_source` of a record that a person sent again from the dead letters: what was given up is tried anew."""
_OTHERS = frozenset(f"wenxun.{name}" for name in codec.TYPES if name != "escalation")


class Intake:
    """arrived: called with the channels that new rows are for. outage: hears of writes that fail."""

    def __init__(
        self, deps: Deps, ledger: Ledger, bus: Bus, arrived: Callable[[Iterable[str]], None],
        real: Callable[[], Millis] = real_now, outage: Outage | None = None,
    ) -> None:
        self._outage = outage
        self._deps, self._ledger, self._bus, self._arrived, self._real = deps, ledger, bus, arrived, real

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """Until cancelled. The consumer is started and stopped by the caller."""
        while True:
            batches = await consumer.getmany(timeout_ms=1000, max_records=MAX_RECORDS)
            for place, records in batches.items():
                await self.take(records)
                await self._commit(consumer, {place: records[-1].offset + 1})

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[Any, int]) -> None:
        """A commit that fails is made good by the next one: what is read again is in the ledger already."""
        try:
            await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            log.warning("offsets of escalations not committed: %s", type(error).__name__)

    async def take(self, records: Iterable[Any]) -> None:
        """Everything in these records is in the ledger, or dead-lettered, when this returns."""
        parcels: list[Parcel] = []
        again: list[str] = []
        handled = 0
        for record in records:
            headers = dict(record.headers or ())
            if (headers.get("ce_type") or b"").decode("utf-8", "replace") in _OTHERS:
                continue
            found = await self._parcels(record, headers)
            parcels += found
            handled += bool(found)
            if headers.get("ce_source") == REPLAYED:
                again += [parcel.id for parcel in found]
        if parcels:
            await self._until_written(parcels, again)
            self._deps.metrics["records_total"].labels("deliver", "handled").inc(handled)
            self._arrived({parcel.channel for parcel in parcels})

    async def _parcels(self, record: Any, headers: dict[str, bytes]) -> list[Parcel]:
        try:
            escalation = codec.decode(record.value, headers)
        except CodecError as error:
            await self._dead(record, Reason.UNDECODABLE, str(error))
            return []
        if escalation.unsendable:        # of a shadow rule: the archive has it, and nobody is told
            return []
        try:
            found = self._addressed(escalation)
        except Exception as error:   # a roster nobody foresaw must not stop the alerts behind this one
            await self._dead(record, Reason.FAILED, describe(error))
            return []
        if not found:
            await self._dead(record, Reason.REFUSED, "roster.yml: nobody to tell, and the fallback has no channel")
        return found

    def _addressed(self, escalation: Escalation) -> list[Parcel]:
        told = receivers(escalation.tell, self._deps.rules.book.roster, escalation.at, self._deps.settings.zone)
        text = codec.encode(escalation).decode()
        return [
            Parcel(id=delivery_id(escalation.id, one.person, one.channel), escalation=text, person=one.person,
                   channel=one.channel, decided_at=escalation.at)
            for one in told]

    async def _until_written(self, parcels: list[Parcel], again: list[str]) -> None:
        pause = 0.5
        while True:
            try:
                await asyncio.to_thread(self._write, parcels, again)
                if self._outage is not None:
                    self._outage.over()
                return
            except DataError as error:      # no waiting mends it: the one at fault is set aside, the others go on
                await self._one_by_one(parcels, again, describe(error))
                return
            except SQLAlchemyError as error:
                self._deps.metrics["agent_errors_total"].labels("deliver").inc()
                log.error("escalations cannot be written to the outbox (%s), no message goes out: check the disk and "
                          "the database; holding %d", cause(error), len(parcels))
                if self._outage is not None:
                    await self._outage.failed(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 15.0)

    async def _one_by_one(self, parcels: list[Parcel], again: list[str], error: str) -> None:
        if len(parcels) > 1:
            for parcel in parcels:
                await self._until_written([parcel], again)
            return
        for parcel in parcels:
            await self._until_sent(dead_letter(
                topics.ESCALATIONS, NOWHERE, NOWHERE, key=parcel.id.encode(), value=parcel.escalation.encode(),
                headers=[("ce_type", b"wenxun.escalation")], reason=Reason.FAILED, error=error, part=parcel.id,
                at=self._deps.clock.now()))

    def _write(self, parcels: list[Parcel], again: list[str]) -> None:
        now = self._real()
        self._ledger.add(parcels, now)
        if again:
            self._ledger.revive(again, now)

    async def _dead(self, record: Any, reason: Reason, error: str) -> None:
        """Sent until the broker has it: the offset behind it is committed afterwards."""
        letter = dead_letter(
            record.topic, record.partition, record.offset, key=record.key, value=record.value, headers=record.headers,
            reason=reason, error=error, at=self._deps.clock.now())
        self._deps.metrics["dead_letters_total"].labels("deliver", reason.value).inc()
        log.error("escalation at %s/%d/%d set aside: %s", record.topic, record.partition, record.offset, reason.value)
        await self._until_sent(letter)

    async def _until_sent(self, letter: DeadLetter) -> None:
        while True:
            try:
                await self._bus.send(topics.DEAD_LETTERS, letter.topic, letter, ident=letter.id)
                return
            except (KafkaError, TimeoutError) as error:
                log.error("a dead letter cannot be sent: %s; trying again", type(error).__name__)
                await asyncio.sleep(1.0)
