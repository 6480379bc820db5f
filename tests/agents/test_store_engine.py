"""The store's file, its tables and who may write when."""

from __future__ import annotations

import importlib
import io
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, inspect, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable

from agents.store import engine as store
from agents.store import readmodel, schema
from pipeline.errors import SettingsError
from pipeline.model import SourceState

HEAD = max(path.name for path in (store.MIGRATIONS / "versions").glob("0*.py"))[:4]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/data/wenxun.db"


def opened(url: str) -> Engine:
    store.upgrade(url)
    return store.open_store(url)


def test_migrations_make_exactly_the_tables_of_the_schema(url: str) -> None:
    engine = opened(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    assert set(inspect(engine).get_table_names()) == {*schema.metadata.tables, "alembic_version"}
    engine.dispose()


@pytest.mark.sqlite
def test_an_upgrade_needs_no_ini_file_and_may_be_repeated(url: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store.current(url) == ("", HEAD)
    store.upgrade(url)
    store.upgrade(url)
    assert store.current(url) == (HEAD, HEAD)
    store.require_current(url)


@pytest.mark.sqlite
def test_processes_that_start_at_once_upgrade_one_after_the_other(url: str) -> None:
    failed: list[BaseException] = []

    def start() -> None:
        try:
            store.upgrade(url)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert store.current(url)[0] == HEAD


@pytest.mark.sqlite
def test_tables_that_are_not_upgraded_name_the_command(url: str) -> None:
    with pytest.raises(SettingsError, match="wenxun db upgrade"):
        store.require_current(url)


@pytest.mark.sqlite
def test_sqlite_is_opened_as_a_shared_durable_file(url: str, tmp_path: Path) -> None:
    engine = opened(url)
    with engine.connect() as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                   for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")}
    engine.dispose()
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1,
                       "busy_timeout": store.BUSY_SECONDS * 1000}
    assert stat.S_IMODE((tmp_path / "data/wenxun.db").stat().st_mode) == 0o600


def book_row(name: str) -> dict[str, object]:
    return {"hash": name, "at": 1, "book": "{}"}


def test_a_reader_sees_the_last_commit_while_another_writes(url: str) -> None:
    engine = opened(url)
    with engine.begin() as writer:
        writer.execute(insert(schema.books), book_row("a"))
        with engine.connect() as reader:
            assert reader.execute(select(schema.books)).all() == []
    with engine.connect() as reader:
        assert len(reader.execute(select(schema.books)).all()) == 1
    engine.dispose()


def test_a_transaction_that_read_first_may_still_write_after_another_did(url: str) -> None:
    """With a deferred transaction SQLite would refuse the write at once, whatever the busy timeout is."""
    engine = opened(url)
    with engine.begin() as first:
        assert first.execute(select(schema.books)).all() == []
        with engine.begin() as second:
            second.execute(insert(schema.books), book_row("b"))
        first.execute(insert(schema.books), book_row("a"))
    with engine.connect() as reader:
        assert sorted(reader.execute(select(schema.books.c.hash)).scalars()) == ["a", "b"]
    engine.dispose()


@pytest.mark.sqlite
@pytest.mark.parametrize(("url", "said"), [
    ("wenxun.db", "not a SQLAlchemy URL"),
    ("sqlite://", "SQLite needs a file"),
    ("oracel://host/db", "unknown"),
    ("sqlite:////dev/null/wenxun.db", "cannot be opened"),
])
def test_a_url_that_cannot_be_used_says_why(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        store.open_store(url)


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "wenxun.db").write_text("not a database, but quite long enough to be looked at" * 100)
    with pytest.raises(SettingsError, match="store cannot be used"):
        store.upgrade(f"sqlite:///{tmp_path}/wenxun.db")


async def test_a_start_waits_for_a_store_that_cannot_be_written_yet(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, tries = store.upgrade, []

    def full_twice(url: str) -> None:
        tries.append(url)
        if len(tries) < 3:
            raise store.StoreUnavailable("wenxun.db: the store cannot be used: database or disk is full")
        real(url)

    monkeypatch.setattr(store, "upgrade", full_twice)
    engine = await store.ready_store(url, retry_seconds=[0])
    assert len(tries) == 3 and store.current(url)[0] == HEAD
    assert caplog.text.count("disk is full") == 2
    engine.dispose()


def test_a_password_is_never_shown() -> None:
    assert "geheim" not in store.shown("postgresql+psycopg://wenxun:geheim@db/wenxun")


def test_every_table_can_be_said_in_postgresql() -> None:
    said = [str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in schema.metadata.sorted_tables]
    assert len(said) == len(schema.metadata.tables)
    assert any("BIGINT" in one for one in said)


def test_tables_of_the_first_version_keep_their_rows_and_get_the_new_columns(url: str) -> None:
    engine = store.open_store(url)
    with engine.begin() as connection:
        command.upgrade(store._config(connection), "0001")
        connection.execute(text(
            "INSERT INTO items (id, source_id, revision, title, text, url, first_seen_at, seen_at, backfill, expired) "
            "VALUES ('a1', 'xinwen', '1', '投票站', '几点关门', 'http://x/', 5, 5, FALSE, FALSE)"))
        connection.execute(text(
            "INSERT INTO sources (id, url, polled_at, next_poll_at, outcome, error, failures, backfilled) "
            "VALUES ('xinwen', 'http://x/rss', 7, 9, 'fetched', '', 2, TRUE)"))
    engine.dispose()
    engine = opened(url)
    with engine.connect() as connection:
        item, states = readmodel.item(connection, "a1"), readmodel.source_states(connection)
        listed = readmodel.sources(connection)
    engine.dispose()
    assert item is not None and (item.title, item.html, item.ref, item.urgent) == ("投票站", "", "", False)
    assert states == {"xinwen": SourceState(source_id="xinwen", url="http://x/rss", polled_at=7, next_poll_at=9,
                                            outcome="fetched", failures=2, backfilled=True)}
    assert [(row.id, row.items, row.kind, row.failed_since) for row in listed] == [("xinwen", 1, "", None)]


def test_migrations_after_the_first_can_be_taken_back_and_made_again(url: str) -> None:
    engine = opened(url)
    for target in ("0001", "head"):
        with engine.begin() as connection:
            config = store._config(connection)
            (command.downgrade if target == "0001" else command.upgrade)(config, target)
    engine.dispose()
    assert store.current(url) == (HEAD, HEAD)


def test_tables_of_a_newer_version_are_left_alone_and_it_says_what_to_do(url: str) -> None:
    engine = opened(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SettingsError, match="revision 9999, which this version does not know: a newer Wenxun was here"):
        store.upgrade(url)
    with pytest.raises(SettingsError, match="9999"):
        store.require_current(url)
    assert store.current(url)[0] == "9999"


def test_the_second_migration_can_be_said_in_postgresql() -> None:
    said = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said})
    with Operations.context(context):
        importlib.import_module("agents.store.migrations.versions.0002_counts_reports_source_health").upgrade()
    assert "ALTER TABLE items ADD COLUMN urgent BOOLEAN DEFAULT false NOT NULL" in said.getvalue()
    assert "PRIMARY KEY (item_id, at)" in said.getvalue()


@pytest.mark.sqlite
def test_the_fourth_migration_knows_first_pages_and_since_when_a_book_was_live(url: str) -> None:
    engine = store.open_store(url)
    page = '{"id":"%s","kind":"page","at":5,"why":"raised","tell":["duty"]%s}'
    with engine.begin() as connection:
        command.upgrade(store._config(connection), "0003")
        row = text("INSERT INTO escalations (id, event_id, kind, at, detail) VALUES (:id, 'e1', :kind, 5, :detail)")
        for ident, kind, more in (("first", "page", ""), ("second", "page", ',"step":1'),
                                  ("again", "page", ',"repeat":1'), ("digest", "digest", "")):
            connection.execute(row, {"id": ident, "kind": kind, "detail": page % (ident, more)})
        connection.execute(row, {"id": "expired", "kind": "page", "detail": ""})
        connection.execute(text("INSERT INTO books (hash, at, book) VALUES ('b', 7, '{}')"))
    engine.dispose()
    engine = opened(url)
    with engine.connect() as connection:
        first = connection.execute(text('SELECT id FROM escalations WHERE "first" = 1')).scalars().all()
        book = connection.execute(text("SELECT at, first_at, shadow_at FROM books")).one()
    engine.dispose()
    assert (first, tuple(book)) == (["first"], (7, 7, 0))


def test_the_fourth_migration_can_be_said_in_postgresql() -> None:
    said = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said})
    with Operations.context(context):
        importlib.import_module("agents.store.migrations.versions.0004_shadow_verdicts").upgrade()
    for line in ("ALTER TABLE events ADD COLUMN shadow BOOLEAN DEFAULT false NOT NULL",
                 "ALTER TABLE scored ALTER COLUMN subject TYPE VARCHAR(65)",
                 "ALTER TABLE events ALTER COLUMN subject TYPE VARCHAR(65)",
                 'UPDATE escalations SET "first" = true'):
        assert line in said.getvalue()


@pytest.mark.sqlite
def test_the_fifth_migration_fills_what_messages_are_about(url: str) -> None:
    engine = store.open_store(url)
    with engine.begin() as connection:
        command.upgrade(store._config(connection), "0004")
        row = text("INSERT INTO outbox (id, escalation, person, channel, status, attempts, decided_at, next_try_at, "
                   "lease_until, error, reported) VALUES (:id, :text, 'a', 'c', 'pending', 0, 5, 5, 0, '', FALSE)")
        for ident, kept in (("d1", '{"id":"e","kind":"page","event_id":"v","alert_id":"l","level":3}'),
                            ("d2", "no json"), ("d3", '{"id":"s","kind":"system"}')):
            connection.execute(row, {"id": ident, "text": kept})
    engine.dispose()
    engine = opened(url)
    with engine.connect() as connection:
        found = connection.execute(text(
            "SELECT escalation_id, event_id, alert_id, kind, level, next_channels FROM outbox ORDER BY id")).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [("e", "v", "l", "page", 3, ""), ("", "", "", "", 0, ""),
                                             ("s", "", "", "system", 0, "")]


def test_the_fifth_migration_can_be_said_in_postgresql() -> None:
    said = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": said})
    with Operations.context(context):
        importlib.import_module("agents.store.migrations.versions.0005_outbox_account").upgrade()
    for line in ("ALTER TABLE outbox ADD COLUMN level INTEGER DEFAULT '0' NOT NULL", "CREATE TABLE channel_state"):
        assert line in said.getvalue()


@pytest.mark.sqlite
def test_a_command_that_ends_leaves_the_write_ahead_log_to_those_who_still_use_it(url: str) -> None:
    """Roles of one process open the store each for itself; a command comes and goes meanwhile."""
    first = opened(url)
    with first.begin() as connection:
        connection.execute(text("CREATE TABLE kept (n INTEGER)"))
    second = store.open_store(url)
    with second.connect() as connection:
        connection.execute(text("SELECT 1"))
    program = f"from agents.store import engine as e; s = e.open_store({url!r}); s.connect().close(); s.dispose()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=Path(__file__).parents[2])
    with first.begin() as connection:
        connection.execute(text("INSERT INTO kept VALUES (1)"))
    program = (f"from sqlalchemy import text; from agents.store import engine as e; s = e.open_store({url!r}); "
               "print(s.connect().execute(text('SELECT count(*) FROM kept')).scalar())")
    seen = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=Path(__file__).parents[2],
                          capture_output=True, text=True)
    first.dispose()
    second.dispose()
    assert seen.stdout.strip() == "1", "what was written after the command is there for the next one"


@pytest.mark.parametrize(("written", "said"), [(None, "No such file"), (b"\xff\xfe", "not UTF-8")])
def test_a_password_file_that_changes_under_a_running_role_is_the_stores_trouble(
    tmp_path: Path, written: bytes | None, said: str,
) -> None:
    secret = tmp_path / "password"
    secret.write_text("first", "utf-8")
    engine = store.open_store(f"postgresql://wenxun@127.0.0.1:1/wenxun?password_file={secret}")
    secret.unlink()
    if written is not None:
        secret.write_bytes(written)
    with pytest.raises(OperationalError, match=said):
        engine.connect()
    engine.dispose()
