"""The injected clock: one time for all processes of a demo."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.clock import Clock
from pipeline.errors import SettingsError

REAL = 1_790_000_000_000


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real time stands at REAL: how long the lines of a test take changes nothing."""
    monkeypatch.setattr("agents.clock.time", SimpleNamespace(time_ns=lambda: REAL * 1_000_000))


def test_a_fast_clock_runs_factor_times_as_fast(standing: None) -> None:
    clock = Clock(start=1_000_000, real_start=REAL - 1000, factor=60)
    assert clock.now() == 1_060_000


def test_after_its_end_a_fast_clock_runs_at_real_speed(standing: None) -> None:
    clock = Clock(start=0, real_start=REAL - 3000, factor=1000, end=1_000_000)
    assert clock.now() == 1_002_000


async def test_a_sleep_across_the_end_takes_the_slow_part_at_real_speed(standing: None) -> None:
    clock = Clock(start=0, real_start=REAL, factor=1000, end=100_000)
    began = time.monotonic()
    await clock.sleep(100_050)                          # 0.1 s at a thousand times real speed, 0.05 s at real speed
    assert 0.14 <= time.monotonic() - began < 50


async def test_a_held_clock_stands_until_its_gate_opens_and_sleeps_wait_for_it(tmp_path: Path) -> None:
    clock = Clock(start=5000, factor=1000, gate=str(tmp_path / "gate"))
    sleeping = asyncio.ensure_future(clock.sleep(10_000))
    await asyncio.sleep(0.05)
    assert clock.now() == 5000
    assert not sleeping.done()
    clock.open(time.time_ns() // 1_000_000)
    await asyncio.wait_for(sleeping, 60)
    assert clock.now() >= 15_000


def test_a_clock_reads_back_what_it_writes() -> None:
    for clock in (Clock(1, 2, 3.5), Clock(1, 2, 420.0, 99), Clock(1, 0, 2.0, 9, "/tmp/a@b/gate")):
        assert Clock.parse(str(clock)) == clock


@pytest.mark.parametrize("text", ["1/2", "a/b/c", "1/2/0", "1/2/3/4/5"])
def test_an_unusable_clock_is_named_with_its_variable(text: str) -> None:
    with pytest.raises(SettingsError, match="WENXUN_CLOCK"):
        Clock.parse(text)
