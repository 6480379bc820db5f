"""Response clocks as people read them: how much is over, what is left, who stopped it and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.model import EventClock, Millis
from pipeline.notify import said, wording

HALF, NEAR = 50, 80
"""Per cent of the time from which a clock is said to be half over, nearly over."""


class Standing(StrEnum):
    """How a clock stands. Never told by colour alone: `ClockView.word` says it too."""
    RUNNING = "running"
    HALF = "half"
    NEAR = "near"
    OVER = "over"
    STOPPED = "stopped"
    LATE = "late"                    # stopped after it was due


_TONE = {Standing.RUNNING: "good", Standing.HALF: "wait", Standing.NEAR: "wait", Standing.OVER: "bad",
         Standing.STOPPED: "quiet", Standing.LATE: "bad"}
_WORD = {Standing.RUNNING: "计时中", Standing.HALF: "已过半", Standing.NEAR: "快到期", Standing.OVER: "已超时",
         Standing.LATE: "超时后停止"}


@dataclass(frozen=True, slots=True)
class ClockView:
    """A clock at a time. percent: of its time, 100 at most. left: until due, negative when over or stopped late."""

    clock: EventClock
    standing: Standing
    percent: int
    left: Millis

    @property
    def tone(self) -> str:
        return _TONE[self.standing]

    @property
    def word(self) -> str:
        if self.standing is Standing.STOPPED:
            return "已完成" if self.clock.stopped_why == "statement" else "已停止"
        return _WORD[self.standing]

    @property
    def running(self) -> bool:
        return self.clock.stopped_at is None

    @property
    def left_text(self) -> str:
        """`还剩 2 小时 10 分钟`, `超时 5 分钟`; of a stopped one how long it took."""
        if self.clock.stopped_at is not None:
            return f"用时 {length(self.clock.stopped_at - self.clock.started_at)}"
        return f"还剩 {length(self.left)}" if self.left > 0 else f"超时 {length(-self.left)}"

    @property
    def why(self) -> str:
        """Who stopped it and why: `李敏 登记了官方回应`; empty while it runs."""
        if self.running:
            return ""
        why = said.STOPPED.get(self.clock.stopped_why, self.clock.stopped_why)
        reason = f"（{self.clock.ref}）" if self.clock.stopped_why == "closed" and self.clock.ref else ""
        return f"{self.clock.stopped_by} {why}{reason}".strip()


def view(clock: EventClock, now: Millis) -> ClockView:
    until = now if clock.stopped_at is None else clock.stopped_at
    percent = 100 * (until - clock.started_at) // max(1, clock.due_at - clock.started_at)
    left = clock.due_at - until
    if clock.stopped_at is not None:
        standing = Standing.LATE if left < 0 else Standing.STOPPED
    elif left <= 0:
        standing = Standing.OVER
    else:
        standing = Standing.NEAR if percent >= NEAR else Standing.HALF if percent >= HALF else Standing.RUNNING
    return ClockView(clock, standing, max(0, min(100, percent)), left)


def views(clocks: Iterable[EventClock], now: Millis) -> list[ClockView]:
    """Running ones first, the one that is due soonest first; then those that stopped."""
    return sorted((view(each, now) for each in clocks), key=lambda one: (not one.running, one.clock.due_at))


def length(span: Millis) -> str:
    """To the minute: seconds would make an open page change at every look."""
    return wording.duration(span - span % 60_000) if span >= 60_000 else "不到 1 分钟"
