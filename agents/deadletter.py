"""Records that cannot be handled, set aside whole enough to be replayed. The id is that of the record's place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum

from pipeline.ids import digest
from pipeline.model import DeadLetter, Millis

MAX_VALUE_BYTES = 64 * 1024
MAX_ERROR_CHARACTERS = 500

Headers = Iterable[tuple[str, bytes]] | Mapping[str, bytes] | None


class Reason(StrEnum):
    """Why a record is set aside: a metric's label, so few and fixed."""

    UNDECODABLE = "undecodable"      # bytes that are no record of ours
    FAILED = "failed"                # handling it raised an error
    TIMEOUT = "timeout"              # handling it took longer than 30 s
    REFUSED = "refused"              # a well-formed record that this reader must not take


def dead_letter(
    topic: str, partition: int, offset: int, *, key: bytes | None, value: bytes | None, headers: Headers,
    reason: Reason | str, error: str, at: Millis, part: str = "",
) -> DeadLetter:
    """A dead letter from raw bytes. `part` tells letters of one record apart (the id of one item of a batch)."""
    raw = value or b""
    kind = (dict(headers or ()).get("ce_type") or b"").decode("utf-8", "replace")   # Kafka's headers may be null
    return DeadLetter(
        id=digest(topic, partition, offset, part), topic=topic, partition=partition, offset=offset, reason=str(reason),
        error=error[:MAX_ERROR_CHARACTERS], at=at, key=key or b"", value=raw[:MAX_VALUE_BYTES],
        type=kind[:64], truncated=len(raw) > MAX_VALUE_BYTES, sha256=hashlib.sha256(raw).hexdigest())


def describe(error: BaseException) -> str:
    """An error in one line, its type first."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
