"""Topics at start: created, verified, and a clear end when they are not what they should be."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agents import topics_admin
from agents.bus import Bus
from agents.clock import Clock
from agents.rule_feed import newest_book
from agents.topics_admin import TopicError
from pipeline import topics
from tests.kafka.broker import Broker, until
from tests.kafka.installation import ROOT, Installation
from tests.rule_books import large_book

pytestmark = pytest.mark.kafka


@pytest.fixture
def installation(kafka: Broker, tmp_path: Path) -> Installation:
    return Installation(kafka, tmp_path)


def wenxun(installation: Installation, *arguments: str, **more: str) -> tuple[int, str, float]:
    """Exit code, what it wrote, and how long it took."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "agents", *arguments], cwd=ROOT, capture_output=True, text=True,
                          env=installation.environ(**more), timeout=180)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - started


def test_a_missing_topic_ends_a_worker_within_15_seconds_and_is_named(installation: Installation) -> None:
    _, _, start = wenxun(installation, "--help")
    slowness = max(1.0, start / 2)                      # of the machine: a start takes less than two seconds
    code, said, seconds = wenxun(installation, "run", "--roles", "score", WENXUN_CREATE_TOPICS="false",
                                 WENXUN_METRICS_BIND="127.0.0.1:0")
    assert code == 2
    assert "topic items.raw: expected 4 partitions, found no such topic; create it with `wenxun topics create`" in said
    assert seconds < 15 * slowness


def test_topics_are_created_once_and_then_found_to_be_right(installation: Installation) -> None:
    code, said, _ = wenxun(installation, "topics", "create")
    assert code == 0, said
    for each in topics.CATALOG:
        assert f"created {each.name}" in said
    assert "created wenxun-track-events-changelog" in said
    code, said, _ = wenxun(installation, "topics", "check")
    assert code == 0 and "created" not in said and "topics as they should be" in said


async def test_another_partition_count_is_refused_with_both_figures(kafka: Broker, installation: Installation) -> None:
    await topics_admin.ensure(installation.settings)
    with pytest.raises(TopicError) as caught:
        await topics_admin.ensure(replace(installation.settings, partitions=6))
    lines = str(caught.value).splitlines()
    assert ("topic items.raw: expected 6 partitions, found 4; set WENXUN_PARTITIONS to what this installation was made "
            "with, or delete the topic if its records may be lost") in lines
    assert not any(line.startswith("topic rules:") for line in lines), "rules has one partition everywhere"


async def test_changelogs_are_compacted_and_never_deleted_by_time(kafka: Broker, installation: Installation) -> None:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    await topics_admin.ensure(installation.settings, ["wenxun-track-test-changelog"])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await admin.start()

    async def compacted() -> bool:                      # a topic just made may not be known everywhere yet
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, "wenxun-track-test-changelog")])
        found = {entry[0]: entry[1] for answer in answers for resource in answer.resources for entry in resource[4]}
        return found.get("cleanup.policy") == "compact"

    try:
        await until(compacted, 180, "compacted")
    finally:
        await admin.close()


async def test_no_broker_is_said_with_the_address_and_what_to_do(installation: Installation) -> None:
    started = time.monotonic()
    with pytest.raises(TopicError, match=r"KAFKA_BOOTSTRAP_SERVERS=127\.0\.0\.1:1: no broker answers .*make kafka"):
        await topics_admin.ensure(replace(installation.settings, bootstrap="127.0.0.1:1"))
    assert time.monotonic() - started < 60


async def test_a_topic_of_an_earlier_version_is_made_to_take_a_large_rule_book(
    kafka: Broker, installation: Installation, caplog: pytest.LogCaptureFixture,
) -> None:
    await topics_admin.ensure(installation.settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await admin.start()
    try:
        if topics.RULES in await admin.list_topics():
            await admin.delete_topics([topics.RULES])
        old = NewTopic(topics.RULES, 1, 1, topic_configs={"cleanup.policy": "compact", "max.message.bytes": "1048588",
                                                          "min.insync.replicas": "1"})

        async def made() -> bool:                       # a deleted topic's name is free a moment later
            await admin.create_topics([old])
            known = topics.RULES in await admin.list_topics()
            return known and (await topics_admin._set_on(admin, topics.RULES)).get("max.message.bytes") == "1048588"

        await until(made, 180, "an old topic")
        with caplog.at_level("WARNING"):
            await topics_admin.ensure(replace(installation.settings, create_topics=False), [])
        assert "kafka-configs --alter --entity-type topics --entity-name rules --add-config" in caplog.text
        await topics_admin.ensure(installation.settings)

        async def raised() -> bool:
            found = await topics_admin._set_on(admin, topics.RULES)
            assert found["min.insync.replicas"] == "1", "what somebody else has set stays"
            return found["max.message.bytes"] == str(topics.MAX_BOOK_BYTES)

        await until(raised, 180, "the limit raised")
    finally:
        await admin.close()
    book = large_book(10_000)
    async with Bus(installation.settings, Clock(), "rules", max_bytes=topics.MAX_BOOK_BYTES) as bus:
        await bus.send(topics.RULES, "book", book, ident=book.hash, partition=0)
    assert (await newest_book(installation.settings)) == book
