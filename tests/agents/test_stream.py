"""Every event of an agent: handled, set aside or tried again; never lost, never in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agents import stream
from agents.clock import Clock
from agents.deadletter import MAX_VALUE_BYTES, Reason, dead_letter
from agents.deps import Deps
from agents.metrics import Metrics
from agents.settings import Settings
from agents.stream import Out, consume
from pipeline import codec, topics
from pipeline.model import Ack, DeadLetter

ACK = Ack(id="1", event_id="e", alert_id="a", by="duty", at=1)


def event(offset: int, value: bytes | None = None, headers: Any = None, record: Any = ACK) -> Any:
    """What Faust hands to an agent: a sound record unless bytes are given."""
    known = codec.encode_headers(record, source="test", at=1, ident=str(offset)) if headers is None else headers
    raw = codec.encode(record) if value is None and headers is None else value
    return SimpleNamespace(message=SimpleNamespace(
        topic=topics.EVENTS, partition=2, offset=offset, key=b"e", value=raw, headers=known))


async def feed(*events: Any) -> AsyncIterator[Any]:
    for each in events:
        yield each


class FakeProducer:
    """Delivers at once, except the first `refuse` sends, which fail, and while `away` is set, which hang."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes, int]] = []
        self.refuse = 0
        self.away = False

    async def send(self, topic: str, key: bytes, value: bytes, partition: int, timestamp: Any, headers: Any) -> Any:
        if self.away:
            await asyncio.Event().wait()
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.refuse:
            self.refuse -= 1
            delivery.set_exception(ConnectionError("broker away"))
        else:
            self.sent.append((topic, key, value, partition))
            delivery.set_result(None)
        return delivery


class Bench:
    def __init__(self) -> None:
        self.deps = Deps(Settings(), Clock(), Metrics())
        self.producer = FakeProducer()
        self.app = SimpleNamespace(producer=self.producer, done={})
        self.out = Out(self.app, self.deps, "escalate")
        self.forgotten: list[int] = []

    async def run(self, handle: Callable[[Any, int], Awaitable[None]], *events: Any) -> None:
        await asyncio.wait_for(consume(feed(*events), handle, out=self.out, deps=self.deps, role="escalate",
                                       forget=self.forgotten.append), 5)

    def letters(self) -> list[DeadLetter]:
        return [codec.decode_as(DeadLetter, value) for topic, _, value, _ in self.producer.sent
                if topic == topics.DEAD_LETTERS]

    def count(self, outcome: str) -> float:
        return float(self.deps.metrics["records_total"].labels("escalate", outcome)._value.get())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(stream, "RETRY_SECONDS", 0.001)
    return Bench()


async def test_an_event_that_raises_is_set_aside_whole_and_its_neighbours_are_handled(bench: Bench) -> None:
    seen: list[int] = []

    async def handle(record: Ack, partition: int) -> None:
        if record.id == "3":
            raise ValueError("no such alert")
        seen.append(int(record.id))

    events = [event(n, record=Ack(id=str(n), event_id="e", alert_id="a", by="duty", at=1)) for n in range(8)]
    await bench.run(handle, *events)
    assert seen == [0, 1, 2, 4, 5, 6, 7]
    letter, = bench.letters()
    assert (letter.topic, letter.partition, letter.offset, letter.key) == (topics.EVENTS, 2, 3, b"e")
    assert (letter.reason, letter.error) == (Reason.FAILED, "ValueError: no such alert")
    assert letter.value == codec.encode(Ack(id="3", event_id="e", alert_id="a", by="duty", at=1))
    assert letter.type == "wenxun.alert.ack"
    assert (bench.count("done"), bench.count("dead")) == (7, 1)
    assert bench.app.done == {(topics.EVENTS, 2): 8}
    assert bench.forgotten == [2]


@pytest.mark.parametrize(
    "value", [b"{not json", b"\xff\xfe", None, b"", b"[" * 50_000, b'{"id": "\xed\xa0\x80"}', b"\x00"])
async def test_bytes_that_are_no_record_are_set_aside(bench: Bench, value: bytes | None) -> None:
    seen: list[Any] = []

    async def handle(record: Any, partition: int) -> None:
        seen.append(record)

    bad = event(0, value, codec.encode_headers(ACK, source="test", at=1, ident="0"))
    unknown = event(1, b"{}", [("ce_type", b"wenxun.none")])
    await bench.run(handle, bad, unknown, event(2))
    assert seen == [ACK]
    assert [letter.reason for letter in bench.letters()] == [Reason.UNDECODABLE] * 2


async def test_a_dead_letter_is_tried_until_the_broker_has_it(bench: Bench) -> None:
    async def handle(record: Any, partition: int) -> None:
        raise ValueError("boom")

    bench.producer.refuse = 4
    await bench.run(handle, event(0))
    assert len(bench.letters()) == 1


async def test_an_event_that_takes_too_long_is_set_aside(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "EVENT_SECONDS", 0.01)

    async def handle(record: Any, partition: int) -> None:
        await asyncio.Event().wait()

    await bench.run(handle, event(0))
    assert [letter.reason for letter in bench.letters()] == [Reason.TIMEOUT]


async def test_an_event_whose_send_the_broker_does_not_take_is_handled_again_and_never_set_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "EVENT_SECONDS", 0.02)
    bench.producer.away = True
    attempts: list[int] = []

    async def handle(record: Ack, partition: int) -> None:
        attempts.append(1)
        if len(attempts) == 3:
            bench.producer.away = False
        await bench.out.send(topics.ESCALATIONS, "e", record, ident="1")

    await bench.run(handle, event(0))
    assert len(attempts) == 3
    assert [topic for topic, *_ in bench.producer.sent] == [topics.ESCALATIONS]
    assert bench.count("done") == 1


async def test_records_go_to_the_partition_that_topics_says(bench: Bench) -> None:
    await bench.out.send(topics.ESCALATIONS, "e-1", ACK, ident="1")
    await bench.out.send(topics.RULES, "book", ACK, ident="1")
    places = [(topic, partition) for topic, _, _, partition in bench.producer.sent]
    assert places == [(topics.ESCALATIONS, topics.partition_of("e-1", 4)), (topics.RULES, 0)]


def test_a_large_value_is_cut_in_the_letter_but_its_hash_is_of_all_of_it() -> None:
    value = b"x" * (MAX_VALUE_BYTES + 1)
    letter = dead_letter("events", 0, 7, key=None, value=value, headers=None, reason="failed", error="e" * 9999, at=1)
    assert letter.truncated and len(letter.value) == MAX_VALUE_BYTES
    whole = dead_letter("events", 0, 7, key=None, value=value[:-1], headers=None, reason="failed", error="", at=1)
    assert not whole.truncated and whole.sha256 != letter.sha256
    assert whole.id == letter.id, "the id is of the place"
    assert len(letter.error) == 500
