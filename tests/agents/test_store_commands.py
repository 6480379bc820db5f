"""`wenxun db` and `wenxun dlq`, as an operator types them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from agents import bus as clients
from agents.cli import main
from agents.embedded import embedded_broker
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.model import RawBatch
from tests.agents import store_fakes as fakes
from tests.builders import NOON, raw_batch, raw_item


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("WENXUN_DATABASE_URL", raising=False)
    return fakes.new_store(tmp_path)


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        said = capsys.readouterr()
        return code, said.out, said.err
    return run


# ---------------------------------------------------------------- db


@pytest.mark.sqlite
def test_current_says_what_is_missing_and_upgrade_mends_it(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "fresh"))
    code, out, _ = say("db", "current")
    assert code == 1 and "空库" in out and "wenxun db upgrade" in out
    assert say("db", "upgrade")[0] == 0
    code, out, _ = say("db", "current")
    assert code == 0 and "（最新）" in out
    assert "已是最新版本" in say("db", "upgrade")[1]


def test_expire_drops_old_texts_by_hand(store: Engine, say: Say) -> None:
    fakes.put(store, raw_batch(raw_item(first_seen_at=1_000)))
    code, out, _ = say("db", "expire", "--days", "30")
    assert code == 0 and "items 1 行" in out and "30 天" in out
    assert fakes.rows(store, "items")[0]["title"] == ""
    assert "没有" in say("db", "expire")[1]


@pytest.mark.sqlite
def test_expire_refuses_a_store_that_is_not_there(tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "elsewhere"))
    code, _, err = say("db", "expire")
    assert code == 2 and "wenxun db upgrade" in err and "WENXUN_DATA_DIR" in err


@pytest.mark.parametrize("days", ["0", "-1", "x", "40000"])
def test_days_that_cannot_be_meant_are_refused(say: Say, days: str) -> None:
    with pytest.raises(SystemExit):
        say("db", "expire", "--days", days)


# ---------------------------------------------------------------- dlq


def test_dead_letters_are_listed_with_what_went_wrong(store: Engine, say: Say) -> None:
    assert "没有死信" in say("dlq", "list")[1]
    fakes.put(store, fakes.dead("x1"), fakes.dead("x2", topic="events", error="KeyError: 'level'"))
    code, out, _ = say("dlq", "list")
    assert code == 0 and "2026-11-22 12:00:00  items.raw  undecodable  bad JSON" in out and "KeyError" in out


def test_a_letter_is_shown_whole_and_harmless(store: Engine, say: Say) -> None:
    fakes.put(store, fakes.dead(value=b"\x1b[2J\xff" + "投票".encode()))
    code, out, _ = say("dlq", "show", "x1")
    assert code == 0 and "items.raw[1]@5" in out and "投票" in out and "\\x1b[2J\\xff" in out and "\x1b" not in out


@pytest.mark.parametrize("words", [("show", "nothing"), ("replay", "nothing"), ("replay",), ("replay", "x1", "--all"),
                                   ("replay", "x1", "--to", "nowhere")])
def test_what_cannot_be_done_says_so(store: Engine, say: Say, words: tuple[str, ...]) -> None:
    fakes.put(store, fakes.dead())
    code, _, err = say("dlq", *words)
    assert code == 2 and err.startswith("wenxun: ")


def test_a_broker_that_is_away_leaves_letters_waiting(
    store: Engine, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    fakes.put(store, fakes.dead())
    code, _, err = say("dlq", "replay", "x1")
    assert code == 2 and "127.0.0.1:9" in err and "KAFKA_BOOTSTRAP_SERVERS" in err
    assert fakes.rows(store, "dead_letters")[0]["replayed_at"] is None


@pytest.mark.embedded
def test_a_replay_sends_the_same_bytes_to_the_same_place_once(
    store: Engine, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = codec.encode(raw_batch(raw_item()))
    fakes.put(store, fakes.dead("x1", value=whole), fakes.dead("x2", value=whole[:10], truncated=True, at=NOON + 1),
              fakes.dead("x3", value=whole, key=b"luntan", partition=3))
    with embedded_broker() as address:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
        code, out, _ = say("dlq", "replay", "--all")
        assert code == 1 and "已重放 2 条" in out and "1 条内容不完整" in out
        assert say("dlq", "replay", "x3", "--to", topics.DEAD_LETTERS)[0] == 0
        found = asyncio.run(_read(address, topics.ITEMS_RAW, 2))
        assert len(asyncio.run(_read(address, topics.DEAD_LETTERS, 1))) == 1
    assert {(record.partition, record.key, record.value) for record in found} == {
        (1, b"xinwen", whole), (3, b"luntan", whole)}
    assert all(isinstance(codec.decode(record.value, record.headers), RawBatch) for record in found)
    waiting = {row["id"] for row in fakes.rows(store, "dead_letters") if row["replayed_at"] is None}
    assert waiting == {"x2"}


async def _read(address: str, topic: str, count: int) -> list[Any]:
    client = clients.consumer(Settings(bootstrap=address), topic, group=None)
    await client.start()
    found: list[Any] = []
    try:
        async with asyncio.timeout(60):
            while len(found) < count:
                for records in (await client.getmany(timeout_ms=200)).values():
                    found += records
    finally:
        await client.stop()
    return found
