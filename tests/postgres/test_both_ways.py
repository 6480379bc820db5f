"""A backup of one database is a backup for the other, and what was restored is an installation that works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, make_url

from agents.cli import main
from agents.desk import accounts
from agents.desk.accounts import Role
from agents.rule_files import starter_dir
from agents.settings import Settings
from agents.store import engine as stores
from agents.store import schema
from tests.agents import store_fakes as fakes
from tests.agents.rebuild_kit import day, fill_own
from tests.builders import raw_batch, raw_item
from tests.ports import free_port
from tests.postgres_server import Server

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]

ROOT = Path(__file__).parents[2]
EVERY = tuple(name for name in schema.metadata.tables if name != "sessions")
PASSWORD = "a long enough password"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("WENXUN_DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "WENXUN_LINK_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["init", str(tmp_path / "one" / "rules")]) == 0
    (tmp_path / "one" / "data").mkdir()
    (tmp_path / "one" / "data" / "link.key").write_text("k" * 48)
    (tmp_path / "one" / "data" / "link.key").chmod(0o600)
    return tmp_path / "one"


def at(place: Path, monkeypatch: pytest.MonkeyPatch, server: Server | None = None, database: str = "") -> str:
    """Make this the installation of the commands that follow; its store's URL."""
    monkeypatch.setenv("WENXUN_DATA_DIR", str(place / "data"))
    monkeypatch.setenv("WENXUN_RULES_DIR", str(place / "rules"))
    if server is None:
        monkeypatch.delenv("WENXUN_DATABASE_URL", raising=False)
        monkeypatch.delenv("WENXUN_DATABASE_PASSWORD_FILE", raising=False)
    else:
        monkeypatch.setenv("WENXUN_DATABASE_URL", server.url(database).partition("?")[0])
        monkeypatch.setenv("WENXUN_DATABASE_PASSWORD_FILE", str(server.password_file))
    return Settings.from_env(os.environ).store_url


def fill(url: str, *, own: bool = True) -> None:
    """own: with nonsense in what only SQL has, which no page could show."""
    stores.upgrade(url)
    engine = stores.open_store(url)
    for _, _, record in day(5):
        fakes.put(engine, record)
    if own:
        fill_own(engine)
    accounts.add(engine, "li", Role.DUTY, PASSWORD, now=1)
    engine.dispose()


def rows(url: str) -> dict[str, Any]:
    engine = stores.open_store(url)
    try:
        return fakes.dump(engine, EVERY)
    finally:
        engine.dispose()


@pytest.mark.parametrize("way", ["to PostgreSQL", "to SQLite", "within PostgreSQL"])
def test_rows_are_the_same_on_the_other_database(
    way: str, home: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.create("there")
    server.create("back")
    try:
        url = at(home, monkeypatch, None if way == "to PostgreSQL" else server, "there")
        fill(url)
        before = rows(url)
        assert all(before.values())
        assert main(["db", "backup", str(tmp_path / "a.tar.gz")]) == 0
        other = at(tmp_path / "two", monkeypatch, None if way == "to SQLite" else server, "back")
        assert main(["db", "restore", str(tmp_path / "a.tar.gz")]) == 0
        assert rows(other) == before
        engine = stores.open_store(other)
        with engine.begin() as connection:              # counting goes on behind the last line
            connection.execute(insert(schema.audit).values(at=1, account="x", action="x", object="x", detail=""))
        assert len({row["seq"] for row in fakes.rows(engine, "audit")}) == len(before["audit"]) + 1
        engine.dispose()
    finally:
        server.drop("there")
        server.drop("back")


def test_a_nul_that_only_sqlite_holds_does_not_stop_the_move(
    home: Path, server: Server, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = at(home, monkeypatch)
    fill(url)
    engine = stores.open_store(url)
    fakes.put(engine, raw_batch(raw_item("nul", text="a\x00b")))
    engine.dispose()
    assert main(["db", "backup", str(tmp_path / "a.tar.gz")]) == 0
    other = at(tmp_path / "two", monkeypatch, server, str(make_url(postgres_url).database))
    assert main(["db", "restore", str(tmp_path / "a.tar.gz")]) == 0
    assert [row[4] for row in rows(other)["items"] if row[0] == "nul"] == ["a\ufffdb"]


def test_one_moment_of_postgresql_while_others_write(
    home: Path, server: Server, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of two tables are written together: a backup has both or neither, at any time."""
    url = at(home, monkeypatch, server, str(make_url(postgres_url).database))
    fill(url)
    engine, stop = stores.open_store(url), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with engine.begin() as connection:
                for table in (schema.audit, schema.drills):     # far apart in the order of copying
                    connection.execute(insert(table).values(_row(table, number)))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for name in ("a", "b"):
            assert main(["db", "backup", str(tmp_path / f"{name}.tar.gz")]) == 0
    finally:
        stop.set()
        writer.join()
        engine.dispose()
    for name in ("a", "b"):
        other = at(tmp_path / name, monkeypatch)
        assert main(["db", "restore", str(tmp_path / f"{name}.tar.gz")]) == 0
        pairs = {table: sum("pair" in row for row in found) for table, found in rows(other).items()}
        assert pairs["audit"] == pairs["drills"]


def _row(table: Any, number: int) -> dict[str, Any]:
    if table is schema.audit:
        return {"at": number, "account": "pair", "action": "x", "object": "x", "detail": ""}
    return {"run": f"r{number}", "drill": "pair", "title": "x", "by": "x", "began_at": number, "script": ""}


def test_a_store_that_is_used_or_newer_is_left_alone(
    home: Path, server: Server, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str]
) -> None:
    url = at(home, monkeypatch, server, str(make_url(postgres_url).database))
    fill(url)
    assert main(["db", "backup", str(tmp_path / "a.tar.gz")]) == 0
    before, engine = rows(url), stores.open_store(url)
    with engine.connect() as connection:
        assert main(["db", "restore", str(tmp_path / "a.tar.gz"), "--yes"]) == 2
        said = capsys.readouterr().err
        assert "1 个连接" in said and "127.0.0.1" in said and "先停下所有角色" in said
        connection.rollback()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    for words in (["restore", str(tmp_path / "a.tar.gz"), "--yes"], ["backup", str(tmp_path / "b.tar.gz")]):
        assert main(["db", *words]) == 2
        assert "9999" in capsys.readouterr().err
    assert rows(url) == before


def test_a_restore_that_is_killed_has_changed_nothing(
    home: Path, server: Server, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = at(home, monkeypatch, server, str(make_url(postgres_url).database))
    fill(url)
    assert main(["db", "backup", str(tmp_path / "a.tar.gz")]) == 0
    engine = stores.open_store(url)
    fakes.put(engine, raw_batch(raw_item("later")))
    engine.dispose()
    before = rows(url)
    code = """
import os, signal, sys
from agents.cli import main
from agents.store import snapshot
copied = snapshot._copy_table_in
def dying(rows, table, connection):
    copied(rows, table, connection)
    if table.name == "items":
        os.kill(os.getpid(), signal.SIGKILL)
snapshot._copy_table_in = dying
main(["db", "restore", sys.argv[1], "--yes"])
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.tar.gz")], cwd=ROOT, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    until = time.monotonic() + 60
    while time.monotonic() < until:                     # the server notices that its client is gone
        with server.connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'wenxun'").fetchone():
                break
    assert rows(url) == before
    assert main(["db", "restore", str(tmp_path / "a.tar.gz"), "--yes"]) == 0
    assert "later" not in {row[0] for row in rows(url)["items"]}


# ---------------------------------------------------------------- an installation on what was restored


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.parametrize("target", ["SQLite", "PostgreSQL"])
def test_roles_start_on_what_was_restored_and_people_find_everything(
    target: str, home: Path, server: Server, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    running: list[subprocess.Popen[bytes]]
) -> None:
    """Restored to the other database: one signs in, sees the event, its messages, and the rules in force."""
    database = str(make_url(postgres_url).database)
    fill(at(home, monkeypatch, None if target == "PostgreSQL" else server, database), own=False)
    assert main(["db", "backup", str(tmp_path / "a.tar.gz")]) == 0
    if target == "PostgreSQL":
        at(tmp_path / "two", monkeypatch, server, database)
    else:
        at(tmp_path / "two", monkeypatch)
    assert main(["db", "restore", str(tmp_path / "a.tar.gz")]) == 0
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        running.append(subprocess.Popen(
            [sys.executable, "-m", "agents", "up"], cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            env={**os.environ, "WENXUN_DESK_BIND": f"127.0.0.1:{port}",
                 "WENXUN_METRICS_BIND": f"127.0.0.1:{free_port()}"}))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, follow_redirects=True) as browser:
        _until_ready(browser, running[0], tmp_path / "log")
        form = browser.get("/login").text
        token = re.search(r'name="csrf" value="([^"]+)"', form)
        fields = {"name": "li", "password": PASSWORD, **({"csrf": token[1]} if token else {})}
        signed = browser.post("/login", data=fields, headers={"origin": f"http://127.0.0.1:{port}"})
        assert signed.status_code == 200 and "li" in signed.text
        event = browser.get("/events/e1")
        assert event.status_code == 200 and "duty-a" in event.text
        assert browser.get("/deliveries").status_code == 200
        rules = browser.get("/rules").text
    book = next(iter((starter_dir() / "subjects").glob("*.yml"))).stem
    assert book in rules or "规则" in rules
    assert sorted(path.name for path in (tmp_path / "two" / "rules").glob("*.yml")) == sorted(
        path.name for path in (home / "rules").glob("*.yml"))


def _until_ready(browser: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
        try:
            if browser.get("/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)


