"""One clock for every role: the real one, or in a demo a faster one that all processes agree on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.model import Millis

_HELD_POLL = 0.02
_opened: dict[str, int] = {}
"""Gates that were found open -> the real time written in them. A gate never closes again."""


@dataclass(frozen=True, slots=True)
class Clock:
    """now = start + (real now - real_start) * factor. Network timeouts do not use it: they stay real.

    end: from here on the clock runs at real speed (0: never). gate: a file; until it exists the clock stands at
    `start`, then its content is `real_start`, so that a demo's day begins when all its processes are ready.
    """

    start: Millis = 0
    real_start: Millis = 0
    factor: float = 1.0
    end: Millis = 0
    gate: str = ""

    def now(self) -> Millis:
        began = self._began()
        if began is None:
            return self.start
        real = time.time_ns() // 1_000_000
        return self._at(real, began)

    async def sleep(self, length: Millis) -> None:
        """Wait for a length of this clock's time."""
        while self._began() is None:
            await asyncio.sleep(_HELD_POLL)
        await asyncio.sleep(max(0.0, self._real_length(self.now(), length) / 1000))

    def open(self, real: Millis) -> None:
        """Let a held clock go at this real time, in every process."""
        path = Path(self.gate)
        part = path.with_suffix(".part")
        part.write_text(str(real), encoding="ascii")
        part.replace(path)

    def _began(self) -> Millis | None:
        if not self.gate:
            return self.real_start
        if self.gate not in _opened:
            try:
                _opened[self.gate] = int(Path(self.gate).read_text(encoding="ascii"))
            except FileNotFoundError:
                return None
        return _opened[self.gate]

    def _at(self, real: Millis, began: Millis) -> Millis:
        fast = self.start + int((real - began) * self.factor)
        if not self.end or fast <= self.end:
            return fast
        return self.end + (real - began - int((self.end - self.start) / self.factor))

    def _real_length(self, now: Millis, length: Millis) -> float:
        if not self.end:
            return length / self.factor
        fast = min(length, max(0, self.end - now))
        return fast / self.factor + (length - fast)

    def __str__(self) -> str:
        end = f"/{self.end}" if self.end else ""
        gate = f"@{self.gate}" if self.gate else ""
        return f"{self.start}/{self.real_start}/{self.factor:g}{end}{gate}"

    @classmethod
    def parse(cls, text: str) -> Clock:
        """The clock of WENXUN_CLOCK (`START_MS/REAL_START_MS/FACTOR[/END_MS][@GATE_FILE]`); empty: the real one."""
        if not text:
            return cls()
        try:
            numbers, _, gate = text.partition("@")
            start, real_start, factor, *end = numbers.split("/")
            if len(end) > 1 or float(factor) <= 0:
                raise ValueError(text)
            return cls(int(start), int(real_start), float(factor), int(end[0]) if end else 0, gate)
        except ValueError:
            raise SettingsError(
                f"WENXUN_CLOCK={text!r}: expected START_MS/REAL_START_MS/FACTOR[/END_MS][@GATE_FILE]") from None
