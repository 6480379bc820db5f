"""Topics at start: created or verified, so that a missing one is a message and not a worker that waits for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from agents.deadletter import describe
from agents.settings import Settings
from pipeline import topics
from pipeline.errors import WenxunError

log = logging.getLogger("wenxun.topics")

REACH_SECONDS = 10.0
CREATE_MS = 20_000


class TopicError(WenxunError):
    """Topics that are missing or have another partition count."""


class BrokerAway(TopicError):
    """No broker answers: unlike a wrong topic, trying again may help."""


@dataclass(frozen=True, slots=True)
class Wanted:
    name: str
    partitions: int
    config: tuple[tuple[str, str], ...] = ()


def wanted(settings: Settings, changelogs: Iterable[str] = ()) -> list[Wanted]:
    """Every topic of topics.py and the given changelogs (compacted)."""
    listed = [Wanted(each.name, each.partitions or settings.partitions, tuple(each.settings().items()))
              for each in topics.CATALOG]
    compacted = (("cleanup.policy", "compact"), ("max.message.bytes", "1048588"))
    return listed + [Wanted(name, settings.partitions, compacted) for name in sorted(changelogs)]


async def ensure(settings: Settings, changelogs: Iterable[str] = ()) -> list[str]:
    """Create what is missing (if settings.create_topics), verify the rest; names of the created. Raises TopicError."""
    topics_wanted = wanted(settings, changelogs)
    admin = await _connect(settings)
    try:
        found = await _found(admin, topics_wanted)
        created: list[str] = []
        if settings.create_topics:
            created = await _create(admin, settings, [each for each in topics_wanted if each.name not in found])
            found |= {each.name: each.partitions for each in topics_wanted if each.name in created}
        problems = _problems(topics_wanted, found)
        if problems:
            raise TopicError("\n".join(problems))
        return created
    finally:
        await admin.close()


async def _connect(settings: Settings) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap, request_timeout_ms=int(REACH_SECONDS * 1000))
    try:
        async with asyncio.timeout(REACH_SECONDS):
            await admin.start()
        return admin
    except Exception as error:
        await admin.close()
        raise BrokerAway(f"KAFKA_BOOTSTRAP_SERVERS={settings.bootstrap}: no broker answers ({describe(error)}); "
                         "start one (make kafka) or correct the address") from None


async def _found(admin: AIOKafkaAdminClient, want: list[Wanted]) -> dict[str, int]:
    """Partition count of each wanted topic that exists."""
    names = {each.name for each in want} & set(await admin.list_topics())
    if not names:
        return {}
    described = await admin.describe_topics(sorted(names))
    return {each["topic"]: len(each["partitions"]) for each in described if not each["error_code"]}


async def _create(admin: AIOKafkaAdminClient, settings: Settings, missing: list[Wanted]) -> list[str]:
    if not missing:
        return []
    new = [NewTopic(each.name, each.partitions, settings.replication, topic_configs=dict(each.config))
           for each in missing]
    answer = await admin.create_topics(new, timeout_ms=CREATE_MS)
    problems = []
    for name, code, *detail in answer.topic_errors:
        kind = for_code(code)
        if code and kind is not TopicAlreadyExistsError:
            problems.append(f"topic {name}: not created: {kind.__name__} {detail[0] if detail else ''}".rstrip()
                            + f"; expected {settings.partitions} partitions, replication {settings.replication}")
    if problems:
        raise TopicError("\n".join(problems))
    log.info("created topics %s", ", ".join(each.name for each in missing))
    return [each.name for each in missing]


def _problems(want: list[Wanted], found: dict[str, int]) -> list[str]:
    problems = []
    for each in want:
        have = found.get(each.name)
        if have is None:
            problems.append(f"topic {each.name}: expected {each.partitions} partitions, found no such topic; create it "
                            "with `wenxun topics create`, or set WENXUN_CREATE_TOPICS=true")
        elif have != each.partitions:
            problems.append(
                f"topic {each.name}: expected {each.partitions} partitions, found {have}; set WENXUN_PARTITIONS to "
                "what this installation was made with, or delete the topic if its records may be lost")
    return problems
