"""How often rules matched and what people said of it, read once for all who ask within a moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, func, select

from agents.clock import Clock
from agents.store import rule_reads, schema
from agents.store.rule_reads import RuleFigures
from pipeline.model import Millis

KEPT = 10_000
"""Real milliseconds that figures serve: an open page asks every few seconds, and counting a week of matches costs.
A verdict that has come into the archive since ends them at once: who has just judged looks for its effect."""
ROOM = 32
"""Sets of subjects that are kept: pages of the table, and single ones."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Figures, when they were read (real time), and how many verdicts there were by then."""

    at: Millis
    verdicts: int
    figures: Mapping[str, RuleFigures]


@dataclass(slots=True)
class FigureCache:
    engine: Engine
    real: Clock
    _known: dict[tuple[str, ...], _Kept] = field(default_factory=dict)

    def of(self, subjects: Iterable[str], now: Millis) -> Mapping[str, RuleFigures]:
        """Figures by the name a subject matches under, of these subjects. Blocks."""
        wanted, at = tuple(subjects), self.real.now()
        known = self._known.get(wanted)
        with self.engine.connect() as connection:
            said = _verdicts(connection)                   # read before the figures: never newer than they are
            if known is not None and at - known.at < KEPT and known.verdicts == said:
                return known.figures
            found = rule_reads.rule_figures(connection, now, wanted)
        if len(self._known) >= ROOM:
            self._known = {}
        self._known[wanted] = _Kept(at, said, found)
        return found


def _verdicts(connection: Connection) -> int:
    """How many the archive has. A change of mind is another one, so that each changes this."""
    return connection.execute(select(func.count()).select_from(schema.verdicts)).scalar_one()
