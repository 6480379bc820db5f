"""Records of every topic -> rows. A batch is one transaction; repeats and other orders leave the same rows.

What is newer is said by the records themselves: revisions by when they were collected, heads by version, alerts by
(event version, revision), deliveries by how far they came.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace as replaced
from sqlalchemy import Connection, Engine, Table, delete, select, tuple_

from agents.store import lines, people, schema
from agents.store.fence import writing
from agents.store.upsert import Row, chunks, insert_once, keep_greatest, keep_newest, newest, ranked, replace
from pipeline import model
from pipeline.rulebook.schema import RuleBook

_JSON = msgspec.json.Encoder()
_MAX_COUNT = 2**63 - 1
_DELIVERY_RANK = {"pending": 0, "suppressed": 1, "dead": 2, "confirmed": 3}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and when it was written (ce_time)."""

    record: Any
    at: model.Millis


def project(engine: Engine, entries: Sequence[Entry]) -> Counter[str]:
    """Write what the records say, all or nothing; rows written by table. Raises what the database raises."""
    batch = Batch()
    for entry in entries:
        batch.take(entry)
    if not batch.rows and not batch.raw:
        return Counter()
    with writing(engine) as connection:
        return batch.write(connection)


class Batch:
    """Rows by table, of records taken so far."""

    def __init__(self) -> None:
        self.raw: list[model.RawItem] = []
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)

    def take(self, entry: Entry) -> None:
        """Kinds that are no news to the archive (ticks, heartbeats, warm-up) are passed over."""
        match entry.record:
            case model.RawBatch() as raw:
                self.raw.extend(raw.items)
                self.rows["counts"].extend(_counts(item.id, item.first_seen_at, item.counts, item.counts_since)
                                           for item in raw.items if item.counts is not None)
            case model.CountsBatch() as grown:
                self.rows["counts"].extend(_counts(row.item_id, row.at, row.counts, grown.since)
                                           for row in grown.items)
            case model.ScoredBatch() as scored:
                self.rows["scored"].extend(_scored(item, scored) for item in scored.items)
            case model.EventHead() as head:
                self._head(head)
            case model.Ack() | model.Snooze() | model.Close() | model.HandOver() | model.Comment() as command:
                self.rows["timeline"].append(lines.of_command(command))
            case model.Statement() as said:
                self.rows["statements"].append(people.statement(said))
                self.rows["timeline"].append(lines.of_statement(said))
            case model.Silence() as silence:
                self.rows["silences"].append(people.silence(silence))
                self.rows["timeline"].extend(lines.of_silence(silence))
            case model.EventClocks() as clocks:
                self.rows["clocks"].append(people.clocks(clocks))
                self.rows["timeline"].extend(lines.of_clocks(clocks))
            case model.Verdict() as verdict:
                self.rows["verdicts"].append(_verdict(verdict))
                self.rows["timeline"].extend(lines.of_verdict(verdict))
            case model.AlertState() as state:
                self.rows["alerts"].append(_alert(state))
            case model.Escalation() as decided:
                self.rows["escalations"].append(_escalation(decided))
                self.rows["timeline"].extend(lines.of_escalation(decided))
            case model.Delivery() as done:
                self.rows["deliveries"].append(_delivery(done))
                self.rows["timeline"].extend(lines.of_delivery(done))
            case model.SourceState() as state:
                self.rows["sources"].append(_source(state))
            case RuleBook() as book:
                self.rows["books"].append(_book(replaced(book, shadow=None), live=entry.at))
                if book.shadow is not None:
                    self.rows["shadow"].append(_book(book.shadow, shadow=entry.at))
            case model.DeadLetter() as letter:
                self.rows["dead_letters"].append(_dead(letter))

    def _head(self, head: model.EventHead) -> None:
        self.rows["events"].append(_event(head))
        self.rows["members"].extend(
            {"event_id": head.id, "item_id": row.item_id, "at": row.at, "version": head.version, "row": _json(row)}
            for row in head.joined)
        self.rows["timeline"].extend(lines.of_head(head))

    def write(self, connection: Connection) -> Counter[str]:
        written = Counter({"items": write_items(connection, self.raw)})
        for name, rule in NEWEST.items():
            kept = newest(self.rows[name], [c.name for c in rule.table.primary_key], rule.order)
            written[name] = keep_newest(connection, rule.table, kept, rule.columns)
        for name, (table, on) in _ONCE.items():
            written[name] = insert_once(connection, table, self.rows[name], on=on)
        for rows in (self.rows["books"], self.rows["shadow"]):
            kept = newest(rows, ["hash"], lambda row: (row["at"], row["shadow_at"]))
            first = {row["hash"]: row["first_at"] for row in sorted(rows, key=lambda row: -row["first_at"])}
            written["books"] += keep_greatest(
                connection, schema.books, [{**row, "first_at": first[row["hash"]]} for row in kept],
                "at", "shadow_at", least=["first_at"])
        return +written


# ---------------------------------------------------------------- what is newer


@dataclass(frozen=True, slots=True)
class _Rule:
    """`fields` in order say which of two rows is newer; a word with a rank counts by it."""

    table: Table
    fields: tuple[str, ...]
    ranks: dict[str, int] | None = None

    def order(self, row: Row) -> Any:
        return tuple(self.ranks[row[name]] if self.ranks and name == "status" else row[name] for name in self.fields)

    def columns(self, of: Any) -> list[Any]:
        return [ranked(of[name], self.ranks) if self.ranks and name == "status" else of[name] for name in self.fields]


NEWEST = {
    "scored": _Rule(schema.scored, ("first_seen_at", "revision", "book")),
    "events": _Rule(schema.events, ("version",)),
    "members": _Rule(schema.members, ("version", "row")),
    "alerts": _Rule(schema.alerts, ("event_version", "revision")),
    "clocks": _Rule(schema.clocks, ("revision",)),
    "silences": _Rule(schema.silences, ("at", "ends_at")),
    "deliveries": _Rule(schema.deliveries, ("status", "attempts", "at"), _DELIVERY_RANK),
    "sources": _Rule(schema.sources, ("polled_at", "next_poll_at")),
}
_ONCE: dict[str, tuple[Table, tuple[str, ...]]] = {
    "timeline": (schema.timeline, ("event_id", "ref")),
    "counts": (schema.counts, ()),
    "escalations": (schema.escalations, ()),
    "dead_letters": (schema.dead_letters, ()),
    "verdicts": (schema.verdicts, ()),
    "statements": (schema.statements, ()),
}


# ---------------------------------------------------------------- items and their revisions


def write_items(connection: Connection, raw: Sequence[model.RawItem]) -> int:
    """Items as they were collected last; what they said before goes to revisions. Returns items written."""
    if not raw:
        return 0
    by_id: dict[str, list[Row]] = {}
    for item in raw:
        by_id.setdefault(item.id, []).append(_item(item))
    known = {row["id"]: row for row in _known(connection, list(by_id))}
    changed, earlier = [], []
    for ident, rows in by_id.items():
        before = known.get(ident)
        merged, losers = _merge(before, rows)
        earlier += losers
        if merged != before:
            changed.append(merged)
    replace(connection, schema.items, changed)
    keep_greatest(connection, schema.revisions, newest(earlier, ("item_id", "revision"), _seen), "seen_at")
    edited = [(row["id"], row["revision"]) for row in changed if row["revised_at"] is not None]
    for some in chunks(edited):                     # an edit taken back is current again, not earlier
        key = tuple_(schema.revisions.c.item_id, schema.revisions.c.revision)
        connection.execute(delete(schema.revisions).where(key.in_(some)))
    return len(changed)


def _known(connection: Connection, ids: Sequence[str]) -> list[Row]:
    found: list[Row] = []
    for some in chunks(ids):
        rows = connection.execute(select(schema.items).where(schema.items.c.id.in_(some))).mappings()
        found += [dict(row) for row in rows]
    return found


def _merge(before: Row | None, rows: Sequence[Row]) -> tuple[Row, list[Row]]:
    """The item as it stands after these sightings, and earlier contents as rows of revisions."""
    sightings = [*([before] if before is not None else []), *rows]
    current = max(sightings, key=lambda row: (row["seen_at"], row["revision"]))
    first = min(sightings, key=lambda row: (row["first_seen_at"], row["backfill"]))
    losers = [{"item_id": row["id"], "revision": row["revision"], "title": row["title"], "text": row["text"],
               "seen_at": row["seen_at"]} for row in sightings if row["revision"] != current["revision"]]
    edited = bool(losers) or (before is not None and before["revised_at"] is not None)
    return {**current, "first_seen_at": first["first_seen_at"], "backfill": first["backfill"],
            "revised_at": current["seen_at"] if edited else None}, losers


def _seen(row: Row) -> Any:
    return row["seen_at"]


# ---------------------------------------------------------------- records as rows


def _item(item: model.RawItem) -> Row:
    return {"id": item.id, "source_id": item.source_id, "revision": item.revision, "title": item.title,
            "text": item.text, "url": item.url, "published_at": item.published_at,
            "first_seen_at": item.first_seen_at, "seen_at": item.first_seen_at, "revised_at": None,
            "backfill": item.backfill, "html": item.html, "ref": item.ref, "urgent": item.urgent, "expired": False,
            "drill": item.drill is not None}


def _counts(item_id: str, at: model.Millis, counts: model.Counts, since: model.Millis | None) -> Row:
    row: Row = {"item_id": item_id, "at": at, "comments": counts.comments, "forwards": counts.forwards,
                "likes": counts.likes, "views": counts.views, "since": since}
    return {name: min(value, _MAX_COUNT) if isinstance(value, int) else value for name, value in row.items()}


def _scored(scored: model.ScoredItem, batch: model.ScoredBatch) -> Row:
    item = scored.item
    return {"item_id": item.id, "subject": batch.subject, "revision": item.revision, "origin": scored.origin,
            "weight": scored.weight, "polarity": str(scored.sentiment.polarity),
            "confidence": scored.sentiment.confidence, "question": scored.question,
            "first_seen_at": item.first_seen_at, "detail": _json(scored), "book": batch.book, "expired": False}


def _event(head: model.EventHead) -> Row:
    return {"id": head.id, "number": head.number, "subject": head.subject, "status": str(head.status),
            "level": head.level, "level_name": head.level_name, "peak": head.peak, "version": head.version,
            "title": head.title, "items": head.items, "sources": head.sources, "opened_at": head.opened_at,
            "last_item_at": head.last_item_at, "changed_at": head.changed_at,
            "head": _json(msgspec.structs.replace(head, joined=())), "expired": False, "shadow": head.shadow,
            "drill": head.drill}


def _alert(state: model.AlertState) -> Row:
    return {"event_id": state.event_id, "event_version": state.event_version, "revision": state.revision,
            "status": str(state.status), "due_at": state.due_at, "state": _json(state)}


def _escalation(decided: model.Escalation) -> Row:
    first = decided.first and not decided.suppressed_by     # what held it back is no page: that comes when it ends
    return {"id": decided.id, "event_id": decided.event_id, "kind": str(decided.kind), "at": decided.at,
            "detail": _json(decided), "shadow": decided.shadow, "first": first, "drill": decided.drill,
            "suppressed_by": decided.suppressed_by}


def _book(book: RuleBook, live: model.Millis = 0, shadow: model.Millis = 0) -> Row:
    return {"hash": book.hash, "at": live, "book": _json(book), "first_at": live, "shadow_at": shadow}


def _verdict(verdict: model.Verdict) -> Row:
    return {"id": verdict.id, "subject": verdict.subject, "kind": str(verdict.kind), "by": verdict.by,
            "at": verdict.at, "event_id": verdict.event_id, "item_id": verdict.item_id, "note": verdict.note,
            "book": verdict.book}


def _delivery(done: model.Delivery) -> Row:
    return {"id": done.id, "escalation_id": done.escalation_id, "event_id": done.event_id, "person": done.person,
            "channel": done.channel, "status": str(done.status), "attempts": done.attempts, "at": done.at,
            "decided_at": done.decided_at, "error": done.error, "suppressed_by": done.suppressed_by}


def _source(state: model.SourceState) -> Row:
    return {"id": state.source_id, "url": state.url, "polled_at": state.polled_at, "next_poll_at": state.next_poll_at,
            "outcome": state.outcome, "error": state.error, "failures": state.failures,
            "succeeded_at": state.succeeded_at, "new_item_at": state.new_item_at, "backfilled": state.backfilled,
            "kind": state.kind, "failed_since": state.failed_since,
            "state": _json(msgspec.structs.replace(state, seen=b"", etag="", last_modified="", etag_url=""))}


def _dead(letter: model.DeadLetter) -> Row:
    return {"id": letter.id, "topic": letter.topic, "reason": letter.reason, "at": letter.at, "detail": _json(letter)}


def _json(value: Any) -> str:
    return _JSON.encode(value).decode()


