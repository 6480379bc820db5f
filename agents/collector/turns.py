"""Whose turn it is: sources by due time, hosts that take turns, so many polls at once. Work is that of what is due."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Iterator

from agents.feeds.hosts import AT_ONCE
from pipeline.model import Millis
from pipeline.rulebook.schema import MINUTE

PER_HOST = 2
"""One poll of a host may parse and send while the next has the host's one request."""
AT_WORK = 4 * AT_ONCE
"""Polls under way: those with a request, and those that wait for a parser or the broker."""
IN_DOUBT = AT_ONCE // 2
"""Of these, polls of hosts that did not answer last time: each may hold a slot until its time is out, and all of the
slots are never theirs."""
JUMP: Millis = MINUTE
"""A clock that goes back by more was set: what is planned goes back with it, or nothing would be due for that long."""


class Turns:
    """`plan` a source, `ready` says what may begin, `done` gives its place back. Hosts with much due share in turn.

    A host that wants a pause, or did not answer, has one poll under way at most; nothing waits for a pause in a place.
    """

    def __init__(self, at_work: int = AT_WORK, per_host: int = PER_HOST, in_doubt: int = IN_DOUBT) -> None:
        self._at_work, self._per_host, self._in_doubt = at_work, per_host, in_doubt
        self._numbers = itertools.count(1)
        self._now: Millis = 0
        self._planned: dict[str, tuple[Millis, int, str]] = {}
        """source -> (when, number of its plan, host): a later plan replaces an earlier one."""
        self._due: list[tuple[Millis, int, str]] = []
        self._waiting: dict[str, deque[tuple[int, str]]] = {}
        self._free: dict[str, None] = {}
        """Hosts with something waiting and a place free, in turn."""
        self._free_in_doubt: dict[str, None] = {}
        self._doubted: set[str] = set()
        self._rests: dict[str, Millis] = {}
        """host that wants pauses -> when the last one ends."""
        self._resting: list[tuple[Millis, str]] = []
        self._busy: Counter[str] = Counter()
        self._busy_in_doubt: Counter[str] = Counter()
        self._working = 0

    def plan(self, source_id: str, host: str, at: Millis, *, answers: bool = True) -> None:
        """answers: whether the host did when it was last asked, as far as that is known."""
        number = next(self._numbers)
        self._planned[source_id] = (at, number, host)
        heapq.heappush(self._due, (at, number, source_id))
        (self._doubted.discard if answers else self._doubted.add)(host)
        self._offer(host)

    def planned(self, source_id: str) -> Millis | None:
        """When its turn is, or was if it still waits for its host."""
        return self._planned[source_id][0] if source_id in self._planned else None

    def drop(self, source_id: str) -> None:
        self._planned.pop(source_id, None)

    def next_at(self) -> Millis | None:
        """The earliest time at which something may be due."""
        return min((heap[0][0] for heap in (self._due, self._resting) if heap), default=None)

    def ready(self, now: Millis) -> Iterator[tuple[str, str, Millis]]:
        """(source, host, when it was due) of polls to begin now; each holds its place until `done`."""
        self._queue(now)
        while self._working < self._at_work and (host := self._take()) is not None:
            found = self._next(host)
            if found is not None:
                self._busy[host] += 1
                self._busy_in_doubt[host] += host in self._doubted
                self._working += 1
                yield found[1], host, found[0]
            self._offer(host)

    def done(self, host: str, rest: Millis = 0) -> None:
        """rest: until when the host wants no other request, 0 for a host that wants no pauses."""
        self._working -= 1
        for busy in (self._busy, self._busy_in_doubt):
            busy[host] -= 1
            if busy[host] <= 0:
                del busy[host]
        if rest:
            self._rests[host] = rest
            heapq.heappush(self._resting, (rest, host))
        else:
            self._rests.pop(host, None)
        self._offer(host)

    def _queue(self, now: Millis) -> None:
        """What is due goes to the queue of its host."""
        if now < self._now - JUMP:
            self._go_back(self._now - now)
        self._now = now
        while self._due and self._due[0][0] <= now:
            _, number, source_id = heapq.heappop(self._due)
            planned = self._planned.get(source_id)
            if planned is not None and planned[1] == number:
                self._waiting.setdefault(planned[2], deque()).append((number, source_id))
                self._offer(planned[2])
        while self._resting and self._resting[0][0] <= now:
            self._offer(heapq.heappop(self._resting)[1])

    def _go_back(self, length: Millis) -> None:
        self._planned = {each: (at - length, number, host) for each, (at, number, host) in self._planned.items()}
        self._due = [(at - length, number, each) for at, number, each in self._due]     # a heap still: all moved alike
        self._rests = {host: until - length for host, until in self._rests.items()}
        self._resting = [(until - length, host) for until, host in self._resting]

    def _take(self) -> str | None:
        """The next host in turn, of those in doubt only while they have few places."""
        for free in (self._free_in_doubt, self._free):
            if free and (free is self._free or self._busy_in_doubt.total() < self._in_doubt):
                host = next(iter(free))
                del free[host]
                return host
        return None

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
        doubted = host in self._doubted
        (self._free if doubted else self._free_in_doubt).pop(host, None)
        free = self._free_in_doubt if doubted else self._free
        places = 1 if doubted or host in self._rests else self._per_host
        if not self._waiting.get(host):
            self._waiting.pop(host, None)
            free.pop(host, None)
        elif self._busy[host] < places and self._rests.get(host, 0) <= self._now:
            free[host] = None
        else:
            free.pop(host, None)
