"""On a store of some size no list of the desk, and no step of the retention, reads a large table from end to end.

`make bench BENCH=store` shows the same with a million items, and how long each takes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from agents.store import engine as store
from agents.store import expiry, schema
from bench import store as bench
from bench.store_data import DAY, NOON, Made
from tests import postgres_server
from tests.agents import store_fakes as fakes

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]

ITEMS = 100_000


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[Engine, Made]]:
    with postgres_server.running() as server:
        server.create("filled")
        store.upgrade(server.url("filled"))
        engine, made = store.open_store(server.url("filled")), Made(ITEMS)
        made.fill(engine)
        yield engine, made
        engine.dispose()


def test_every_list_finds_its_rows_by_an_index(filled: tuple[Engine, Made]) -> None:
    engine, made = filled
    asked = bench.reads_of(engine, made)
    assert len(asked) >= 15
    assert {name: found for name, ask in asked.items() if (found := bench.whole_reads(engine, ask))} == {}


def test_a_list_that_no_index_helps_is_noticed(filled: tuple[Engine, Made]) -> None:
    """The proof above can fail."""
    engine, _ = filled

    def without_index() -> None:
        with engine.connect() as connection:
            connection.execute(schema.items.select().where(schema.items.c.title == "x").limit(1)).all()

    assert bench.whole_reads(engine, without_index)[0].startswith("items: SELECT")


def test_retention_of_a_month_keeps_figures_and_drops_every_text(filled: tuple[Engine, Made]) -> None:
    """In chunks, so that others write meanwhile; what stays open keeps its texts."""
    engine, made = filled
    before = NOON - 20 * DAY
    dropped = expiry.expire(engine, before)
    third = sum(1 for n in range(ITEMS) if made.at(n) < before)
    assert dropped["items"] == dropped["scored"] == third
    assert expiry.expire(engine, before) == {}
    with engine.connect() as connection:
        def ask(statement: str) -> int:
            return int(connection.exec_driver_sql(statement).scalar_one())

        assert ask("SELECT count(*) FROM items") == ITEMS
        assert ask(f"SELECT count(*) FROM items WHERE seen_at < {before} AND (title <> '' OR text <> '')") == 0
        assert ask(f"SELECT count(*) FROM items WHERE seen_at >= {before} AND text = ''") == 0
        assert ask(f"SELECT count(*) FROM counts WHERE at < {before}") == 0
        assert ask(f"SELECT count(*) FROM outbox WHERE decided_at < {before} AND reported") == 0
        assert ask(f"SELECT count(*) FROM escalations WHERE at < {before} AND detail <> ''") == 0
    assert {row["status"] for row in fakes.rows(engine, "outbox")} == {"confirmed", "pending"}
