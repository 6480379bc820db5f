"""What Grafana sees: every view answers on both databases, has no text of a feed, and its role reads nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from msgspec.structs import replace
from psycopg import sql
from sqlalchemy import Engine, inspect, text

from agents.rule_files import load_book, starter_dir
from agents.store import engine as store
from agents.store import schema, views
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON, raw_batch, raw_item, scored_batch, scored_item
from tests.postgres_server import Server

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]

TEXT = "几点关门谁也说不清"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/wenxun.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    store.upgrade(url)
    engine = store.open_store(url)
    item = raw_item("a1", title=TEXT, text=TEXT, url=f"http://x.example/{TEXT}")
    raised = fakes.head(7, "a1", title=TEXT, level=2, decision=messages.decision(level=2, previous=1))
    fakes.put(
        engine, raw_batch(item), scored_batch(scored_item("a1", title=TEXT, text=TEXT)), raised,
        fakes.alert(acked_by="wang"),
        fakes.clocks(1, fakes.clock(), fakes.clock("again", due_at=NOON + 9)), fakes.delivery(error=TEXT),
        fakes.source_state(error=TEXT), messages.page())
    yield engine
    engine.dispose()


def test_every_view_answers_without_a_text(engine: Engine) -> None:
    said = {}
    with engine.connect() as connection:
        for name in views.names():
            said[name] = [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
    assert TEXT not in repr(said) and "关门" not in repr(said)
    for name in ("items", "matches", "members", "events", "alerts", "deliveries", "sources", "escalations"):
        assert len(said[f"grafana_{name}"]) == 1, name
    assert [(row["id"], row["due_ms"]) for row in said["grafana_clocks"]] == [
        ("answer", NOON + 5 * 3_600_000), ("again", NOON + 9)]
    [level] = said["grafana_levels"]
    assert (level["event_id"], level["level"], level["previous"]) == ("e1", 2, 1)
    [alert] = said["grafana_alerts"]
    assert (alert["acked_by"], alert["raised_ms"]) == ("wang", NOON)
    assert str(said["grafana_events"][0]["opened_time"]).startswith("2026-")


def test_what_the_rule_book_in_force_calls_things_is_there(engine: Engine) -> None:
    book = replace(load_book(starter_dir(), "Asia/Shanghai"), budget={"重大": 5}, hash="b2")
    fakes.put(engine, replace(book, hash="b1", subjects=()), at=NOON)
    fakes.put(engine, book, at=NOON + 1)
    with engine.connect() as connection:
        def ask(query: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(text(query))]

        levels = book.levels.ladder
        assert ask("SELECT rank, name, response, color, budget FROM grafana_ladder ORDER BY rank") == [
            (rank, level.name, level.response, level.color, book.budget.get(level.name))
            for rank, level in enumerate(levels, 1)]
        assert ask('SELECT id, name, "group" FROM grafana_source_names ORDER BY rank') == [
            (source.id, source.name, source.group) for source in book.sources]
        assert ask("SELECT id, title, status FROM grafana_subjects ORDER BY rank") == [
            (subject.id, subject.title, str(subject.status)) for subject in book.subjects]
        assert ask("SELECT id, name FROM grafana_clock_names") == [
            (clock.id, clock.name) for clock in book.levels.clocks]
        assert ask("SELECT hash, interaction FROM grafana_book") == [("b2", book.levels.events.interaction)]


@pytest.mark.parametrize(("subject", "number", "short", "kind"), [
    ("gate", 7, "E-0007", "live"), ("~gate", 12345, "S-12345", "shadow"), ("!gate", 317, "D-0317", "drill"),
    ("gate", 0, None, "live")])
def test_events_have_the_number_people_know_and_their_kind(
    engine: Engine, subject: str, number: int, short: str | None, kind: str,
) -> None:
    fakes.put(engine, fakes.head(1, event_id="e9", subject=subject, number=number))
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT short, kind, subject_id FROM grafana_events WHERE id = 'e9'"))
    assert tuple(row) == (short, kind, "gate")


def test_a_text_with_a_nul_stops_no_view(engine: Engine) -> None:
    """PostgreSQL's jsonb refuses one; Grafana would show an error for all events because of one title."""
    fakes.put(engine, messages.page("esc0", at=NOON - 1, head=fakes.head(1, event_id="e0", title="a\0b")))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT level, level_name FROM grafana_escalations ORDER BY at_ms")).all()
    assert [tuple(row) for row in found] == [(2, "较大"), (2, "较大")]


def test_views_are_made_again_only_when_they_differ_and_never_stop_a_migration(url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        assert views.current(connection)
        connection.exec_driver_sql("DROP VIEW grafana_books")
        assert not views.current(connection)
    store.upgrade(url)
    with engine.begin() as connection:
        assert views.current(connection)
        command.downgrade(store._config(connection), "0001")
        assert inspect(connection).get_view_names() == []
    store.upgrade(url)
    with engine.begin() as connection:
        assert views.current(connection)


def test_the_role_reads_the_views_and_nothing_else(postgres_url: str, server: Server) -> None:
    """It is made after the tables here; the next upgrade lets it in."""
    store.upgrade(postgres_url)
    name = postgres_url.split("?")[0].rpartition("/")[2]
    with server.connect(name) as connection:
        connection.execute("DROP ROLE IF EXISTS grafana_ro")
        connection.execute(sql.SQL("CREATE ROLE grafana_ro LOGIN PASSWORD {}").format(sql.Literal(server.password)))
    store.upgrade(postgres_url)
    with server.connect(name, user="grafana_ro") as reader:
        for view in views.names():
            reader.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(view)))
        for table in (*schema.metadata.tables, "alembic_version"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
        for view in views.names():
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)):
                reader.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(view)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("CREATE TABLE mine (n integer)")
    with server.connect(name) as connection:
        connection.execute("DROP OWNED BY grafana_ro")
        connection.execute("DROP ROLE grafana_ro")


def test_columns_are_of_the_tables_and_not_of_texts() -> None:
    texts = {"title", "text", "html", "url", "detail", "head", "row", "error", "record", "state", "escalation", "note",
             "by", "ref"}
    for table, columns in views.TABLES.values():
        assert set(columns) <= set(schema.metadata.tables[table].c.keys()) - texts
