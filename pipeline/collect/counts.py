"""Which counts of a source's entries changed since they were last told. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.model import Counts, CountsRow, Millis, RawItem
from pipeline.rulebook.schema import MINUTE

MAX_ROWS = 500
VIEWS_SHARE, VIEWS_STEP = 0.1, 100
"""Views change with every look: they are told when they grew by a tenth or by a hundred."""

UNREAD = 10 * MINUTE
"""A document read longer ago than this may have gained its counts at any time since."""


def unread_since(read_at: Millis | None, now: Millis) -> Millis | None:
    """CountsBatch.since. read_at: the last good answer, a 304 too; None where there was none."""
    return read_at if read_at is not None and now - read_at > UNREAD else None


def changed(
    items: Iterable[RawItem], told: Mapping[str, Counts], fresh: frozenset[str], now: Millis
) -> tuple[tuple[CountsRow, ...], dict[str, Counts]]:
    """What to tell, at most 500 rows, and what is told then, of this document's entries only.

    told: by item id. fresh: items that are sent themselves, with their counts.
    """
    rows: list[CountsRow] = []
    after: dict[str, Counts] = {}
    for item in items:
        if item.counts is None:
            continue
        before = told.get(item.id)
        if item.id in fresh or before == item.counts:
            after[item.id] = item.counts
        elif not _worth_telling(before, item.counts):
            after[item.id] = before or item.counts
        elif len(rows) < MAX_ROWS:
            rows.append(CountsRow(item.id, now, item.counts))
            after[item.id] = item.counts
        elif before is not None:                        # its turn comes with the next poll
            after[item.id] = before
    return tuple(rows), after


def _worth_telling(before: Counts | None, after: Counts) -> bool:
    if before is None:
        return True
    if (before.comments, before.forwards, before.likes) != (after.comments, after.forwards, after.likes):
        return True
    if before.views is None or after.views is None:
        return before.views != after.views
    grown = after.views - before.views
    return grown >= VIEWS_STEP or grown >= max(1, VIEWS_SHARE * before.views)
