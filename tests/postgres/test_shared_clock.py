"""Two hosts whose clocks differ deliver from one ledger: a message that one holds is not taken by the other."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from agents.deliverer.claims import Claims, Line
from agents.deliverer.courier import LEASE_MS
from agents.deliverer.ledger import Ledger
from agents.store.engine import open_store, upgrade
from agents.store.shared_clock import SharedClock
from tests.delivery_fakes import ledger_with, parcel

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]

REAL = time.time_ns


def host(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """From here on this is a host whose clock is off by so much."""
    monkeypatch.setattr(time, "time_ns", lambda: REAL() + seconds * 1_000_000_000)


@pytest.mark.parametrize("off", [600, -600, 3600, -3600])
async def test_a_lease_of_one_host_holds_on_another_whose_clock_is_off(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, off: int
) -> None:
    await asyncio.to_thread(upgrade, postgres_url)
    engine = open_store(postgres_url)
    first = await SharedClock.of(engine)
    now, line = first.now(), Line("hook")
    ledger_with(engine, parcel(), now=now)
    held = Claims(Ledger(engine)).claim(line, now, now + LEASE_MS, 4)
    assert len(held.loads) == 1
    host(monkeypatch, off)
    second = await SharedClock.of(engine)
    assert abs(second.now() - first.now()) < 5_000, "they agree, whatever their hosts say"
    assert abs(time.time_ns() // 1_000_000 - second.now()) > 500_000
    assert not Claims(Ledger(engine)).claim(line, second.now(), second.now() + LEASE_MS, 4).loads
    assert ("ahead of" if off > 0 else "behind") + " the database server's" in caplog.text
    Ledger(engine).set_back(second.now())
    now = first.now()
    assert not Claims(Ledger(engine)).claim(line, now, now + LEASE_MS, 4).loads, "the other's start cuts nothing"
    engine.dispose()


async def test_a_server_that_is_away_leaves_time_going_on(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_store(postgres_url)
    clock = await SharedClock.of(engine)
    before = clock.now()
    engine.dispose()
    gone = SharedClock(open_store(postgres_url.replace("/own_", "/none_")))
    assert abs(gone.now() - before) < 60_000, "its own, until it was told another"
    host(monkeypatch, 7200)
    assert 0 <= clock.now() - before < 60_000


async def test_a_file_is_shared_on_one_machine_whose_clock_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = open_store(f"sqlite:///{tmp_path / 'wenxun.db'}")
    clock = await SharedClock.of(engine)
    host(monkeypatch, 600)
    assert abs(clock.now() - REAL() // 1_000_000 - 600_000) < 5_000
    await asyncio.wait_for(clock.follow(), 5)
    engine.dispose()
