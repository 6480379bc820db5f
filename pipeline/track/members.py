"""An item's row in an event: what it is, and how it is stored."""

from __future__ import annotations

from typing import Final
from zlib import crc32

import msgspec

from pipeline.ids import digest
from pipeline.model import MemberRow, Millis, Polarity, ScoredItem
from pipeline.rulebook.schema import EventRules

MUTE: Final = 1        # backfill, or too old at first sight: never raises a level
NEGATIVE: Final = 2
QUESTION: Final = 4
OFFICIAL: Final = 8    # the office's own words are no spread
FOUNDER: Final = 16    # the item that the event is named after
REPORT: Final = 32     # filed by a department or a clerk: people see where it went
URGENT: Final = 64     # and it asks for an answer at once
AFTER: Final = 128     # joined after a person had closed the event for good
JUDGED: Final = 256    # its sentiment could be told; of rows of before there was this, nothing is known

MAX_ORIGIN_BYTES = 28
"""Of a source's name in a member's row, so that the row keeps its 200 bytes; a longer one is counted by its hash."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(MemberRow)


class _Beginning(msgspec.Struct, array_like=True):
    item_id: str
    at: Millis


_BEGINNING = msgspec.msgpack.Decoder(_Beginning)


def encode_member(row: MemberRow) -> bytes:
    return _ENCODER.encode(row)


def when(row: bytes) -> Millis:
    """The event time of an encoded row: a fraction of the work of decoding it."""
    return _BEGINNING.decode(row).at


def decode_member(row: bytes) -> MemberRow:
    return _DECODER.decode(row)


def event_time(item: ScoredItem, rules: EventRules) -> Millis:
    """When the item happened: its date if that is near its first sight, else the first sight."""
    raw = item.item
    published = raw.published_at
    if published is None or not raw.first_seen_at - rules.join_within <= published <= raw.first_seen_at:
        return raw.first_seen_at
    return published


def member_row(item: ScoredItem, rules: EventRules, *, report: bool) -> MemberRow:
    """report: its source is a desk where people file reports."""
    raw, polarity = item.item, item.sentiment.polarity
    old = raw.published_at is not None and raw.first_seen_at - raw.published_at > rules.page_max_age
    flags = (
        (MUTE if raw.backfill or old else 0)
        | (NEGATIVE if polarity is Polarity.NEGATIVE else 0)
        | (JUDGED if polarity is not Polarity.UNSURE else 0)
        | (QUESTION if item.question else 0)
        | (OFFICIAL if item.official else 0)
        | (REPORT if report else 0)
        | (URGENT if report and raw.urgent else 0)
    )
    long = len(item.origin.encode()) > MAX_ORIGIN_BYTES
    return MemberRow(raw.id, event_time(item, rules), digest(item.origin) if long else item.origin, flags, item.terms,
                     tag_hash(item.group), tag_hash(item.region))


def tag_hash(name: str) -> int:
    """Of a source's group or region, 1 to 65535; 0 of an item whose source has none or is not known."""
    return crc32(name.encode()) % 0xFFFF + 1 if name else 0
