"""When a failed delivery is tried again. Chance and times come in as arguments; lengths are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.model import Millis

FIRST = 1000
CAP = 300_000
FLOOR = 100
HORIZON = 24 * 3_600_000
MIN_ATTEMPTS = 5
"""A message that waited out the horizon while nobody ran is still tried this often."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """after: real time to wait."""

    after: Millis


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The horizon is over."""


def backoff(attempts: int, chance: float) -> Millis:
    """Full jitter: anything up to 1 s, 2 s, 4 s … 5 min, by a chance in [0, 1)."""
    return max(FLOOR, int(min(CAP, FIRST * 2 ** min(attempts - 1, 20)) * chance))


def after_failure(attempts: int, left: Millis, chance: float, retry_after: Millis | None = None) -> TryAgain | GiveUp:
    """What follows a failed attempt that may be repeated.

    attempts: made so far, this one too. left: until the horizon (below 0: past it). retry_after: what the
    receiver asked for. The last try is at the horizon itself, so that a long Retry-After loses nothing.
    """
    if left <= 0 and attempts >= MIN_ATTEMPTS:
        return GiveUp()
    wait = max(backoff(attempts, chance), retry_after or 0)
    return TryAgain(min(wait, left) if left > 0 else min(wait, CAP))
