"""The archive's rows made again: what was read from the topics (scratch.py) is laid over the store, row by row.

A row that the topics have is as the topics say; one they do not have stays, for it is older than they are or never came
from them. Of two states of one thing the newer stays, as in the archive itself. What retention has emptied stays empty.
Repeated or broken off, it leaves the same rows; rows that are right are not written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, func, select, tuple_, update
from sqlalchemy.exc import DataError, IntegrityError

from agents.store import expiry, schema
from agents.store.projection import NEWEST
from agents.store.upsert import Row, chunks, insert_new, keep_greatest, replace
from pipeline.model import Millis
from pipeline.rulebook.schema import DAY, HOUR

CHUNK = 500
"""Rows of one transaction: desk and deliver write in between."""
OURS = ("revisions", "items", "scored", "events", "members", "alerts", "clocks", "silences", "deliveries", "sources",
        "books", "timeline", "counts", "escalations", "dead_letters", "verdicts", "statements")
"""Tables that are made from topics; all others are left alone. Revisions first: they say which items were edited."""
_KEYS = {"timeline": ("event_id", "ref")}
_LEFT = {"timeline": ("seq",), "dead_letters": ("replayed_at",)}
"""Columns that no topic says."""
_ORDER = {**{name: rule.fields for name, rule in NEWEST.items()}, "members": ("version",)}

Merge = Callable[[Row | None, Row], Row | None]
"""The store's row and the topics' to the row that should be there; None: the store's stays."""


@dataclass
class Outcome:
    """Rows by table: added were missing, mended said something else, kept are newer than the topics or emptied."""

    added: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    settled: int = 0
    """Messages of the ledger that waited although the topics say that they arrived."""


def sizes(engine: Engine) -> dict[str, int]:
    """Rows of each table that a rebuild makes."""
    with engine.connect() as connection:
        return {name: connection.execute(select(func.count()).select_from(schema.metadata.tables[name])).scalar_one()
                for name in OURS}


def merge(scratch: Engine, store: Engine, note: Callable[[int], None] = lambda rows: None) -> Outcome:
    """Lay what was read over the store. note: how many rows were looked at since."""
    outcome = Outcome()
    for name in OURS:
        merging = _Merging(store, name, outcome)
        for rows in _rows(scratch, schema.metadata.tables[name]):
            merging.take(rows)
            note(len(rows))
    outcome.settled = settle(store)
    return outcome


def age(store: Engine, now: Millis, retention: Millis) -> None:
    """Retention over what came back: topics keep texts longer than some installations, and counts unthinned."""
    expiry.expire(store, now - retention)
    with store.connect() as connection:
        oldest = connection.execute(select(func.min(schema.counts.c.at))).scalar()
    if oldest is not None:
        expiry.thin_counts(store, now, back=min(max(now - oldest, HOUR), 31 * DAY) // HOUR * HOUR)


def settle(store: Engine) -> int:
    """A message that the topics say arrived waits no more: the ledger may be of an older backup."""
    outbox, done = schema.outbox, schema.deliveries
    arrived = select(done.c.id).where(done.c.id == outbox.c.id, done.c.status == "confirmed").exists()
    with store.begin() as connection:
        return connection.execute(
            update(outbox).where(outbox.c.status == "pending", arrived)
            .values(status="confirmed", reported=True, lease_until=0, error="", suppressed_by="",
                    confirmed_at=select(done.c.at).where(done.c.id == outbox.c.id).scalar_subquery())).rowcount


class _Merging:
    """One table."""

    def __init__(self, store: Engine, name: str, outcome: Outcome) -> None:
        self._store, self._name, self._outcome = store, name, outcome
        self._table = schema.metadata.tables[name]
        self._key = _KEYS.get(name) or tuple(column.name for column in self._table.primary_key)
        self._edited: set[str] = set()
        self._merge: Merge = {"items": self._item, "revisions": _revision, "books": _book}.get(name, self._newer)

    def take(self, rows: Sequence[Row]) -> None:
        try:
            self._write(rows)
        except (DataError, IntegrityError, ValueError):         # PostgreSQL minds what SQLite takes
            if len(rows) == 1:
                self._outcome.refused[self._name] += 1
                return
            middle = len(rows) // 2
            self.take(rows[:middle])
            self.take(rows[middle:])

    def _write(self, rows: Sequence[Row]) -> None:
        added, mended, kept, changed = 0, 0, 0, list[Row]()
        with self._store.begin() as connection:
            known = self._known(connection, rows)
            if self._name == "items":
                self._edited = _edited(connection, rows)
                _keep_earlier(connection, known, rows)
            for row in rows:
                old = known.get(self._ident(row))
                wanted = self._merge(old, row)
                if wanted is None:
                    kept += 1
                elif old is None or any(old[name] != value for name, value in wanted.items()):
                    changed.append(wanted)
                    added, mended = added + (old is None), mended + (old is not None)
            if changed and added == len(changed):
                insert_new(connection, self._table, changed)
            else:
                replace(connection, self._table, changed, on=self._key)
            if self._name == "items":
                _forget_current(connection, changed)
        said = self._outcome
        for counter, number in ((said.added, added), (said.mended, mended), (said.kept, kept)):
            if number:
                counter[self._name] += number

    def _known(self, connection: Connection, rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
        key = tuple_(*(self._table.c[name] for name in self._key))
        found = connection.execute(select(self._table).where(key.in_([self._ident(row) for row in rows]))).mappings()
        return {self._ident(row): dict(row) for row in found}

    def _ident(self, row: Any) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._key)

    def _newer(self, old: Row | None, row: Row) -> Row | None:
        """As the topics say, unless the store knows something newer."""
        if old is None:
            return row
        fields = _ORDER.get(self._name, ())
        rule = NEWEST.get(self._name)
        have, come = (tuple(rule.ranks.get(each[name], -1) if rule and rule.ranks and name == "status" else each[name]
                            for name in fields) for each in (old, row))
        if have > come or (have == come and _emptied(self._name, old)):
            return None
        return {**row, **{name: old[name] for name in _LEFT.get(self._name, ()) if name in row}}

    def _item(self, old: Row | None, row: Row) -> Row | None:
        """Its first sight and its edits may be older than the topics."""
        edited = (row["revised_at"] is not None or row["id"] in self._edited
                  or (old is not None and old["revision"] != row["revision"]))
        if old is None:
            return {**row, "revised_at": row["seen_at"] if edited else None}
        newer = (old["seen_at"], old["revision"]) > (row["seen_at"], row["revision"])
        if newer or (old["expired"] and old["seen_at"] == row["seen_at"]):
            return None
        first = min((old, row), key=lambda each: (each["first_seen_at"], each["backfill"]))
        return {**row, "first_seen_at": first["first_seen_at"], "backfill": first["backfill"],
                "revised_at": row["seen_at"] if edited else None}


def _revision(old: Row | None, row: Row) -> Row | None:
    if old is None:
        return row
    return None if _emptied("revisions", old) else {**row, "seen_at": max(old["seen_at"], row["seen_at"])}


def _book(old: Row | None, row: Row) -> Row | None:
    """When it was in force is a sum over the time before the topics, too."""
    if old is None:
        return row
    first = [each["first_at"] for each in (old, row) if each["first_at"]]
    return {**row, "at": max(old["at"], row["at"]), "shadow_at": max(old["shadow_at"], row["shadow_at"]),
            "first_at": min(first, default=0)}


def _emptied(name: str, row: Row) -> bool:
    """Whether retention has been here."""
    if name == "revisions":
        return not row["title"] and not row["text"]
    if name == "statements":
        return bool(row["item_id"]) and not row["detail"]
    return bool(row.get("expired")) or (name in ("escalations", "dead_letters") and not row["detail"])


def _keep_earlier(connection: Connection, known: dict[tuple[Any, ...], Row], rows: Sequence[Row]) -> None:
    """What an item said that the topics know as edited since: of a store that is behind them."""
    pairs = [(known[row["id"],], row) for row in rows if (row["id"],) in known]
    earlier = [{"item_id": old["id"], "revision": old["revision"], "title": old["title"], "text": old["text"],
                "seen_at": old["seen_at"]} for old, row in pairs
               if old["revision"] != row["revision"] and old["seen_at"] < row["seen_at"]]
    keep_greatest(connection, schema.revisions, earlier, "seen_at")


def _edited(connection: Connection, rows: Sequence[Row]) -> set[str]:
    """Which of these items have an earlier revision in the store."""
    table, now = schema.revisions, {row["id"]: row["revision"] for row in rows}
    found = connection.execute(select(table.c.item_id, table.c.revision).where(table.c.item_id.in_(list(now))))
    return {item for item, revision in found if revision != now[item]}


def _forget_current(connection: Connection, rows: Sequence[Row]) -> None:
    """An edit taken back is current again, not earlier."""
    key = tuple_(schema.revisions.c.item_id, schema.revisions.c.revision)
    for some in chunks([(row["id"], row["revision"]) for row in rows if row["revised_at"] is not None]):
        connection.execute(delete(schema.revisions).where(key.in_(some)))


def _rows(scratch: Engine, table: Table) -> Iterator[list[Row]]:
    columns = [column for column in table.c if column.name != "seq"]
    with scratch.connect().execution_options(yield_per=CHUNK) as connection:
        for some in connection.execute(select(*columns)).mappings().partitions(CHUNK):
            yield [dict(row) for row in some]
