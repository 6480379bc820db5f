"""What makes two entries the same item, and two items the same content.

An item id is stable over polls and edits; a revision changes with the content. What a source's document held is
remembered as packed 64-bit hashes, two for each entry: of (id, revision), and of its content whatever its id is. By the
second, an entry whose guid is another one at each poll is known again, and its source is named by links from then on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.collect.links import canonical
from pipeline.ids import digest
from pipeline.model import Millis, RawItem

HASH_BYTES = 8
REMEMBERED = 500
"""Entries remembered per source beyond those of the current document: one that vanishes and comes back is not news."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What an entry may be told by, as its document has it; link is absolute. title and body tell twins from others."""

    guid: str
    link: str
    title: str
    body: str = ""


def names(entries: Sequence[Marks], *, by_link: bool = False) -> list[str]:
    """For each entry of a document the guid or link that names it, in one spelling; empty where neither does.

    by_link: the guids of this source are not to be trusted. A guid or link that other entries have too names nothing.
    """
    spelled = {value: canonical(value) for each in entries for value in (each.guid, each.link)}
    guids = _told([each.guid for each in entries], spelled, entries, [each.link or each.title for each in entries])
    links = _told([each.link for each in entries], spelled, entries, [each.title for each in entries])
    return [link if by_link else guid or link for guid, link in zip(guids, links, strict=True)]


def _told(
    values: Sequence[str], spelled: Mapping[str, str], entries: Sequence[Marks], others: Sequence[str]
) -> list[str]:
    """The values in one spelling; a stricter one for different values of different entries that would fall together;
    nothing for a value whose entries differ in `others`."""
    written, shared = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for value, other in zip(values, others, strict=True):
        written[spelled[value]].add(value)
        shared[value].add(other)
    contents = defaultdict[str, set[tuple[str, str]]](set)
    for value, each in zip(values, entries, strict=True):
        if len(written[spelled[value]]) > 1:            # seldom: only there is it asked whether they are twins
            contents[spelled[value]].add((each.title, each.body))
    found = []
    for value in values:
        apart = len(contents[spelled[value]]) > 1
        found.append("" if len(shared[value]) > 1 else canonical(value, loose=False) if apart else spelled[value])
    return found


def item_id(source_id: str, name: str, *, title: str = "", date: str = "") -> str:
    """20 hex digits over the source and the entry's name, or without one its title (its text, if it has none) with its
    date as written."""
    return digest(source_id, name or f"{title}\n{date}")


def revision(title: str, text: str) -> str:
    """16 hex digits of the content as it is stored."""
    return digest(title, text, size=8)


# ---------------------------------------------------------------- what was seen


@dataclass(frozen=True, slots=True)
class Sifted:
    """fresh: items that were not seen before, in their order. seen: what to remember. by_link: see SourceState."""

    fresh: tuple[RawItem, ...]
    seen: bytes
    by_link: bool


def sift(items: Sequence[RawItem], seen: bytes, by_link: bool = False) -> Sifted:
    """The new ones among a document's items (oldest first). seen: as remembered of the source.

    Known content under another id is not new, unless the entry that had it stands beside it with another date: a
    warning in the same words as the last one. Where a document has more of that than entries known by their ids, its
    guids change from poll to poll.
    """
    known = frozenset(unpack_seen(seen))
    old = [seen_hash(item.id, item.revision) in known for item in items]
    dates: defaultdict[bytes, set[Millis | None]] = defaultdict(set)
    for item, was_seen in zip(items, old, strict=True):
        if was_seen:
            dates[content_hash(item.url, item.revision)].add(item.published_at)
    fresh: list[RawItem] = []
    same = sum(old)
    renamed = 0
    for item, was_seen in zip(items, old, strict=True):
        content = content_hash(item.url, item.revision)
        if was_seen:
            continue
        if content not in known or dates.get(content, {item.published_at}).isdisjoint({item.published_at, None}):
            fresh.append(item)
        else:
            renamed += 1
    current = pack_seen((item.id, item.revision, item.url) for item in reversed(items))
    return Sifted(tuple(fresh), remember(current, seen), by_link or renamed > same)


def seen_hash(item: str, content: str) -> bytes:
    """8 bytes for one (item id, revision)."""
    return bytes.fromhex(digest(item, content, size=HASH_BYTES))


def content_hash(url: str, content: str) -> bytes:
    """8 bytes for one revision at its link, whatever the entry's id is."""
    return bytes.fromhex(digest("content", canonical(url), content, size=HASH_BYTES))


def pack_seen(entries: Iterable[tuple[str, str, str]]) -> bytes:
    """`SourceState.seen` for these (item id, revision, link), newest first."""
    return b"".join(dict.fromkeys(
        each for item, content, url in entries for each in (seen_hash(item, content), content_hash(url, content))))


def unpack_seen(seen: bytes) -> tuple[bytes, ...]:
    """The hashes of `SourceState.seen`; a broken tail is ignored."""
    whole = len(seen) - len(seen) % HASH_BYTES
    return tuple(seen[at:at + HASH_BYTES] for at in range(0, whole, HASH_BYTES))


def remember(current: bytes, before: bytes) -> bytes:
    """The current document's hashes, then the latest of the earlier ones, as many as are remembered."""
    kept = dict.fromkeys((*unpack_seen(current), *unpack_seen(before)))
    return b"".join(list(kept)[:len(current) // HASH_BYTES + 2 * REMEMBERED])
