"""A PostgreSQL that refuses, is away, or answers with what must not be logged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError, OperationalError

from agents.settings import Settings
from agents.store import engine as store
from agents.store import postgres, schema
from pipeline.errors import SettingsError
from tests.postgres_server import Server

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]


def with_password(url: str, path: Path, words: str) -> str:
    path.write_text(words)
    bare = url.replace("postgresql://", "postgresql+psycopg://").split("?")[0]
    return Settings.from_env({"WENXUN_DATABASE_URL": bare, "WENXUN_DATABASE_PASSWORD_FILE": str(path)}).store_url


def test_the_password_comes_from_its_file_and_is_in_no_repr(
    postgres_url: str, server: Server, tmp_path: Path
) -> None:
    url = with_password(postgres_url, tmp_path / "a secret file", server.password + "\n")
    store.upgrade(url)
    engine = store.open_store(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()
    assert server.password not in f"{engine!r} {url} {store.shown(url)}" and "secret" not in store.shown(url)


def test_a_password_that_was_changed_counts_at_the_next_connection(
    postgres_url: str, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    engine = store.open_store(with_password(postgres_url, file, "another one"))
    with pytest.raises(OperationalError, match="password authentication failed"):
        engine.connect()
    file.write_text(server.password)
    engine.connect().close()
    file.unlink()
    engine.dispose()
    with pytest.raises(OperationalError, match="No such file"):     # its error is the store's, not a record's
        engine.connect()


def test_a_wrong_password_says_where_to_look_and_is_waited_for(
    postgres_url: str, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "password"
    url = with_password(postgres_url, file, "falsch")

    async def mended() -> None:
        waiting = asyncio.create_task(store.ready_store(url, retry_seconds=[0.05]))
        async with asyncio.timeout(60):
            while caplog.text.count("waiting for the store") < 2:
                await asyncio.sleep(0.01)
            file.write_text(server.password)
            (await waiting).dispose()

    asyncio.run(mended())
    assert "WENXUN_DATABASE_PASSWORD_FILE" in caplog.text and "falsch" not in caplog.text


@pytest.mark.parametrize(("url", "said"), [
    ("postgresql://wenxun@127.0.0.1:1/wenxun", "no server listens there"),
    ("postgresql://wenxun@no-such-host.invalid/wenxun", "cannot be used"),
])
def test_a_server_that_is_away_is_named(url: str, said: str) -> None:
    with pytest.raises(store.StoreUnavailable, match=said):
        store.upgrade(url)


def test_a_database_that_was_never_made_is_named(server: Server) -> None:
    with pytest.raises(store.StoreUnavailable, match="make the role and the database first"):
        store.upgrade(server.url("never_made"))


def test_settings_refuse_a_password_in_the_url_and_a_file_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match="PASSWORD_FILE") as refused:
        Settings.from_env({"WENXUN_DATABASE_URL": "postgresql://wenxun:geheim@db/wenxun"})
    assert "geheim" not in str(refused.value)
    with pytest.raises(SettingsError, match="WENXUN_DATABASE_PASSWORD_FILE=/no/such: there is no such file"):
        store.open_store("postgresql://wenxun@db/wenxun?password_file=/no/such")


def test_an_encoding_that_cannot_hold_texts_is_refused(server: Server) -> None:
    with server.connect() as connection:
        connection.execute("CREATE DATABASE narrow ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE_PROVIDER libc "
                           "LC_COLLATE 'C' LC_CTYPE 'C'")
    with pytest.raises(SettingsError, match="encoded in SQL_ASCII"):
        store.upgrade(server.url("narrow"))


def test_limits_of_a_session(postgres_url: str) -> None:
    engine = store.open_store(postgres_url)
    with engine.connect() as connection:
        limits = {name: connection.exec_driver_sql(f"SHOW {name}").scalar()
                  for name in ("statement_timeout", "lock_timeout", "client_encoding", "application_name")}
    engine.dispose()
    assert limits == {"statement_timeout": "1min", "lock_timeout": f"{postgres.LOCK_SECONDS}s",
                      "client_encoding": "UTF8", "application_name": "wenxun"}


def test_an_error_has_no_text_of_the_row(postgres_url: str) -> None:
    store.upgrade(postgres_url)
    engine = store.open_store(postgres_url)
    row = {"hash": "b", "at": 1, "book": "几点关门，投票站的人说的"}
    with pytest.raises(IntegrityError) as refused, engine.begin() as connection:
        connection.execute(insert(schema.books), row)
        connection.execute(insert(schema.books), row)
    with pytest.raises(IntegrityError) as missing, engine.begin() as connection:
        connection.execute(text("INSERT INTO books (hash, at) VALUES (:text, 1)"), {"text": "几点关门"})
    engine.dispose()
    for error in (refused.value, missing.value):
        assert "几点" not in f"{error} {error.orig} {error!r}" and "constraint" in str(error)


def test_connections_that_the_server_cut_are_made_anew(postgres_url: str, server: Server) -> None:
    engine = store.open_store(postgres_url)
    engine.connect().close()
    with server.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wenxun'")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()
