"""Rows by partition, and the state restored from them: what a rebalance drops and what it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from faust.streams import _current_event
from faust.types import TP

from agents.app import App, create_app
from agents.clock import Clock
from agents.deps import Deps
from agents.metrics import Metrics
from agents.settings import Settings
from agents.tables import PartitionedTable, PartitionStates

CHANGELOG = "wenxun-track-events-changelog"


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    made = create_app(Deps(Settings(), Clock(), Metrics()), "track")
    yield made
    made.consumer._thread.thread_loop.close()


@pytest.fixture
def table(app: App, monkeypatch: pytest.MonkeyPatch) -> PartitionedTable:
    made = PartitionedTable(app, "events")
    monkeypatch.setattr(app.consumer, "topic_partitions", lambda topic: 4)
    changes: list[tuple[int, bytes, bytes | None]] = []

    def note(partition: int, key: bytes, value: bytes | None, *args: Any, **kwargs: Any) -> Any:
        changes.append((partition, key, value))
        return SimpleNamespace(message=SimpleNamespace(partition=partition))

    monkeypatch.setattr(made._rows, "send_changelog", note)
    made.changes = changes  # type: ignore[attr-defined]
    return made


@contextmanager
def event_of(partition: int) -> Iterator[None]:
    event = SimpleNamespace(message=SimpleNamespace(partition=partition, topic="items.scored"))
    token = _current_event.set(lambda: event)           # Faust keeps a weak reference there
    try:
        yield
    finally:
        _current_event.reset(token)


def put(table: PartitionedTable, partition: int, **rows: bytes | None) -> None:
    with event_of(partition):
        table.apply(partition, {key.encode(): value for key, value in rows.items()})


async def test_rows_are_kept_apart_by_partition_though_their_keys_are_equal(table: PartitionedTable) -> None:
    put(table, 1, a=b"1", b=b"2")
    put(table, 11, a=b"3")
    assert dict(table.rows(1)) == {b"a": b"1", b"b": b"2"}
    assert dict(table.rows(11)) == {b"a": b"3"}
    assert dict(table.rows(0)) == {}


async def test_a_put_of_none_deletes_the_row_and_says_so_in_the_changelog(table: PartitionedTable) -> None:
    put(table, 1, a=b"1")
    put(table, 1, a=None, never_there=None)
    assert dict(table.rows(1)) == {}
    changes = table.changes  # type: ignore[attr-defined]
    assert [(partition, key, msgspec.msgpack.decode(value)) for partition, key, value in changes] == [
        (1, b"1/1", {b"a": b"1"}), (1, b"1/2", {b"a": None})]


async def test_rows_of_another_partition_than_the_events_are_refused(table: PartitionedTable) -> None:
    with event_of(2), pytest.raises(ValueError, match="rows of partition 1 in an event of 2"):
        table.apply(1, {b"a": b"1"})


async def test_rows_outside_of_an_event_are_refused(table: PartitionedTable) -> None:
    with pytest.raises(TypeError):
        table.apply(1, {b"a": b"1"})


async def test_a_rebalance_drops_rows_of_partitions_that_went_or_came_and_recovers_them_from_the_start(
    table: PartitionedTable, app: App
) -> None:
    for partition in (0, 1, 2):
        put(table, partition, a=b"old")
    recovery = app.tables.recovery
    recovery.active_offsets.update({TP(CHANGELOG, partition): 50 for partition in (0, 1, 2)})
    await table._rows.on_rebalance({TP(CHANGELOG, 0), TP(CHANGELOG, 2)}, {TP(CHANGELOG, 1)}, {TP(CHANGELOG, 2)}, 3)
    assert [dict(table.rows(partition)) for partition in (0, 1, 2)] == [{b"a": b"old"}, {}, {}]
    assert set(recovery.active_offsets) == {TP(CHANGELOG, 0)}


async def test_state_is_restored_once_and_again_after_any_rebalance(table: PartitionedTable) -> None:
    restored: list[int] = []

    def restore(partition: int, rows: Any) -> dict[bytes, bytes]:
        restored.append(partition)
        return dict(rows)

    states = PartitionStates(table, restore)
    put(table, 0, a=b"1")
    assert states.of(0) == {b"a": b"1"}
    assert states.of(0) is states.of(0)
    await table._rows.on_rebalance({TP(CHANGELOG, 0)}, set(), set(), 2)     # kept, but another may have had it between
    put(table, 0, b=b"2")
    assert states.of(0) == {b"a": b"1", b"b": b"2"}
    states.forget(0)
    states.of(0)
    assert restored == [0, 0, 0]


async def test_the_embedded_brokers_changelogs_are_new_ones_at_each_start() -> None:
    settings = Settings(embedded=True)
    made = create_app(Deps(settings, Clock(), Metrics()), "track")
    PartitionedTable(made, "events")
    name, = made.changelogs()
    assert name.startswith(CHANGELOG + "-") and name.removeprefix(CHANGELOG + "-").isdigit()
