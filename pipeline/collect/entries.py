"""Entries as a document gave them -> items: plain text, masked, cut, with stable ids, oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec

from pipeline.collect import identity
from pipeline.collect.dates import HOUR, date_in, is_relative
from pipeline.collect.links import absolute, public_link
from pipeline.collect.privacy import mask
from pipeline.collect.sanitize import safe_html
from pipeline.collect.text import cut, one_line, tidy, to_text
from pipeline.model import Counts, Millis, RawBatch, RawItem

MAX_ENTRIES = 500
MAX_TITLE_BYTES = 4 * 1024
MAX_TEXT_BYTES = 200 * 1024
MAX_MARKUP = 1024 * 1024
"""Characters of one entry's markup that are read at all."""
HALF = 256
"""Bytes that the longest of what is masked takes: a home."""
TITLE_FROM_TEXT = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, unread: title and body are markup unless `plain`. There is no author here, and none is read.

    base: what links in the body are relative to, where that is neither the entry's link nor the document's address.
    """

    guid: str = ""
    link: str = ""
    title: str = ""
    body: str = ""
    date: str = ""
    plain: bool = False
    counts: Counts | None = None
    base: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a document is read. url: where it came from, for relative links. zone: of dates without one.

    by_link: the source's guids change from poll to poll, so links name its entries.
    """

    source_id: str
    url: str
    zone: ZoneInfo
    now: Millis
    backfill: bool = False
    by_link: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document read. items: oldest first, at most 500. skipped: entries without anything to read.

    ttl: how long the publisher asks to wait, in ms. kind: what the document is (`rss20`, `discourse` …).
    clamped, undated: entries dated in the future, and with a date that cannot be read. title: the document's own,
    masked. charset: the codec it was read with.
    """

    items: tuple[RawItem, ...]
    kind: str
    ttl: Millis | None = None
    skipped: int = 0
    clamped: int = 0
    undated: int = 0
    title: str = ""
    charset: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """The newest 500 entries as items, oldest first; the other members as in Parsed."""

    items: tuple[RawItem, ...]
    skipped: int = 0
    clamped: int = 0
    undated: int = 0


def build(entries: Sequence[Entry], how: Reading) -> Built:
    """Items of a document's entries. An item that stands there twice is taken once, in its newest version."""
    readable = [entry for entry in entries if entry.title.strip() or entry.body.strip() or entry.link.strip()]
    named = identity.names([identity.Marks(
        entry.guid.strip(), _absolute(entry.link, how.url), entry.title, entry.body) for entry in readable],
        by_link=how.by_link)
    stated = [date_in(entry.date, how.zone, how.now) if entry.date else None for entry in readable]
    # an entry without a date stands where the document has it among the newest: documents begin with the newest
    order = sorted(range(len(readable)), key=lambda at: (min(stated[at] or how.now, how.now + HOUR), -at))
    items: dict[str, RawItem] = {}
    for at in order[-MAX_ENTRIES:]:
        item = _item(readable[at], named[at], stated[at], how)
        if item is not None:
            items[item.id] = item
    return Built(
        tuple(items.values()), len(entries) - len(readable),
        clamped=sum(date is not None and date > how.now + HOUR for date in stated),
        undated=sum(date is None and bool(entry.date.strip()) for date, entry in zip(stated, readable, strict=True)))


def _absolute(link: str, base: str) -> str:
    try:
        return absolute(link.strip(), base)
    except ValueError:
        return link.strip()


def _item(entry: Entry, name: str, stated: Millis | None, how: Reading) -> RawItem | None:
    """name: what tells the entry from others, empty when only its title and date do. stated: its date, unclamped."""
    title, body = (_plain if entry.plain else _markup)(entry)
    url = public_link(entry.link, how.url)
    if not title and not body and not url:
        return None
    date = "" if is_relative(entry.date) else entry.date.strip()
    ident = identity.item_id(how.source_id, name, title=title or body, date=date)
    title, _ = masked_cut(title, MAX_TITLE_BYTES, torn=len(entry.title) > MAX_MARKUP)
    text, shortened = masked_cut(body, MAX_TEXT_BYTES, torn=len(entry.body) > MAX_MARKUP)
    title = one_line(title) or _title_from(text) or url
    return RawItem(
        id=ident, revision=identity.revision(title, text), source_id=how.source_id, title=title, text=text, url=url,
        first_seen_at=how.now, published_at=None if stated is None else min(stated, how.now + HOUR),
        backfill=how.backfill, truncated=shortened, counts=entry.counts,
        html="" if entry.plain else safe_html(
            entry.body[:MAX_MARKUP], entry.base or url or how.url, ("", "") if shortened else (body, text)))


def masked_cut(text: str, limit: int, *, torn: bool = False) -> tuple[str, bool]:
    """The text masked, of at most `limit` bytes, and whether something was cut off. torn: it broke off before.

    Masked before the last cut; where a cut came before that, the end goes, as it may be half a number that none knows.
    """
    text, early = cut(text, 2 * limit)
    text = mask(text)
    if early or torn:
        text, _ = cut(text, max(0, len(text.encode()) - HALF))
    text, late = cut(text, limit)
    return text, early or torn or late


def _markup(entry: Entry) -> tuple[str, str]:
    return one_line(to_text(entry.title[:MAX_MARKUP])), to_text(entry.body[:MAX_MARKUP])


def _plain(entry: Entry) -> tuple[str, str]:
    return one_line(tidy(entry.title[:MAX_MARKUP])), tidy(entry.body[:MAX_MARKUP])


def _title_from(text: str) -> str:
    """The beginning of a text whose entry has no title."""
    first = text.partition("\n")[0]
    return first if len(first) <= TITLE_FROM_TEXT else first[:TITLE_FROM_TEXT] + "…"


def batches(source_id: str, polled_at: Millis, items: Sequence[RawItem], *, max_items: int, max_bytes: int
            ) -> Iterator[RawBatch]:
    """The items in their order, as records of at most `max_items` items and `max_bytes` encoded bytes each."""
    room = max_bytes - 256 - 2 * len(source_id.encode())            # what stands around the items
    batch: list[RawItem] = []
    used = 0
    for item in items:
        item, size = _fitting(item, room)
        if batch and (len(batch) >= max_items or used + size > room):
            yield RawBatch(source_id=source_id, polled_at=polled_at, items=tuple(batch))
            batch, used = [], 0
        batch.append(item)
        used += size
    if batch:
        yield RawBatch(source_id=source_id, polled_at=polled_at, items=tuple(batch))


def _fitting(item: RawItem, room: int) -> tuple[RawItem, int]:
    """The item and its encoded size with a comma; too large, it loses its html, then the end of its text."""
    if item.html and len(msgspec.json.encode(item)) >= room:
        item = msgspec.structs.replace(item, html="")
    while (size := len(msgspec.json.encode(item)) + 1) > room and item.text:
        keep = min(len(item.text.encode()) * room // size, len(item.text.encode()) - 1024)
        item = msgspec.structs.replace(item, text=cut(item.text, max(0, keep))[0], truncated=True)
    return item, size
