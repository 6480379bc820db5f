"""Faust's Kafka transport, mended: no event is skipped, none is committed early, no partition stops committing.
Faults of faust-streaming 0.15.3; tests/agents/test_transport.py and tests/kafka fail without each mend:
* seek fence: partitions are resumed before they are sought back; a fetch in flight then hands on records from the old
  position, and the ones between are dropped as read already, or counted as done.
* commit order: offsets are committed past an event in work, acks of revoked partitions are forgotten, records read
  twice make a commit crawl. Here the commit is the first record handed on that is not done, and nothing else.
* confirmed commit: offsets are committed although table changes or sends have not reached the broker.
* idempotent producer: else retries write twice and change the order.
* no watch of its own: it reads the position of partitions that have none yet, and that ends the role.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

CONFIRM_SECONDS = 60.0


class SkippedEvent(RuntimeError):
    """A record was about to be dropped as read already although it was never handed on: only a restart is safe."""


class Consumer(driver.Consumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fence = asyncio.Lock()
        self._seeks = {False: 0, True: 0}               # seeks so far: of stream partitions, of changelog partitions
        self._fetched_after = dict(self._seeks)         # the same, when the newest fetch began
        self._sought: dict[TP, int | None] | None = None    # read offsets of the newest seek; None: one must come first
        self._handed: dict[TP, deque[int]] = defaultdict(deque)   # offsets handed on since the seek, not known as done
        self._done: dict[TP, set[int]] = defaultdict(set)         # offsets acked, in any order
        self._next: dict[TP, int] = {}                  # the offset after the newest one handed on

    async def _alone(self, operation: Coroutine[Any, Any, Any], seeks: bool | None = None) -> Any:
        """A fetch, or a seek of stream (False) or changelog (True) partitions: never two, cancelled callers or not."""
        async def behind_fence() -> Any:
            async with self._fence:
                if seeks is None:
                    self._fetched_after = dict(self._seeks)
                else:
                    self._seeks[seeks] += 1
                return await operation
        return await asyncio.shield(asyncio.ensure_future(behind_fence()))

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        return await self._alone(super()._getmany(active_partitions=active_partitions, timeout=timeout))

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        await self._alone(super().seek_wait(partitions), seeks=True)

    async def perform_seek(self) -> None:
        await self._alone(self._seek_back(), seeks=False)

    async def _seek_back(self) -> None:
        """Every stream partition to its committed offset, or to the beginning if it has none (Faust leaves it)."""
        self._committed_offset.clear()
        for book in (self._acked, self._acked_index, self._gap, self._handed, self._done, self._next):
            book.clear()
        await super().perform_seek()
        if never := [driver.ensure_aiokafka_TP(tp) for tp in self.assignment()
                     if not self._is_changelog_tp(tp) and not self._read_offset.get(tp)]:
            await self._thread.seek_to_beginning(*never)
        self._sought = dict(self._read_offset)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        fetched: dict[bool, int] | None = None
        async for tp, message in super().getmany(timeout):
            fetched, changelog = fetched or self._fetched_after, self._is_changelog_tp(tp)
            if self._stale(fetched, changelog):
                continue                                # fetched before the seek: it comes again
            if not changelog:
                self._hand_on(tp, message.offset)
            yield tp, message
            if self._stale(fetched, changelog) and not changelog:
                self._read_offset[tp] = (self._sought or {}).get(tp)    # undo the read offset that this one left

    def _stale(self, fetched: dict[bool, int], changelog: bool) -> bool:
        return fetched[changelog] != self._seeks[changelog] or (self._sought is None and not changelog)

    def _hand_on(self, tp: TP, offset: int) -> None:
        if self._next.get(tp, 0) <= offset < (read := self._read_offset[tp] or 0):
            raise SkippedEvent(f"{tp.topic}[{tp.partition}]@{offset} would be dropped: reading stands at {read}")
        self._handed[tp].append(offset)
        self._next[tp] = offset + 1

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._sought = None
        for tp in revoked:
            self._collect(tp)                           # Faust forgets them before its last commit
        await super().on_partitions_revoked(revoked)

    def _collect(self, tp: TP) -> None:
        self._done[tp].update(self._acked[tp])          # written by Faust's stream iterator
        self._acked[tp], self._acked_index[tp] = [], set()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> list[TP]:
        return [tp for tp in self._handed if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        """The first record handed on that is not done: everything before it is. None if nothing was handed on."""
        self._collect(tp)
        handed, done = self._handed[tp], self._done[tp]
        while handed and (handed[0] in done or handed[0] < (self._committed_offset.get(tp) or 0)):
            done.discard(handed.popleft())
        return handed[0] if handed else self._next.get(tp)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust would only log what agents/ticker.py watches and alert rules tell; see the module's text."""

    def verify_recovery_event_path(self, now: float, tp: TP) -> None:
        """Like verify_event_path."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = {tp: self._committed_offset.get(tp) for tp in offsets}
        if not (committed := bool(await super()._commit_offsets(offsets, start_new_transaction))):
            self._committed_offset.update(before)       # Faust notes a refused commit as done
        return committed


class Producer(driver.Producer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._buffered: set[asyncio.Future[Any]] = set()    # table changes and sends not awaited, until delivered
        self._failure: BaseException | None = None

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"enable_idempotence": True}

    def send_soon(self, fut: Any) -> None:
        self._buffered.add(fut)
        fut.add_done_callback(self._buffered.discard)
        super().send_soon(fut)

    async def send(self, *args: Any, **kwargs: Any) -> Any:
        delivery: Any = await super().send(*args, **kwargs)
        delivery.add_done_callback(self._check)
        return delivery

    def _check(self, delivery: asyncio.Future[Any]) -> None:
        self._failure = self._failure or (None if delivery.cancelled() else delivery.exception())

    async def flush(self) -> None:
        """Called by Faust before each commit: waits for every delivery, raises if one failed."""
        if self._buffered:
            _, late = await asyncio.wait(set(self._buffered), timeout=CONFIRM_SECONDS)
            if late:
                raise RuntimeError(f"{len(late)} messages not delivered in {CONFIRM_SECONDS:g} s: none is committed")
        await super().flush()
        if self._failure:
            raise RuntimeError("a message was not delivered: nothing more is committed") from self._failure
