"""An installation's day as records of every topic, for tests of what is made from topics again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, delete, insert, update

from agents.store import schema
from agents.store.scratch import Scratch
from pipeline import topics
from pipeline.model import Counts, CountsBatch, CountsRow, Verdict, VerdictKind
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON, book, raw_batch, raw_item, scored_batch, scored_item

MINUTE = 60_000


def day(count: int = 12) -> list[tuple[str, str, Any]]:
    """(topic, key, record) in the order they were written: every table of the archive has rows of it."""
    items = [raw_item(f"a{n}", counts=Counts(comments=n), first_seen_at=NOON + n * MINUTE) for n in range(count)]
    edited = [raw_item(f"a{n}", title="改过的标题", revision=f"r{n}b", first_seen_at=NOON + (n + 100) * MINUTE)
              for n in range(0, count, 3)]
    back = raw_item("a3", first_seen_at=NOON + 300 * MINUTE)                 # an edit taken back
    verdict = Verdict(id="v1", subject="polling", kind=VerdictKind.RELEVANT, by="duty", at=NOON, event_id="e1")
    grown = CountsBatch(source_id="xinwen", at=NOON + 1, items=(CountsRow("a1", NOON + 7, Counts(comments=9)),))
    raised = fakes.head(7, *(f"a{n}" for n in range(count)), decision=messages.decision(level=2, previous=1))
    return [
        (topics.RULES, "book", book()), (topics.COLLECTOR_STATE, "xinwen", fakes.source_state()),
        *((topics.ITEMS_RAW, "xinwen", raw_batch(item)) for item in (*items, *edited, back)),
        (topics.ITEMS_RAW, "xinwen", grown), (topics.ITEMS_SCORED, "polling", grown),
        *((topics.ITEMS_SCORED, "polling", scored_batch(scored_item(f"a{n}"))) for n in range(count)),
        (topics.EVENTS, "e1", fakes.head(6, "a0")), (topics.EVENTS, "e1", raised),
        (topics.EVENTS, "e1", verdict), (topics.EVENTS, "e1", fakes.statement()),
        (topics.EVENTS, "si1", fakes.silence()), (topics.ESCALATIONS, "e1", messages.page()),
        (topics.ESCALATIONS, "e1", fakes.alert()), (topics.ESCALATIONS, "e1", fakes.clocks(1, fakes.clock())),
        (topics.DELIVERIES, "e1", fakes.delivery()), (topics.DEAD_LETTERS, topics.ITEMS_RAW, fakes.dead()),
    ]


def read_into(scratch: Scratch, records: list[tuple[str, str, Any]]) -> None:
    scratch.take([fakes.Entry(record, NOON) for _, _, record in records], {("t", 0): len(records)})


ONLY_SQL = ("accounts", "sessions", "tokens", "audit", "outbox", "channel_state", "commands", "drills", "heartbeats")


def fill_own(store: Engine) -> None:
    """A row in every table that no topic says."""
    with store.begin() as connection:
        for name in ONLY_SQL:
            table = schema.metadata.tables[name]
            row = {column.name: _any(column) for column in table.c if column.name != "seq"}
            connection.execute(insert(table), row)


def _any(column: Any) -> Any:
    kind = column.type.python_type
    return {str: f"{column.name}"[:4], bool: False, float: 0.5}.get(kind, 17)


def spoil(store: Engine, name: str) -> None:
    """Half of a table's rows gone, and what the others say wrong."""
    table = schema.metadata.tables[name]
    rows = fakes.rows(store, name)
    key = list(table.primary_key)
    changed = WORDS[name]
    with store.begin() as connection:
        for place, row in enumerate(rows):
            which = [column == row[column.name] for column in key]
            if place % 2:
                connection.execute(delete(table).where(*which))
            elif changed:
                connection.execute(update(table).where(*which).values(changed))


WORDS: dict[str, dict[str, Any]] = {
    "items": {"title": "坏了", "source_id": "x"}, "revisions": {"title": "坏了"},
    "scored": {"detail": "坏了", "weight": 9.0},
    "events": {"head": "坏了", "level": 0, "title": ""}, "members": {"row": "坏了"}, "alerts": {"state": "坏了"},
    "clocks": {"state": "坏了", "open": False}, "silences": {"record": "坏了"}, "deliveries": {"channel": "坏了"},
    "sources": {"outcome": "坏了", "state": ""}, "books": {"book": "坏了"}, "timeline": {"detail": "坏了", "at": 5},
    "counts": {"comments": 77777}, "escalations": {"detail": "坏了", "event_id": "x"},
    "dead_letters": {"reason": "坏了"}, "verdicts": {"note": "坏了"}, "statements": {"title": "坏了", "by": "x"}}
"""What is written over a row: nothing that says which of two is newer."""
