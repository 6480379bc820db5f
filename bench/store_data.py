"""A store of thirty days, made: a million items in PostgreSQL by COPY, with rows that the desk can read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine

from agents.store.engine import without_limits
from agents.store.projection import _json
from bench.archive import NOON, WORDS, _item, _scored
from pipeline.model import EventStatus
from tests.agents import store_fakes as fakes
from tests.messages import head, page

DAY = 86_400_000
DAYS = 30
SOURCES, SUBJECTS = 500, 40
PER_EVENT = 25
"""Items of one event; half of all items are in one."""


class Made:
    """Rows of `items` items, table by table; the same ones each time."""

    def __init__(self, items: int) -> None:
        self.items, self.events = items, max(40, items // 2 // PER_EVENT)
        chance = random.Random(7)
        self._texts = ["".join(chance.choice(WORDS) for _ in range(80)) for _ in range(500)]
        self._scored = _json(_scored(chance, _item(chance, 0)))
        self._head = _json(head("EVENT", number=7, title="TITLE"))
        self._page = _json(page("PAGE", event_id="EVENT"))
        self._state = _json(fakes.alert(event_id="EVENT"))
        self._member = _json(fakes.member("ITEM"))

    def at(self, number: int) -> int:
        return NOON - DAYS * DAY + DAYS * DAY * number // self.items

    def tables(self) -> dict[str, tuple[str, Iterator[tuple[Any, ...]]]]:
        """Columns and rows of each table."""
        numbers, events = range(self.items), range(self.events)
        return {
            "items": ("id source_id revision title text url published_at first_seen_at seen_at backfill expired", (
                (f"i{n}", f"s{n * n % SOURCES}", "r1", self._text(n)[:24], self._text(n), f"http://x.example/{n}",
                 self.at(n), self.at(n), self.at(n), False, False) for n in numbers)),
            "scored": ("item_id subject revision origin weight polarity confidence question first_seen_at detail book "
                       "expired", ((f"i{n}", f"subject{n % SUBJECTS}", "r1", "x.example", 1.0, "neutral", 0.8, False,
                                    self.at(n), self._scored, "b" * 16, False) for n in numbers)),
            "counts": ("item_id at comments", ((f"i{n}", self.at(n) + 60_000, n % 90) for n in numbers[::2])),
            "revisions": ("item_id revision title text seen_at", (
                (f"i{n}", "r0", "t", self._text(n + 1), self.at(n)) for n in numbers[::20])),
            "events": ("id number subject status level level_name peak version title items sources opened_at "
                       "last_item_at changed_at head expired", map(self._event, events)),
            "members": ("event_id item_id at version row", (
                (f"e{n}", f"i{self._of(n) + m}", self.at(self._of(n) + m), 3, self._member)
                for n in events for m in range(PER_EVENT))),
            "timeline": ("event_id ref at kind detail", (
                (f"e{n}", f"r{m}", self.at(self._of(n)) + m, "comment", '{"text":"x","by":"li"}')
                for n in events for m in range(3))),
            "alerts": ("event_id event_version revision status state", (
                (f"e{n}", 3, 1, "ended" if n < self.events - 200 else "notified",
                 self._state.replace("EVENT", f"e{n}")) for n in events)),
            "escalations": ("id event_id kind at detail", (
                (f"p{n}-{m}", f"e{n}", "page", self.at(self._of(n)) + m,
                 self._page.replace("PAGE", f"p{n}-{m}").replace("EVENT", f"e{n}"))
                for n in events for m in range(2))),
            "deliveries": ("id escalation_id event_id person channel status attempts at decided_at error "
                           "suppressed_by", (
                (f"d{n}-{m}", f"p{n}-{m % 2}", f"e{n}", "duty-a", "console", "confirmed", 1,
                 self.at(self._of(n)) + m, self.at(self._of(n)), "", "") for n in events for m in range(4))),
            "outbox": ("id escalation person channel status attempts decided_at next_try_at lease_until error reported "
                       "confirmed_at escalation_id event_id", (
                           (f"d{n}-{m}", self._page, "duty-a", f"c{m}",
                            "confirmed" if n < self.events - 5 else "pending", 1, self.at(self._of(n)), 0, 0, "",
                            n < self.events - 5, self.at(self._of(n)) + 9, f"p{n}-{m % 2}", f"e{n}")
                           for n in events for m in range(4))),
            "audit": ("at account action object detail", (
                (self.at(n), "li", "read.event", f"e{n}", "") for n in numbers[::10])),
            "sources": ("id url polled_at next_poll_at outcome error failures succeeded_at backfilled", (
                (f"s{n}", f"http://s{n}.example/", NOON, NOON, "ok", "", 0, NOON, True) for n in range(SOURCES))),
        }

    def fill(self, engine: Engine) -> None:
        """Into an empty store on PostgreSQL, and its statistics."""
        with engine.begin() as connection:
            without_limits(connection)
            raw: Any = connection.connection.driver_connection
            for name, (columns, rows) in self.tables().items():
                with raw.cursor() as cursor, cursor.copy(
                        f"COPY {name} ({', '.join(columns.split())}) FROM STDIN") as into:
                    for row in rows:
                        into.write_row(row)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            without_limits(connection)
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM ANALYZE")

    def _text(self, number: int) -> str:
        return self._texts[number % len(self._texts)]

    def _of(self, event: int) -> int:
        """The number of an event's first item."""
        return event * (self.items - PER_EVENT) // self.events

    def _event(self, number: int) -> tuple[Any, ...]:
        is_open, at = number >= self.events - 200, self.at(self._of(number))
        status, level = (EventStatus.OPEN, 1 + number % 3) if is_open else (EventStatus.CLOSED, 0)
        return (f"e{number}", number + 1, f"subject{number % SUBJECTS}", str(status), level, "一般", 2, 3,
                self._texts[number % 500][:20], PER_EVENT, 4, at, at + 3_600_000, at + 3_600_000,
                self._head.replace("EVENT", f"e{number}").replace("TITLE", f"事件{number}"), False)
