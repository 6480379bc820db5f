"""A circuit breaker per channel: while one keeps failing its messages go elsewhere or wait, one trial at a time.

closed ──3 failures in a row, or an answer that asks to wait──▶ open ──pause over──▶ half-open ──one trial──▶ closed
                                                                  ▲                                │ fails
                                                                  └──────── longer pause ◀─────────┘
Times are real ones and come in as arguments. A clock that jumps back leaves it half-open, not open for the jump.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from pipeline.model import Millis

THRESHOLD = 3
FIRST_PAUSE: Millis = 2_000
MAX_PAUSE: Millis = 300_000
MAX_ASKED: Millis = 3_600_000
"""A receiver that asks for more is tried after this."""


class State(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """failures, opened: how often in a row; opened is 0 while it is closed. trial_until: who tries has until then."""

    failures: int = 0
    opened: int = 0
    open_until: Millis = 0
    trial_until: Millis = 0

    def state(self, now: Millis) -> State:
        if not self.opened:
            return State.CLOSED
        return State.OPEN if now < self.open_until <= now + MAX_ASKED else State.HALF_OPEN

    def allows(self, now: Millis, wanted: int) -> int:
        """How many of the wanted calls may be made now: all, one trial, none."""
        match self.state(now):
            case State.CLOSED:
                return wanted
            case State.HALF_OPEN if not now < self.trial_until <= now + MAX_ASKED:
                return min(1, wanted)
        return 0

    def tried(self, now: Millis, lease: Millis) -> Breaker:
        """Calls are made now; of a half-open one this is the trial, which nobody else makes for as long as `lease`."""
        return replace(self, trial_until=now + lease) if self.state(now) is State.HALF_OPEN else self

    def succeeded(self) -> Breaker:
        return Breaker()

    def answered(self) -> Breaker:
        """A message was refused for good: of the channel that says nothing, the next may try it."""
        return replace(self, trial_until=0)

    def failed(self, now: Millis, asked: Millis | None = None, first: Millis = FIRST_PAUSE) -> Breaker:
        """asked: how long the receiver asked us to wait: opens at once. A late failure of a call from before it opened
        is no second opening."""
        failures = self.failures + 1
        if self.state(now) is State.OPEN:
            longer = now + min(asked or 0, MAX_ASKED)
            return replace(self, failures=failures, open_until=max(self.open_until, longer))
        if not self.opened and asked is None and failures < THRESHOLD:
            return replace(self, failures=failures)
        opened = self.opened + 1
        wait = max(pause(opened, first), min(asked or 0, MAX_ASKED))
        return Breaker(failures=failures, opened=opened, open_until=now + wait)

    def due(self, now: Millis) -> Millis:
        """When the next call may be made."""
        if self.state(now) is State.OPEN:
            return self.open_until
        return now if self.allows(now, 1) else self.trial_until


def pause(opened: int, first: Millis = FIRST_PAUSE) -> Millis:
    """Doubles with every opening in a row, up to 5 minutes."""
    return int(min(MAX_PAUSE, first * 2 ** min(opened - 1, 20)))
