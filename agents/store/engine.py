"""Opening the store and bringing its tables up to date.

Writing is `with engine.begin() as connection:`, reading `with engine.connect() as connection:`. On SQLite a reader
never waits for the writer (WAL), and a transaction takes the write lock at its first INSERT, UPDATE or DELETE, waiting
BUSY_SECONDS for it at least, and looking often: SQLite itself looks every 100 ms, and who writes much takes the lock
again before that. What was read before the lock may have changed, as on PostgreSQL: put the condition into the
statement. All of it blocks: from a coroutine use `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

from agents.store import postgres
from pipeline.errors import SettingsError

log = logging.getLogger("wenxun.store")

BUSY_SECONDS = 15
LOOK_SECONDS = 0.002
MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x77656E78
"""Key of PostgreSQL's advisory lock while tables are altered."""
_WRITES = ("INSERT", "UPDATE", "DELETE")
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_SECONDS * 1000}")


class StoreUnavailable(SettingsError):
    """The database does not answer, or takes no writes. May pass by itself: a full disk, a server that starts."""


def open_store(url: str) -> Engine:
    """An engine for this SQLAlchemy URL; an SQLite file and its folder are made. SettingsError if it cannot be used."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        return _open_postgres(parsed)
    if parsed.get_backend_name() != "sqlite":
        return _create(parsed)
    return _open_file(parsed)


def open_file(path: Path) -> Engine:
    """An SQLite file, whatever database this installation has: what is rebuilt, a backup's copy."""
    return _open_file(URL.create("sqlite", database=str(path.absolute())))


def _open_file(parsed: URL) -> Engine:
    _make_file(parsed)
    # IMMEDIATE: a transaction that could not get the lock later would fail at once, without waiting.
    engine = _create(parsed, connect_args={"timeout": BUSY_SECONDS, "isolation_level": "IMMEDIATE"})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "before_cursor_execute", _take_turn)
    return engine


def upgrade(url: str) -> None:
    """Bring the tables to this version's, all or nothing. Safe to call from several processes at once."""
    engine = open_store(url)
    try:
        bring_up(engine)
    except DatabaseError as error:
        raise StoreUnavailable(_unusable(url, error)) from error
    finally:
        engine.dispose()


def bring_up(engine: Engine, revision: str = "head") -> None:
    """The same for a store that is open. Raises what the database raises."""
    with engine.connect() as connection:
        _require_utf8(connection)
        _lock(connection)
        _require_known(connection)
        command.upgrade(_config(connection), revision)
        connection.commit()


async def ready_store(url: str, *, retry_seconds: Sequence[float] = (1, 2, 5, 10, 30)) -> Engine:
    """An engine on tables of this version; waits, saying so, for a database that is not there yet."""
    failures = 0
    while True:
        try:
            await asyncio.to_thread(upgrade, url)
            return open_store(url)
        except StoreUnavailable as error:
            log.error("waiting for the store: %s", error)
            await asyncio.sleep(retry_seconds[min(failures, len(retry_seconds) - 1)])
            failures += 1


def current(url: str) -> tuple[str, str]:
    """Revision of the tables (empty: none yet) and the revision of this version of Wenxun."""
    engine = open_store(url)
    try:
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision() or ""
            return found, ScriptDirectory.from_config(_config(connection)).get_current_head() or ""
    except DatabaseError as error:
        raise StoreUnavailable(_unusable(url, error)) from error
    finally:
        engine.dispose()


def require_current(url: str) -> None:
    """SettingsError unless the tables are this version's: for commands that change nothing about them."""
    found, wanted = current(url)
    if found != wanted:
        raise SettingsError(f"{shown(url)}: the tables are at revision {found or 'none'}, this version needs {wanted}: "
                            "run `wenxun db upgrade` (or is WENXUN_DATA_DIR another folder?)")


def _require_known(connection: Connection) -> None:
    """SettingsError where a newer Wenxun altered the tables: this one neither knows them nor can take that back."""
    found = MigrationContext.configure(connection).get_current_revision()
    known = {each.revision for each in ScriptDirectory.from_config(_config(connection)).walk_revisions()}
    if found is not None and found not in known:
        where = connection.engine.url.render_as_string(hide_password=True)
        raise SettingsError(f"{where}: the tables are at revision {found}, which this version does not know: a "
                            "newer Wenxun was here. Run that version, or put back the backup from before its upgrade "
                            "(`wenxun db restore`)")


def shown(url: str) -> str:
    """The URL as it may be printed: without its password, or where that is."""
    return _parse(url).difference_update_query([postgres.PASSWORD_FILE]).render_as_string(hide_password=True)


def _config(connection: Connection) -> Config:
    config = Config()                    # no alembic.ini: everything is said here
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("WENXUN_DATABASE_URL: not a SQLAlchemy URL, for example "
                            "sqlite:////var/lib/wenxun/wenxun.db or postgresql+psycopg://user@host/wenxun") from None
    if parsed.get_backend_name() == "postgresql":
        return postgres.address(parsed)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError("WENXUN_DATABASE_URL: SQLite needs a file, for example sqlite:////var/lib/wenxun/wenxun.db")
    return parsed


def _open_postgres(url: URL) -> Engine:
    bare, secret = postgres.split(url)
    engine = _create(bare, connect_args=postgres.arguments(bare), **postgres.POOL)
    event.listen(engine, "handle_error", postgres.without_rows)
    event.listen(engine, "checkin", _patient_again)

    @event.listens_for(engine, "do_connect")
    def _dial(dialect: Any, _record: object, words: Any, values: dict[str, Any]) -> Any:
        from agents.store.patient import PatientConnection

        try:
            password = {} if secret is None else {"password": postgres.password(secret)}
        except (OSError, UnicodeError) as error:    # the driver's own error: it is the store's trouble, and passes
            said = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise dialect.loaded_dbapi.OperationalError(f"{secret}: {said}") from None
        return PatientConnection.connect(*words, **{**values, **password})
    return engine


def without_limits(connection: Connection) -> None:
    """For the rest of this transaction a statement takes as long as it takes: tables altered, copied, restored."""
    if connection.dialect.name == "postgresql":
        for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
        connection.connection.driver_connection.patience = None         # type: ignore[union-attr]


def hasten(engine: Engine, seconds: int) -> None:
    """For people who wait: on PostgreSQL no statement of this engine takes longer, answered or not."""
    if engine.dialect.name != "postgresql":
        return

    @event.listens_for(engine, "checkout")
    def _hasty(connection: Any, _record: object, _proxy: object) -> None:
        connection.patience = seconds + 2.0

    @event.listens_for(engine, "connect")
    def _limited(connection: Any, _record: object) -> None:
        connection.execute(f"SET statement_timeout = '{seconds}s'")
        connection.commit()


def _patient_again(connection: Any, _record: object) -> None:
    if connection is not None:
        vars(connection).pop("patience", None)


def _create(url: URL, **options: Any) -> Engine:
    try:
        return create_engine(url, hide_parameters=True, **options)     # they are texts, and errors are logged
    except NoSuchModuleError:
        raise SettingsError(f"WENXUN_DATABASE_URL: {url.drivername!r} is unknown; "
                            "use sqlite or postgresql+psycopg") from None
    except ModuleNotFoundError as error:
        raise SettingsError(f"WENXUN_DATABASE_URL: the driver {error.name!r} is not installed; "
                            f"install it beside Wenxun (pip install {error.name})") from None


def _make_file(url: URL) -> None:
    """The file, readable by its owner alone: it holds password hashes. SQLite gives its -wal and -shm the same mode.

    One that is there is never opened here: closing any descriptor of a file drops this process's locks on it, and the
    next command that ends would take itself for the last user and delete the write-ahead log under the others' hands.
    """
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK):
            raise SettingsError(f"{path}: cannot be opened for writing: Permission denied") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be opened for writing: {error.strerror}") from error


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _take_turn(connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
    """Begin a writing transaction as soon as the lock is free. One that stays taken, and every other trouble, is left
    to the statement itself, which waits once more: its error is SQLAlchemy's."""
    raw: Any = connection.connection.dbapi_connection
    if raw.in_transaction or not statement.lstrip()[:6].upper().startswith(_WRITES):
        return
    raw.execute("PRAGMA busy_timeout=0")
    try:
        until = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < until:
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    return
            time.sleep(LOOK_SECONDS)
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def _lock(connection: Connection) -> None:
    """One process alters tables at a time; the others wait and then find nothing to do."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif connection.dialect.name == "postgresql":
        without_limits(connection)                                  # an index of a great table takes its time
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")


def _require_utf8(connection: Connection) -> None:
    """Any other encoding of a PostgreSQL database refuses some texts, or returns bytes."""
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise SettingsError(f"{connection.engine.url.database}: the database is encoded in {encoding}; "
                                "make it anew with createdb --encoding UTF8 --template template0")


def _unusable(url: str, error: DatabaseError) -> str:
    text = " ".join(str(error.orig).split())
    known = postgres.hint(text) if _parse(url).get_backend_name() == "postgresql" else ""
    return f"{shown(url)}: the store cannot be used: {text}{known}"
