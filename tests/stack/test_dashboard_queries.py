"""Every query of every dashboard is asked of the real Prometheus and the real PostgreSQL that the demo's day feeds, as
`grafana_ro`, and answers. What only a fault fills is empty until the fault is made here, and answers after it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml
from aiokafka import AIOKafkaProducer

from agents.demo.book import read_book
from deploy.grafana.asking import Answer, QueryError, Sources, Window
from deploy.grafana.build.__main__ import boards
from pipeline import codec, topics
from pipeline.model import Counts, CountsBatch, CountsRow
from tests import dashboards
from tests.dashboards import JSON, Query
from tests.stack.installation import Installation
from tests.stack.quicker import FACTOR

pytestmark = pytest.mark.stack

BUILT = {board.uid: board for board in boards()}
BOARDS: dict[str, JSON] = {uid: json.loads(board.json()) for uid, board in BUILT.items()}
SCRAPE = 15 / FACTOR
MOST_VALUES = 8


def faults() -> dict[tuple[str, str], str]:
    """(board, panel or annotation) -> what fills it."""
    found = {(uid, str(panel.model.title)): panel.failure for uid, board in BUILT.items() for panel in board.panels()}
    found |= {(uid, mark.model.name): mark.failure for uid, board in BUILT.items() for mark in board.marks}
    return {place: failure for place, failure in found.items() if failure}


def failure_of(uid: str, query: Query) -> str:
    return faults().get((uid, query.panel.get("title") or query.target.get("name", "")), "")


@dataclass
class Fed:
    """A stack whose day has been told, and the data sources as Grafana has them."""

    stack: Installation
    sources: Sources
    begun: float

    def window(self) -> Window:
        return Window.last(time.time() - self.begun, SCRAPE)

    def answer(self, uid: str, query: Query) -> Answer:
        window = self.window()
        return self.sources.ask(query, self.sources.values(BOARDS[uid], window), window)

    def until(self, wanted: Callable[[], list[str]], seconds: float) -> None:
        """Until nothing is left of `wanted`; AssertionError with what is."""
        deadline = time.monotonic() + seconds
        while left := wanted():
            assert time.monotonic() < deadline, "\n".join(left)
            time.sleep(1)


@pytest.fixture(scope="module")
def fed(told: Installation) -> Iterator[Fed]:
    begun = told.folder.state.stat().st_mtime
    people_at_work(told)
    sources = Sources.of(told.state)
    try:
        yield Fed(told, sources, begun)
    finally:
        sources.postgres.close()


def people_at_work(stack: Installation) -> None:
    """They look at the desk."""
    with httpx.Client(trust_env=False, timeout=20) as client:
        client.get(stack.state["desk"] + "/login")


# ---------------------------------------------------------------- the day as it is


def test_every_query_answers_while_the_demo_plays(fed: Fed) -> None:
    def empty() -> list[str]:
        return [query.where for uid, board in BOARDS.items() for query in dashboards.queries(board)
                if not failure_of(uid, query) and not fed.answer(uid, query).rows]

    fed.until(empty, 180)
    asked = sum(1 for uid, board in BOARDS.items() for query in dashboards.queries(board) if not failure_of(uid, query))
    assert asked > 100, asked


def test_every_value_of_every_variable_may_be_chosen(fed: Fed) -> None:
    """Each alone, the others as the board opens; what there is then may be nothing, an error it is not."""
    tried: defaultdict[str, set[str]] = defaultdict(set)
    for uid, board in BOARDS.items():
        window = fed.window()
        opened = fed.sources.values(board, window)
        for name, variable in dashboards.variables(board).items():
            if variable["type"] == "constant" or variable.get("hide") == 2:
                continue
            options = ([each["value"] for each in variable["options"]] if variable["type"] == "custom"
                       else fed.sources.options(variable, opened, window))
            assert options, (uid, name)
            for value in options[:MOST_VALUES]:
                chosen = fed.sources.values(board, window, {name: [value] if variable.get("multi") else value})
                for query in dashboards.queries(board):
                    if f"${name}" in query.text or f"${{{name}" in query.text or "event_id" in query.text:
                        fed.sources.ask(query, chosen, window)
                tried[name].add(value)
    assert {"kind", "event", "role", "instance", "source", "subject"} <= set(tried)
    assert tried["kind"] == {"live", "drill", "shadow"} and len(tried["role"]) == 8


def test_the_data_sources_are_read_as_grafana_may(fed: Fed) -> None:
    connection = fed.sources.postgres
    assert connection.execute("SELECT current_user").fetchone() == ("grafana_ro",)
    for text in ("SELECT title FROM events", "SELECT * FROM items", "CREATE TABLE mine (n integer)"):
        with pytest.raises(psycopg.Error):
            connection.execute(text.encode())
    with pytest.raises(QueryError):
        fed.sources.ask(Query("x", dashboards.PROMETHEUS, "sum(", {"interval": ""}, {}), {}, fed.window())


def test_the_desk_that_links_lead_to_knows_the_events(fed: Fed) -> None:
    board = BOARDS["wenxun-event"]
    event = fed.sources.values(board, fed.window())["event"]
    assert isinstance(event, str) and event.startswith("E-")
    assert event in fed.stack.wenxun("event", "list", "--all")


# ---------------------------------------------------------------- what has to go wrong, or to be done, first


def test_what_only_trouble_fills_answers_once_there_is_trouble(fed: Fed, troubled: set[str]) -> None:
    wanted = {(uid, query.where): query for uid, board in BOARDS.items() for query in dashboards.queries(board)
              if failure_of(uid, query)}
    assert {failure_of(uid, query) for (uid, _), query in wanted.items()} == troubled
    seen: set[tuple[str, str]] = set()

    def empty() -> list[str]:
        """What answered once has answered: a rule that fires may end."""
        seen.update(place for place, query in wanted.items() if place not in seen and fed.answer(place[0], query).rows)
        return [f"{failure_of(uid, query)}: {where}" for (uid, where), query in wanted.items()
                if (uid, where) not in seen]

    fed.until(empty, 420)


@pytest.fixture
def troubled(fed: Fed) -> Iterator[set[str]]:
    """All of it at once; undone at the end, for other tests use this stack, too."""
    kept = {path: path.read_text("utf-8") for path in _changed(fed.stack)}
    try:
        for make in MAKE.values():
            make(fed)
        yield set(MAKE)
    finally:
        for path, text in kept.items():
            path.write_text(text, "utf-8")
        fed.stack.run("start")


def _rules(stack: Installation) -> Path:
    return Path(stack.state["rules"])


def _changed(stack: Installation) -> list[Path]:
    return [_rules(stack) / name for name in ("sources.yml", "routes.yml", "secrets/duty.url", "secrets/chief.url")]


def _opened(fed: Fed) -> str:
    """The event that the boards open with."""
    return str(fed.sources.values(BOARDS["wenxun-event"], fed.window())["event"])


def _more_sources(fed: Fed, *sources: dict[str, object]) -> None:
    path = _rules(fed.stack) / "sources.yml"
    found = yaml.safe_load(path.read_text("utf-8"))
    often = {"interval": "1m", "min_interval": "1m", "max_interval": "2m"}
    found["sources"] += [{**each, **often} for each in sources]
    path.write_text(yaml.safe_dump(found, allow_unicode=True, sort_keys=False), "utf-8")


def _address(fed: Fed) -> str:
    """Of a site of the demo: other addresses of this machine may not be asked."""
    found = yaml.safe_load((_rules(fed.stack) / "sources.yml").read_text("utf-8"))["sources"]
    return str(next(each["url"] for each in found if each.get("format") != "discourse"))


def bad_source(fed: Fed) -> None:
    """A page that is not there: the source fails, and a little later it is blind."""
    _more_sources(fed, {"id": "gone", "name": "不在了的站", "url": _address(fed) + "-gone"})


def full_text(fed: Fed) -> None:
    """A source whose linked pages are read."""
    _more_sources(fed, {"id": "full", "name": "要全文的站", "url": _address(fed), "full_text": True})


def budget(fed: Fed) -> None:
    path = _rules(fed.stack) / "routes.yml"
    levels = [level.name for level in read_book(_rules(fed.stack)).levels.ladder]
    path.write_text(f"{path.read_text('utf-8')}\nbudget: {{{levels[-1]}: 5, {levels[-2]}: 20}}\n", "utf-8")


def broken_channel(fed: Fed) -> None:
    """One receiver answers 404, which is final; the other speaks no TLS, which may pass. Both are paged."""
    secrets = _rules(fed.stack) / "secrets"
    (secrets / "duty.url").write_text(_address(fed) + "-gone\n", "utf-8")
    (secrets / "chief.url").write_text(_address(fed).replace("http:", "https:") + "\n", "utf-8")
    fed.stack.wenxun("intake", "add", "--urgent", "--title", "第五站排队两小时，没有座位", "--text", "窗口前排队的人多")
    fed.stack.wenxun("event", "handover", _opened(fed), "--to", "chiefs")


def verdict(fed: Fed) -> None:
    fed.stack.wenxun("event", "verdict", _opened(fed), "relevant")


def ack(fed: Fed) -> None:
    fed.stack.wenxun("event", "ack", _opened(fed))


def interactions(fed: Fed) -> None:
    """People comment on an item of the event, as two polls of its source would say."""
    [row] = fed.sources.sql(
        "SELECT m.item_id, i.source_id FROM grafana_events e JOIN grafana_members m ON m.event_id = e.id "
        f"JOIN grafana_items i ON i.id = m.item_id WHERE e.short = '{_opened(fed)}' ORDER BY m.at_ms DESC LIMIT 1").rows
    now = time.time_ns() // 1_000_000
    batches = [CountsBatch(source_id=row[1], at=at, items=(CountsRow(row[0], at, Counts(comments=comments)),))
               for at, comments in ((now - 60_000, 5), (now, 40))]
    asyncio.run(_sent(fed, [(codec.encode(each), codec.encode_headers(
        each, source="collect", at=each.at, ident=f"counts-{each.at}")) for each in batches]))


def dead_letter(fed: Fed) -> None:
    asyncio.run(_sent(fed, [(b"{not json", [("ce_type", b"raw_batch")])]))


async def _sent(fed: Fed, records: list[tuple[bytes, list[tuple[str, bytes]]]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=fed.stack.state["kafka"], acks="all")
    await producer.start()
    try:
        for value, headers in records:
            await producer.send_and_wait(topics.ITEMS_RAW, value, key=b"made", partition=0, headers=headers)
    finally:
        await producer.stop()


def role_down(fed: Fed) -> None:
    """Last: from here on the stage is away until its rule has fired."""
    fed.stack.until(lambda: fed.sources.sql("SELECT 1 FROM grafana_dead_letters LIMIT 1").rows, "a dead letter")
    fed.stack.run("stop", "score")
    fed.stack.until(lambda: fed.stack.firing("WenxunRoleDown", role="score"), "WenxunRoleDown for score")
    fed.stack.run("start", "score")


MAKE: dict[str, Callable[[Fed], None]] = {
    "bad_source": bad_source, "blind_source": lambda fed: None, "full_text": full_text, "budget": budget,
    "verdict": verdict, "interactions": interactions, "broken_channel": broken_channel, "ack": ack,
    "dead_letter": dead_letter, "role_down": role_down}
"""By the name that the panels bear. A source that fails becomes blind by time alone."""
