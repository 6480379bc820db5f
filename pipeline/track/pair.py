"""The tracker of one partition for what is live, and one beside it for what runs in shadow.

They share nothing but the partition: the shadow one has its own clock, rows (keys that begin with `~`) and numbers, so
that the live one decides the same whether or not there are shadow rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.model import SHADOW, Close, CountsBatch, EventHead, ScoredBatch, Tick, WarmEvent
from pipeline.rulebook.schema import RuleBook
from pipeline.rulebook.shadow import judging
from pipeline.track.rows import Outcome
from pipeline.track.tracker import Input, Tracker

_PREFIX = SHADOW.encode()


class TrackerPair:
    """Like Tracker. The shadow tracker is made by the first record that is for it.

    trouble: the error by which it fell out of a record that is for both sides; the live side went on. It takes nothing
    more then: the next record of its own fails, and with that it is restored from its rows.
    """

    def __init__(self, partition: int, partitions: int) -> None:
        self._place = partition, partitions
        self.live = Tracker(partition, partitions)
        self.shadow: Tracker | None = None
        self.trouble = ""
        self._book: RuleBook | None = None
        self._judging: RuleBook | None = None

    @classmethod
    def restore(cls, partition: int, partitions: int, rows: Iterable[tuple[bytes, bytes]]) -> TrackerPair:
        """The trackers whose rows these are (keys without the table's partition prefix)."""
        own, beside = [], []
        for key, value in rows:
            if key.startswith(_PREFIX):
                beside.append((key.removeprefix(_PREFIX), value))
            else:
                own.append((key, value))
        self = cls(partition, partitions)
        self.live = Tracker.restore(partition, partitions, own)
        if beside:
            self.shadow = Tracker.restore(partition, partitions, beside)
        return self

    @property
    def open_events(self) -> list[EventHead]:
        """Live ones."""
        return self.live.open_events

    def event_of(self, key: str, item_id: str) -> str:
        """The event that an item of this key belongs to, empty if none is held."""
        side = self.shadow if key.startswith(SHADOW) else self.live
        return side.event_of(key, item_id) if side is not None else ""

    def handle(self, record: Input, book: RuleBook) -> Outcome:
        match record:
            case CountsBatch() | Tick():
                return self._both(record, book)
            case ScoredBatch():
                apart = record.subject.startswith(SHADOW)
            case WarmEvent():
                apart = record.head.shadow
            case Close():
                apart = record.key.startswith(SHADOW)
        return self._beside(record, book) if apart else self.live.handle(record, book)

    def _both(self, record: CountsBatch | Tick, book: RuleBook) -> Outcome:
        """What both write and send, the live side first. late: of the live side, as without the other."""
        out = self.live.handle(record, book)
        if self.shadow is None or self.trouble:
            return out
        try:
            beside = self._beside(record, book)
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"
            return out
        out.puts |= beside.puts
        out.heads += beside.heads
        out.changed |= beside.changed
        return out

    def _beside(self, record: Input, book: RuleBook) -> Outcome:
        if self.trouble:
            raise RuntimeError(f"the shadow events of partition {self._place[0]} are restored: {self.trouble}")
        if self.shadow is None:
            self.shadow = Tracker(*self._place)
        if book is not self._book:
            self._book, self._judging = book, judging(book)
        assert self._judging is not None
        out = self.shadow.handle(record, self._judging)
        out.puts = {_PREFIX + key: value for key, value in out.puts.items()}
        return out
