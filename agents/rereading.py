"""Topics read again, from the earliest offset there is to where they end now. In no group: nobody's place moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from agents import bus
from agents.lag import partitions_of
from agents.settings import Settings
from pipeline import topics
from pipeline.errors import WenxunError

READ = tuple(topic.name for topic in topics.CATALOG if topic.name not in (topics.WORKERS, topics.POLLS))
"""Topics of which the archive keeps rows."""
REACH_SECONDS = 15.0
SILENT_SECONDS = 60.0
"""No record for so long before the end: the broker is away."""
MAX_RECORDS = 2000
POLL_MS = 1000


class BrokerSilent(WenxunError):
    """The broker does not answer, or stopped answering."""


class NoKafka(Exception):
    """The embedded broker, or something as old: it cannot be asked for its groups."""


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of a partition: the earliest there is, and the next one to be written."""

    topic: str
    partition: int
    first: int
    end: int


async def spans(settings: Settings) -> list[Span]:
    """Of every topic that the archive keeps rows of. BrokerSilent, also if a topic is missing."""
    client = bus.consumer(settings, group=None)
    try:
        async with asyncio.timeout(REACH_SECONDS):
            await client.start()
            found: list[Span] = []
            for name in READ:
                places = [TopicPartition(name, number) for number in sorted(await partitions_of(client, name))]
                if not places:
                    raise BrokerSilent(f"{settings.bootstrap}：没有主题 {name}。这是 Wenxun 的 Kafka 吗？"
                                       "用 wenxun topics check 查看。")
                firsts, ends = await client.beginning_offsets(places), await client.end_offsets(places)
                found += [Span(name, place.partition, firsts[place], ends[place]) for place in places]
            return found
    except (KafkaError, TimeoutError, OSError) as error:
        raise _silent(settings, error) from None
    finally:
        await client.stop()


async def read(
    settings: Settings, wanted: Sequence[Span], start: Mapping[tuple[str, int], int]
) -> AsyncIterator[list[Any]]:
    """Records of these spans, in order within a partition, from `start` where it is further on."""
    froms = {each: max(each.first, start.get((each.topic, each.partition), 0)) for each in wanted}
    spans = {TopicPartition(each.topic, each.partition): each for each, at in froms.items() if at < each.end}
    if not spans:
        return
    client = bus.consumer(settings, group=None, max_poll_records=MAX_RECORDS, fetch_max_bytes=16 * 1024**2)
    try:
        await client.start()
        client.assign(list(spans))
        for place, span in spans.items():
            client.seek(place, froms[span])
        last = time.monotonic()
        while left := await _unread(client, spans):
            fetched = await client.getmany(*left, timeout_ms=POLL_MS, max_records=MAX_RECORDS)
            records = [record for place, some in fetched.items() for record in some if record.offset < spans[place].end]
            if records:
                last = time.monotonic()
                yield records
            elif time.monotonic() - last > SILENT_SECONDS:
                raise _silent(settings, TimeoutError())
    except (KafkaError, OSError) as error:
        raise _silent(settings, error) from None
    finally:
        await client.stop()


async def members(settings: Settings, group: str) -> list[str]:
    """Who is in a consumer group: its member id and from which address. NoKafka, BrokerSilent."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap, request_timeout_ms=int(REACH_SECONDS * 1000))
    try:
        async with asyncio.timeout(REACH_SECONDS):
            await admin.start()
            answers = await admin.describe_consumer_groups([group])
        return [f"{member[0]} ({str(member[2]).lstrip('/')})" for answer in answers for found in answer.groups
                if found[1] == group for member in found[5]]
    except IncompatibleBrokerVersion:
        raise NoKafka from None
    except (KafkaError, TimeoutError, OSError) as error:
        raise _silent(settings, error) from None
    finally:
        await admin.close()


async def _unread(client: AIOKafkaConsumer, spans: Mapping[TopicPartition, Span]) -> list[TopicPartition]:
    return [place for place, span in spans.items() if await client.position(place) < span.end]


def _silent(settings: Settings, error: BaseException) -> BrokerSilent:
    return BrokerSilent(f"KAFKA_BOOTSTRAP_SERVERS={settings.bootstrap}：Kafka 没有回答（{type(error).__name__}）。"
                        "检查地址和 Kafka 是否在运行，然后再运行一次：会从停下的地方接着读。")
