"""Points in time as text."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.model import Millis


def rfc3339(at: Millis) -> str:
    """2026-11-22T01:02:03.004Z"""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
