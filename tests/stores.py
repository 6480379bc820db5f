"""Which database the tests' stores are in: `pytest --store postgresql` runs the same tests on the other one.

Tests name a store by its SQLite file. On PostgreSQL each file's name stands for a database of its own, made from a
template that has all tables, and emptied after the test; tests marked `sqlite` are about the file and stay out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from psycopg.errors import UndefinedTable
from sqlalchemy import Engine, make_url
from sqlalchemy.engine import URL

from agents.settings import Settings
from agents.store import engine as store
from agents.store import schema
from tests import postgres_server

TEMPLATE = "wenxun_template"
swapped = False
"""Whether SQLite's files stand for databases of PostgreSQL just now."""


_secrets: dict[str, str] = {}
"""By port of a server, how the file with its password is added to a URL."""


def url_of(engine: Engine) -> str:
    """What opens the same store again."""
    return _secrets.get(str(engine.url.port), "{}").format(engine.url.render_as_string())


class Databases:
    """One server for a session, and which file's name is which database."""

    def __init__(self, server: postgres_server.Server) -> None:
        self.server = server
        self._names = (f"test_{number}" for number in count())
        self._of: dict[str, str] = {}
        self._free: list[str] = []
        self._engines: list[Engine] = []
        _secrets[str(server.port)] = f"{{}}&password_file={server.password_file}"
        server.create(TEMPLATE)
        store.upgrade(server.url(TEMPLATE))

    def url(self, file: str) -> str:
        key = str(Path(file).absolute())
        if key not in self._of:
            if not self._free:
                self._free.append(next(self._names))
                self.server.create(self._free[-1], TEMPLATE)
            self._of[key] = self._free.pop()
        return self.server.url(self._of[key])

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Within, every URL of an SQLite file means its database here."""
        parse, create, store_url = store._parse, store._create, Settings.store_url

        def parsed(url: str) -> URL:
            found = make_url(url) if swapped and url.startswith("sqlite:///") else None
            return parse(self.url(str(found.database)) if found is not None and found.database else url)

        def created(url: URL, **options: Any) -> Engine:
            engine = create(url, **options)
            self._engines.append(engine)
            return engine

        def placed(settings: Settings) -> str:
            said: str = store_url.fget(settings)                # type: ignore[attr-defined]
            return self.url(str(make_url(said).database)) if swapped and said.startswith("sqlite:///") else said

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.stores.swapped", True)
            patch.setattr(store, "_parse", parsed)
            patch.setattr(store, "_create", created)
            patch.setattr(Settings, "store_url", property(placed))
            yield
        for engine in self._engines:
            engine.dispose()

    @contextmanager
    def tidied(self) -> Iterator[None]:
        """Databases that are used within are emptied afterwards and used again: to make one takes half a second."""
        before, engines = set(self._of), len(self._engines)
        yield
        for engine in self._engines[engines:]:
            engine.dispose()
        del self._engines[engines:]
        for key in set(self._of) - before:
            name = self._of.pop(key)
            try:
                self._empty(name)
                self._free.append(name)
            except UndefinedTable:                      # a test took one away
                self.server.drop(name)

    def _empty(self, name: str) -> None:
        with self.server.connect(name) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                               "WHERE datname = current_database() AND pid <> pg_backend_pid()")
            # Truncated, where anything was written: what DELETE leaves is filled in any order, and tests read rows as
            # they were put. A missing table is an error for whoever calls.
            sizes = connection.execute("SELECT name, pg_relation_size(name::regclass) FROM unnest(%s::text[]) AS name",
                                       [[f'"{table}"' for table in schema.metadata.tables]]).fetchall()
            if written := [name for name, size in sizes if size]:
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.SQL, written))))
            connection.execute("SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'")


@contextmanager
def databases() -> Iterator[Databases]:
    with ExitStack() as stack:
        yield Databases(stack.enter_context(postgres_server.running()))
