"""One real Kafka per test module: the names of our topics and groups are fixed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers
from tests.kafka.broker import Broker, absent


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    if reason := absent():
        servers.missing("kafka", reason)


@pytest.fixture(scope="module")
def kafka(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
