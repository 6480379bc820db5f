"""Who writes the archive's rows: the archive, or instead of it one rebuild, for as long as that is at work.

On PostgreSQL an advisory lock, of the archive's transaction (shared) and of the rebuild's session (exclusive); on
SQLite a lock on a file beside the database. Both end with their process, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

_KEY = 0x77656E79
"""Of PostgreSQL's advisory lock."""
SUFFIX = "-archive-lock"


class Fenced(SQLAlchemyError):
    """Somebody else has the archive's tables just now: the store's trouble, which passes, and no record's fault."""


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes rows of the archive. Fenced while a rebuild has them."""
    if engine.dialect.name == "sqlite":
        with _file(engine, fcntl.LOCK_SH), engine.begin() as connection:
            yield connection
        return
    with engine.begin() as connection:
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock_shared({_KEY})").scalar():
            raise Fenced("wenxun db rebuild is at work on this store")
        yield connection


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """No archive writes meanwhile. Fenced if one does just now, or another rebuild is at work."""
    if engine.dialect.name == "sqlite":
        with _file(engine, fcntl.LOCK_EX):
            yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_KEY})").scalar():
            raise Fenced("the archive, or another rebuild, writes just now")
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_KEY})")


@contextmanager
def _file(engine: Engine, how: int) -> Iterator[None]:
    """A file of its own: closing one of SQLite's would drop SQLite's locks."""
    path = Path(f"{engine.url.database}{SUFFIX}")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except OSError:
            raise Fenced("wenxun db rebuild is at work on this store" if how == fcntl.LOCK_SH else
                         "the archive, or another rebuild, writes just now") from None
        yield
    finally:
        os.close(handle)
