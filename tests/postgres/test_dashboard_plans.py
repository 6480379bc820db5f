"""The dashboards' SQL in a store that has nothing yet; and each question goes by an index of the large tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql

from agents.store import engine as store
from deploy.grafana.asking import Sources, Window, sql_text
from deploy.grafana.boards import JSON, POSTGRES, Query, queries
from deploy.grafana.build.__main__ import boards
from tests.postgres_server import Server

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]

BOARDS: list[JSON] = [json.loads(board.json()) for board in boards()]
ASKED = [(board, query) for board in BOARDS for query in queries(board) if query.uid == POSTGRES]
TARGETS = {"job": "wenxun", "instance": ".*", "role": ".*"}
LARGE = {"items", "scored", "members", "timeline", "counts", "escalations", "deliveries"}
WINDOW = Window(1_795_320_000_000, 1_795_320_000_000 + 86_400_000)


@pytest.fixture
def sources(postgres_url: str, server: Server) -> Iterator[Sources]:
    """A store without a row, not even a rule book, read as grafana_ro."""
    name = postgres_url.split("?")[0].rpartition("/")[2]
    with server.connect(name) as owner:
        owner.execute(sql.SQL("CREATE ROLE grafana_ro LOGIN PASSWORD {}").format(sql.Literal(server.password)))
    store.upgrade(postgres_url)
    with server.connect(name, user="grafana_ro") as reader:
        yield Sources("http://nobody.invalid", reader)
    with server.connect(name) as owner:
        owner.execute("DROP OWNED BY grafana_ro")
        owner.execute("DROP ROLE grafana_ro")


def test_nothing_is_an_answer_and_no_error(sources: Sources) -> None:
    assert len(ASKED) > 40
    rows = {query.where: sources.ask(query, sources.values(board, WINDOW, TARGETS), WINDOW).rows
            for board, query in ASKED}
    assert rows["值班总览 / 事件清单 / A"] == [] and rows["值班总览 / 未确认的告警 / A"] == [(0,)]
    assert [row[1:] for found in rows.values() for row in found if len(row) > 1] == [(0, 0, 0), ("*",)]


def test_every_question_goes_by_an_index_of_a_large_table(sources: Sources) -> None:
    """With sequential scans forbidden PostgreSQL still takes one where no index would do."""
    sources.postgres.execute("SET enable_seqscan = off")
    chosen = {**TARGETS, "source": ["s1", "s2"], "subject": ["gate", "*"], "event": "E-0007", "event_id": "e7"}
    whole, read = [], set[str]()
    for board, query in ASKED:
        for node in _nodes(_plan(sources, query, sources.values(board, WINDOW, chosen))):
            if node.get("Relation Name") in LARGE:
                read.add(node["Relation Name"])
                if not node.get("Index Cond") and not node.get("Recheck Cond"):
                    whole.append(f"{query.where}: {node['Node Type']} of {node['Relation Name']}")
    assert whole == []
    assert read == LARGE, "all of them are asked"


def _plan(sources: Sources, query: Query, values: Any) -> JSON:
    text = sql_text(query.text, values, WINDOW, query.panel.get("interval") or "")
    [(plan,)] = sources.postgres.execute(f"EXPLAIN (FORMAT JSON) {text}".encode())
    found: JSON = plan[0]["Plan"]
    return found


def _nodes(plan: JSON) -> Iterator[JSON]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)
