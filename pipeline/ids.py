"""Stable ids: hashes of values, never of a clock or of chance."""

from __future__ import annotations

import hashlib


def digest(*parts: str | int, size: int = 10) -> str:
    """Hex of `size` bytes over the parts, in order and told apart (("ab", "c") differs from ("a", "bc"))."""
    joined = "\x1f".join(str(part) for part in parts)
    return hashlib.blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
