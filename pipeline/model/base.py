"""What every record has."""

from __future__ import annotations

from typing import Any

import msgspec

Millis = int
"""A point in time, milliseconds since 1970-01-01 UTC, or a length in milliseconds where the name says so."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything that is written to a topic."""
    extra: dict[str, Any] | None = None


class DeadLetter(Record, frozen=True):
    """A record or item that could not be handled, whole enough to be replayed. Topic dead.letters.

    value is cut at 64 KiB (then `truncated`); sha256 is of all of it.
    """

    id: str
    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    at: Millis
    key: bytes = b""
    value: bytes = b""
    type: str = ""
    truncated: bool = False
    sha256: str = ""
