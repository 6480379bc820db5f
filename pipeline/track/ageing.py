"""When each event is looked at for what has aged: once an hour, each at its own minute."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from zlib import crc32

from pipeline.model import Millis
from pipeline.rulebook.schema import HOUR

AGE_EVERY = HOUR


class Ageing:
    """at: the last time anything was looked at."""

    __slots__ = ("at", "_waiting")

    def __init__(self) -> None:
        self.at: Millis = 0
        self._waiting: list[tuple[Millis, str]] = []

    def look_later(self, event_id: str) -> None:
        """At the event's next minute after the last ageing: of a restored tracker the same as if it had gone on."""
        own = crc32(event_id.encode()) % AGE_EVERY
        heappush(self._waiting, (self.at + AGE_EVERY - (self.at - own) % AGE_EVERY, event_id))

    def due(self, now: Millis) -> Iterable[str]:
        """The events whose minute came, each once. Who goes on has to be given to `look_later` again."""
        past: dict[str, None] = {}
        while self._waiting and self._waiting[0][0] <= now:
            past[heappop(self._waiting)[1]] = None
        self.at = now
        return past

    @property
    def next_at(self) -> Millis | None:
        return self._waiting[0][0] if self._waiting else None

    def __len__(self) -> int:
        return len(self._waiting)
