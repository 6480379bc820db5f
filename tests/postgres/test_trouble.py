"""A PostgreSQL that refuses, is away, or answers with what must not be logged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import sql
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError, OperationalError

from agents.archivist import Archivist, Message, StoreTrouble
from agents.cli import main
from agents.clock import Clock
from agents.deps import Deps, RuleStore
from agents.desk.app import create_app
from agents.desk.sender import CommandSender
from agents.desk.web import Desk
from agents.metrics import Metrics
from agents.settings import Settings
from agents.store import engine as store
from agents.store import postgres, schema
from pipeline import codec, topics
from pipeline.errors import SettingsError
from tests.builders import book, raw_batch, raw_item
from tests.desk.conftest import Broker
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


def test_a_password_file_that_is_missing_ends_a_command_with_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WENXUN_DATABASE_URL", server.url("postgres").partition("?")[0])
    monkeypatch.setenv("WENXUN_DATABASE_PASSWORD_FILE", str(tmp_path / "nowhere"))
    backup = ["db", "backup", str(tmp_path / "a.tar.gz")]
    for words in (["db", "current"], ["db", "upgrade"], backup, ["event", "list"]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "WENXUN_DATABASE_PASSWORD_FILE" in said and "nowhere" in said and said.count("\n") <= 2, said


@pytest.mark.parametrize(("change", "said"), [
    (lambda url: url.replace("/wenxun_wrong", "/no_such_database"), "make the role and the database first"),
    (lambda url: url.replace("wenxun@", "nobody_here@"), "the password is wrong"),
    (lambda url: url.replace("127.0.0.1", "127.0.0.2"), "no server listens there"),
])
def test_a_store_that_cannot_be_opened_ends_a_command_with_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: Any, said: str
) -> None:
    monkeypatch.setenv("WENXUN_DATABASE_URL", change(server.url("wenxun_wrong").partition("?")[0]))
    monkeypatch.setenv("WENXUN_DATABASE_PASSWORD_FILE", str(server.password_file))
    for words in (["db", "upgrade"], ["db", "current"], ["db", "expire"]):
        assert main(words) == 2
        shown = capsys.readouterr().err
        assert shown.startswith("wenxun: postgresql+psycopg://") and said in shown and "Traceback" not in shown
        assert server.password not in shown


def test_another_programs_database_is_left_alone(
    postgres_url: str, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database with tables of its own, one of them named as ours: nothing of it is altered."""
    name = postgres_url.split("?")[0].rpartition("/")[2]
    with server.connect(name) as connection:
        connection.execute("CREATE TABLE items (id int)")
        connection.execute("INSERT INTO items VALUES (7)")
    with pytest.raises(store.StoreUnavailable, match="already exists"):
        store.upgrade(postgres_url)
    with server.connect(name) as connection:
        assert connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
                                  ).fetchall() == [("items",)]
        assert connection.execute("SELECT id FROM items").fetchall() == [(7,)]


@pytest.fixture
def reader(server: Server, postgres_url: str) -> Iterator[str]:
    """The URL of a role that may only read the tables, which are there."""
    store.upgrade(postgres_url)
    name = postgres_url.split("?")[0].rpartition("/")[2]
    with server.connect(name) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute(sql.SQL("CREATE ROLE reader LOGIN PASSWORD {}").format(sql.Literal(server.password)))
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    yield server.url(name, user="reader")
    with server.connect(name) as connection:
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")


async def test_a_role_that_may_only_read_stops_the_archive_and_the_desk_says_so(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is taken for a record's fault: it is held, and in when the rights are there."""
    engine = store.open_store(reader)
    archive = Archivist(Deps(Settings(data_dir=tmp_path), Clock(), Metrics()), engine, None)  # type: ignore[arg-type]
    record = raw_batch(raw_item())
    headers = codec.encode_headers(record, source="t", at=1, ident="t")
    message = Message(topics.ITEMS_RAW, 0, 0, b"k", codec.encode(record), headers)
    with pytest.raises(StoreTrouble, match="permission denied"):
        archive.store([message])
    desk = Desk(Deps(Settings(data_dir=tmp_path), Clock(), Metrics(), RuleStore(book())), engine,
                CommandSender(engine, Broker().open))
    transport = httpx.ASGITransport(app=create_app(desk), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as browser:
        answer = await browser.post("/login", data={"name": "li", "password": "x", "csrf": "c"}, headers={
            "origin": "http://127.0.0.1:8000", "cookie": "wenxun_login=c"})
    assert answer.status_code == 503 and "没有提交：数据库暂时不能读写" in answer.text
    engine.dispose()


async def test_a_server_that_became_read_only_is_trouble_and_passes(postgres_url: str, tmp_path: Path) -> None:
    """As after a failover to a standby: the archive holds, the desk answers 503."""
    store.upgrade(postgres_url)
    engine = store.open_store(postgres_url)
    archive = Archivist(Deps(Settings(data_dir=tmp_path), Clock(), Metrics()), engine, None)  # type: ignore[arg-type]
    record = raw_batch(raw_item())
    headers = codec.encode_headers(record, source="t", at=1, ident="t")
    message = Message(topics.ITEMS_RAW, 0, 0, b"k", codec.encode(record), headers)
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER DATABASE "
                                   f"{engine.url.database} SET default_transaction_read_only = on")
        connection.commit()
    engine.dispose()
    with pytest.raises(StoreTrouble, match="read-only"):
        archive.store([message])
    with engine.connect() as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = off")
        connection.commit()
        connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} RESET default_transaction_read_only")
        connection.commit()
    engine.dispose()
    assert archive.store([message])[1]["items"] == 1
    engine.dispose()
