"""How often rules matched and what people said of it, read once for all who ask within a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine

from agents.clock import Clock
from pipeline.model import Millis

KEPT = 10_000
"""Real milliseconds that the figures of all rules serve: an open page asks every few seconds."""
SAMPLE = 5
"""Judged events and matches under which a ratio says nothing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one subject. day, week: matched items of the last 24 hours and 7 days. events, pages: of the last 7 days.

    false: of `judged` verdicts, those that said it does not belong there.
    """

    day: int = 0
    week: int = 0
    events: int = 0
    pages: int = 0
    judged: int = 0
    false: int = 0

    @property
    def ratio(self) -> float | None:
        """Share of false positives; None while too few were judged."""
        return self.false / self.judged if self.judged >= SAMPLE else None


@dataclass(slots=True)
class FigureCache:
    engine: Engine
    real: Clock
    _last: tuple[Millis, Mapping[str, Figures]] | None = field(default=None)

    def all(self, now: Millis) -> Mapping[str, Figures]:
        """Figures by the name a subject matches under. Blocks."""
        at = self.real.now()
        if self._last is None or at - self._last[0] >= KEPT:
            self._last = (at, {})
        return self._last[1]
