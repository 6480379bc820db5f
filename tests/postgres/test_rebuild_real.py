"""`wenxun db rebuild` with everything real: Kafka, PostgreSQL, and an archive that runs, is in the way, and goes on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from agents.cli import main
from agents.store import engine as store
from agents.store import rebuild
from pipeline import topics
from tests import servers
from tests.agents import store_fakes as fakes
from tests.agents.rebuild_kit import day, spoil
from tests.builders import raw_batch, raw_item
from tests.kafka.broker import Broker, absent, until
from tests.kafka.installation import Installation
from tests.postgres_server import Server

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    if reason := absent():
        servers.missing("kafka", reason)
    broker = Broker(tmp_path / "kafka")
    broker.start()
    made = Installation(broker, tmp_path)
    try:
        yield made
    finally:
        made.end()
        broker.stop()


async def test_an_archive_is_in_the_way_then_rows_come_back_and_it_goes_on(
    installation: Installation, server: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str]
) -> None:
    where = {"WENXUN_DATABASE_URL": server.url(str(make_url(postgres_url).database)).partition("?")[0],
             "WENXUN_DATABASE_PASSWORD_FILE": str(server.password_file)}
    for name, value in installation.environ(**where).items():
        monkeypatch.setenv(name, value)
    archive = installation.start("rules,archive", **where)
    await installation.ready()
    await installation.send(*(each for each in day(40) if each[0] != topics.RULES))

    async def read() -> bool:
        return not sum([await installation.behind("wenxun-archive", name) for name in
                        (topics.ITEMS_RAW, topics.ITEMS_SCORED, topics.EVENTS, topics.ESCALATIONS, topics.DELIVERIES,
                         topics.RULES, topics.DEAD_LETTERS, topics.COLLECTOR_STATE)])

    await until(read, 120, "all is archived")
    engine = store.open_store(postgres_url)
    before = fakes.dump(engine)
    assert len(before["items"]) == 40 and before["books"] and before["timeline"]

    assert await _said(["db", "rebuild", "--yes"]) == 2
    refused = capsys.readouterr().err
    assert "archive 正在运行" in refused and "wenxun-archive" in refused and "127.0.0.1" in refused
    archive.send_signal(signal.SIGTERM)
    assert archive.wait(60) == 0
    for name in rebuild.OURS:
        spoil(engine, name)
    assert await _said(["db", "rebuild", "--yes"]) == 0
    assert "重建完成" in capsys.readouterr().out
    assert fakes.dump(engine) == before
    assert await _said(["db", "rebuild", "--yes"]) == 0
    assert "没有要改的" in capsys.readouterr().out

    installation.start("rules,archive", **where)
    await installation.ready()
    await installation.send((topics.ITEMS_RAW, "xinwen", raw_batch(raw_item("later"))))
    await until(read, 120, "the archive goes on")
    after = fakes.dump(engine)
    assert {row[0] for row in after["items"]} - {row[0] for row in before["items"]} == {"later"}
    assert {name: after[name] for name in after if name not in ("items", "books")} == {
        name: before[name] for name in before if name not in ("items", "books")}
    engine.dispose()


async def _said(words: list[str]) -> int:
    return await asyncio.to_thread(main, words)
