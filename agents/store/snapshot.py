"""The whole database as one SQLite file, whichever it is, and that file as the whole database again.

Made while everything runs: by SQLite's backup API, or in one snapshot of PostgreSQL (REPEATABLE READ) with COPY. It has
the tables of the store's own revision, so that the migrations that lead from there are the ones of any store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, Table, func, inspect, select
from sqlalchemy.exc import DatabaseError

from agents.store import engine as stores
from agents.store import schema
from agents.store.postgres import hint
from agents.store.upsert import copying
from pipeline.errors import WenxunError

VERSIONS = "alembic_version"
CHUNK = 5000
NUL = "\x00"


class SnapshotError(WenxunError):
    """A database that cannot be copied, or a copy that cannot be used. The text says why and what to do."""


class InUse(SnapshotError):
    """Somebody has the store open."""


def take(store: Engine, file: Path) -> tuple[str, dict[str, int]]:
    """Copy a running store into a new file; its revision, and rows by table."""
    try:
        if store.dialect.name == "sqlite":
            with store.connect() as connection, closing(sqlite3.connect(file)) as target:
                raw: Any = connection.connection.dbapi_connection
                raw.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
        else:
            _copy_out(store, file)
    except (DatabaseError, sqlite3.Error) as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        raise SnapshotError(f"数据库读不完整：{said}{hint(said)}") from None
    return look(file)


def look(file: Path) -> tuple[str, dict[str, int]]:
    """Revision and rows by table of such a file; SnapshotError if it is damaged."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise SnapshotError(f"数据库文件已损坏：{found}。请用更早的备份恢复，或用 wenxun db rebuild 重建。")
            revision = connection.execute(f"SELECT version_num FROM {VERSIONS}").fetchone()  # noqa: S608 - our names
            names = [name for name, in connection.execute(
                "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'") if name != VERSIONS]
            rows = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608
                    for name in sorted(names)}
            return (revision[0] if revision else ""), rows
    except sqlite3.Error as error:
        raise SnapshotError(f"数据库文件读不了：{error}") from None


def damaged(file: Path) -> bool:
    """Whether there is such a file and it is no whole database."""
    if not file.exists() or not file.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def bring_up(file: Path) -> None:
    """The file's tables at this version's revision. SnapshotError for one of a newer version."""
    revision, _ = look(file)
    if revision not in revisions():
        raise SnapshotError(f"备份里的表是版本 {revision or '（无）'}，本程序只认识到 {revisions()[0]}："
                            "备份来自更新的 Wenxun。请先升级程序，再恢复。")
    store = stores.open_file(file)
    try:
        stores.bring_up(store)
        with store.begin() as connection:               # nobody stays signed in over a restore
            connection.execute(schema.sessions.delete())
    finally:
        store.dispose()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def revisions() -> list[str]:
    """Of all migrations that this version knows, the newest first."""
    config = Config()
    config.set_main_option("script_location", str(stores.MIGRATIONS).replace("%", "%%"))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]


def filled(store: Engine) -> dict[str, int]:
    """Tables of a store that have rows, and how many; empty of one that was just made."""
    with store.connect() as connection:
        names = set(inspect(connection).get_table_names()) & set(schema.metadata.tables)
        counted = {name: connection.execute(select(func.count()).select_from(schema.metadata.tables[name])).scalar_one()
                   for name in sorted(names)}
    return {name: count for name, count in counted.items() if count}


@contextmanager
def loading(file: Path, store: Engine) -> Iterator[None]:
    """Make the store what the file says: when the block ends well, and whole or not at all. InUse if others have it."""
    if store.dialect.name == "sqlite":
        with _sqlite_alone(Path(str(store.url.database))) as target, closing(sqlite3.connect(file)) as source:
            yield
            try:
                source.backup(target)
            except sqlite3.Error as error:              # rolled back: the file is as it was
                raise SnapshotError(f"{store.url.database}：恢复没有成功，没有改动：{error}。"
                                    "检查磁盘空间和权限。") from None
        return
    with store.connect() as connection, connection.begin():
        _postgres_alone(connection)
        _copy_in(file, connection)
        yield
    with suppress(DatabaseError), store.connect() as connection, connection.begin():    # it is restored already
        stores.without_limits(connection)
        connection.exec_driver_sql("ANALYZE")


# ---------------------------------------------------------------- SQLite


@contextmanager
def _sqlite_alone(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, locked against everybody. Leaving WAL is what SQLite lets only the last connection do."""
    with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            raise InUse(f"{path} 正被别的进程使用（用 fuser {path} 看是谁）。") from None
        yield connection


# ---------------------------------------------------------------- PostgreSQL


def _copy_out(store: Engine, file: Path) -> None:
    how: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with store.connect().execution_options(**how) as connection, connection.begin():
        stores.without_limits(connection)
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision not in revisions():
            raise SnapshotError(f"数据库里的表是版本 {revision or '（无）'}，本程序不认识。"
                                "用建这个库的那个版本来备份。")
        target = stores.open_file(file)
        try:
            stores.bring_up(target, str(revision))
            tables = MetaData()
            tables.reflect(target)
        finally:
            target.dispose()
        with closing(sqlite3.connect(file)) as copy:
            copy.execute("PRAGMA journal_mode=OFF")
            copy.execute("PRAGMA synchronous=OFF")
            for table in tables.sorted_tables:
                if table.name != VERSIONS:
                    _copy_table_out(connection, table, copy)
            copy.commit()


def _copy_table_out(connection: Connection, table: Table, copy: sqlite3.Connection) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.c)
    kinds = [{bool: "bool", int: "int8", float: "float8"}.get(column.type.python_type, "text") for column in table.c]
    marks = ", ".join("?" for _ in table.c)
    copy.execute("BEGIN")
    with copying(connection, f'COPY "{table.name}" ({names}) TO STDOUT') as out:
        out.set_types(kinds)
        copy.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', out.rows())  # noqa: S608 - our names
    copy.commit()


def _copy_in(file: Path, connection: Connection) -> None:
    tables = schema.metadata.sorted_tables
    names = ", ".join(f'"{table.name}"' for table in tables)
    connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")      # waits 15 s at most
    stores.without_limits(connection)
    connection.exec_driver_sql(f"TRUNCATE {names}")
    source = stores.open_file(file)
    try:
        with source.connect().execution_options(yield_per=CHUNK) as rows:
            for table in tables:
                _copy_table_in(rows, table, connection)
    finally:
        source.dispose()
    for table in tables:
        for column in table.primary_key:
            if column.autoincrement is True:
                connection.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "  # noqa: S608 - our names
                    f'coalesce(max("{column.name}"), 0) + 1, false) FROM "{table.name}"')


def _copy_table_in(rows: Connection, table: Table, connection: Connection) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.c)
    with copying(connection, f'COPY "{table.name}" ({names}) FROM STDIN') as into:
        for row in rows.execute(select(table)):
            into.write_row(tuple(map(_storable, row)))


def _storable(value: Any) -> Any:
    """PostgreSQL's texts hold no NUL, SQLite's do."""
    return value.replace(NUL, "\ufffd") if isinstance(value, str) and NUL in value else value


def _postgres_alone(connection: Connection) -> None:
    others = connection.exec_driver_sql(
        "SELECT pid, coalesce(host(client_addr), 'local'), backend_start::timestamp(0) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'wenxun'").all()
    if others:
        shown = "；".join(f"进程 {pid}，来自 {address}，{since} 起" for pid, address, since in others[:8])
        raise InUse(f"数据库正被 Wenxun 使用：{len(others)} 个连接（{shown}）。")
