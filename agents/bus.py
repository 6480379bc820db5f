"""Plain Kafka clients (not Faust): one way to build them, one way to send a record."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from agents.clock import Clock
from agents.settings import Settings
from pipeline import codec, topics

SEND_TIMEOUT = 60.0


class Bus:
    """An idempotent producer that encodes records. `source` is the role's name, for the envelope.

    max_bytes: of one record, before compression; a greater one is refused with MessageSizeTooLargeError.
    """

    def __init__(self, settings: Settings, clock: Clock, source: str, *, max_bytes: int = 1_048_576) -> None:
        self._settings, self._clock, self._source, self._max_bytes = settings, clock, source, max_bytes
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Bus:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap, acks="all", enable_idempotence=True, linger_ms=20,
            max_request_size=self._max_bytes, compression_type="lz4", request_timeout_ms=30_000)
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def post(
        self, topic: str, key: str, record: codec.Value, *, ident: str, partition: int | None = None
    ) -> asyncio.Future[Any]:
        """Queue a record; the future is done when all replicas have it."""
        assert self._producer is not None, "use `async with`"
        headers = codec.encode_headers(record, source=self._source, at=self._clock.now(), ident=ident)
        where = topics.partition_of(key, self.partitions(topic)) if partition is None else partition
        future: asyncio.Future[Any] = await self._producer.send(
            topic, codec.encode(record), key=key.encode(), partition=where, headers=headers)
        return future

    async def send(
        self, topic: str, key: str, record: codec.Value, *, ident: str, partition: int | None = None
    ) -> None:
        """Send a record and wait until all replicas have it. Idempotent batches never expire: hence the timeout."""
        async with asyncio.timeout(SEND_TIMEOUT):
            await asyncio.shield(await self.post(topic, key, record, ident=ident, partition=partition))

    async def forward(self, record: Any) -> None:
        """Write a consumed record once more, as it is, to the end of its partition; waits until the broker has it."""
        assert self._producer is not None, "use `async with`"
        async with asyncio.timeout(SEND_TIMEOUT):
            await self._producer.send_and_wait(
                record.topic, record.value, key=record.key, partition=record.partition, headers=list(record.headers))

    def partitions(self, topic: str) -> int:
        return topics.partitions_of(topic, self._settings.partitions)


def session_seconds(settings: Settings) -> int:
    """How long a killed member keeps its partitions. In `up` one process has them all: its successor waits for this."""
    return 10 if settings.embedded else 45


def consumer(
    settings: Settings, *names: str, group: str | None, session: int | None = None, **options: Any
) -> AIOKafkaConsumer:
    """A consumer that commits by hand and starts at the beginning. Without a group, assign partitions yourself.

    session: seconds, by default `session_seconds`.
    The embedded broker holds a fetch back for all of `fetch_max_wait_ms`, whatever arrives meanwhile: hence the 100.
    """
    options.setdefault("fetch_max_wait_ms", 100)
    return AIOKafkaConsumer(
        *names, bootstrap_servers=settings.bootstrap, group_id=group, enable_auto_commit=False,
        auto_offset_reset="earliest", isolation_level="read_committed", max_poll_interval_ms=300_000,
        session_timeout_ms=(session or session_seconds(settings)) * 1000, heartbeat_interval_ms=3_000,
        **({"group_instance_id": f"{settings.pod_name}-{group}"} if settings.pod_name and group else {}), **options)
