"""Brakes: on guessing passwords, by locks per account and address and per account; on what costs the desk much work."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from agents.clock import Clock
from pipeline.model import Millis

MINUTE = 60_000
FORGET_AFTER = 15 * MINUTE
REMEMBERED = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    last: Millis
    locked_until: Millis = 0


class LoginLimiter:
    """Locks for a minute after 5 failures from one address, twice as long each time, at most 15 minutes.

    20 failures for one account from anywhere lock it for everybody: a botnet has many addresses. A person on duty
    behind an address of their own is not locked out by a stranger's five guesses.
    """

    def __init__(self, *, per_address: int = 5, per_account: int = 20) -> None:
        self._limits = {"address": per_address, "account": per_account}
        self._failures: OrderedDict[tuple[str, ...], _Failures] = OrderedDict()

    def locked_for(self, account: str, address: str, now: Millis) -> Millis:
        """How long this account cannot sign in from this address; 0 when it can."""
        until = [known.locked_until for _, key in _keys(account, address) if (known := self._failures.get(key))]
        return max([0, *(each - now for each in until)])

    def failed(self, account: str, address: str, now: Millis) -> None:
        for kind, key in _keys(account, address):
            known = self._failures.pop(key, None)
            if known is None or now - known.last > FORGET_AFTER:
                known = _Failures(0, now)
            known.count, known.last = known.count + 1, now
            over = known.count - self._limits[kind]
            if over >= 0:
                known.locked_until = now + min(FORGET_AFTER, MINUTE * 2 ** min(over, 4))
            self._failures[key] = known
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        for _, key in _keys(account, address):
            self._failures.pop(key, None)


def _keys(account: str, address: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ("address", (account, address)), ("account", (account,))


class Busy(Exception):
    """Work that is not done now. The text says why and when."""


@dataclass(slots=True)
class Brakes:
    """One at a time for each account, a few in a minute.

    running: what is said to somebody who still has one under way. what: of `一分钟内最多{what}`.
    """

    real: Clock
    per_minute: int
    running: str
    what: str
    _lock: Lock = field(default_factory=Lock)
    _running: set[str] = field(default_factory=set)
    _recent: defaultdict[str, deque[Millis]] = field(default_factory=lambda: defaultdict(deque))

    @contextmanager
    def hold(self, account: str) -> Iterator[None]:
        """Around the work; Busy when this account has to wait."""
        with self._lock:
            self._admit(account)
            self._running.add(account)
        try:
            yield
        finally:
            self._running.discard(account)

    def _admit(self, account: str) -> None:
        now, recent = self.real.now(), self._recent[account]
        while recent and now - recent[0] >= MINUTE:
            recent.popleft()
        if account in self._running:
            raise Busy(self.running)
        if len(recent) >= self.per_minute:
            wait = -(-(MINUTE - now + recent[0]) // 1000)
            raise Busy(f"一分钟内最多{self.what}，请过 {wait} 秒再试。")
        recent.append(now)
