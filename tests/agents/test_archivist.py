"""The archive: nothing is committed that is not in SQL, nothing is lost, and one bad record stops nobody."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from agents import archivist
from agents.archivist import Archivist, sweep
from agents.bus import Bus
from agents.clock import Clock
from agents.deps import Deps
from agents.embedded import embedded_broker
from agents.lag import Lag
from agents.metrics import Metrics
from agents.settings import Settings
from agents.store.engine import open_store
from agents.store.projection import Entry, project
from pipeline import codec, topics
from pipeline.model import Counts, CountsBatch, CountsRow, DeadLetter, Escalation, Verdict, VerdictKind
from tests.agents import store_fakes as fakes
from tests.builders import NOON, book, raw_batch, raw_item, scored_batch, scored_item


@dataclass
class FakeRecord:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class FakeConsumer:
    """One group's view of some records: what is not committed comes again after `restart`."""

    def __init__(self, records: Sequence[FakeRecord]) -> None:
        self.records = records
        self.position: Counter[TopicPartition] = Counter()
        self.committed: Counter[TopicPartition] = Counter()
        self.refuse_seek = False

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[FakeRecord]]:
        found: dict[TopicPartition, list[FakeRecord]] = {}
        for record in self.records:
            place = TopicPartition(record.topic, record.partition)
            if record.offset >= self.position[place] and sum(map(len, found.values())) < max_records:
                found.setdefault(place, []).append(record)
        for place, records in found.items():
            self.position[place] = records[-1].offset + 1
        return found

    def seek(self, place: TopicPartition, offset: int) -> None:
        if self.refuse_seek:
            raise IllegalStateError("not assigned")
        self.position[place] = offset

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed.update(offsets)

    def restart(self) -> None:
        self.position = Counter(self.committed)


@dataclass
class FakeBus:
    """failures: how many sends fail before one works."""

    failures: int = 0
    sent: list[tuple[str, str, Any]] = field(default_factory=list)

    async def send(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        if self.failures:
            self.failures -= 1
            raise KafkaConnectionError("broker away")
        self.sent.append((topic, key, record))

    def records(self, kind: type) -> list[Any]:
        return [record for _, _, record in self.sent if isinstance(record, kind)]


def on(topic: str, *values: Any, partition: int = 0, at: int = NOON) -> list[FakeRecord]:
    """Records as they lie on a partition; bytes stand for themselves."""
    found = []
    for offset, value in enumerate(values):
        raw = value if isinstance(value, bytes | None) else codec.encode(value)
        headers = [("ce_type", b"wenxun.items.raw")] if isinstance(value, bytes | None) else codec.encode_headers(
            value, source="test", at=at, ident=str(offset))
        found.append(FakeRecord(topic, partition, offset, b"key", raw, headers))
    return found


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return fakes.new_store(tmp_path)


@pytest.fixture
def deps(tmp_path: Path) -> Deps:
    return Deps(Settings(data_dir=tmp_path), Clock(start=NOON, real_start=0, factor=1e-15), Metrics())


def value(deps: Deps, name: str, **labels: str) -> float:
    return deps.metrics.registry.get_sample_value(f"wenxun_{name}", labels) or 0.0


class Failing:
    """A store that fails `times` times with this error, then works."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.calls = error, times, 0

    def __call__(self, engine: Engine, entries: Sequence[Entry]) -> Counter[str]:
        self.calls += 1
        if self.times:
            self.times -= 1
            raise self.error
        return project(engine, entries)


def disk_full() -> OperationalError:
    return OperationalError("INSERT", {}, Exception("database or disk is full"))


async def test_a_batch_is_in_sql_before_its_offsets_are_committed(store: Engine, deps: Deps) -> None:
    source, bus = FakeConsumer(on(topics.ITEMS_RAW, raw_batch(raw_item()))), FakeBus()
    await Archivist(deps, store, bus).step(source)
    assert [row["id"] for row in fakes.rows(store, "items")] == ["a1"]
    assert source.committed == {TopicPartition(topics.ITEMS_RAW, 0): 1}
    assert value(deps, "archive_rows_total", table="items") == 1
    assert value(deps, "records_total", role="archive", outcome="done") == 1


async def test_on_sqlite_a_batch_is_a_few_transactions_so_that_others_may_write_between_them(
    store: Engine, deps: Deps,
) -> None:
    batches = [raw_batch(*(raw_item(f"i{place}-{number}") for number in range(100))) for place in range(6)]
    source, sizes = FakeConsumer(on(topics.ITEMS_RAW, *batches)), list[int]()

    def write(engine: Engine, entries: Sequence[Entry]) -> Counter[str]:
        sizes.append(len(entries))
        return project(engine, entries)

    await Archivist(deps, store, FakeBus(), write=write).step(source)
    assert sizes == ([2, 2, 2] if store.dialect.name == "sqlite" else [6])
    assert len(fakes.rows(store, "items")) == 600
    assert value(deps, "archive_rows_total", table="items") == 600
    assert source.committed == {TopicPartition(topics.ITEMS_RAW, 0): 6}


async def test_a_kill_between_the_transaction_and_the_commit_changes_nothing(store: Engine, deps: Deps) -> None:
    records = [*on(topics.ITEMS_RAW, raw_batch(raw_item())), *on(topics.EVENTS, fakes.head(7, "a1")),
               *on(topics.RULES, book())]
    source = FakeConsumer(records)
    killed = Archivist(deps, store, FakeBus())
    killed.store([archivist._message(record) for record in records])
    before = fakes.dump(store)
    source.restart()
    await Archivist(deps, store, FakeBus()).step(source)
    assert fakes.dump(store) == before
    assert sum(source.committed.values()) == 3


async def test_while_the_disk_is_full_nothing_is_committed_and_afterwards_all_is_there(
    store: Engine, deps: Deps
) -> None:
    source, bus = FakeConsumer(on(topics.ITEMS_RAW, raw_batch(raw_item("a1")), raw_batch(raw_item("a2")))), FakeBus()
    archive = Archivist(deps, store, bus, write=Failing(disk_full(), 3), retry_seconds=[0])
    for _ in range(3):
        await archive.step(source)
        assert not source.committed
    await archive.step(source)
    assert sorted(row["id"] for row in fakes.rows(store, "items")) == ["a1", "a2"]
    assert source.committed == {TopicPartition(topics.ITEMS_RAW, 0): 2}
    assert value(deps, "archive_errors_total") == 3


@pytest.mark.sqlite
async def test_a_file_that_may_not_grow_holds_the_archive_until_it_may(store: Engine, deps: Deps) -> None:
    """The real thing: SQLite itself says that the disk is full."""
    limit = 60

    @event.listens_for(store, "checkout")
    def cap(connection: Any, record: Any, proxy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={limit}")

    long = "很长的一段话" * 5_000
    source = FakeConsumer(on(topics.ITEMS_RAW, *(raw_batch(raw_item(f"a{n}", text=long)) for n in range(20))))
    bus = FakeBus()
    archive = Archivist(deps, store, bus, retry_seconds=[0])
    await archive.step(source)
    assert not source.committed and fakes.rows(store, "items") == []
    assert "full" in bus.records(Escalation)[0].text
    limit = 1_000_000
    await archive.step(source)
    assert len(fakes.rows(store, "items")) == 20 and sum(source.committed.values()) == 20


async def test_ops_is_told_once_per_episode(store: Engine, deps: Deps) -> None:
    source, bus = FakeConsumer(on(topics.ITEMS_RAW, *(raw_batch(raw_item(f"a{n}")) for n in range(2)))), FakeBus()
    write = Failing(disk_full(), 3)
    archive = Archivist(deps, store, bus, write=write, retry_seconds=[0])
    for _ in range(4):
        await archive.step(source)
    assert len(bus.records(Escalation)) == 1
    notice = bus.records(Escalation)[0]
    assert notice.title == "归档写入失败" and "disk is full" in notice.text
    source.records = on(topics.ITEMS_RAW, *(raw_batch(raw_item(f"a{n}")) for n in range(3)))
    write.times = 2
    for _ in range(3):
        await archive.step(source)
    assert len(bus.records(Escalation)) == 2


async def test_a_notice_that_could_not_be_sent_is_sent_at_the_next_try(store: Engine, deps: Deps) -> None:
    source, bus = FakeConsumer(on(topics.ITEMS_RAW, raw_batch(raw_item()))), FakeBus(failures=1)
    archive = Archivist(deps, store, bus, write=Failing(disk_full(), 2), retry_seconds=[0])
    for _ in range(3):
        await archive.step(source)
    assert len(bus.records(Escalation)) == 1 and sum(source.committed.values()) == 1


async def test_a_partition_that_went_to_another_archive_is_let_go(store: Engine, deps: Deps) -> None:
    source = FakeConsumer(on(topics.ITEMS_RAW, raw_batch(raw_item())))
    source.refuse_seek = True
    await Archivist(deps, store, FakeBus(), write=Failing(disk_full(), 1), retry_seconds=[0]).step(source)
    assert not source.committed


async def test_the_wait_between_tries_grows(store: Engine, deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("agents.archivist.asyncio.sleep", sleep)
    source = FakeConsumer(on(topics.ITEMS_RAW, raw_batch(raw_item())))
    archive = Archivist(deps, store, FakeBus(), write=Failing(disk_full(), 7))
    for _ in range(8):
        await archive.step(source)
    assert waits == [1, 2, 5, 10, 30, 30, 30]
    assert sum(source.committed.values()) == 1


@pytest.mark.parametrize("poison", [b"{not json", b"\xff\xfe", b"[" * 10_000, b"", b'{"source_id": 5}', b"x" * 300_000])
async def test_a_record_that_cannot_be_read_is_set_aside_and_its_neighbours_go_on(
    store: Engine, deps: Deps, poison: bytes
) -> None:
    source = FakeConsumer(on(topics.ITEMS_RAW, raw_batch(raw_item("a1")), poison, raw_batch(raw_item("a2"))))
    bus = FakeBus()
    await Archivist(deps, store, bus).step(source)
    assert sorted(row["id"] for row in fakes.rows(store, "items")) == ["a1", "a2"]
    (letter,) = bus.records(DeadLetter)
    assert (letter.topic, letter.partition, letter.offset, letter.reason) == (topics.ITEMS_RAW, 0, 1, "undecodable")
    assert letter.value == poison[:65_536] and letter.truncated == (len(poison) > 65_536)
    assert sum(source.committed.values()) == 3
    assert value(deps, "dead_letters_total", role="archive", reason="undecodable") == 1


async def test_an_item_that_sql_refuses_goes_alone_to_the_dead_letters(store: Engine, deps: Deps) -> None:
    """A number that no column holds: 63 neighbours of one record, and the other records, are archived."""
    items = [raw_item(f"a{n}") for n in range(64)]
    items[17] = raw_item("a17", published_at=2**70)
    source = FakeConsumer(on(topics.ITEMS_RAW, raw_batch(raw_item("b1")), raw_batch(*items)))
    bus = FakeBus()
    await Archivist(deps, store, bus).step(source)
    found = {row["id"] for row in fakes.rows(store, "items")}
    assert found == {"b1", *(f"a{n}" for n in range(64))} - {"a17"}
    (letter,) = bus.records(DeadLetter)
    assert letter.reason == "refused"
    assert [item.id for item in codec.decode(letter.value, {"ce_type": letter.type.encode()}).items] == ["a17"]
    assert sum(source.committed.values()) == 2


async def test_a_dead_letter_is_tried_until_it_is_safe_before_the_commit(
    store: Engine, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archivist, "SEND_RETRY_SECONDS", 0)
    source, bus = FakeConsumer(on(topics.ITEMS_RAW, b"poison")), FakeBus(failures=3)
    await Archivist(deps, store, bus).step(source)
    assert len(bus.records(DeadLetter)) == 1 and sum(source.committed.values()) == 1


async def test_a_tombstone_of_a_compacted_topic_is_no_dead_letter(store: Engine, deps: Deps) -> None:
    source, bus = FakeConsumer([*on(topics.COLLECTOR_STATE, None), *on(topics.EVENTS, None)]), FakeBus()
    await Archivist(deps, store, bus).step(source)
    assert [letter.topic for letter in bus.records(DeadLetter)] == [topics.EVENTS]


async def test_a_book_is_dated_by_its_envelope(store: Engine, deps: Deps) -> None:
    await Archivist(deps, store, FakeBus()).step(FakeConsumer(on(topics.RULES, book(), at=NOON - 5)))
    assert fakes.rows(store, "books")[0]["at"] == NOON - 5


async def test_texts_are_dropped_by_the_installations_clock(store: Engine, deps: Deps) -> None:
    old = NOON - 181 * 86_400_000
    fakes.put(store, raw_batch(raw_item("old", first_seen_at=old), raw_item("new")))
    sweeper = asyncio.create_task(sweep(deps, store))
    try:
        async with asyncio.timeout(60):
            while not any(row["expired"] for row in fakes.rows(store, "items")):
                await asyncio.sleep(0.01)
    finally:
        sweeper.cancel()
    assert {row["id"]: bool(row["title"]) for row in fakes.rows(store, "items")} == {"old": False, "new": True}


@pytest.mark.embedded
async def test_on_a_broker_every_topic_reaches_sql_and_a_restart_adds_nothing(tmp_path: Path) -> None:
    with embedded_broker() as address:
        settings = Settings(bootstrap=address, data_dir=tmp_path, embedded=True)
        deps = Deps(settings, Clock(), Metrics())
        grown = CountsBatch(source_id="xinwen", at=NOON + 1, items=(CountsRow("a1", NOON + 1, Counts(comments=2)),))
        async with Bus(settings, deps.clock, "test") as bus:
            await bus.send(topics.ITEMS_RAW, "xinwen", raw_batch(raw_item(counts=Counts(comments=1))), ident="1")
            for topic in (topics.ITEMS_RAW, topics.ITEMS_SCORED):
                await bus.send(topic, "xinwen", grown, ident="9")
            await bus.send(topics.ITEMS_SCORED, "polling", scored_batch(scored_item()), ident="2")
            await bus.send(topics.EVENTS, "e1", fakes.head(7, "a1"), ident="3")
            verdict = Verdict(id="v1", subject="polling", kind=VerdictKind.RELEVANT, by="duty", at=NOON, event_id="e1")
            await bus.send(topics.EVENTS, "e1", verdict, ident="v1")
            await bus.send(topics.EVENTS, "e1", fakes.statement(), ident="st1")
            for partition in range(2):
                await bus.send(topics.EVENTS, "si1", fakes.silence(), ident=f"si1-{partition}", partition=partition)
            await bus.send(topics.ESCALATIONS, "e1", fakes.alert(), ident="4")
            await bus.send(topics.ESCALATIONS, "e1", fakes.clocks(1, fakes.clock()), ident="4c")
            await bus.send(topics.DELIVERIES, "e1", fakes.delivery(), ident="5")
            await bus.send(topics.RULES, "book", book(), ident="6", partition=0)
            await bus.send(topics.COLLECTOR_STATE, "xinwen", fakes.source_state(), ident="7")
            await bus.send(topics.DEAD_LETTERS, topics.ITEMS_RAW, fakes.dead(), ident="8")
        await _run_until_read(deps)
        store = open_store(settings.store_url)
        before = fakes.dump(store)
        assert all(before[name] for name in before if name not in ("revisions", "escalations"))
        async with Bus(settings, deps.clock, "test") as bus:
            await bus.send(topics.EVENTS, "e1", fakes.head(7, "a1"), ident="3")
        await _run_until_read(deps)
        assert json.dumps(fakes.dump(store)) == json.dumps(before)
        store.dispose()


async def _run_until_read(deps: Deps) -> None:
    """Run the role until its group has committed all there is; end it as a shutdown does."""
    role = asyncio.create_task(archivist.run(deps))
    try:
        async with asyncio.timeout(60), Lag(deps.settings) as lag:
            while not role.done() and sum(
                    [await lag.unread(archivist.GROUP, topic.name) for topic in topics.CATALOG]):
                await asyncio.sleep(0.05)
    finally:
        role.cancel()
        assert isinstance((await asyncio.gather(role, return_exceptions=True))[0], asyncio.CancelledError)
