"""The tracker's rows in its table: keys, what a record writes, and all of them read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from pipeline.model import EventHead, MemberRow, Millis
from pipeline.track import cluster as clusters
from pipeline.track.members import decode_member

_CLOCK = b"t"
_HEAD = b"h|"
_ITEM = b"i|"
_COUNTS = b"c|"


@dataclass(slots=True)
class Outcome:
    """puts: table rows to write (None deletes), by key. heads: events to send on, in order.
    changed: events whose head row is written at the end. late: ticks and commands that came too late to matter."""

    puts: dict[bytes, bytes | None] = field(default_factory=dict)
    heads: list[EventHead] = field(default_factory=list)
    changed: dict[str, None] = field(default_factory=dict)
    late: int = 0

    def put_clock(self, now: Millis, numbered: int, aged: Millis, judged: str) -> None:
        self.puts[_CLOCK] = msgspec.msgpack.encode((now, numbered, aged, judged))

    def put_head(self, event: clusters.Cluster) -> None:
        self.puts[_HEAD + event.head.id.encode()] = clusters.encode_head(event.head)

    def put_changed(self, events: Mapping[str, clusters.Cluster]) -> None:
        """The heads of those that changed and are still there. The clock comes last: where the rows are too many for
        one write, it must not say that everything was judged while a head is not there yet."""
        for event_id in self.changed:
            if event_id in events:
                self.put_head(events[event_id])
        if _CLOCK in self.puts:
            self.puts[_CLOCK] = self.puts.pop(_CLOCK)

    def put_item(self, event: clusters.Cluster, item_id: str) -> None:
        self.puts[_key(_ITEM, event, item_id)] = event.members[item_id]

    def put_counts(self, event: clusters.Cluster, item_id: str) -> None:
        self.puts[_key(_COUNTS, event, item_id)] = event.series[item_id]

    def drop_head(self, event: clusters.Cluster) -> None:
        self.puts[_HEAD + event.head.id.encode()] = None

    def drop_item(self, event: clusters.Cluster, item_id: str) -> None:
        """And its counts, if it has any."""
        self.puts[_key(_ITEM, event, item_id)] = None
        self.puts[_key(_COUNTS, event, item_id)] = None


@dataclass(slots=True)
class Stored:
    """What the rows of a partition hold. clock: (now, numbers given, last ageing, mark of the levels that all events
    were judged by; rows of before there were marks have none). counts: (event, item, series)."""

    clock: tuple[Millis, int, Millis, str] = (0, 0, 0, "")
    heads: list[EventHead] = field(default_factory=list)
    members: list[tuple[str, MemberRow]] = field(default_factory=list)
    counts: list[tuple[str, str, bytes]] = field(default_factory=list)


def stored(rows: Iterable[tuple[bytes, bytes]]) -> Stored:
    """Keys are without the table's partition prefix; rows come in no order."""
    found = Stored()
    for key, value in rows:
        if key == _CLOCK:
            now, numbered, aged, *judged = msgspec.msgpack.decode(value)
            found.clock = now, numbered, aged, judged[0] if judged else ""
        elif key.startswith(_HEAD):
            found.heads.append(clusters.decode_head(value))
        else:
            _, event_id, item_id = key.decode().split("|", 2)
            if key.startswith(_COUNTS):
                found.counts.append((event_id, item_id, value))
            else:
                found.members.append((event_id, decode_member(value)))
    return found


def _key(kind: bytes, event: clusters.Cluster, item_id: str) -> bytes:
    return kind + f"{event.head.id}|{item_id}".encode()
