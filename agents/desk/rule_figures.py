"""How often rules matched and what people said of it, read once for all who ask within a moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine

from agents.clock import Clock
from agents.store import rule_reads
from agents.store.rule_reads import RuleFigures
from pipeline.model import Millis

KEPT = 10_000
"""Real milliseconds that figures serve: an open page asks every few seconds, and counting a week of matches costs."""
ROOM = 32
"""Sets of subjects that are kept: pages of the table, and single ones."""


@dataclass(slots=True)
class FigureCache:
    engine: Engine
    real: Clock
    _known: dict[tuple[str, ...], tuple[Millis, Mapping[str, RuleFigures]]] = field(default_factory=dict)

    def of(self, subjects: Iterable[str], now: Millis) -> Mapping[str, RuleFigures]:
        """Figures by the name a subject matches under, of these subjects. Blocks."""
        wanted, at = tuple(subjects), self.real.now()
        known = self._known.get(wanted)
        if known is not None and at - known[0] < KEPT:
            return known[1]
        with self.engine.connect() as connection:
            found = rule_reads.rule_figures(connection, now, wanted)
        if len(self._known) >= ROOM:
            self._known = {}
        self._known[wanted] = (at, found)
        return found
