"""Events that another rule book may judge differently: those not ended, with the rows that they are judged by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import msgspec
from sqlalchemy import Connection, select

from agents.store import schema, warm
from agents.store.item_reads import counts_since
from agents.store.upsert import chunks
from pipeline.model import CountsRow, EventHead, MemberRow, Millis, WarmEvent
from pipeline.rulebook.schema import Levels
from pipeline.track.rejudge import concerns

_ROW: msgspec.json.Decoder[MemberRow] = msgspec.json.Decoder(MemberRow)


def open_events(
    connection: Connection, now: Millis, levels: Levels, worth: Callable[[EventHead], bool] = lambda head: True,
) -> Iterator[WarmEvent]:
    """Open events, and watched ones and those that only rules ended, which may become some; highest level first. What
    runs in shadow or in a drill is left out, and whatever is not worth reading its rows for."""
    since = now - max([levels.events.join_within, *(each.reach for each in levels.thresholds())])
    heads = [head for head in warm.events(connection, now, levels.events)
             if concerns(head) and not (head.shadow or head.drill) and worth(head)]
    for some in chunks(heads):
        yield from _whole(connection, some, since)


def _whole(connection: Connection, heads: Sequence[EventHead], since: Millis) -> Iterator[WarmEvent]:
    """With rows and counts, read for all of them together."""
    table = schema.members.c
    rows: defaultdict[str, list[MemberRow]] = defaultdict(list)
    found = connection.execute(
        select(table.event_id, table.row).where(table.event_id.in_([head.id for head in heads]), table.at >= since)
        .order_by(table.at.desc(), table.item_id))
    for event_id, row in found:
        rows[event_id].append(_ROW.decode(row))
    counts: defaultdict[str, list[CountsRow]] = defaultdict(list)
    for count in counts_since(connection, sorted({row.item_id for own in rows.values() for row in own}), since):
        counts[count.item_id].append(count)
    for head in heads:
        own = rows[head.id]
        grown = sorted((each for row in own for each in counts[row.item_id]), key=lambda each: (each.at, each.item_id))
        yield WarmEvent(head=head, rows=tuple(own), counts=tuple(grown))
