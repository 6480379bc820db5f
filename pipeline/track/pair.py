"""The tracker of one partition for what is live, and beside it one for what runs in shadow and one for drills.

They share nothing but the partition: each has its own clock, rows (keys that begin with its mark) and numbers, so that
the live one decides the same whether or not there are shadow rules or drills.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.model import DRILL, SHADOW, Close, CountsBatch, EventHead, ScoredBatch, Tick, WarmEvent
from pipeline.rulebook.schema import RuleBook
from pipeline.rulebook.shadow import judging, judging_drills
from pipeline.track.rows import Outcome
from pipeline.track.tracker import Input, Tracker

_BOOKS: dict[str, Callable[[RuleBook], RuleBook]] = {SHADOW: judging, DRILL: judging_drills}
"""What the subjects of each side are judged by. Of a subject, the first character says which side it is of."""


class _Beside:
    """A tracker beside the live one, made by the first record that is for it.

    trouble: the error by which it fell out of a record that is for all sides; the live side went on. It takes nothing
    more then: the next record of its own fails, and with that it is restored from its rows.
    """

    def __init__(self, mark: str, partition: int, partitions: int) -> None:
        self._mark, self._place = mark, (partition, partitions)
        self.tracker: Tracker | None = None
        self.trouble = ""
        self._book: RuleBook | None = None
        self._judging: RuleBook | None = None

    def restore(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        own = [(key.removeprefix(self._mark.encode()), value) for key, value in rows]
        if own:
            self.tracker = Tracker.restore(*self._place, own)

    def handle(self, record: Input, book: RuleBook) -> Outcome:
        if self.trouble:
            raise RuntimeError(f"the events beside those of partition {self._place[0]} are restored: {self.trouble}")
        if self.tracker is None:
            self.tracker = Tracker(*self._place)
        if book is not self._book:
            self._book, self._judging = book, _BOOKS[self._mark](book)
        assert self._judging is not None
        out = self.tracker.handle(record, self._judging)
        out.puts = {self._mark.encode() + key: value for key, value in out.puts.items()}
        return out


class TrackerPair:
    """Like Tracker. trouble: of the side beside the live one that fell out, empty if none did."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.live = Tracker(partition, partitions)
        self._beside = {mark: _Beside(mark, partition, partitions) for mark in _BOOKS}

    @classmethod
    def restore(cls, partition: int, partitions: int, rows: Iterable[tuple[bytes, bytes]]) -> TrackerPair:
        """The trackers whose rows these are (keys without the table's partition prefix)."""
        by_mark: dict[str, list[tuple[bytes, bytes]]] = {}
        for key, value in rows:
            mark = key[:1].decode("latin-1")
            by_mark.setdefault(mark if mark in _BOOKS else "", []).append((key, value))
        self = cls(partition, partitions)
        self.live = Tracker.restore(partition, partitions, by_mark.get("", []))
        for mark, side in self._beside.items():
            side.restore(by_mark.get(mark, []))
        return self

    @property
    def shadow(self) -> Tracker | None:
        return self._beside[SHADOW].tracker

    @property
    def trouble(self) -> str:
        return next((side.trouble for side in self._beside.values() if side.trouble), "")

    @property
    def open_events(self) -> list[EventHead]:
        """Live ones."""
        return self.live.open_events

    def event_of(self, key: str, item_id: str) -> str:
        """The event that an item of this key belongs to, empty if none is held."""
        side = self._beside.get(key[:1])
        tracker = side.tracker if side is not None else self.live
        return tracker.event_of(key, item_id) if tracker is not None else ""

    def handle(self, record: Input, book: RuleBook) -> Outcome:
        match record:
            case CountsBatch() | Tick():
                return self._all(record, book)
            case ScoredBatch():
                subject = record.subject
            case WarmEvent():
                subject = record.head.subject
            case Close():
                subject = record.key
        side = self._beside.get(subject[:1])
        return side.handle(record, book) if side is not None else self.live.handle(record, book)

    def _all(self, record: CountsBatch | Tick, book: RuleBook) -> Outcome:
        """What all sides write and send, the live one first. late: of the live side, as without the others."""
        out = self.live.handle(record, book)
        for side in self._beside.values():
            if side.tracker is None or side.trouble:
                continue
            try:
                beside = side.handle(record, book)
            except Exception as error:
                side.trouble = f"{type(error).__name__}: {error}"
                continue
            out.puts |= beside.puts
            out.heads += beside.heads
            out.changed |= beside.changed
        return out
