"""The embedded broker: librdkafka's in-process cluster, which the confluent-kafka wheel carries. No Java, no container.

What it is not: it keeps its log in memory only, about 5 MB per partition, and drops the oldest without an error; it
does not compact, cannot create topics (a topic appears with 4 partitions when it is first named) and its record
timestamps mean nothing. So with it no topic is declared, the collector waits while a partition's unread bytes pass
2 MB, and every start warms the tables from the archive and reads the feeds again. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTITIONS = 4
START_SECONDS = 20.0


@contextmanager
def embedded_broker() -> Iterator[str]:
    """Run a broker in this process; yields its address (host:port)."""
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"test.mock.num.brokers": 1, "bootstrap.servers": "ignored", "log_level": 0})
    try:
        yield _address(client)
    finally:
        del client


def _address(client: object) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        brokers = client.list_topics(timeout=5).brokers.values()  # type: ignore[attr-defined]
        for broker in brokers:
            if broker.port > 0:
                return f"127.0.0.1:{broker.port}"
        time.sleep(0.05)
    raise RuntimeError(f"the embedded broker did not start in {START_SECONDS:g} s")
