"""What makes two entries the same item, and two items the same content.

An item id is stable over polls and edits; a revision changes with the content. What a source's document held is
remembered as packed 64-bit hashes of (id, revision).
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.ids import digest

HASH_BYTES = 8
REMEMBERED = 1000
"""Pairs kept per source beyond the current document: entries that vanish and come back are not news."""


def item_id(source_id: str, *, guid: str = "", link: str = "", title: str = "", date: str = "") -> str:
    """20 hex digits over the source and the entry's guid, or its link, or its title with its date as written."""
    return digest(source_id, guid or link or f"{title}\n{date}")


def revision(title: str, text: str) -> str:
    """16 hex digits of the content as it is stored."""
    return digest(title, text, size=8)


def seen_hash(item: str, content: str) -> bytes:
    """8 bytes for one (item id, revision)."""
    return bytes.fromhex(digest(item, content, size=HASH_BYTES))


def pack_seen(pairs: Iterable[tuple[str, str]]) -> bytes:
    """`SourceState.seen` for these (item id, revision) pairs, newest first."""
    return b"".join(dict.fromkeys(seen_hash(item, content) for item, content in pairs))


def unpack_seen(seen: bytes) -> tuple[bytes, ...]:
    """The hashes of `SourceState.seen`; a broken tail is ignored."""
    whole = len(seen) - len(seen) % HASH_BYTES
    return tuple(seen[at:at + HASH_BYTES] for at in range(0, whole, HASH_BYTES))


def remember(current: bytes, before: bytes) -> bytes:
    """The current document's hashes, then the latest of the earlier ones, as many as are remembered."""
    kept = dict.fromkeys((*unpack_seen(current), *unpack_seen(before)))
    room = max(REMEMBERED, len(current) // HASH_BYTES)
    return b"".join(list(kept)[:room])
