"""What the tracker asks of a rule book, worked out once per book."""

from __future__ import annotations

from functools import cached_property

import msgspec

from pipeline.ids import digest
from pipeline.model import OPEN_SUBJECT, SHADOW, Millis
from pipeline.rulebook.schema import INTAKE, MINUTE, Levels, RuleBook, SourceKind, Status
from pipeline.track.growth import MAX_STEPS
from pipeline.track.level import Ladder, ladder_for
from pipeline.track.measure import Measure


class InForce:
    """widest: how far back any level looks. resolution: how finely growth is told apart in time."""

    def __init__(self, book: RuleBook | None) -> None:
        self.book = book
        self.hash = book.hash if book is not None else ""
        self._levels = book.levels if book is not None else Levels(ladder=())
        self.events = self._levels.events
        thresholds = list(self._levels.thresholds())
        self.widest: Millis = max((each.reach for each in thresholds), default=0)
        narrowest = min((each.window for each in thresholds if each.growth or each.heat), default=self.widest)
        self.resolution: Millis = max(MINUTE, narrowest // MAX_STEPS)
        sources = book.sources if book is not None else ()
        self._reports = {INTAKE.id, *(each.id for each in sources if each.kind is SourceKind.INTAKE)}
        self._subjects = {each.id: each for each in book.subjects} if book is not None else {}
        self._zone = book.timezone if book is not None else "Asia/Shanghai"
        self._ladders: dict[str, Ladder] = {}
        self._marks: dict[str, str] = {}

    def ladder(self, subject: str) -> Ladder:
        """The subject's ladder. One that the book does not have any more keeps the ladder of all, with impact 1."""
        found = self._ladders.get(subject)
        if found is None:
            impact = self._subjects[subject].impact if subject in self._subjects else 1
            found = Ladder(ladder_for(self._levels, subject), Measure(impact, self.events.interaction, self._zone))
            self._ladders[subject] = found
        return found

    def gone(self, subject: str) -> str:
        """Why no new item can come of it: `removed` from the book or `retired` there; empty while items can. A live
        event of what only runs in shadow now has lost its rule too."""
        known = self._subjects.get(subject)
        if known is None:
            return "" if subject.endswith(OPEN_SUBJECT) else "removed"
        if known.status is Status.SHADOW and not subject.startswith(SHADOW):
            return "removed"
        return "retired" if known.status is Status.RETIRED else ""

    def mark(self, subject: str) -> str:
        """The same of two books that judge events of this subject alike."""
        found = self._marks.get(subject)
        if found is None:
            found = self._marks[subject] = self.ladder(subject).mark + self.gone(subject)[:3]
        return found

    @cached_property
    def levels_mark(self) -> str:
        """The same of two books that judge all events alike."""
        impacts = {ident: each.impact for ident, each in self._subjects.items() if each.impact != 1}
        said = msgspec.json.encode((self._levels, self._zone, impacts), order="deterministic")
        return digest("levels", said.decode(), size=8)

    def is_report(self, source_id: str) -> bool:
        """Whether the source is a desk where people file reports."""
        return source_id in self._reports
