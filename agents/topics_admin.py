"""Topics at start: created or verified, so that a missing one is a message and not a worker that waits for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from agents.deadletter import describe
from agents.settings import Settings
from pipeline import topics
from pipeline.errors import WenxunError

log = logging.getLogger("wenxun.topics")

REACH_SECONDS = 10.0
CREATE_MS = 20_000
LIMIT = "max.message.bytes"
SET_ON_TOPIC = 1
"""Where a setting comes from, as DescribeConfigs says it: the topic, not the broker or its defaults."""


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
    compacted = (("cleanup.policy", "compact"), (LIMIT, str(topics.PLAIN_RECORD_BYTES)))
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
        await _make_room(admin, settings, [each for each in topics_wanted if each.name not in created])
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


async def _make_room(admin: AIOKafkaAdminClient, settings: Settings, present: list[Wanted]) -> None:
    """Topics of an earlier version take records as large as this one writes. A warning where that cannot be: small
    records still fit. What somebody else has set on the topic stays."""
    large = {each.name: dict(each.config) for each in present
             if int(dict(each.config).get(LIMIT, "0")) > topics.PLAIN_RECORD_BYTES}
    for name, config in large.items():
        have = await _set_on(admin, name)
        if int(have.get(LIMIT, str(topics.PLAIN_RECORD_BYTES))) >= int(config[LIMIT]):
            continue
        why = "WENXUN_CREATE_TOPICS is false"
        if settings.create_topics:
            why = await _alter(admin, name, {**have, **config})
        if why:
            told = ",".join(f"{key}={value}" for key, value in config.items())
            log.warning("topic %s: records over %s bytes do not fit (%s); a large rule book will be refused until "
                        "somebody runs kafka-configs --alter --entity-type topics --entity-name %s --add-config %s",
                        name, have.get(LIMIT, topics.PLAIN_RECORD_BYTES), why, name, told)
        else:
            log.info("topic %s: takes records of up to %s bytes now", name, config[LIMIT])


async def _set_on(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    """What is configured on the topic itself."""
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    entries = [entry for answer in answers for resource in answer.resources for entry in resource[4]]
    return {entry[0]: entry[1] for entry in entries if entry[3] == SET_ON_TOPIC and entry[1] is not None}


async def _alter(admin: AIOKafkaAdminClient, name: str, config: dict[str, str]) -> str:
    """Why it could not be done; empty when it was."""
    answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, config)])
    failed = [resource for answer in answers for resource in answer.resources if resource[0]]
    return f"{for_code(failed[0][0]).__name__} {failed[0][1] or ''}".rstrip() if failed else ""


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
