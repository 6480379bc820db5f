"""What the steps of a backtest hand to each other; small, so that processes can. Times are epoch milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from pipeline.model import CountsBatch, EventHead, Millis, ScoredItem
from pipeline.rulebook.schema import HOUR, MINUTE

TICK = 5 * MINUTE
SETTLE = 12 * HOUR
"""History is followed this long after its last item, so that its events can calm."""
PARTITIONS = 4
"""Of the escalators: a digest is one message of a partition, as in `wenxun replay`."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A record of one subject, and its place among those of the same time: an item, or the new counts of one."""

    at: Millis
    place: int
    item: ScoredItem | None = None
    counts: CountsBatch | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """When the ticks are: every five minutes after `start`, the first record of the history, up to `end`."""

    start: Millis
    end: Millis

    @classmethod
    def of(cls, first: Millis, last: Millis) -> Grid:
        """For records from `first` to `last`."""
        return cls(first, first + (last - first) // TICK * TICK + SETTLE)

    def last(self, at: Millis) -> Millis:
        """The last tick at this time or before; `start` if there is none."""
        return self.start + max(0, at - self.start) // TICK * TICK

    def first(self, at: Millis) -> Millis:
        """The first tick at this time or after."""
        return self.start + max(1, -((self.start - at) // TICK)) * TICK


@dataclass(frozen=True, slots=True)
class Change:
    """An event's level became another one."""

    at: Millis
    level: int
    name: str


@dataclass(frozen=True, slots=True)
class Step:
    """A head that an escalator would do something about. place: of the record it came from; None: from a tick."""

    at: Millis
    place: int | None
    head: EventHead


@dataclass(slots=True)
class PlayedEvent:
    """An event that reached a level. items: ids of its members. changes: its levels, oldest first."""

    id: str
    subject: str
    title: str
    items: list[str]
    changes: list[Change]
    peak: int = 0
    peak_name: str = ""


@dataclass(slots=True)
class Played:
    """One subject under one book."""

    subject: str
    events: list[PlayedEvent]
    steps: list[Step]
