"""The whole book."""

from __future__ import annotations

from pipeline.rulebook.schema.base import Rule
from pipeline.rulebook.schema.channels import Channel, Heartbeat
from pipeline.rulebook.schema.levels import Levels
from pipeline.rulebook.schema.people import Quiet, Roster, Route
from pipeline.rulebook.schema.sentiment import SentimentRules
from pipeline.rulebook.schema.sources import INTAKE, RSSHUB, Source
from pipeline.rulebook.schema.subjects import Subject, WordList


class RuleBook(Rule, frozen=True):
    """All rule files, checked as a whole. hash: 16 hex digits of the content without `shadow`; made by parse.py.

    budget: name of a level -> alerts a day from which ops is told that there are too many.
    shadow: a second book that runs beside this one on the same items; nothing it decides is ever sent.
    """

    sources: tuple[Source, ...]
    subjects: tuple[Subject, ...]
    sentiment: SentimentRules
    levels: Levels
    roster: Roster
    channels: tuple[Channel, ...]
    routes: tuple[Route, ...]
    lists: tuple[WordList, ...] = ()
    quiet: tuple[Quiet, ...] = ()
    budget: dict[str, int] = {}
    heartbeat: Heartbeat | None = None
    timezone: str = "Asia/Shanghai"
    rsshub: str = RSSHUB
    hash: str = ""
    shadow: RuleBook | None = None

    @property
    def version(self) -> str:
        """What tells two books in force apart: the hash, and that of the shadow book beside it."""
        return f"{self.hash}+{self.shadow.hash}" if self.shadow is not None else self.hash

    def source(self, ident: str) -> Source | None:
        """A source by its id; the built-in intake desk too."""
        return next((each for each in (*self.sources, INTAKE) if each.id == ident), None)

    def subject(self, ident: str) -> Subject | None:
        """A subject by its id."""
        return next((each for each in self.subjects if each.id == ident), None)
