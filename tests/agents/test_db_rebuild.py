"""`wenxun db rebuild`: what the topics say is there again, row for row, and nothing else is touched."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, update
from sqlalchemy.exc import OperationalError

from agents import rereading
from agents.bus import Bus
from agents.cli import main
from agents.clock import Clock
from agents.embedded import embedded_broker
from agents.settings import Settings
from agents.store import fence, rebuild, schema
from agents.store.scratch import Scratch
from pipeline import codec, topics
from pipeline.rulebook.schema import DAY
from tests.agents import store_fakes as fakes
from tests.agents.rebuild_kit import ONLY_SQL, day, fill_own, read_into, spoil
from tests.builders import NOON, raw_batch, raw_item, scored_batch, scored_item

ROOT = Path(__file__).parents[2]
ASKED = rereading.members
EVERY = tuple(schema.metadata.tables)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = fakes.new_store(tmp_path / "store")
    yield engine
    engine.dispose()


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    found = Scratch(tmp_path, "a test")
    yield found
    found.remove()


def put(store: Engine, records: list[tuple[str, str, Any]]) -> None:
    """A few transactions, as the archive does."""
    for start in range(0, len(records), 9):
        fakes.put(store, *(record for _, _, record in records[start:start + 9]))


def filled(store: Engine, records: list[tuple[str, str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    put(store, records)
    fill_own(store)
    rows = fakes.dump(store, EVERY)
    assert all(rows.values()), [name for name in rows if not rows[name]]
    return rows


# ---------------------------------------------------------------- rows


def test_every_table_that_topics_make_is_named_and_no_other() -> None:
    assert set(rebuild.OURS) | set(ONLY_SQL) == set(EVERY) and not set(rebuild.OURS) & set(ONLY_SQL)


def test_rows_that_are_lost_or_wrong_are_as_they_were(store: Engine, scratch: Scratch) -> None:
    """Table by table, then all of them."""
    before = filled(store, day())
    read_into(scratch, day())
    for spoiled in (*((name,) for name in rebuild.OURS), rebuild.OURS):
        for name in spoiled:
            spoil(store, name)
        assert fakes.dump(store, spoiled) != {name: before[name] for name in spoiled}
        outcome = rebuild.merge(scratch.engine, store)
        assert fakes.dump(store, EVERY) == before, spoiled
        assert all(outcome.added[name] + outcome.mended[name] for name in spoiled) and not outcome.refused


def test_an_empty_store_is_filled_and_a_whole_one_is_not_written(store: Engine, scratch: Scratch) -> None:
    before = filled(store, day())
    read_into(scratch, day())
    outcome = rebuild.merge(scratch.engine, store)
    assert not outcome.added and not outcome.mended and fakes.dump(store, EVERY) == before
    with store.begin() as connection:
        for name in rebuild.OURS:
            connection.execute(delete(schema.metadata.tables[name]))
    rebuild.merge(scratch.engine, store)
    assert fakes.dump(store, EVERY) == before
    rebuild.merge(scratch.engine, store)
    assert fakes.dump(store, EVERY) == before


def test_rows_older_than_the_topics_stay_and_first_sights_with_them(store: Engine, scratch: Scratch) -> None:
    """The topics begin in the middle: of an item that was seen before they know only its edit."""
    records = day()
    before = filled(store, records)
    read_into(scratch, records[8:])
    outcome = rebuild.merge(scratch.engine, store)
    assert fakes.dump(store, EVERY) == before and not outcome.added and not outcome.mended


def test_a_store_that_is_behind_is_brought_up(store: Engine, scratch: Scratch) -> None:
    """As after a restore of an older backup: what an item said then becomes its earlier revision."""
    before = filled(store, day())
    with store.begin() as connection:
        for name in rebuild.OURS:
            connection.execute(delete(schema.metadata.tables[name]))
    put(store, day()[:13])
    read_into(scratch, day()[13:])
    rebuild.merge(scratch.engine, store)
    assert fakes.dump(store, EVERY) == before


def test_what_the_store_knows_later_stays(store: Engine, scratch: Scratch) -> None:
    fakes.put(store, fakes.head(9, "a1"), fakes.alert(revision=5), raw_batch(raw_item(first_seen_at=NOON + 9)))
    before = fakes.dump(store)
    read_into(scratch, [("", "", fakes.head(7)), ("", "", fakes.alert(revision=1))])
    outcome = rebuild.merge(scratch.engine, store)
    assert outcome.kept == {"events": 1, "alerts": 1} and fakes.dump(store)["events"] == before["events"]


def test_texts_that_retention_has_dropped_do_not_come_back(store: Engine, scratch: Scratch) -> None:
    filled(store, day())
    rebuild.expiry.expire(store, NOON + 10 * DAY)
    bare = fakes.dump(store, EVERY)
    read_into(scratch, day())
    rebuild.merge(scratch.engine, store)
    rebuild.age(store, NOON + 20 * DAY, 10 * DAY)
    assert fakes.dump(store, EVERY) == bare
    with store.begin() as connection:                   # also of rows that were lost, by the time of their texts
        connection.execute(delete(schema.items))
    rebuild.merge(scratch.engine, store)
    rebuild.age(store, NOON + 20 * DAY, 10 * DAY)
    assert fakes.dump(store, EVERY) == bare


def test_series_are_thinned_as_they_were(store: Engine, scratch: Scratch) -> None:
    series = [raw_batch(raw_item("a1", counts=fakes.model.Counts(comments=n), first_seen_at=NOON + n * 60_000))
              for n in range(130)]
    fakes.put(store, *series)
    now = NOON + 12 * DAY
    rebuild.expiry.thin_counts(store, now, back=14 * DAY)
    before = fakes.dump(store, ["counts"])
    assert 2 < len(before["counts"]) < 5
    read_into(scratch, [("", "", record) for record in series])
    rebuild.merge(scratch.engine, store)
    assert len(fakes.rows(store, "counts")) == 130
    rebuild.age(store, now, 180 * DAY)
    assert fakes.dump(store, ["counts"]) == before


def test_a_replayed_dead_letter_stays_replayed_and_lines_keep_their_places(store: Engine, scratch: Scratch) -> None:
    filled(store, day())
    with store.begin() as connection:
        connection.execute(update(schema.dead_letters).values(replayed_at=NOON, reason="x"))
        connection.execute(update(schema.timeline).values(detail="{}"))
    places = {row["ref"]: row["seq"] for row in fakes.rows(store, "timeline")}
    read_into(scratch, day())
    rebuild.merge(scratch.engine, store)
    assert [(row["replayed_at"], row["reason"]) for row in fakes.rows(store, "dead_letters")] == [(NOON, "undecodable")]
    assert {row["ref"]: row["seq"] for row in fakes.rows(store, "timeline")} == places


def test_a_message_that_arrived_waits_no_more(store: Engine, scratch: Scratch) -> None:
    """A restored ledger is older than what was sent since."""
    row = {column.name: {str: "x", bool: False}.get(column.type.python_type, 1) for column in schema.outbox.c}
    with store.begin() as connection:
        connection.execute(insert(schema.outbox), [
            {**row, "id": ident, "status": "pending", "escalation": "{}"} for ident in ("d1", "d2")])
    read_into(scratch, [("", "", fakes.delivery("d1")), ("", "", fakes.delivery(
        "d2", status=fakes.model.DeliveryStatus.DEAD))])
    assert rebuild.merge(scratch.engine, store).settled == 1
    found = {row["id"]: (row["status"], row["reported"], row["confirmed_at"]) for row in fakes.rows(store, "outbox")}
    assert found == {"d1": ("confirmed", True, NOON + 5), "d2": ("pending", False, 1)}


def test_an_item_that_sql_does_not_take_is_left_out_alone(scratch: Scratch, store: Engine) -> None:
    items = [raw_item(f"a{n}") for n in range(20)]
    items[7] = raw_item("a7", published_at=2**70)
    read_into(scratch, [("", "", raw_batch(*items)), ("", "", scored_batch(scored_item("b1")))])
    rebuild.merge(scratch.engine, store)
    assert {row["id"] for row in fakes.rows(store, "items")} == {f"a{n}" for n in range(20)} - {"a7"}
    assert scratch.refused == 1 and len(fakes.rows(store, "scored")) == 1


def test_a_text_that_only_sqlite_takes_is_left_out_alone(scratch: Scratch, store: Engine) -> None:
    read_into(scratch, [("", "", raw_batch(*(raw_item(f"a{n}", text="\x00" if n == 7 else "b") for n in range(20))))])
    outcome = rebuild.merge(scratch.engine, store)
    taken = len(fakes.rows(store, "items"))
    assert (taken, outcome.refused["items"]) == ((20, 0) if store.dialect.name == "sqlite" else (19, 1))


def test_the_archive_holds_while_rows_are_laid_over_and_goes_on_after(store: Engine) -> None:
    with fence.alone(store):
        with pytest.raises(fence.Fenced, match="rebuild is at work"):
            fakes.put(store, raw_batch(raw_item()))
        with pytest.raises(fence.Fenced), fence.alone(store):
            pass
    fakes.put(store, raw_batch(raw_item()))
    with fence.writing(store), pytest.raises(fence.Fenced, match="writes just now"), fence.alone(store):
        pass
    assert len(fakes.rows(store, "items")) == 1


# ---------------------------------------------------------------- the command


async def members(settings: Settings, group: str) -> list[str]:
    """The embedded broker cannot be asked: tests/postgres does on a real one."""
    assert group == "wenxun-archive"
    return []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "store"))
    monkeypatch.delenv("WENXUN_DATABASE_URL", raising=False)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("WENXUN_CLOCK", f"{NOON}/0/0.000000001")
    monkeypatch.setattr(rereading, "members", members)
    engine = fakes.new_store(tmp_path / "store")
    yield engine
    engine.dispose()


def test_without_a_kafka_it_says_that_it_cannot(place: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "rebuild", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "只在内存里" in said and "wenxun db restore" in said


def test_a_broker_that_is_away_is_named(
    place: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert main(["db", "rebuild", "--yes"]) == 2
    assert "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9：Kafka 没有回答" in capsys.readouterr().err


@pytest.mark.embedded
def test_the_embedded_broker_is_told_from_a_kafka(
    place: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its address is set by hand."""
    monkeypatch.setattr(rereading, "members", ASKED)
    with embedded_broker() as address:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
        asyncio.run(send(Settings(bootstrap=address), day()))
        assert main(["db", "rebuild", "--yes"]) == 2
    assert "只在内存里" in capsys.readouterr().err


@pytest.mark.embedded
def test_as_an_operator_types_it(
    place: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled(place, [each for each in day()])
    with embedded_broker() as address:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
        asyncio.run(send(Settings(bootstrap=address), day()))
        for name in rebuild.OURS:
            spoil(place, name)
        spoiled = fakes.dump(place, EVERY)
        assert main(["db", "rebuild", "--dry-run"]) == 0
        assert "items.raw" in capsys.readouterr().out and fakes.dump(place, EVERY) == spoiled
        assert main(["db", "rebuild"]) == 1                             # nobody is there to be asked
        assert "--yes" in capsys.readouterr().err

        assert main(["db", "rebuild", "--yes"]) == 0
        said = capsys.readouterr().out
        assert "items" in said and "重建完成" in said and "1 条记录读不了" in said
        assert fakes.dump(place, EVERY) == before
        assert main(["db", "rebuild", "--yes"]) == 0
        assert "没有要改的" in capsys.readouterr().out
    assert not (tmp_path / "store" / "rebuild").exists()


@pytest.mark.embedded
def test_a_store_that_goes_away_in_the_middle_ends_it_with_one_line(
    place: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled(place, day())
    written = rebuild._Merging._write

    def away(merging: Any, rows: Any) -> None:
        if merging._name == "scored":
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))
        written(merging, rows)

    with embedded_broker() as address:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
        asyncio.run(send(Settings(bootstrap=address), day()))
        for name in rebuild.OURS:
            spoil(place, name)
        monkeypatch.setattr(rebuild._Merging, "_write", away)
        assert main(["db", "rebuild", "--yes"]) == 2
        said = capsys.readouterr().err
        assert "重建中断：database or disk is full" in said and "再运行一次" in said and "Traceback" not in said
        monkeypatch.setattr(rebuild._Merging, "_write", written)
        assert main(["db", "rebuild", "--yes"]) == 0
    assert "接着上次" in capsys.readouterr().out and fakes.dump(place, EVERY) == before


KILLED = """
import os, signal, sys
from agents import rereading
from agents.cli import main
from agents.store import rebuild
from agents.store.scratch import Scratch
take, left = Scratch.take, [2]
def dying(self, entries, places):
    take(self, entries, places)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "reading":
    Scratch.take = dying
else:
    def killed(self, rows, write=rebuild._Merging._write):
        write(self, rows)
        if self._name == "scored":
            os.kill(os.getpid(), signal.SIGKILL)
    rebuild._Merging._write = killed
async def nobody(settings, group):
    return []
rereading.members = nobody
main(["db", "rebuild", "--yes"])
"""


@pytest.mark.embedded
@pytest.mark.sqlite                                     # the killed process does not know the tests' databases
@pytest.mark.parametrize("where", ["reading", "writing"])
def test_one_that_is_killed_is_taken_up_again(
    place: Engine, where: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled(place, day())
    with embedded_broker() as address:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
        asyncio.run(send(Settings(bootstrap=address), day()))
        for name in rebuild.OURS:
            spoil(place, name)
        killed = subprocess.run([sys.executable, "-c", KILLED, where], cwd=ROOT, env=dict(os.environ), timeout=120)
        assert killed.returncode == -signal.SIGKILL
        assert fakes.dump(place, EVERY) != before
        assert main(["db", "rebuild", "--yes"]) == 0
    assert "接着上次" in capsys.readouterr().out and fakes.dump(place, EVERY) == before


def test_what_was_read_of_another_broker_counts_for_nothing(tmp_path: Path) -> None:
    first = Scratch(tmp_path, "one")
    first.take([], {("events", 0): 5})
    assert Scratch(tmp_path, "one").places() == {("events", 0): 5}
    other = Scratch(tmp_path, "another")
    assert other.places() == {} and not other.resumed
    assert other.file.stat().st_mode & 0o077 == 0 and other.file.parent.stat().st_mode & 0o077 == 0
    other.remove()
    assert not other.file.exists()


async def send(settings: Settings, records: list[tuple[str, str, Any]]) -> None:
    """Dated NOON; one record is poison."""
    async with Bus(settings, Clock(start=NOON, real_start=0, factor=1e-15), "test") as bus:
        for topic, key, record in records:
            await bus.send(topic, key, record, ident="t", partition=0 if topic == topics.RULES else None)
        assert bus._producer is not None
        await bus._producer.send_and_wait(topics.EVENTS, b"{poison", key=b"x", partition=0,
                                          headers=[("ce_type", codec.type_name(raw_batch()).encode())])
