"""One event in memory: its head, its members' figures and what similarity needs. All of it is rebuilt from rows."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.ids import digest
from pipeline.model import (
    CountsRow,
    EventHead,
    EventStatus,
    Evidence,
    Excerpt,
    LevelDecision,
    MemberRow,
    Millis,
    ScoredItem,
    Why,
)
from pipeline.rulebook.schema import EventRules
from pipeline.track.growth import begun, decode_series, encode_series, extended
from pipeline.track.members import (
    AFTER,
    FOUNDER,
    MUTE,
    NEGATIVE,
    OFFICIAL,
    QUESTION,
    REPORT,
    URGENT,
    decode_member,
    encode_member,
    when,
)
from pipeline.track.signs import Signs

MAX_VOICES = 16
MAX_EXCERPTS = 3
MAX_STATEMENTS = 5
EXCERPT_CHARACTERS = 80

_NO_SERIES: dict[str, bytes] = {}
"""Of all events whose feeds give no counts: never written to."""

_HEAD = msgspec.msgpack.Decoder(EventHead)


def encode_head(head: EventHead) -> bytes:
    return msgspec.msgpack.encode(head)


def decode_head(row: bytes) -> EventHead:
    return _HEAD.decode(row)


def founding(item: ScoredItem, key: str, row: MemberRow) -> tuple[str, MemberRow]:
    """Id of the event that this item founds, and its row there. The same whenever the item is collected again.

    Of a dated item first seen, or edited, long after its date, the time of that is part of the id: it may have founded
    an event before that is forgotten, and receivers would take the new one's versions for ones they have.
    """
    late = item.item.published_at not in (None, row.at)
    ident = digest("event", key, row.item_id, *((row.at,) if late else ()))
    return ident, msgspec.structs.replace(row, flags=row.flags | FOUNDER)


def joining(head: EventHead, row: MemberRow) -> MemberRow:
    """The row of an item that joins this event."""
    return msgspec.structs.replace(row, flags=row.flags | AFTER) if head.muted else row


def excerpt(item: ScoredItem, at: Millis) -> Excerpt:
    raw = item.item
    return Excerpt(raw.id, raw.title[:EXCERPT_CHARACTERS], raw.text[:EXCERPT_CHARACTERS], item.source_name, raw.url, at,
                   tuple(span for span in item.spans if span.end <= EXCERPT_CHARACTERS), item.official)


class Cluster:
    """An event and its members. `head` is replaced, never changed; its totals are of all members there ever were.

    members: item id -> encoded row, of those not yet aged; signs and likeness are sums over exactly these.
    series: item id -> encoded counts, of members whose feed gives any. reports: how many members people filed.
    founder: the first member, announced with every change, so that a lost emission cannot lose it.
    voices: members whose terms say what the event is about. They are few, so that an item costs the same however
    large the event it joins.
    """

    __slots__ = ("head", "home", "signs", "members", "series", "founder", "voices", "reports", "_oldest")

    def __init__(self, head: EventHead) -> None:
        self.head = head
        self.home = ((head.key, head.id),)
        self.members: dict[str, bytes] = {}
        self.signs = Signs(self.members)
        self.series = _NO_SERIES
        self.reports = 0
        self.founder: MemberRow | None = None
        self.voices = 0
        self._oldest: Millis | None = None              # no member is older

    def add(self, row: MemberRow) -> MemberRow:
        """Count a member; returns its row as it is kept."""
        if row.terms and self.voices >= MAX_VOICES:
            row = msgspec.structs.replace(row, terms=())
        self.voices += bool(row.terms)
        self.members[row.item_id] = encode_member(row)
        if self._oldest is None or row.at < self._oldest:
            self._oldest = row.at
        self.signs.add(row)
        self.reports += bool(row.flags & REPORT)
        if row.flags & FOUNDER:
            self.founder = row
        return row

    def make_urgent(self, row: MemberRow) -> MemberRow:
        """A report that was filed already now asks for an answer at once; returns its row as it is kept."""
        row = msgspec.structs.replace(row, flags=row.flags | URGENT)
        self.members[row.item_id] = encode_member(row)
        self.signs.add_report(row.at)
        if row.flags & FOUNDER:
            self.founder = row
        return row

    def grow(
        self, row: CountsRow, resolution: Millis, reach: Millis, since: Millis | None = None
    ) -> int | None:
        """Take a member's counts; by how much they grew, 0 at first sight, None if they say nothing new.

        since: as in CountsBatch.
        """
        known = self.series.get(row.item_id)
        if known is None:
            series = begun(row.counts, row.at)
            if series is None:
                return None
            self._keep(row.item_id, encode_series(series))
            return 0
        before = decode_series(known)
        after = extended(before, row.counts, row.at, resolution, reach, since)
        if after is None:
            return None
        self._keep(row.item_id, encode_series(after))
        member = decode_member(self.members[row.item_id])
        if not member.flags & (MUTE | OFFICIAL):
            self.signs.grow(before, after, member.origin)
        return after.total - before.total

    def load_series(self, item_id: str, encoded: bytes) -> None:
        """A member's series as its row had it."""
        self._keep(item_id, encoded)
        member = decode_member(self.members[item_id])
        if not member.flags & (MUTE | OFFICIAL):
            self.signs.grow(None, decode_series(encoded), member.origin)

    def _keep(self, item_id: str, encoded: bytes) -> None:
        if self.series is _NO_SERIES:
            self.series = {}
        self.series[item_id] = encoded

    def drop_before(self, horizon: Millis) -> list[MemberRow]:
        """Forget members that aged; returns them."""
        if self._oldest is None or self._oldest >= horizon:
            return []
        times = [(when(row), row) for row in self.members.values()]
        self._oldest = min((at for at, _ in times if at >= horizon), default=None)
        old = [decode_member(row) for at, row in times if at < horizon]
        for row in old:
            self._drop(row)
        return old

    def _drop(self, row: MemberRow) -> None:
        del self.members[row.item_id]
        if self.founder == row:
            self.founder = None
        self.voices -= bool(row.terms)
        series = self.series.pop(row.item_id, None)
        self.signs.remove(row)
        if series is not None and not row.flags & (MUTE | OFFICIAL):
            self.signs.grow(decode_series(series), None, row.origin)
        self.reports -= bool(row.flags & REPORT)

    def counting(self, row: MemberRow, item: ScoredItem) -> dict[str, Any]:
        """What becomes of the head with this new member: its figures, and whose affair it is."""
        head = self.head
        return {
            **_tags(head, item), **_first_heard(head, item), **self.asked(row, item.item.first_seen_at),
            "items": head.items + 1, "sources": max(head.sources, self.signs.heat.total().sources),
            "negative": head.negative + bool(row.flags & NEGATIVE),
            "questions": head.questions + bool(row.flags & QUESTION),
            "first_item_at": min(head.first_item_at, row.at), "last_item_at": max(head.last_item_at, row.at)}

    def asked(self, row: MemberRow, at: Millis) -> dict[str, Any]:
        """When somebody first asked for an answer at once, if this member does."""
        if not row.flags & URGENT or row.flags & MUTE:
            return {}
        known = self.head.urgent_at
        return {"urgent_at": at if known is None else min(known, at)}

    def deciding(self, decision: LevelDecision, now: Millis, seen: Millis = 0) -> dict[str, Any]:
        """What becomes of the head by this decision; its number apart. seen: first sight of what raised it."""
        head, rising = self.head, decision.level > decision.previous
        if decision.why is Why.CLOSED:
            status = EventStatus.CLOSED
        else:
            status = EventStatus.OPEN if decision.level else EventStatus.CALM
        again = {"closed_by": "", "closed_reason": "", "seen_at": seen} if rising else {}
        return {
            "decision": decision, "level": decision.level, "level_name": decision.name, "status": status,
            "peak": max(head.peak, decision.level), "raises": head.raises + rising, "level_since": now,
            "below_since": None, **again}

    def past_at(self, rules: EventRules) -> Millis:
        """When it may be forgotten if it has no level."""
        head = self.head
        wait = rules.join_within if head.status is EventStatus.WATCHING else rules.calm_after
        return max(head.last_item_at, head.changed_at) + wait

    def near(self, at: Millis, within: Millis) -> bool:
        """Whether an item at this event time may belong here."""
        return self.head.first_item_at - within <= at <= self.head.last_item_at + within

    def quote(self, item: ScoredItem, at: Millis) -> None:
        """Keep the item as an excerpt while there is room: one per source name; official ones are statements."""
        head, quoted = self.head, excerpt(item, at)
        if item.official:
            if len(head.statements) < MAX_STATEMENTS:
                self.head = msgspec.structs.replace(head, statements=(*head.statements, quoted))
        elif len(head.excerpts) < MAX_EXCERPTS and all(e.source_name != quoted.source_name for e in head.excerpts):
            self.head = msgspec.structs.replace(head, excerpts=(*head.excerpts, quoted))


def _tags(head: EventHead, item: ScoredItem) -> dict[str, Any]:
    """Groups and regions of the event's sources, as they were called when their items came."""
    of = (("groups", head.groups, item.group), ("regions", head.regions, item.region))
    return {name: tuple(sorted({*known, tag})) for name, known, tag in of if tag and tag not in known}


def _first_heard(head: EventHead, item: ScoredItem) -> dict[str, Any]:
    """Of an event that had nothing but what the office itself published: it begins, and is called, by what others say.
    An announcement of the morning would else be late with its answer to a rumour of the evening."""
    if not head.statements or [one.item_id for one in head.excerpts] != [item.item.id]:
        return {}
    return {"title": _title(item), "opened_at": max(head.opened_at, item.item.first_seen_at)}


def _title(item: ScoredItem) -> str:
    return item.item.title[:EXCERPT_CHARACTERS] or item.item.text[:EXCERPT_CHARACTERS]


def founded(event_id: str, key: str, subject: str, item: ScoredItem, row: MemberRow, now: Millis, book: str) -> Cluster:
    """A new event of one item, which the caller still has to add."""
    none = LevelDecision(0, 0, Why.BELOW, Evidence(0, 0, 0, now), now)
    return Cluster(EventHead(
        id=event_id, subject=subject, key=key, version=0, status=EventStatus.WATCHING, level=0, level_name="", peak=0,
        decision=none, book=book, title=_title(item),
        first_item_at=row.at, last_item_at=row.at, opened_at=now, changed_at=now, level_since=now))
