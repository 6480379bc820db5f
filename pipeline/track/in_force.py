"""What the tracker asks of a rule book, worked out once per book."""

from __future__ import annotations

from pipeline.model import Millis
from pipeline.rulebook.schema import INTAKE, MINUTE, Levels, RuleBook, SourceKind
from pipeline.track.growth import MAX_STEPS
from pipeline.track.level import Rung, ladder_for


class InForce:
    """widest: the longest window of any level. resolution: how finely growth is told apart in time."""

    def __init__(self, book: RuleBook | None) -> None:
        self.book = book
        self.hash = book.hash if book is not None else ""
        self._levels = book.levels if book is not None else Levels(ladder=())
        self.events = self._levels.events
        thresholds = list(self._levels.thresholds())
        self.widest: Millis = max((each.window for each in thresholds), default=0)
        narrowest = min((each.window for each in thresholds if each.growth), default=self.widest)
        self.resolution: Millis = max(MINUTE, narrowest // MAX_STEPS)
        sources = book.sources if book is not None else ()
        self._reports = {INTAKE.id, *(each.id for each in sources if each.kind is SourceKind.INTAKE)}
        self._ladders: dict[str, tuple[Rung, ...]] = {}

    def ladder(self, subject: str) -> tuple[Rung, ...]:
        """The subject's rungs, lowest first."""
        found = self._ladders.get(subject)
        if found is None:
            found = self._ladders[subject] = ladder_for(self._levels, subject)
        return found

    def is_report(self, source_id: str) -> bool:
        """Whether the source is a desk where people file reports."""
        return source_id in self._reports
