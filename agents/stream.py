"""What every Faust agent of ours does: decode, handle under a deadline, set aside what fails, go on; and how it sends.

    async def body(stream):
        await consume(stream.events(), handle, out=out, deps=deps, role="score")
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

from agents.deadletter import Reason, dead_letter, describe
from agents.deps import Deps
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.present import not_ahead

log = logging.getLogger("wenxun.stream")

EVENT_SECONDS = 30.0
SEND_SECONDS = 60.0
RETRY_SECONDS = 1.0

Handle = Callable[[Any, int], Awaitable[None]]


class Ahead:
    """Records that another host's clock dated after ours are cut to now, and said: once a partition, not a record."""

    def __init__(self, deps: Deps, log: logging.Logger) -> None:
        self._now, self._log = deps.clock.now, log
        self._said: set[int] = set()

    def cut(self, record: Any, partition: int) -> Any:
        """The record, with no time later than now."""
        record, ahead = not_ahead(record, self._now())
        if ahead and partition not in self._said:
            self._said.add(partition)
            self._log.warning("records are dated %d s after this host's clock and count as of now: the clocks of two "
                              "hosts differ, set both by a time server", ahead // 1000)
        return record


class Out:
    """How an agent writes to topics. Keys choose partitions as topics.py says."""

    def __init__(self, app: Any, deps: Deps, role: str) -> None:
        self._app, self._deps, self._role = app, deps, role
        self.stalled = False
        """A send was given up because the broker did not take it in time: the event is sound, not poison."""

    async def post(
        self, topic: str, key: str, record: codec.Value, *, ident: str, partition: int | None = None
    ) -> Any:
        """Queue a record. No offset is committed before it is delivered; the future is done when it is."""
        headers = codec.encode_headers(record, source=self._role, at=self._deps.clock.now(), ident=ident)
        where = topics.partition_of(key, self._partitions(topic)) if partition is None else partition
        return await self._noting(self._app.producer.send(
            topic, key.encode("utf-8", "surrogatepass"), codec.encode(record), where, None, headers))

    async def send(
        self, topic: str, key: str, record: codec.Value, *, ident: str, partition: int | None = None
    ) -> None:
        """Send a record and wait until the broker has it: for what decides the next step."""
        async with asyncio.timeout(SEND_SECONDS):
            delivery = await self.post(topic, key, record, ident=ident, partition=partition)
            await self._noting(asyncio.shield(delivery))

    async def _noting(self, step: Awaitable[Any]) -> Any:
        try:
            return await step
        except asyncio.CancelledError:
            self.stalled = True
            raise

    async def dead(self, event: Any, reason: Reason, error: str, *, part: str = "") -> None:
        """Set an event's record (or its `part`) aside. Tried for ever: the event is done only when it is safe."""
        message = event.message
        letter = dead_letter(
            message.topic, message.partition, message.offset, key=message.key, value=message.value,
            headers=message.headers, reason=reason, error=error, at=self._deps.clock.now(), part=part)
        self._deps.metrics["dead_letters_total"].labels(self._role, str(reason)).inc()
        log.warning("%s[%d]@%d set aside as %s: %s", message.topic, message.partition, message.offset, reason, error)
        while True:
            try:
                return await self.send(topics.DEAD_LETTERS, message.topic, letter, ident=letter.id)
            except Exception as problem:
                log.error("dead letter %s not sent, trying again: %s", letter.id, describe(problem))
                await asyncio.sleep(RETRY_SECONDS)

    def done(self, event: Any) -> None:
        """Note the place for the self-check of commits."""
        self._app.done[event.message.topic, event.message.partition] = event.message.offset + 1

    def _partitions(self, topic: str) -> int:
        return topics.partitions_of(topic, self._deps.settings.partitions)


async def consume(
    events: AsyncIterable[Any], handle: Handle, *, out: Out, deps: Deps, role: str,
    forget: Callable[[int], None] | None = None,
) -> None:
    """Every event through `handle(record, partition)`; nothing but cancellation ends it.

    forget: called with the partition after a failure, so that state ahead of its rows is restored from them
    (PartitionStates.forget). An event whose send the broker did not take in time is handled again, for ever.
    """
    handled = deps.metrics["records_total"]
    async for event in events:
        while problem := await _attempt(event, handle, out):
            if forget is not None:
                forget(event.message.partition)
            if not out.stalled:
                await out.dead(event, *problem)
                break
            log.error("%s: the broker takes no records, trying again: %s", role, problem[1])
        handled.labels(role, "dead" if problem else "done").inc()
        out.done(event)


async def _attempt(event: Any, handle: Handle, out: Out) -> tuple[Reason, str] | None:
    """None if it was handled, else why not."""
    message, out.stalled = event.message, False
    try:
        record = codec.decode(message.value, message.headers)
    except Exception as error:                          # whatever bytes can do, they stop nobody else
        return Reason.UNDECODABLE, str(error) if isinstance(error, CodecError) else describe(error)
    try:
        async with asyncio.timeout(EVENT_SECONDS) as deadline:
            await handle(record, message.partition)
    except TimeoutError as error:
        return (Reason.TIMEOUT, f"not done in {EVENT_SECONDS:g} s") if deadline.expired() else (
            Reason.FAILED, describe(error))
    except Exception as error:
        log.exception("%s[%d]@%d failed", message.topic, message.partition, message.offset)
        return Reason.FAILED, describe(error)
    return None
