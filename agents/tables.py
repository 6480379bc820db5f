"""Faust tables as rows of bytes by partition, and the state that is rebuilt from them.

A row's key in the table and its changelog begins with the partition, so that what a worker restores, prunes or ticks is
its own partitions' rows only. Values are bytes; a put of None deletes the row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import faust
from faust.types import TP

from agents.journal import Journal

S = TypeVar("S")


def changelog_name(app: Any, name: str) -> str:
    """wenxun-track-heads-changelog; with the embedded broker one of each start, as it cannot be trusted to be whole."""
    start = f"-{time.time_ns() // 1_000_000}" if app.deps.settings.embedded else ""
    return f"{app.conf.id}-{name}-changelog{start}"


class PartitionedTable:
    """A changelog-backed table of one app. `apply` works inside a stream event of that partition only."""

    def __init__(self, app: Any, name: str) -> None:
        self.name = name
        self._app = app
        self._states: list[PartitionStates[Any]] = []
        self._journals: dict[int, Journal] = {}
        partitions = app.conf.topic_partitions
        changelog = app.topic(
            changelog_name(app, name), key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
            partitions=partitions, compacting=True, acks=False, internal=True, maxsize=131_072, allow_empty=True)
        self._rows: Any = app.tables.add(_Rows(
            app, name=name, partitions=partitions, key_type=bytes, value_type=bytes, changelog_topic=changelog,
            beacon=app.tables.beacon))
        self._rows.facade = self

    def rows(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """The rows of a partition, in no order."""
        return self._journal(partition, afresh=True).items()

    def apply(self, partition: int, puts: Mapping[bytes, bytes | None]) -> None:
        """Put rows, delete those that are None. Faust refuses it outside of a stream event (TypeError)."""
        event = faust.current_event()
        if event is not None and event.message.partition != partition:
            raise ValueError(f"{self.name}: rows of partition {partition} in an event of {event.message.partition}")
        for number, row in self._journal(partition).write(puts).items():
            if row is None:
                del self._rows[_row(partition, number)]
            else:
                self._rows[_row(partition, number)] = row

    def _journal(self, partition: int, *, afresh: bool = False) -> Journal:
        if afresh or partition not in self._journals:
            prefix = _prefix(partition)
            numbers = [int(key[len(prefix):]) for key in list(self._rows.data.data) if key.startswith(prefix)]
            self._journals[partition] = Journal(
                numbers, lambda number: bytes(self._rows.data.data[_row(partition, number)]))
        return self._journals[partition]

    def rebalanced(self, moved: Iterable[int]) -> None:
        """Rows of partitions that came or went are dropped (recovery reads them again); all derived state is."""
        data, recovery, topic = self._rows.data.data, self._app.tables.recovery, self._rows.changelog_topic_name
        for partition in moved:
            for key in [key for key in data if key.startswith(_prefix(partition))]:
                del data[key]
            recovery.revoke(TP(topic, partition))
        self._journals.clear()
        for states in self._states:
            states.clear()


class PartitionStates(Generic[S]):
    """State in memory by partition, restored from the table at first use after an assignment."""

    def __init__(
        self, table: PartitionedTable, restore: Callable[[int, Iterable[tuple[bytes, bytes]]], S],
        cleared: Callable[[], None] = lambda: None,
    ) -> None:
        """cleared: called when partitions came or went, for gauges of what they held."""
        self._table, self._restore, self._cleared = table, restore, cleared
        self._held: dict[int, S] = {}
        table._states.append(self)

    def of(self, partition: int) -> S:
        if partition not in self._held:
            self._held[partition] = self._restore(partition, self._table.rows(partition))
        return self._held[partition]

    def held(self) -> dict[int, S]:
        """What is restored so far, for gauges."""
        return dict(self._held)

    def forget(self, partition: int) -> None:
        """Restore it from the table at its next use: after an error left it ahead of its rows."""
        self._held.pop(partition, None)

    def clear(self) -> None:
        """Another worker may have written since: a rebalance drops everything, kept partitions too."""
        self._held.clear()
        self._cleared()


class _Rows(faust.Table):  # type: ignore[misc]
    facade: PartitionedTable

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Before recovery: Faust's memory store keeps rows of lost partitions, stale ones if they come back."""
        name = self.changelog_topic_name
        self.facade.rebalanced({tp.partition for tp in revoked | newly_assigned if tp.topic == name})
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)


def _prefix(partition: int) -> bytes:
    return b"%d/" % partition


def _row(partition: int, number: int) -> bytes:
    return _prefix(partition) + b"%d" % number
