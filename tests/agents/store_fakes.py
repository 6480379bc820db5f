"""A store for tests, what it holds as plain rows, and records that fill it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, select

from agents.store import schema
from agents.store.engine import open_store, upgrade
from agents.store.projection import Entry, project
from pipeline import model
from tests import messages, stores
from tests.builders import NOON

ARCHIVED = ("items", "revisions", "scored", "events", "members", "timeline", "alerts", "escalations", "deliveries",
            "sources", "books", "dead_letters", "counts", "verdicts", "clocks", "statements", "silences")


@cache
def _empty() -> bytes:
    """An upgraded file without rows: migrations run once per test session."""
    with TemporaryDirectory() as folder:
        upgrade(f"sqlite:///{folder}/wenxun.db")
        return (Path(folder) / "wenxun.db").read_bytes()


def new_store(folder: Path) -> Engine:
    folder.mkdir(parents=True, exist_ok=True)
    if not stores.swapped:
        (folder / "wenxun.db").write_bytes(_empty())
    return open_store(f"sqlite:///{folder}/wenxun.db")


def put(engine: Engine, *records: Any, at: int = NOON) -> None:
    project(engine, [Entry(record, at) for record in records])


def dump(engine: Engine, tables: Sequence[str] = ARCHIVED) -> dict[str, list[tuple[Any, ...]]]:
    """All rows, without the order in which they came."""
    with engine.connect() as connection:
        return {name: sorted((tuple(row) for row in connection.execute(
            select(*(c for c in schema.metadata.tables[name].c if c.name != "seq")))), key=repr) for name in tables}


def rows(engine: Engine, name: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(schema.metadata.tables[name])).mappings()]


def member(item_id: str = "a1", at: int = NOON, *, terms: tuple[tuple[int, int], ...] = ((1, 100),)) -> model.MemberRow:
    return model.MemberRow(item_id, at, "xinwen.example", 0, terms)


def head(version: int = 7, *items: str, event_id: str = "e1", **changes: Any) -> model.EventHead:
    return messages.head(event_id, version=version, joined=tuple(member(item) for item in items), **changes)


def alert(**changes: Any) -> model.AlertState:
    values: dict[str, Any] = {
        "event_id": "e1", "alert_id": "al1", "event_version": 7, "revision": 1, "level": 2,
        "status": model.AlertStatus.NOTIFIED, "raised_at": NOON, "told": ("duty",), **changes}
    return model.AlertState(**values)


def delivery(ident: str = "d1", **changes: Any) -> model.Delivery:
    values: dict[str, Any] = {
        "id": ident, "escalation_id": "esc1", "event_id": "e1", "person": "duty-a", "channel": "console",
        "status": model.DeliveryStatus.CONFIRMED, "attempts": 1, "at": NOON + 5, "decided_at": NOON, **changes}
    return model.Delivery(**values)


def clock(ident: str = "answer", **changes: Any) -> model.EventClock:
    """A response clock of five hours that began at NOON."""
    values: dict[str, Any] = {"id": ident, "name": "首次权威回应", "started_at": NOON, "due_at": NOON + 5 * 3_600_000,
                              **changes}
    return model.EventClock(**values)


def clocks(revision: int, *parts: model.EventClock | model.Statement, event_id: str = "e1") -> model.EventClocks:
    running = tuple(each for each in parts if isinstance(each, model.EventClock))
    said = tuple(each for each in parts if isinstance(each, model.Statement))
    return model.EventClocks(event_id=event_id, revision=revision, clocks=running, statements=said)


def statement(ident: str = "st1", **changes: Any) -> model.Statement:
    values: dict[str, Any] = {
        "id": ident, "event_id": "e1", "by": "wang", "at": NOON + 9, "title": "关于投票时间的说明",
        "published_at": NOON + 8, "text": "各投票站均开放至晚上八点", "url": "http://gonggao.example/88", **changes}
    return model.Statement(**values)


def silence(ident: str = "si1", **changes: Any) -> model.Silence:
    values: dict[str, Any] = {
        "id": ident, "by": "wang", "at": NOON, "owner": "wang", "reason": "演练期间", "starts_at": NOON,
        "ends_at": NOON + 3_600_000, **changes}
    return model.Silence(**values)


def source_state(source_id: str = "xinwen", **changes: Any) -> model.SourceState:
    values: dict[str, Any] = {
        "source_id": source_id, "url": "http://xinwen.example/rss", "polled_at": NOON, "next_poll_at": NOON + 60_000,
        "etag": '"v1"', "backfilled": True, "outcome": "fetched", "succeeded_at": NOON, **changes}
    return model.SourceState(**values)


def dead(ident: str = "x1", **changes: Any) -> model.DeadLetter:
    values: dict[str, Any] = {
        "id": ident, "topic": "items.raw", "partition": 1, "offset": 5, "reason": "undecodable", "error": "bad JSON",
        "at": NOON, "key": b"xinwen", "value": b"{not json", "type": "wenxun.items.raw", "sha256": "0" * 64, **changes}
    return model.DeadLetter(**values)
