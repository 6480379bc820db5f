"""One clock for every role: the real one, or in a demo a faster one that all processes agree on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from pipeline.errors import SettingsError
from pipeline.model import Millis


@dataclass(frozen=True, slots=True)
class Clock:
    """now = start + (real now - real_start) * factor. Network timeouts do not use it: they stay real."""

    start: Millis = 0
    real_start: Millis = 0
    factor: float = 1.0

    def now(self) -> Millis:
        real = time.time_ns() // 1_000_000
        return self.start + int((real - self.real_start) * self.factor)

    async def sleep(self, length: Millis) -> None:
        """Wait for a length of this clock's time."""
        await asyncio.sleep(max(0.0, length / 1000 / self.factor))

    def __str__(self) -> str:
        return f"{self.start}/{self.real_start}/{self.factor:g}"

    @classmethod
    def parse(cls, text: str) -> Clock:
        """The clock of WENXUN_CLOCK (`START_MS/REAL_START_MS/FACTOR`); the real one for an empty text."""
        if not text:
            return cls()
        try:
            start, real_start, factor = text.split("/")
            return cls(int(start), int(real_start), float(factor))
        except ValueError:
            raise SettingsError(f"WENXUN_CLOCK={text!r}: expected START_MS/REAL_START_MS/FACTOR") from None
