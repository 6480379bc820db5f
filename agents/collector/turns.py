"""Whose turn it is: sources by due time, hosts that take turns, so many polls at once. Work is that of what is due."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Iterator

from agents.collector.hosts import AT_ONCE
from pipeline.model import Millis

PER_HOST = 2
"""One poll of a host may parse and send while the next has the host's one request."""
AT_WORK = 4 * AT_ONCE
"""Polls under way: those with a request, and those that wait for a parser or the broker."""


class Turns:
    """`plan` a source, `ready` says what may begin, `done` gives its place back. Hosts with much due share in turn."""

    def __init__(self, at_work: int = AT_WORK, per_host: int = PER_HOST) -> None:
        self._at_work, self._per_host = at_work, per_host
        self._numbers = itertools.count(1)
        self._planned: dict[str, tuple[Millis, int, str]] = {}
        """source -> (when, number of its plan, host): a later plan replaces an earlier one."""
        self._due: list[tuple[Millis, int, str]] = []
        self._waiting: dict[str, deque[tuple[int, str]]] = {}
        self._free: dict[str, None] = {}
        """Hosts with something waiting and a place free, in turn."""
        self._busy: Counter[str] = Counter()
        self._working = 0

    def plan(self, source_id: str, host: str, at: Millis) -> None:
        number = next(self._numbers)
        self._planned[source_id] = (at, number, host)
        heapq.heappush(self._due, (at, number, source_id))

    def planned(self, source_id: str) -> Millis | None:
        """When its turn is, or was if it still waits for its host."""
        return self._planned[source_id][0] if source_id in self._planned else None

    def drop(self, source_id: str) -> None:
        self._planned.pop(source_id, None)

    def next_at(self) -> Millis | None:
        """The earliest time at which something may be due."""
        return self._due[0][0] if self._due else None

    def ready(self, now: Millis) -> Iterator[tuple[str, str, Millis]]:
        """(source, host, when it was due) of polls to begin now; each holds its place until `done`."""
        self._queue(now)
        while self._free and self._working < self._at_work:
            host = next(iter(self._free))
            del self._free[host]
            found = self._next(host)
            if found is not None:
                self._busy[host] += 1
                self._working += 1
                yield found[1], host, found[0]
            self._offer(host)

    def done(self, host: str) -> None:
        self._working -= 1
        self._busy[host] -= 1
        if not self._busy[host]:
            del self._busy[host]
        self._offer(host)

    def _queue(self, now: Millis) -> None:
        """What is due goes to the queue of its host."""
        while self._due and self._due[0][0] <= now:
            _, number, source_id = heapq.heappop(self._due)
            planned = self._planned.get(source_id)
            if planned is not None and planned[1] == number:
                self._waiting.setdefault(planned[2], deque()).append((number, source_id))
                self._offer(planned[2])

    def _next(self, host: str) -> tuple[Millis, str] | None:
        queue = self._waiting[host]
        while queue:
            number, source_id = queue.popleft()
            planned = self._planned.get(source_id)
            if planned is not None and planned[1] == number:
                del self._planned[source_id]
                return planned[0], source_id
        return None

    def _offer(self, host: str) -> None:
        if not self._waiting.get(host):
            self._waiting.pop(host, None)
        elif self._busy[host] < self._per_host:
            self._free[host] = None
