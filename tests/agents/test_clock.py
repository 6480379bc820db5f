"""The injected clock: one time for all processes of a demo."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from agents.clock import Clock
from pipeline.errors import SettingsError


def real_now() -> int:
    return time.time_ns() // 1_000_000


def test_a_fast_clock_runs_factor_times_as_fast() -> None:
    clock = Clock(start=1_000_000, real_start=real_now() - 1000, factor=60)
    assert 1_060_000 <= clock.now() < 1_120_000


def test_after_its_end_a_fast_clock_runs_at_real_speed() -> None:
    clock = Clock(start=0, real_start=real_now() - 3000, factor=1000, end=1_000_000)
    assert 1_002_000 <= clock.now() < 1_004_000


async def test_a_sleep_across_the_end_takes_the_slow_part_at_real_speed() -> None:
    clock = Clock(start=0, real_start=real_now(), factor=1000, end=100_000)
    began = time.monotonic()
    await clock.sleep(100_050)
    assert 0.04 <= time.monotonic() - began < 1.0


async def test_a_held_clock_stands_until_its_gate_opens_and_sleeps_wait_for_it(tmp_path: Path) -> None:
    clock = Clock(start=5000, factor=1000, gate=str(tmp_path / "gate"))
    sleeping = asyncio.ensure_future(clock.sleep(10_000))
    await asyncio.sleep(0.05)
    assert clock.now() == 5000
    assert not sleeping.done()
    clock.open(real_now())
    await asyncio.wait_for(sleeping, 2)
    assert clock.now() >= 15_000


def test_a_clock_reads_back_what_it_writes() -> None:
    for clock in (Clock(1, 2, 3.5), Clock(1, 2, 420.0, 99), Clock(1, 0, 2.0, 9, "/tmp/a@b/gate")):
        assert Clock.parse(str(clock)) == clock


@pytest.mark.parametrize("text", ["1/2", "a/b/c", "1/2/0", "1/2/3/4/5"])
def test_an_unusable_clock_is_named_with_its_variable(text: str) -> None:
    with pytest.raises(SettingsError, match="WENXUN_CLOCK"):
        Clock.parse(text)
