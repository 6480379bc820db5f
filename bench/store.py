"""The store at its size: how fast the archive writes, what a million items cost, whether lists find them by an index.

PostgreSQL is one of Debian's, started for this with its own defaults (fsync on); SQLite is a file in the temp folder.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, insert

from agents.desk import reads
from agents.store import account_reads, expiry, item_reads, readmodel, rebuild, schema
from agents.store.engine import open_store, upgrade, without_limits
from agents.store.projection import Entry, _item, _scored, project
from agents.store.scratch import Scratch
from bench.archive import _transactions
from bench.store_data import DAY, NOON, Made
from pipeline.model import EventStatus, RawBatch, ScoredBatch
from tests import postgres_server

BIG = 20_000
"""Rows of a table that no list may read whole."""
ROUNDS = 20
Figures = list[tuple[str, str]]


def measure(args: argparse.Namespace) -> Figures:
    """Rates of the archive and of a rebuild on both databases, sizes, and the desk's lists on a million items."""
    with tempfile.TemporaryDirectory() as folder, postgres_server.running(durable=True) as server:
        server.create("rates")
        places = {"SQLite": f"sqlite:///{folder}/rates.db", "PostgreSQL": server.url("rates")}
        figures = [line for name, url in places.items() for line in _rates(name, url, args.quick, Path(folder))]
        server.create("lists")
        return figures + _lists(server.url("lists"), 20_000 if args.quick else 1_000_000)


# ---------------------------------------------------------------- writing


def _rates(name: str, url: str, quick: bool, folder: Path) -> Figures:
    count = 2_000 if quick else 20_000
    with _opened(url) as engine:
        before, batches = _bytes(engine), list(_transactions(count))
        seconds = _timed(lambda: [project(engine, batch) for batch in batches])
        size = _bytes(engine) - before
        rebuilt = _rebuilt(engine, batches, folder / name)
    with _opened(url, fresh=True) as engine:
        bare = _timed(lambda: _bare(engine, batches))
    return [
        (f"archive to {name}", f"{count / seconds:,.0f} items/s"),
        (f"  the same rows by a bare INSERT, executemany ({name})", f"{count / bare:,.0f} items/s"),
        *([(f"  the same rows by COPY ({name})", f"{count / _copied(url, batches):,.0f} items/s")]
          if name == "PostgreSQL" else []),
        (f"size on {name}, with indexes", f"{size / count * 100_000 / 1e6:,.0f} MB per 100,000 items"),
        (f"rebuild on {name} from records, {count:,} items, rows lost",
         f"{count / rebuilt:,.0f} items/s; a million: {1_000_000 / count * rebuilt / 60:,.1f} min (extrapolated)")]


def _rebuilt(engine: Engine, batches: Sequence[list[Entry]], folder: Path) -> float:
    """Seconds from records in memory to rows in the store: what Kafka needs to hand them over is not in it."""
    with engine.begin() as connection:
        for table in ("items", "scored"):
            connection.execute(schema.metadata.tables[table].delete())
    scratch = Scratch(folder, "bench")

    def run() -> None:
        for number, batch in enumerate(batches):
            scratch.take(batch, {("items.raw", 0): number})
        outcome = rebuild.merge(scratch.engine, engine)
        assert outcome.added["items"] == sum(len(b.record.items) for batch in batches for b in batch) // 2

    seconds = _timed(run)
    scratch.remove()
    return seconds


def _plain(batches: Sequence[list[Entry]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The rows that the archive makes, by transaction and table."""
    for batch in batches:
        yield "items", [_item(item) for each in batch if isinstance(each.record, RawBatch)
                        for item in each.record.items]
        yield "scored", [_scored(item, each.record) for each in batch if isinstance(each.record, ScoredBatch)
                         for item in each.record.items]


def _bare(engine: Engine, batches: Sequence[list[Entry]]) -> None:
    for table, rows in _plain(batches):
        with engine.begin() as connection:
            connection.execute(insert(schema.metadata.tables[table]), rows)


def _copied(url: str, batches: Sequence[list[Entry]]) -> float:
    def run() -> None:
        for table, rows in _plain(batches):
            with engine.begin() as connection:
                raw: Any = connection.connection.driver_connection
                names = ", ".join(rows[0])
                with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as into:
                    for row in rows:
                        into.write_row(tuple(row.values()))

    with _opened(url, fresh=True) as engine:
        return _timed(run)


# ---------------------------------------------------------------- reading


def reads_of(engine: Engine, made: Made) -> dict[str, Callable[[], Any]]:
    """What the desk's pages and the retention ask, with values that find something."""
    last, now = made.events - 1, NOON
    query = account_reads.Query

    def on(ask: Callable[..., Any], *words: Any, **more: Any) -> Callable[[], Any]:
        def run() -> Any:
            with engine.connect() as connection:
                return ask(connection, *words, **more)
        return run

    return {
        "open events": lambda: reads.open_events(engine, now),
        "settled events": lambda: reads.settled_events(engine, now - DAY),
        "events of a subject": on(readmodel.events, (EventStatus.CLOSED,), subject="subject7"),
        "one event": lambda: reads.event_page(engine, f"E-{last:04d}", now),
        "items of a source": lambda: reads.source_items(engine, "s4"),
        "new items of the sources": lambda: reads.new_items(engine, now - DAY // 4, [f"s{n}" for n in range(40)]),
        "one item": on(item_reads.item, f"i{made.items - 5}"),
        "deliveries of an event": on(account_reads.listed, query(event=f"e{last}")),
        "latest deliveries": on(account_reads.listed, query()),
        "waiting deliveries": on(account_reads.listed, query(status="pending")),
        "the account of a day": on(account_reads.account, now - DAY, now),
        "unaccounted alerts": on(account_reads.unaccounted, now - DAY, now - 120_000),
        "the audit log": on(readmodel.audit),
        "retention, nothing due": lambda: expiry.expire(engine, now - 200 * DAY),
        "thinning of counts, an hour": lambda: expiry.thin_counts(engine, now, back=3_600_000),
    }


def whole_reads(engine: Engine, ask: Callable[[], Any]) -> list[str]:
    """Tables of more than BIG rows that PostgreSQL reads from end to end for what this asks, and its statement."""
    said: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        said.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    found = []
    with engine.connect() as connection, connection.begin() as transaction:
        for statement, parameters in said:
            if statement.lstrip()[:6].upper() in ("SELECT", "UPDATE", "DELETE"):
                plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
                found += [f"{table}: {statement[:160]}" for table in _scanned(connection, plan[0]["Plan"])]
        transaction.rollback()
    return found


def _scanned(connection: Any, plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        rows = connection.exec_driver_sql(
            "SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)", (plan["Relation Name"],)).scalar_one()
        if rows > BIG:
            yield str(plan["Relation Name"])
    for part in plan.get("Plans", ()):
        yield from _scanned(connection, part)


def _lists(url: str, items: int) -> Figures:
    with _opened(url) as engine:
        made = Made(items)
        seconds = _timed(lambda: made.fill(engine))
        figures = [(f"{items:,} items by COPY, with their scores, events and messages", f"{seconds:,.0f} s"),
                   ("size of that database", f"{_bytes(engine) / 1e6:,.0f} MB")]
        for name, ask in reads_of(engine, made).items():
            whole = whole_reads(engine, ask)
            times = sorted(_timed(ask) for _ in range(ROUNDS))
            p95 = statistics.quantiles(times, n=20)[-1]
            figures.append((f"{name}, p95 of {ROUNDS}",
                            f"{p95 * 1000:,.1f} ms" + (f"; READS WHOLE: {'; '.join(whole)}" if whole else "")))
        figures += _expired(engine)
        return figures


def _expired(engine: Engine) -> Figures:
    """Retention over a third of it, and what that leaves behind for VACUUM."""
    before = _bytes(engine)
    dropped = expiry.Counter[str]()
    seconds = _timed(lambda: dropped.update(expiry.expire(engine, NOON - 20 * DAY)))
    grown = _bytes(engine) - before
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        without_limits(connection)
        connection.exec_driver_sql("SET statement_timeout = 0")
        dead = connection.exec_driver_sql(
            "SELECT sum(n_dead_tup) FROM pg_stat_user_tables").scalar_one()
        vacuum = _timed(lambda: connection.exec_driver_sql("VACUUM ANALYZE"))
    rows = sum(dropped.values())
    return [(f"retention of {rows:,} rows", f"{rows / seconds:,.0f} rows/s, {seconds:,.0f} s"),
            ("what it leaves until VACUUM", f"{int(dead or 0):,} dead rows, {grown / 1e6:,.0f} MB more"),
            ("VACUUM ANALYZE after it", f"{vacuum:,.0f} s; size {_bytes(engine) / 1e6:,.0f} MB")]


# ---------------------------------------------------------------- both


@contextmanager
def _opened(url: str, *, fresh: bool = False) -> Iterator[Engine]:
    """fresh: without the rows that are there."""
    upgrade(url)
    engine = open_store(url)
    if fresh:
        with engine.begin() as connection:
            for table in schema.metadata.sorted_tables:
                connection.execute(table.delete())
    try:
        yield engine
    finally:
        engine.dispose()


def _timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _bytes(engine: Engine) -> int:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
        return int(connection.exec_driver_sql("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
                   .scalar_one())
