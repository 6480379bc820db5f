"""The tracker of one partition: what it holds, and what each record changes.

A repeat changes no state but emits again: state may have reached the table's changelog before its output was out, so
every event that a record touches is sent as its whole head with its version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, assert_never
from zlib import crc32

import msgspec

from pipeline.model import (
    FINAL_REASONS,
    Close,
    EventHead,
    EventStatus,
    LevelDecision,
    MemberRow,
    Millis,
    ScoredBatch,
    ScoredItem,
    Tick,
    WarmEvent,
    Why,
)
from pipeline.rulebook.schema import HOUR, EventRules, RuleBook
from pipeline.topics import item_key
from pipeline.track import cluster as clusters
from pipeline.track import level as levels
from pipeline.track.cluster import Cluster
from pipeline.track.similarity import Index

Input = ScoredBatch | Tick | Close | WarmEvent

_CLOCK = b"t"
_HEAD = b"h|"
_ITEM = b"i|"

AGE_EVERY = HOUR
"""How often an event is looked at for what has aged, each at its own minute."""


@dataclass(slots=True)
class Outcome:
    """puts: table rows to write (None deletes), by key. heads: events to send on, in order.
    changed: events whose head row is written at the end. late: ticks and commands that came too late to matter."""

    puts: dict[bytes, bytes | None] = field(default_factory=dict)
    heads: list[EventHead] = field(default_factory=list)
    changed: dict[str, None] = field(default_factory=dict)
    late: int = 0


class Tracker:
    """All open events of one partition of items.scored. Deterministic: same records and books, same outcomes."""

    def __init__(self, partition: int, partitions: int) -> None:
        self._partition, self._partitions = partition, partitions
        self.now: Millis = 0
        self._numbered = 0
        self._events: dict[str, Cluster] = {}
        self._indexes: dict[str, Index] = {}
        self._event_of: dict[tuple[str, str], str] = {}
        self._aged: Millis = 0
        self._aging: list[tuple[Millis, str]] = []
        self._restored = False
        self._raised: dict[str, None] = {}

    @classmethod
    def restore(cls, partition: int, partitions: int, rows: Iterable[tuple[bytes, bytes]]) -> Tracker:
        """The tracker whose rows these are (keys without the table's partition prefix)."""
        self = cls(partition, partitions)
        members: list[tuple[str, MemberRow]] = []
        heads: list[EventHead] = []
        for key, value in rows:
            if key == _CLOCK:
                self.now, self._numbered, self._aged = msgspec.msgpack.decode(value, type=tuple[int, int, int])
            elif key.startswith(_HEAD):
                heads.append(clusters.decode_head(value))
            else:
                members.append((key[len(_ITEM):].split(b"|")[0].decode(), clusters.decode_member(value)))
        for head in heads:
            self._adopt(head)
        for event_id, row in members:
            if (event := self._events.get(event_id)) is not None:
                self._enlist(event, row)
        self._restored = True
        return self

    @property
    def open_events(self) -> list[EventHead]:
        return [self._events[event_id].head for event_id in self._raised]

    def event_of(self, key: str, item_id: str) -> str:
        """The event that an item of this key belongs to, empty if none is held."""
        return self._event_of.get((key, item_id), "")

    def handle(self, record: Input, book: RuleBook) -> Outcome:
        out = Outcome()
        match record:
            case ScoredBatch():
                self._batch(record, book, out)
            case Tick():
                self._tick(record, book, out)
            case Close():
                self._close(record, book, out)
            case WarmEvent():
                self._warm(record, out)
            case _:
                assert_never(record)
        for event_id in out.changed:
            if (event := self._events.get(event_id)) is not None:
                out.puts[_HEAD + event_id.encode()] = clusters.encode_row(event.head)
        return out

    # ---------------------------------------------------------------- items

    def _batch(self, batch: ScoredBatch, book: RuleBook, out: Outcome) -> None:
        touched: dict[str, list[MemberRow]] = {}
        for item in batch.items:
            self.now = max(self.now, item.item.first_seen_at)
            row = clusters.member_row(item, book.levels.events)
            event, row = self._join(item, row, batch.subject, book, out)
            touched.setdefault(event.head.id, []).append(row)
            self._judge(event, row, book, touched, out)
        for event_id, rows in touched.items():
            self._emit(self._events[event_id], tuple(rows), out)
        self._put_clock(out)

    def _join(
        self, item: ScoredItem, row: MemberRow, subject: str, book: RuleBook, out: Outcome
    ) -> tuple[Cluster, MemberRow]:
        """The item's event and its row there: where it is already, the most similar near one, or a new one."""
        key = item_key(item, subject)
        known = self._event_of.get((key, row.item_id))
        if known is not None:
            event = self._events[known]
            return event, clusters.decode_member(event.members[row.item_id])
        nearest = self._nearest(key, row, book.levels.events)
        if nearest is None:
            event_id, row = clusters.founding(item, key, row)
            event = clusters.founded(event_id, key, subject, item, row, self.now, book.hash)
            self._events[event_id] = event
            self._look_later(event_id)
        else:
            event = self._events[nearest]
        row = self._enlist(event, row, out)
        event.quote(item, row.at)
        self._count(event, row, book, out)
        return event, row

    def _count(self, event: Cluster, row: MemberRow, book: RuleBook, out: Outcome) -> None:
        head = event.head
        self._touch(
            event, book, out, items=head.items + 1,
            sources=max(head.sources, event.heat.total().sources),
            negative=head.negative + bool(row.flags & clusters.NEGATIVE),
            questions=head.questions + bool(row.flags & clusters.QUESTION),
            first_item_at=min(head.first_item_at, row.at), last_item_at=max(head.last_item_at, row.at))

    def _nearest(self, key: str, row: MemberRow, rules: EventRules) -> str | None:
        index = self._indexes.get(key)
        if index is None:
            return None
        return index.nearest(row.terms, rules.similarity,
                             lambda event_id: self._events[event_id].near(row.at, rules.join_within))

    def _enlist(self, event: Cluster, row: MemberRow, out: Outcome | None = None) -> MemberRow:
        """Make the item a member. Without `out` its row is in the table already."""
        row = event.add(row)
        self._event_of[event.head.key, row.item_id] = event.head.id
        self._indexes.setdefault(event.head.key, Index()).add(event.head.id, row.terms)
        if out is not None:
            out.puts[_item(event, row.item_id)] = event.members[row.item_id]
        return row

    def _judge(
        self, event: Cluster, row: MemberRow, book: RuleBook, touched: dict[str, list[MemberRow]], out: Outcome
    ) -> None:
        """Raise the level if this member completes a window; each raise is sent on at once."""
        head = event.head
        if head.muted or row.flags & (clusters.MUTE | clusters.OFFICIAL) or row.at <= head.floor_at:
            return
        ladder = levels.ladder_for(book.levels, head.subject)
        decision = levels.rise(event.heat, head.level, ladder, at=row.at, now=self.now, floor=head.floor_at)
        if decision is not None:
            self._decide(event, decision, book, out)
            self._emit(event, tuple(touched.get(head.id, ())), out)

    # ---------------------------------------------------------------- time

    def _tick(self, tick: Tick, book: RuleBook, out: Outcome) -> None:
        if tick.at <= self.now:
            out.late += 1
        self.now = max(self.now, tick.at)
        if self._restored:
            self._say_again(tick.at, out)
        if not tick.behind:
            for event_id in sorted(self._raised):
                self._settle(self._events[event_id], book, out)
            self._age(book, out)
        self._put_clock(out)

    def _say_again(self, since: Millis, out: Outcome) -> None:
        """What ticks from this one on decided before the restart: the rows have it, perhaps nobody else has."""
        self._restored = False
        for event in self._events.values():
            if event.head.changed_at >= since:
                self._emit(event, (), out)

    def _settle(self, event: Cluster, book: RuleBook, out: Outcome) -> None:
        head = event.head
        ladder = levels.ladder_for(book.levels, head.subject)
        standing = levels.settle(event.heat, head.level, ladder, now=self.now, floor=head.floor_at,
                                 below_since=head.below_since)
        if standing.decision is not None:
            self._decide(event, standing.decision, book, out)
        elif standing.below_since != head.below_since:
            self._touch(event, book, out, below_since=standing.below_since)
        else:
            return
        self._emit(event, (), out)

    def _age(self, book: RuleBook, out: Outcome) -> None:
        """Drop what is past: members older than any window, and events that nothing joined for long."""
        past: dict[str, None] = {}
        while self._aging and self._aging[0][0] <= self.now:
            past[heappop(self._aging)[1]] = None
        self._aged = self.now
        for event_id in past:
            event = self._events.get(event_id)
            if event is None:
                continue
            if self._due(event, book.levels.events) <= self.now and not event.head.level:
                self._forget(event, out)
            else:
                self._thin(event, book, out)
                self._look_later(event_id)

    def _look_later(self, event_id: str) -> None:
        """At the event's next minute after the last ageing: of a restored tracker the same as if it had gone on."""
        own = crc32(event_id.encode()) % AGE_EVERY
        heappush(self._aging, (self._aged + AGE_EVERY - (self._aged - own) % AGE_EVERY, event_id))

    def _thin(self, event: Cluster, book: RuleBook, out: Outcome) -> None:
        widest = max((level.enter.window for level in book.levels.ladder), default=0)
        for row in event.drop_before(self.now - max(widest, book.levels.events.join_within)):
            self._release(event, row.item_id)
            out.puts[_item(event, row.item_id)] = None
            self._indexes[event.head.key].take_out(event.head.id, row.terms)

    def _due(self, event: Cluster, rules: EventRules) -> Millis:
        """When an event without a level may be forgotten."""
        wait = rules.join_within if event.head.status is EventStatus.WATCHING else rules.calm_after
        return max(event.head.last_item_at, event.head.changed_at) + wait

    def _forget(self, event: Cluster, out: Outcome) -> None:
        head = event.head
        del self._events[head.id]
        self._raised.pop(head.id, None)
        out.puts[_HEAD + head.id.encode()] = None
        for item_id in event.members:
            self._release(event, item_id)
            out.puts[_item(event, item_id)] = None
        index = self._indexes[head.key]
        index.drop(head.id)
        if not index:
            del self._indexes[head.key]

    def _release(self, event: Cluster, item_id: str) -> None:
        """The item may join an event again, unless it is in another one too (a warm-up can bring it twice)."""
        place = (event.head.key, item_id)
        if self._event_of.get(place) == event.head.id:
            del self._event_of[place]

    # ---------------------------------------------------------------- people, warm-up

    def _close(self, command: Close, book: RuleBook, out: Outcome) -> None:
        event = self._events.get(command.event_id)
        if event is None:
            out.late += 1
            return
        head = event.head
        if head.floor_at < command.at:
            self.now = max(self.now, command.at)
            evidence = msgspec.structs.replace(head.decision.evidence, at=self.now)
            decision = LevelDecision(0, head.level, Why.CLOSED, evidence, self.now)
            self._decide(event, decision, book, out, closed_by=command.by, closed_reason=command.reason,
                         floor_at=self.now, muted=command.reason.startswith(FINAL_REASONS))
        self._emit(event, (), out)
        self._put_clock(out)

    def _warm(self, record: WarmEvent, out: Outcome) -> None:
        head = record.head
        known = self._events.get(head.id)
        if known is not None and known.head.version >= head.version:
            return
        if known is not None:
            self._forget(known, out)
        self._adopt(head)
        event = self._events[head.id]
        out.puts[_HEAD + head.id.encode()] = clusters.encode_row(head)
        for row in record.rows:
            self._enlist(event, row, out)
        self._put_clock(out)

    def _adopt(self, head: EventHead) -> None:
        self._events[head.id] = Cluster(msgspec.structs.replace(head, joined=()))
        if head.level:
            self._raised[head.id] = None
        self._numbered = max(self._numbered, -(-head.number // self._partitions))
        self.now = max(self.now, head.changed_at)
        self._look_later(head.id)

    # ---------------------------------------------------------------- heads

    def _decide(self, event: Cluster, decision: LevelDecision, book: RuleBook, out: Outcome, **more: Any) -> None:
        head = event.head
        rising = decision.level > head.level
        if rising:
            more = {"closed_by": "", "closed_reason": "", **more}
            self._raised[head.id] = None
        elif not decision.level:
            self._raised.pop(head.id, None)
        number = head.number or (self._next_number() if decision.level else 0)
        status = {Why.CLOSED: EventStatus.CLOSED, Why.CALMED: EventStatus.CALM}.get(decision.why, EventStatus.OPEN)
        self._touch(event, book, out, decision=decision, level=decision.level, level_name=decision.name, status=status,
                    peak=max(head.peak, decision.level), raises=head.raises + rising, number=number,
                    level_since=self.now, below_since=None, **more)

    def _next_number(self) -> int:
        self._numbered += 1
        return (self._numbered - 1) * self._partitions + self._partition + 1

    def _touch(self, event: Cluster, book: RuleBook, out: Outcome, **changes: Any) -> None:
        """A new version of the head."""
        event.head = msgspec.structs.replace(
            event.head, version=event.head.version + 1, changed_at=self.now, book=book.hash, **changes)
        out.changed[event.head.id] = None

    def _emit(self, event: Cluster, joined: tuple[MemberRow, ...], out: Outcome) -> None:
        """Send the head, unless it is a lone item nobody needs to hear of; each version of a record once."""
        head = event.head
        if len(event.members) < 2 and not head.number:
            return
        if out.heads and out.heads[-1].id == head.id and out.heads[-1].version == head.version:
            out.heads.pop()
        founder = (event.founder,) if joined and event.founder not in (None, *joined) else ()
        out.heads.append(msgspec.structs.replace(head, joined=(*founder, *joined)))

    def _put_clock(self, out: Outcome) -> None:
        out.puts[_CLOCK] = msgspec.msgpack.encode((self.now, self._numbered, self._aged))


def _item(event: Cluster, item_id: str) -> bytes:
    return _ITEM + f"{event.head.id}|{item_id}".encode()
