"""A record that nobody can read, on each topic: every reader sets it aside or refuses it by name, and goes on.

tests/kafka/test_roles.py shows the same with the real clients; here each kind of poison meets each reader.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from agents import rule_feed
from agents.archivist import Archivist
from agents.clock import Clock
from agents.collector import states
from agents.collector.assignment import Assignment
from agents.deliverer.ledger import Ledger
from agents.deps import Deps, RuleStore
from agents.escalator import Escalate
from agents.metrics import Metrics
from agents.scorer import Score
from agents.settings import Settings
from agents.stream import Out, consume
from agents.ticker import INPUTS
from agents.tracker import Track
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.escalate.escalator import Escalator
from pipeline.model import DeadLetter, Escalation, EventHead, PollRequest, ScoredBatch, SourceState, Tick, Worker
from pipeline.track.tracker import Tracker
from tests.agents import store_fakes
from tests.agents.test_archivist import FakeBus as ArchiveBus
from tests.agents.test_archivist import FakeConsumer
from tests.agents.test_collector_sharing import FakeShared, Reader
from tests.agents.test_deliver_intake import intake
from tests.agents.test_role_bodies import FakeStates, FakeTable
from tests.agents.test_stream import FakeProducer
from tests.builders import NOON, book, raw_batch, raw_item, scored_batch, scored_item
from tests.delivery_fakes import FakeBus, rows, store
from tests.messages import head, page


@dataclass
class Record:
    """As it lies on a topic. Kafka allows any bytes, no value, no headers, and headers without a value."""

    value: bytes | None
    headers: list[tuple[str, Any]] = field(default_factory=list)
    topic: str = ""
    offset: int = 0
    partition: int = 0
    key: bytes | None = b"\xff key"


def typed(name: str, version: bytes | None = b"1") -> list[tuple[str, Any]]:
    return [("ce_type", f"wenxun.{name}".encode()), ("ce_schemaversion", version)]


KIND = {topics.ITEMS_RAW: "items.raw", topics.ITEMS_SCORED: "items.scored", topics.EVENTS: "event.head",
        topics.ESCALATIONS: "escalation", topics.DELIVERIES: "delivery", topics.RULES: "rules",
        topics.WORKERS: "rules.worker",
        topics.COLLECTOR_STATE: "collector.state", topics.POLLS: "poll", topics.DEAD_LETTERS: "dead"}
POISON: dict[str, Callable[[str], Record]] = {
    "not-json": lambda kind: Record(b"{not json", typed(kind)),
    "not-text": lambda kind: Record(b"\xff\xfe\x00", typed(kind)),
    "empty": lambda kind: Record(b"", typed(kind)),
    "another-shape": lambda kind: Record(b'{"at": []}', typed(kind)),
    "no-object": lambda kind: Record(b"7", typed(kind, b"9")),
    "deep": lambda kind: Record(b"[" * 50_000, typed(kind)),
    "deep-and-newer": lambda kind: Record(b'{"extra":' * 50_000, typed(kind, b"9")),
    "large": lambda kind: Record(b"x" * 900_000, typed(kind)),
    "no-headers": lambda kind: Record(b"{}"),
    "unknown-type": lambda kind: Record(b"{}", typed("nonsense")),
    "type-without-value": lambda kind: Record(b"{}", [("ce_type", None), ("ce_time", None)]),
    "type-that-is-no-text": lambda kind: Record(b"{}", [("ce_type", b"\xff\xfe")]),
    "version-without-value": lambda kind: Record(b"{", typed(kind, None)),
    "version-that-is-no-number": lambda kind: Record(b"{}", typed(kind, b"two")),
    "endless-version": lambda kind: Record(b"{}", typed(kind, b"9" * 5000)),
    "newer-with-odd-extra": lambda kind: Record(b'{"extra": 5}', typed(kind, b"9")),
    "newer-with-odd-extra-inside": lambda kind: Record(
        b'{"items": [{"extra": 5}], "head": {"extra": "x"}, "sources": [{"extra": [1]}], "extra": [1]}',
        typed(kind, b"9")),
}
every_poison = pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())


def sound(topic: str, value: Any, offset: int) -> Record:
    return Record(codec.encode(value), list(codec.encode_headers(value, source="test", at=NOON, ident=str(offset))),
                  topic, offset)


@pytest.fixture
def deps() -> Deps:
    return Deps(Settings(), Clock(NOON, 0, 0.0), Metrics(), RuleStore(book()))


def test_no_topic_is_forgotten_here() -> None:
    assert set(KIND) == {topic.name for topic in topics.CATALOG}
    assert set(KIND.values()) <= set(codec.TYPES)


@every_poison
@pytest.mark.parametrize("kind", sorted(codec.TYPES))
def test_whatever_lies_on_a_topic_is_a_record_or_one_kind_of_error(kind: str, poison: Callable[[str], Record]) -> None:
    record = poison(kind)
    with pytest.raises(CodecError):
        codec.decode(record.value, record.headers)


# ---------------------------------------------------------------- score, track, escalate


def faust_roles(deps: Deps, out: Out) -> dict[str, tuple[Any, Any, type]]:
    """Role -> (body, a sound record of its topic, what it makes of three of them)."""
    return {
        "score": (Score(deps, out), lambda n: raw_batch(raw_item(f"i{n}")), ScoredBatch),
        "track": (Track(deps, out, FakeTable(), FakeStates(Tracker(0, 4))),  # type: ignore[arg-type]
                  lambda n: scored_batch(scored_item(f"i{n}", origin=f"s{n}", at=NOON + n)), EventHead),
        "escalate": (Escalate(deps, out, FakeTable(), FakeStates(Escalator())),  # type: ignore[arg-type]
                     lambda n: head(f"e{n}"), Escalation)}


@every_poison
@pytest.mark.parametrize("role", sorted(INPUTS))
async def test_a_faust_role_sets_poison_aside_and_does_its_neighbours(
    deps: Deps, role: str, poison: Callable[[str], Record]
) -> None:
    topic, producer = INPUTS[role], FakeProducer()
    app = SimpleNamespace(producer=producer, done={})
    out = Out(app, deps, role)
    body, make, made = faust_roles(deps, out)[role]
    bad = poison(KIND[topic])
    bad.topic, bad.offset = topic, 2
    stray = sound(topic, page(), 3)             # well-formed, but not for this topic

    async def events() -> AsyncIterator[Any]:
        for record in (sound(topic, make(0), 0), sound(topic, make(1), 1), bad, stray, sound(topic, make(2), 4)):
            yield SimpleNamespace(message=record)

    await consume(events(), body, out=out, deps=deps, role=role)
    sent = [(where, value) for where, _, value, _ in producer.sent]
    letters = [codec.decode_as(DeadLetter, value) for where, value in sent if where == topics.DEAD_LETTERS]
    assert [(each.topic, each.offset) for each in letters] == [(topic, 2), (topic, 3)]
    assert letters[0].key == b"\xff key" and letters[0].error and letters[0].reason == "undecodable"
    assert topic in letters[1].error and letters[1].reason == "failed"
    target = {"score": topics.ITEMS_SCORED, "track": topics.EVENTS, "escalate": topics.ESCALATIONS}[role]
    assert [where for where, _ in sent].count(target) >= (1 if role == "track" else 3), f"a {made.__name__}"
    assert app.done == {(topic, 0): 5}


# ---------------------------------------------------------------- deliver


@every_poison
async def test_deliver_sets_poison_aside_and_takes_its_neighbours(
    tmp_path: Path, poison: Callable[[str], Record]
) -> None:
    engine, bus = store(tmp_path), FakeBus()
    bad = poison(KIND[topics.ESCALATIONS])
    bad.topic, bad.offset = topics.ESCALATIONS, 1
    try:
        await intake(engine, tmp_path, bus, Ledger(engine)).take(
            [sound(topics.ESCALATIONS, page("before"), 0), bad, sound(topics.ESCALATIONS, page("after"), 2)])
        told = {row.escalation for row in rows(engine)}
    finally:
        engine.dispose()
    [letter] = bus.on(topics.DEAD_LETTERS)
    assert (letter.topic, letter.offset, letter.reason) == (topics.ESCALATIONS, 1, "undecodable")
    assert told == {codec.encode(page(name)).decode() for name in ("before", "after")}


# ---------------------------------------------------------------- archive: the reader of every topic


@every_poison
@pytest.mark.parametrize("topic", sorted(KIND))
async def test_the_archive_sets_poison_of_any_topic_aside_and_commits(
    tmp_path: Path, topic: str, poison: Callable[[str], Record]
) -> None:
    """A letter about topic dead.letters is a sound record: it does not go round."""
    engine, bus = store_fakes.new_store(tmp_path), ArchiveBus()
    deps = Deps(Settings(data_dir=tmp_path), Clock(NOON, 0, 0.0), Metrics())
    bad = poison(KIND[topic])
    bad.topic = topic
    after = sound(topic, raw_batch(raw_item("after")), 1)
    source = FakeConsumer([bad, after])  # type: ignore[list-item]
    try:
        await Archivist(deps, engine, bus).step(source)  # type: ignore[arg-type]
        stored = [row["id"] for row in store_fakes.rows(engine, "items")]
    finally:
        engine.dispose()
    [letter] = bus.records(DeadLetter)
    assert (letter.topic, letter.offset, letter.reason) == (topic, 0, "undecodable") and letter.error
    assert stored == ["after"] and source.committed == {TopicPartition(topic, 0): 2}


# ---------------------------------------------------------------- rules: every process


@every_poison
def test_a_poisoned_book_changes_nothing_and_is_named(
    deps: Deps, poison: Callable[[str], Record], caplog: pytest.LogCaptureFixture
) -> None:
    before, bad = deps.rules.book, poison(KIND[topics.RULES])
    bad.offset = 41
    with caplog.at_level(logging.ERROR, logger="wenxun.rules"):
        rule_feed._take(deps, rule_feed._last([bad]))
    assert deps.rules.book is before
    assert "topic rules" in caplog.text and "offset 41" in caplog.text
    rule_feed._take(deps, rule_feed._last([sound(topics.RULES, book(hash="new"), 42), bad]))
    assert deps.rules.book.hash == "new", "the book before it is the newest that can be read"


@every_poison
def test_a_poisoned_word_of_a_worker_hides_no_other(poison: Callable[[str], Record]) -> None:
    said = Worker(name="w1", roles=("score",), at=1, book="b", since=1)
    bad = poison(KIND[topics.WORKERS])
    assert rule_feed._workers([bad, sound(topics.WORKERS, said, 0), bad]) == {"w1": said}


# ---------------------------------------------------------------- collector.state: the collector's start


@every_poison
def test_a_poisoned_state_makes_its_source_a_new_one_and_is_named(
    poison: Callable[[str], Record], caplog: pytest.LogCaptureFixture
) -> None:
    found: dict[str, SourceState] = {}
    good, bad = SourceState(source_id="a", url="u", polled_at=1, next_poll_at=1), poison(KIND[topics.COLLECTOR_STATE])
    for record in (bad, sound(topics.COLLECTOR_STATE, good, 1), sound(topics.COLLECTOR_STATE, Tick(at=1), 2), bad):
        states._take(found, record.value, record.headers, b"county-news")
    assert found == {"a": good}
    assert "county-news" in caplog.text and "read as a new one" in caplog.text


# ---------------------------------------------------------------- polls: what people want polled now


@every_poison
async def test_a_poisoned_request_is_set_aside_and_its_neighbours_are_heard(
    deps: Deps, poison: Callable[[str], Record]
) -> None:
    shared, bus, bad = FakeShared(), ArchiveBus(), poison(KIND[topics.POLLS])
    bad.topic, bad.offset = topics.POLLS, 1
    wishes = [PollRequest(id=name, source_id=name, by="wang", at=NOON) for name in ("before", "after")]
    source = FakeConsumer([sound(topics.POLLS, wishes[0], 0), bad, sound(topics.POLLS, page(), 2),  # type: ignore[list-item]
                           sound(topics.POLLS, wishes[1], 3)])
    group = Assignment(deps, bus, shared, Reader())  # type: ignore[arg-type]
    await group.on_partitions_assigned([TopicPartition(topics.POLLS, 0)])
    await group.step(source)  # type: ignore[arg-type]
    assert shared.asked == ["before", "after"] and source.committed == {TopicPartition(topics.POLLS, 0): 4}
    assert [(each.topic, each.offset, each.reason) for each in bus.records(DeadLetter)] == [
        (topics.POLLS, 1, "undecodable"), (topics.POLLS, 2, "refused")]
