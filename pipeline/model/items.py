"""Items, the state of their sources, and items as a subject sees them."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from pipeline.model.base import Millis, Record

OPEN_SUBJECT = "*"
"""The subject of items that match no watch subject: emerging topics come from there."""

SHADOW = "~"
"""Before a subject's id: the subject as a shadow rule sees it. What it decides is recorded and shown, never sent."""

DRILL = "!"
"""Before a subject's id: the subject as a drill's items match it. They meet no other items; figures leave them out."""


class DrillMark(msgspec.Struct, frozen=True):
    """Of an item that a drill made up: the run, and the source that it plays."""
    run: str
    source_name: str
    origin: str
    group: str = "其他"
    region: str = ""
    official: bool = False


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """What a feed says people did with an entry, each a total; None where the feed does not say.

    comments: comments and replies. forwards: forwards, shares, re-posts.
    """
    comments: int | None = None
    forwards: int | None = None
    likes: int | None = None
    views: int | None = None


class RawItem(Record, frozen=True):
    """One entry of a public feed, or a report of a department or clerk (`intake`), masked, without its author.

    id: 20 hex digits, stable over polls and edits. revision: 16 hex digits of the content.
    html: the entry's markup by a strict allow-list, where it says more than paragraphs do; never trusted as such.
    counts: as first seen, or at this edit; counts_since: as in CountsBatch, of an edit.
    ref: the number of a report's ticket. urgent: the reporter asks for an answer at once. drill: of a drill's item.
    """

    id: str
    revision: str
    source_id: str
    title: str
    text: str
    url: str
    first_seen_at: Millis
    published_at: Millis | None = None
    backfill: bool = False
    truncated: bool = False
    html: str = ""
    counts: Counts | None = None
    ref: str = ""
    urgent: bool = False
    counts_since: Millis | None = None
    drill: DrillMark | None = None


class CountsRow(msgspec.Struct, frozen=True, array_like=True):
    """The counts of an item at a time. since: of rows in a WarmEvent, what their CountsBatch said."""
    item_id: str
    at: Millis
    counts: Counts
    since: Millis | None = None


class CountsBatch(Record, frozen=True):
    """Counts that changed since the last poll of a source, at most 500. Topic items.raw, key source_id.

    It names no subject: the scorer sends it on to every partition of items.scored, whose tracker takes what it holds.
    since: when the document was last read, where that is long ago: what grew came at any time from then on.
    """
    source_id: str
    at: Millis
    items: tuple[CountsRow, ...]
    since: Millis | None = None


class RawBatch(Record, frozen=True):
    """What one poll of one source brought: at most 64 items and 256 KiB, oldest first.

    Topic items.raw, key source_id.
    """

    source_id: str
    polled_at: Millis
    items: tuple[RawItem, ...]


class PollRequest(Record, frozen=True):
    """A person wants a source polled now. Topic polls, key source_id, partition by the source's host."""
    id: str
    source_id: str
    by: str
    at: Millis


class SourceState(Record, frozen=True):
    """What the collector remembers of a source. Topic collector.state (compacted), key source_id, partition by host.

    seen: packed 64-bit hashes of the document's current entries, base64 on the wire (collect/identity.py).
    kind: what the document is (`rss20`, `discourse` …). failed_since: the first failure of the present series.
    arrivals: when polls brought new items, oldest first, at most 16: the source's rhythm.
    pause: the longest gap between arrivals lately, ms (schedule.longest_pause); missing: 404s in a row.
    moved_to: where it answers 301 or 308 to; moves: how often it said so in a row. etag_url: whose answer gave the
    validators, where it is not `url`. by_link: its guids change from poll to poll, so links name its entries.
    """

    source_id: str
    url: str
    polled_at: Millis
    next_poll_at: Millis
    etag: str = ""
    last_modified: str = ""
    seen: bytes = b""
    backfilled: bool = False
    failures: int = 0
    outcome: str = ""
    error: str = ""
    succeeded_at: Millis | None = None
    new_item_at: Millis | None = None
    unconditional_at: Millis | None = None
    kind: str = ""
    failed_since: Millis | None = None
    arrivals: tuple[Millis, ...] = ()
    pause: Millis = 0
    missing: int = 0
    moved_to: str = ""
    moves: int = 0
    etag_url: str = ""
    by_link: bool = False


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Why an item matched: a rule's term at [start, end) of the original `title` or `text`, in characters."""
    rule: str
    term: str
    field: str
    start: int
    end: int


class Polarity(StrEnum):
    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"
    UNSURE = "unsure"


class Sentiment(msgspec.Struct, frozen=True):
    """polarity with a confidence in 0..1; `unsure` when the confidence is too low to say."""
    polarity: Polarity
    confidence: float


class ScoredItem(Record, frozen=True):
    """An item seen as one subject.

    origin: who publishes it (two feeds of one site share one origin); sources are counted by it. group, region: of its
    source. terms: up to 16 (32-bit term hash, weight 1..255), heaviest first: what similarity is computed from.
    """

    item: RawItem
    origin: str
    source_name: str = ""
    group: str = ""
    region: str = ""
    official: bool = False
    weight: float = 0.0
    spans: tuple[Span, ...] = ()
    sentiment: Sentiment = Sentiment(Polarity.UNSURE, 0.0)
    question: bool = False
    terms: tuple[tuple[int, int], ...] = ()


class ScoredBatch(Record, frozen=True):
    """The part of a raw batch that belongs to one subject. Topic items.scored, key `subject_key`."""
    subject: str
    book: str
    items: tuple[ScoredItem, ...]
