"""Every stage a process of its own on a real Kafka; a dead-man URL is called. Any one stage stops: the calls stop."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents import topics_admin
from agents.bus import Bus
from agents.clock import Clock
from agents.rule_feed import KEY
from agents.rule_files import load_book
from pipeline import topics
from pipeline.rulebook import schema
from tests.kafka.broker import Broker
from tests.kafka.conftest import kafka, kafka_jars  # noqa: F401
from tests.kafka.installation import Installation

pytestmark = [pytest.mark.kafka, pytest.mark.fault]

STAGES = ("archive", "deliver", "escalate", "track", "score", "collect")
EVERY = 4.0
"""Seconds between two calls. Rule files say ten at least; the book of the test says less."""
START_SECONDS = 120.0


class DeadMan(BaseHTTPRequestHandler):
    """Notes when it is called, by time.monotonic()."""

    calls: list[float] = []

    def do_GET(self) -> None:
        self.calls.append(time.monotonic())
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Chain:
    """The stages, and the calls so far."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.stages = dict.fromkeys(STAGES, 0)

    def start(self, port: int) -> None:
        for number, stage in enumerate(STAGES):
            self.stages[stage] = number
            self.installation.start(stage, POD_NAME="stage-0", WENXUN_FEED_ALLOW_PRIVATE_CIDRS=f"127.0.0.1:{port}")

    def signal(self, stage: str, number: signal.Signals) -> float:
        """When it was sent."""
        process = self.installation.processes[self.stages[stage]]
        assert process.poll() is None, self.installation.said()
        process.send_signal(number)
        return time.monotonic()

    def wait(self, true: Callable[[list[float]], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not true(DeadMan.calls):
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{self.installation.said()}"
            time.sleep(0.1)

    def beats(self, since: float, seconds: float = START_SECONDS) -> None:
        """Wait until two calls came one interval apart since then."""
        self.wait(lambda calls: any(after - before < 1.5 * EVERY for before, after in _pairs(calls, since)), seconds,
                  "two calls in a row")


def _pairs(calls: list[float], since: float) -> Iterator[tuple[float, float]]:
    late = [at for at in calls if at > since]
    return zip(late, late[1:], strict=False)


@pytest.fixture(scope="module")
def chain(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:  # noqa: F811
    server = ThreadingHTTPServer(("127.0.0.1", 0), DeadMan)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    folder: Path = tmp_path_factory.mktemp("chain")
    installation = Installation(kafka, folder)
    made = Chain(installation)
    try:
        asyncio.run(_publish(installation, f"http://127.0.0.1:{server.server_port}/ping"))
        made.start(server.server_port)
        yield made
    finally:
        for process in installation.processes:
            process.send_signal(signal.SIGCONT)
        installation.end()
        server.shutdown()
        thread.join()
        server.server_close()


async def _publish(installation: Installation, url: str) -> None:
    await topics_admin.ensure(installation.settings)
    book = load_book(installation.folder / "rules", "Asia/Shanghai")
    book = replace(book, heartbeat=schema.Heartbeat(url=url, every=int(EVERY * 1000)))
    async with Bus(installation.settings, Clock(), "rules", max_bytes=topics.MAX_BOOK_BYTES) as bus:
        await bus.send(topics.RULES, KEY, book, ident=book.hash, partition=0)


@pytest.mark.parametrize("stage", STAGES)
def test_calls_stop_within_two_intervals_of_any_stage_and_come_back_with_it(chain: Chain, stage: str) -> None:
    chain.beats(time.monotonic() - 2 * EVERY)
    stopped = chain.signal(stage, signal.SIGSTOP)
    try:
        time.sleep(3.2 * EVERY)                         # what is asked is that nothing comes
    finally:
        went_on = chain.signal(stage, signal.SIGCONT)
    late = [at - stopped for at in DeadMan.calls if stopped + 2 * EVERY < at < went_on]
    last = max(at for at in DeadMan.calls if at < went_on) - stopped
    print(f"{stage}: last call {last:.1f} s after the stop")
    assert not late, f"{stage} stands still, and the URL was called after {late} s"
    chain.beats(went_on)
    print(f"{stage}: calls again {min(at for at in DeadMan.calls if at > went_on) - went_on:.1f} s after it went on")
