"""What every rule has. Lengths of time are milliseconds."""

from __future__ import annotations

import msgspec

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False):
    """Base of all rules: frozen, named fields, unknown ones of a newer version left alone."""
