"""The tracker of one partition: what it holds, and what each record changes.

A repeat changes no state but emits again: state may have reached the table's changelog before its output was out, so
every event that a record touches is sent as its whole head with its version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from pipeline.model import (
    FINAL_REASONS,
    Close,
    CountsBatch,
    CountsRow,
    EventHead,
    LevelDecision,
    MemberRow,
    Millis,
    ScoredBatch,
    ScoredItem,
    Tick,
    WarmEvent,
    Why,
)
from pipeline.rulebook.schema import RuleBook
from pipeline.topics import item_key
from pipeline.track import cluster as clusters
from pipeline.track import level as levels
from pipeline.track import members
from pipeline.track.ageing import Ageing
from pipeline.track.cluster import Cluster
from pipeline.track.in_force import InForce
from pipeline.track.places import Places
from pipeline.track.rejudge import judged
from pipeline.track.rows import Outcome, stored
from pipeline.track.similarity import Index

Input = ScoredBatch | CountsBatch | Tick | Close | WarmEvent


class Tracker:
    """All open events of one partition of items.scored. Deterministic: same records and books, same outcomes."""

    def __init__(self, partition: int, partitions: int) -> None:
        self._partition, self._partitions = partition, partitions
        self.now: Millis = 0
        self._numbered = 0
        self._events: dict[str, Cluster] = {}
        self._indexes: dict[str, Index] = {}
        self._places = Places()
        self._rules, self._ageing = InForce(None), Ageing()
        self._judged, self._restored = "", False
        self._seen: InForce | None = None
        self._raised: dict[str, None] = {}

    @classmethod
    def restore(cls, partition: int, partitions: int, rows: Iterable[tuple[bytes, bytes]]) -> Tracker:
        """The tracker whose rows these are (keys without the table's partition prefix)."""
        self = cls(partition, partitions)
        found = stored(rows)
        self.now, self._numbered, self._ageing.at, self._judged = found.clock
        for head in found.heads:
            self._adopt(head)
        for event_id, row in found.members:
            if event_id in self._events:
                self._enlist(self._events[event_id], row)
        for event_id, item_id, series in found.counts:
            if event_id in self._events and item_id in self._events[event_id].members:
                self._events[event_id].load_series(item_id, series)
        self._restored = True
        return self

    @property
    def open_events(self) -> list[EventHead]:
        return [self._events[event_id].head for event_id in self._raised]

    @property
    def due_at(self) -> Millis | None:
        """The next tick at this time or later changes something; None: no tick does."""
        return self.now if self._raised or self._seen is not self._rules else self._ageing.next_at

    def event_of(self, key: str, item_id: str) -> str:
        """The event that an item of this key belongs to, empty if none is held."""
        return self._places.event(key, item_id) or ""

    def handle(self, record: Input, book: RuleBook) -> Outcome:
        out = Outcome()
        if book is not self._rules.book:
            self._rules = InForce(book)
            self._judged = self._judged if self._events else self._rules.levels_mark
        match record:
            case ScoredBatch():
                self._batch(record, out)
            case CountsBatch():
                self._counted(record, out)
            case Tick():
                self._tick(record, out)
            case Close():
                self._close(record, out)
            case WarmEvent():
                self._warm(record, out)
            case _:
                assert_never(record)
        out.put_changed(self._events)
        return out

    # ---------------------------------------------------------------- items

    def _batch(self, batch: ScoredBatch, out: Outcome) -> None:
        touched: dict[str, list[MemberRow]] = {}
        for item in batch.items:
            self.now = max(self.now, item.item.first_seen_at)
            report = self._rules.is_report(item.item.source_id)
            row = members.member_row(item, self._rules.events, report=report)
            event, row, news = self._join(item, row, batch.subject, out)
            touched.setdefault(event.head.id, []).append(row)
            if news:
                self._judge(event, row, item, touched[event.head.id], out)
            if item.item.counts is not None:
                counts = CountsRow(row.item_id, item.item.first_seen_at, item.item.counts)
                self._grow(event, counts, item.item.counts_since, out)
        for event_id, rows in touched.items():
            self._emit(self._events[event_id], tuple(rows), out)
        self._put_clock(out)

    def _join(
        self, item: ScoredItem, row: MemberRow, subject: str, out: Outcome
    ) -> tuple[Cluster, MemberRow, bool]:
        """The item's event and its row there: where it is already, the most similar near one, or a new one.

        And whether it is news: an item that comes again raises no level, or an event that calmed down would be back.
        """
        key = item_key(item, subject)
        known = self._places.event(key, row.item_id)
        if known is not None:
            return self._again(self._events[known], row, item.item.first_seen_at, out)
        nearest = self._nearest(key, row)
        if nearest is None:
            event_id, row = clusters.founding(item, key, row)
            event = clusters.founded(event_id, key, subject, item, row, self.now, self._rules.hash)
            self._events[event_id] = event
            self._ageing.look_later(event_id)
        else:
            event = self._events[nearest]
            row = clusters.joining(event.head, row)
        row = self._enlist(event, row, out)
        event.quote(item, row.at)
        self._touch(event, out, **event.counting(row, item))
        return event, row, True

    def _again(self, event: Cluster, seen: MemberRow, at: Millis, out: Outcome) -> tuple[Cluster, MemberRow, bool]:
        """An item that the event has. All that an edit can change is that a report becomes urgent: no news of one that
        was there when a person closed the event for good."""
        row = members.decode_member(event.members[seen.item_id])
        if not seen.flags & ~row.flags & members.URGENT or row.flags & members.MUTE:
            return event, row, False
        row = event.make_urgent(row)
        out.put_item(event, row.item_id)
        self._touch(event, out, **event.asked(row, at))
        known = event.head.muted and not row.flags & members.AFTER
        return event, row, at > event.head.floor_at and not known

    def _nearest(self, key: str, row: MemberRow) -> str | None:
        index, rules = self._indexes.get(key), self._rules.events
        return None if index is None else index.nearest(
            row.terms, rules.similarity, lambda event_id: self._events[event_id].near(row.at, rules.join_within))

    def _enlist(self, event: Cluster, row: MemberRow, out: Outcome | None = None) -> MemberRow:
        """Make the item a member. Without `out` its row is in the table already."""
        row = event.add(row)
        self._places.put(row.item_id, event.home)
        self._indexes.setdefault(event.head.key, Index()).add(event.head.id, row.terms)
        if out is not None:
            out.put_item(event, row.item_id)
        return row

    def _judge(self, event: Cluster, row: MemberRow, item: ScoredItem, joined: list[MemberRow], out: Outcome) -> None:
        """Raise the level if this member completes a window or asks for an answer; each raise is sent on at once. The
        latter outweighs that a person closed the event for good."""
        head, decision = event.head, None
        if row.flags & members.MUTE:
            return
        if not head.muted and row.at > head.floor_at:
            came = levels.Came.OFFICIAL if row.flags & members.OFFICIAL else levels.Came.ITEM
            decision = self._rise(event, row.at, came)
        if row.flags & members.URGENT:
            ladder = self._rules.ladder(head.subject)
            decision = levels.higher(decision, levels.rise_by_report(
                event.signs, head.level, ladder, ref=item.item.ref, now=self.now, floor=head.floor_at))
        if decision is not None:
            self._decide(event, decision, out, item.item.first_seen_at, muted=False)
            self._emit(event, tuple(joined), out)

    # ---------------------------------------------------------------- counts

    def _counted(self, batch: CountsBatch, out: Outcome) -> None:
        """Counts of items of which most may be held elsewhere, or nowhere any more."""
        touched: dict[str, list[MemberRow]] = {}
        for row in batch.items:
            for _, event_id in self._places.all(row.item_id):
                event = self._events[event_id]
                if self._grow(event, row, batch.since, out):
                    touched.setdefault(event_id, []).append(members.decode_member(event.members[row.item_id]))
        for event_id, rows in touched.items():
            self._emit(self._events[event_id], tuple(rows), out)
        if out.puts:
            self._put_clock(out)

    def _grow(self, event: Cluster, row: CountsRow, since: Millis | None, out: Outcome) -> bool:
        """Take a member's counts, and raise the level if the growth reaches one. Whether the event is to be sent on."""
        growth = event.grow(row, self._rules.resolution, self._rules.widest, since)
        if growth is None:                              # it may be a repeat whose event was not sent
            return row.at <= event.head.changed_at
        out.put_counts(event, row.item_id)
        if not growth:
            return False
        self.now = max(self.now, row.at)
        self._touch(event, out, growth=event.head.growth + growth)
        head, member = event.head, members.decode_member(event.members[row.item_id])
        if head.muted or member.flags & (members.MUTE | members.OFFICIAL) or row.at <= head.floor_at:
            return True
        if (decision := self._rise(event, row.at, levels.Came.GROWTH)) is not None:
            self._decide(event, decision, out, row.at)
            self._emit(event, (member,), out)
        return True

    def _rise(self, event: Cluster, at: Millis, came: levels.Came) -> LevelDecision | None:
        head = event.head
        return levels.rise(event.signs, head.level, self._rules.ladder(head.subject), at=at, now=self.now,
                           floor=head.floor_at, came=came)

    # ---------------------------------------------------------------- time

    def _tick(self, tick: Tick, out: Outcome) -> None:
        out.late += tick.at <= self.now
        self.now = max(self.now, tick.at)
        if self._restored:
            self._say_again(tick.at, out)
        if not tick.behind:
            self._rejudge(out)
            for event_id in sorted(self._raised):
                self._settle(self._events[event_id], out)
            self._age(out)
        self._put_clock(out)

    def _say_again(self, since: Millis, out: Outcome) -> None:
        """What ticks from this one on decided before the restart: the rows have it, perhaps nobody else has."""
        self._restored = False
        for event in (each for each in self._events.values() if each.head.changed_at >= since):
            self._emit(event, (), out)

    def _rejudge(self, out: Outcome) -> None:
        """What events come to under other rules than at the last tick, or at the first after a restart. Those with a
        level carry the mark of the rules they were judged by: nothing is repeated or forgotten."""
        if self._seen is self._rules:
            return
        looked_at = self._raised if self._judged == self._rules.levels_mark else self._events
        self._seen, self._judged = self._rules, self._rules.levels_mark
        for event_id in sorted(looked_at):
            event = self._events[event_id]
            if (decision := judged(event, self._rules, self.now)) is not None:
                self._decide(event, decision, out)
            elif event.head.level and event.head.ladder != (mark := self._rules.mark(event.head.subject)):
                self._touch(event, out, ladder=mark)
            else:
                continue
            alone = event.members.values() if len(event.members) == 1 else ()      # its row was not sent before
            self._emit(event, tuple(map(members.decode_member, alone)), out)

    def _settle(self, event: Cluster, out: Outcome) -> None:
        head = event.head
        standing = levels.settle(event.signs, head.level, self._rules.ladder(head.subject), now=self.now,
                                 floor=head.floor_at, below_since=head.below_since)
        if standing.decision is not None:
            self._decide(event, standing.decision, out)
        elif standing.below_since != head.below_since:
            self._touch(event, out, below_since=standing.below_since)
        else:
            return
        self._emit(event, (), out)

    def _age(self, out: Outcome) -> None:
        """Drop what is past: members older than any window, and events that nothing joined for long."""
        for event_id in self._ageing.due(self.now):
            if (event := self._events.get(event_id)) is None:
                continue
            if event.past_at(self._rules.events) <= self.now and not event.head.level:
                self._forget(event, out)
            else:
                self._thin(event, out)
                self._ageing.look_later(event_id)

    def _thin(self, event: Cluster, out: Outcome) -> None:
        for row in event.drop_before(self.now - max(self._rules.widest, self._rules.events.join_within)):
            self._release(event, row.item_id, out)
            self._indexes[event.head.key].take_out(event.head.id, row.terms)

    def _forget(self, event: Cluster, out: Outcome) -> None:
        head = event.head
        del self._events[head.id]
        self._raised.pop(head.id, None)
        out.drop_head(event)
        for item_id in event.members:
            self._release(event, item_id, out)
        index = self._indexes[head.key]
        index.drop(head.id)
        if not index:
            del self._indexes[head.key]

    def _release(self, event: Cluster, item_id: str, out: Outcome) -> None:
        """The item's rows go, and it may join an event again."""
        self._places.drop(item_id, event.home)
        out.drop_item(event, item_id)

    # ---------------------------------------------------------------- people, warm-up

    def _close(self, command: Close, out: Outcome) -> None:
        event = self._events.get(command.event_id)
        if event is None:
            out.late += 1
            return
        head = event.head
        if head.floor_at < command.at:
            self.now = max(self.now, command.at)
            evidence = msgspec.structs.replace(head.decision.evidence, at=self.now)
            self._decide(event, LevelDecision(0, head.level, Why.CLOSED, evidence, self.now), out,
                         closed_by=command.by, closed_reason=command.reason, floor_at=self.now,
                         muted=command.reason.startswith(FINAL_REASONS))
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
        self._seen, self._judged = None, self._judged if head.book == self._rules.hash else ""
        event = self._events[head.id]
        out.put_head(event)
        for row in record.rows:
            self._enlist(event, row, out)
        for counts in record.counts:
            if counts.item_id in event.members and event.grow(
                    counts, self._rules.resolution, self._rules.widest, counts.since) is not None:
                out.put_counts(event, counts.item_id)
        self._put_clock(out)

    def _adopt(self, head: EventHead) -> None:
        self._events[head.id] = Cluster(msgspec.structs.replace(head, joined=()))
        self._indexes.setdefault(head.key, Index()).add(head.id, ())        # all its members may have aged
        if head.level:
            self._raised[head.id] = None
        self._numbered = max(self._numbered, -(-head.number // self._partitions))
        self.now = max(self.now, head.changed_at)
        self._ageing.look_later(head.id)

    # ---------------------------------------------------------------- heads

    def _decide(self, event: Cluster, decision: LevelDecision, out: Outcome, seen: Millis = 0, **more: Any) -> None:
        head, number, ladder = event.head, event.head.number, ""
        if decision.level:
            self._raised[head.id] = None
            number, ladder = number or self._next_number(), self._rules.mark(head.subject)
        else:
            self._raised.pop(head.id, None)
        changes = event.deciding(decision, self.now, seen)
        self._touch(event, out, **{**changes, "number": number, "ladder": ladder, **more})

    def _next_number(self) -> int:
        self._numbered += 1
        return (self._numbered - 1) * self._partitions + self._partition + 1

    def _touch(self, event: Cluster, out: Outcome, **changes: Any) -> None:
        """A new version of the head."""
        event.head = msgspec.structs.replace(
            event.head, version=event.head.version + 1, changed_at=self.now, book=self._rules.hash, **changes)
        out.changed[event.head.id] = None

    def _emit(self, event: Cluster, joined: tuple[MemberRow, ...], out: Outcome) -> None:
        """Send the head, unless it is a lone item nobody needs to hear of; each version of a record once.

        Who filed a report sees where it went, however alone it is.
        """
        head = event.head
        if len(event.members) < 2 and not head.number and not event.reports:
            return
        if out.heads and out.heads[-1].id == head.id and out.heads[-1].version == head.version:
            out.heads.pop()
        founder = (event.founder,) if joined and event.founder not in (None, *joined) else ()
        out.heads.append(msgspec.structs.replace(head, joined=(*founder, *joined)))

    def _put_clock(self, out: Outcome) -> None:
        out.put_clock(self.now, self._numbered, self._ageing.at, self._judged)
