"""One event in memory: its head, its members' figures and what similarity needs. All of it is rebuilt from rows."""

from __future__ import annotations

from typing import Final

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
    Polarity,
    ScoredItem,
    Why,
)
from pipeline.rulebook.schema import EventRules
from pipeline.track.growth import begun, decode_series, encode_series, extended
from pipeline.track.level import Signs

MUTE: Final = 1        # backfill, or too old at first sight: never raises a level
NEGATIVE: Final = 2
QUESTION: Final = 4
OFFICIAL: Final = 8    # the office's own words are no spread
FOUNDER: Final = 16    # the item that the event is named after
REPORT: Final = 32     # filed by a department or a clerk: people see where it went
URGENT: Final = 64     # and it asks for an answer at once
AFTER: Final = 128     # joined after a person had closed the event for good

MAX_VOICES = 16
MAX_ORIGIN_BYTES = 32
"""Of a source's name in a member's row, so that the row keeps its 200 bytes; a longer one is counted by its hash."""
MAX_EXCERPTS = 3
MAX_STATEMENTS = 5
EXCERPT_CHARACTERS = 80

_NO_SERIES: dict[str, bytes] = {}
"""Of all events whose feeds give no counts: never written to."""

_ENCODER = msgspec.msgpack.Encoder()
_MEMBER = msgspec.msgpack.Decoder(MemberRow)
_HEAD = msgspec.msgpack.Decoder(EventHead)


def encode_row(value: MemberRow | EventHead) -> bytes:
    return _ENCODER.encode(value)


def decode_member(row: bytes) -> MemberRow:
    return _MEMBER.decode(row)


def decode_head(row: bytes) -> EventHead:
    return _HEAD.decode(row)


def event_time(item: ScoredItem, rules: EventRules) -> Millis:
    """When the item happened: its date if that is near its first sight, else the first sight."""
    raw = item.item
    published = raw.published_at
    if published is None or not raw.first_seen_at - rules.join_within <= published <= raw.first_seen_at:
        return raw.first_seen_at
    return published


def member_row(item: ScoredItem, rules: EventRules, *, report: bool) -> MemberRow:
    """report: its source is a desk where people file reports."""
    raw = item.item
    old = raw.published_at is not None and raw.first_seen_at - raw.published_at > rules.page_max_age
    flags = (
        (MUTE if raw.backfill or old else 0)
        | (NEGATIVE if item.sentiment.polarity is Polarity.NEGATIVE else 0)
        | (QUESTION if item.question else 0)
        | (OFFICIAL if item.official else 0)
        | (REPORT if report else 0)
        | (URGENT if report and raw.urgent else 0)
    )
    long = len(item.origin.encode()) > MAX_ORIGIN_BYTES
    return MemberRow(raw.id, event_time(item, rules), digest(item.origin) if long else item.origin, flags, item.terms)


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

    __slots__ = ("head", "home", "signs", "members", "series", "founder", "voices", "reports")

    def __init__(self, head: EventHead) -> None:
        self.head = head
        self.home = ((head.key, head.id),)
        self.signs = Signs()
        self.members: dict[str, bytes] = {}
        self.series = _NO_SERIES
        self.reports = 0
        self.founder: MemberRow | None = None
        self.voices = 0

    def add(self, row: MemberRow) -> MemberRow:
        """Count a member; returns its row as it is kept."""
        if row.terms and self.voices >= MAX_VOICES:
            row = msgspec.structs.replace(row, terms=())
        self.voices += bool(row.terms)
        self.members[row.item_id] = encode_row(row)
        if not row.flags & (MUTE | OFFICIAL):
            self.signs.heat.add(row.at, row.origin)
        if row.flags & REPORT:
            self.reports += 1
            if row.flags & URGENT and not row.flags & MUTE:
                self.signs.add_report(row.at)
        if row.flags & FOUNDER:
            self.founder = row
        return row

    def make_urgent(self, row: MemberRow) -> MemberRow:
        """A report that was filed already now asks for an answer at once; returns its row as it is kept."""
        row = msgspec.structs.replace(row, flags=row.flags | URGENT)
        self.members[row.item_id] = encode_row(row)
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
        old = [row for row in map(decode_member, self.members.values()) if row.at < horizon]
        for row in old:
            self._drop(row)
        return old

    def _drop(self, row: MemberRow) -> None:
        del self.members[row.item_id]
        if self.founder == row:
            self.founder = None
        self.voices -= bool(row.terms)
        series = self.series.pop(row.item_id, None)
        if not row.flags & (MUTE | OFFICIAL):
            self.signs.heat.remove(row.at, row.origin)
            if series is not None:
                self.signs.grow(decode_series(series), None, row.origin)
        if row.flags & REPORT:
            self.reports -= 1
            if row.flags & URGENT and not row.flags & MUTE:
                self.signs.drop_report(row.at)

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


def founded(event_id: str, key: str, subject: str, item: ScoredItem, row: MemberRow, now: Millis, book: str) -> Cluster:
    """A new event of one item, which the caller still has to add."""
    none = LevelDecision(0, 0, Why.BELOW, Evidence(0, 0, 0, now), now)
    return Cluster(EventHead(
        id=event_id, subject=subject, key=key, version=0, status=EventStatus.WATCHING, level=0, level_name="", peak=0,
        decision=none, book=book, title=item.item.title[:EXCERPT_CHARACTERS] or item.item.text[:EXCERPT_CHARACTERS],
        first_item_at=row.at, last_item_at=row.at, opened_at=now, changed_at=now, level_since=now))
