"""`create_app(deps, role)`: one Faust app, consumer group and changelog prefix per role, the same in `up` and `run`.

Nothing here runs at import; a role's agent is bound by its module's `register(app, deps)`. The settings are those that
docs/decisions.md gives reasons for: at-least-once, waiting for the event in work, short commits, no web server.
"""

from __future__ import annotations

import logging
import tempfile
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

from agents.bus import session_seconds
from agents.deps import Deps
from agents.sensor import Consumer, Producer, RoleSensor

FAUST = {"score": "agents.scorer", "track": "agents.tracker", "escalate": "agents.escalator"}
"""The Faust roles and the modules that bind their agents."""

FETCH_WAIT_MS = 100
"""How long the broker may hold a fetch back. Faust says 1500, and the embedded broker waits that long even when a
record arrives meanwhile: 0.7 s at each stage of the chain, measured."""

MAX_REQUEST_BYTES = 1_000_000


class Reader(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        """Not started yet, so what it will fetch with can still be said; Faust has no setting for it."""
        client = super()._create_worker_consumer(transport)
        client._fetch_max_wait_ms = FETCH_WAIT_MS
        return client


class QuickConsumer(Consumer):
    def _new_consumer_thread(self) -> Reader:
        return Reader(self, loop=self.loop, beacon=self.beacon)


class Transport(driver.Transport):  # type: ignore[misc]
    Consumer = QuickConsumer
    Producer = Producer


class App(faust.App):  # type: ignore[misc]
    """A Faust app on the mended transport that counts the errors its agents survive."""

    deps: Deps
    role: str
    sensor: RoleSensor
    done: dict[tuple[str, int], int]
    """(topic, partition) -> the offset after the newest event done, for the self-check."""

    def bind(self, deps: Deps, role: str) -> App:
        """Before it starts: what it belongs to, and who measures it."""
        self.deps, self.role, self.done = deps, role, {}
        self.sensor = RoleSensor(deps.metrics, role)
        self.sensors.add(self.sensor)
        return self

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)

    def changelogs(self) -> list[str]:
        """Names of the changelog topics of its tables."""
        return [table.changelog_topic_name for table in self.tables.values()]

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:
        self.deps.metrics["agent_errors_total"].labels(self.role).inc()
        await super()._on_agent_error(agent, exc)


def group_of(role: str) -> str:
    """App id, consumer group and changelog prefix of a role."""
    return f"wenxun-{role}"


def create_app(deps: Deps, role: str, **overrides: Any) -> App:
    """A Faust app for one role, without agents. `overrides` are Faust settings, for tests."""
    if role not in FAUST:
        raise ValueError(f"no Faust role {role!r}: expected one of {', '.join(FAUST)}")
    quiet()
    app = App(overrides.pop("id", group_of(role)), **{**settings_of(deps, role), **overrides})
    return app.bind(deps, role)


def settings_of(deps: Deps, role: str) -> dict[str, Any]:
    """Faust's settings; see the module's text. Seconds unless the name says otherwise."""
    settings = deps.settings
    pod = {"consumer_group_instance_id": f"{settings.pod_name}-{role}"} if settings.pod_name else {}
    return {
        "broker": [f"kafka://{each.strip()}" for each in settings.bootstrap.split(",")],
        "autodiscover": False,
        "processing_guarantee": "at_least_once",
        "stream_wait_empty": True,
        "broker_commit_interval": 1.0,
        "broker_max_poll_records": 500,
        "broker_max_poll_interval": 1000.0,
        "broker_session_timeout": float(session_seconds(settings)),
        "broker_heartbeat_interval": 3.0,
        "broker_request_timeout": 90.0,
        "broker_rebalance_timeout": 120.0,
        "stream_processing_timeout": 60.0,
        "stream_buffer_maxsize": 1024,
        "stream_recovery_delay": 0.0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 4 * 1024**2,
        "producer_acks": -1,
        "producer_request_timeout": 60.0,
        "producer_max_request_size": MAX_REQUEST_BYTES,
        "producer_compression_type": "lz4",
        "producer_linger": 0.002,
        "producer_threaded": False,
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.replication,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "recovery_consistency_check": True,
        "store": "memory://",
        "datadir": tempfile.gettempdir(),               # unused by the memory store, but Faust insists on one
        "key_serializer": "raw",
        "value_serializer": "raw",
        "agent_supervisor": "mode.OneForOneSupervisor",
        "web_enabled": False,
        "web_bind": "127.0.0.1",
        "debug": False,
        **pod,
    }


def quiet() -> None:
    """Debug and info records of the Kafka libraries cost more than the work they describe."""
    for name in ("aiokafka", "faust", "mode", "agents.app", "agents.transport", "agents.sensor", "agents.tables"):
        logging.getLogger(name).setLevel(logging.WARNING)
