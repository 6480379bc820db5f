"""Tables of every earlier revision, with rows in them, on both databases; and an upgrade that dies in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import BigInteger, Boolean, Engine, Float, Integer, MetaData, insert, select

from agents.store import engine as store
from agents.store import schema

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]

REVISIONS = sorted(path.name[:4] for path in (store.MIGRATIONS / "versions").glob("0*.py"))
ROOT = Path(__file__).parents[2]
MADE = {"books": ("first_at",), "escalations": ("first",),
        "outbox": ("escalation_id", "event_id", "alert_id", "kind", "level")}
"""Columns that a later migration works out anew from the others."""
DYING = """
import os, signal, sys
from sqlalchemy import event
from agents.store import engine as store
made = store._create
def create(url, **options):
    engine = made(url, **options)
    @event.listens_for(engine, "before_cursor_execute")
    def die(connection, cursor, statement, *more):
        if sys.argv[2] in statement:
            os.kill(os.getpid(), signal.SIGKILL)
    return engine
store._create = create
store.upgrade(sys.argv[1])
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/wenxun.db"
    return str(request.getfixturevalue("postgres_url"))


def test_rows_of_every_revision_are_kept(url: str) -> None:
    """A row per table as each revision knew it; what it said is said at the end."""
    engine, wanted = store.open_store(url), {}
    for revision in REVISIONS:
        _to(engine, revision)
        wanted[revision] = _fill(engine, revision)
    _has_all(engine, wanted)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_an_upgrade_from_any_revision(url: str, revision: str) -> None:
    engine = store.open_store(url)
    _to(engine, revision)
    wanted = {revision: _fill(engine, revision)}
    store.upgrade(url)
    _has_all(engine, wanted)
    engine.dispose()
    assert store.current(url) == (REVISIONS[-1], REVISIONS[-1])


@pytest.mark.parametrize("statement", ["CREATE TABLE counts", 'UPDATE escalations SET "first"', "CREATE TABLE drills"])
def test_an_upgrade_that_is_killed_is_taken_up_again(url: str, statement: str) -> None:
    engine = store.open_store(url)
    _to(engine, "0001")
    wanted = {"0001": _fill(engine, "0001")}
    killed = subprocess.run([sys.executable, "-c", DYING, url, statement], cwd=ROOT, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert store.current(url)[0] == "0001", "all of it or nothing"
    _has_all(engine, wanted)
    store.upgrade(url)
    _has_all(engine, wanted)
    engine.dispose()
    store.require_current(url)


def _to(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        command.upgrade(store._config(connection), revision)


def _fill(engine: Engine, revision: str) -> dict[str, dict[str, Any]]:
    """A row in each table as it is now; the rows by table."""
    tables = MetaData()
    tables.reflect(engine)
    rows = {}
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                rows[table.name] = {column.name: _value(column.type, revision) for column in table.c
                                    if column.name != "seq"}
                connection.execute(insert(table), rows[table.name])
    return rows


def _value(kind: Any, revision: str) -> Any:
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, Float):
        return 0.5
    if isinstance(kind, BigInteger | Integer):
        return 2_000_000_000 + int(revision)
    return f"闻{revision}"


def _has_all(engine: Engine, wanted: dict[str, dict[str, dict[str, Any]]]) -> None:
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        for rows in wanted.values():
            for name, row in rows.items():
                columns = [tables.tables[name].c[column] for column in row]
                found = [dict(each) for each in connection.execute(select(*columns)).mappings()]
                assert _said(name, row) in [_said(name, each) for each in found], name


def _said(table: str, row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in MADE.get(table, ())}
