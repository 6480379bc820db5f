"""How the sources stand, all of them at once: pages, counts and the API read one survey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine

from agents.clock import Clock
from agents.desk.paging import Page
from agents.settings import Settings
from agents.store import readmodel
from pipeline.collect.health import Coverage, Health, HealthState, coverage_of, health
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import RuleBook, Source, SourceKind

PAGE = 100
MANY = 300
"""From so many sources on a survey is used for `KEPT`: it takes a third of a second for ten thousand."""
KEPT = 3000
"""Real milliseconds."""

TONES: Mapping[HealthState, str] = {
    HealthState.OK: "good", HealthState.QUIET: "good", HealthState.SILENT: "wait", HealthState.FAILING: "wait",
    HealthState.BLIND: "bad", HealthState.DISABLED: "bad", HealthState.OVERDUE: "bad", HealthState.NEW: "wait",
    HealthState.PAUSED: "quiet"}
TROUBLE = (HealthState.BLIND, HealthState.DISABLED, HealthState.OVERDUE, HealthState.FAILING, HealthState.SILENT,
           HealthState.NEW, HealthState.OK, HealthState.QUIET, HealthState.PAUSED)
"""What a person looks at first."""


@dataclass(frozen=True, slots=True)
class View:
    """A source of the rule book, what is known of its polls, and what that means."""

    source: Source
    state: SourceState | None
    health: Health

    @property
    def tone(self) -> str:
        return TONES[self.health.state]

    @property
    def filed(self) -> bool:
        """People file here; nothing is polled."""
        return self.source.kind is SourceKind.INTAKE


@dataclass(frozen=True, slots=True)
class Survey:
    """All sources, by group, those in trouble first within it. coverage: of those that are polled."""

    book: str
    views: tuple[View, ...]
    coverage: Coverage
    last_poll: Millis | None

    def count(self, *states: HealthState) -> int:
        return sum(self.coverage.totals.get(each, 0) for each in states)

    @property
    def good(self) -> int:
        return self.count(HealthState.OK, HealthState.QUIET, HealthState.SILENT)

    @property
    def bad(self) -> int:
        return self.count(HealthState.BLIND, HealthState.DISABLED, HealthState.OVERDUE, HealthState.FAILING)

    @property
    def waiting(self) -> int:
        return self.count(HealthState.NEW)

    @property
    def blind(self) -> bool:
        """No source can be heard: that no event is open means nothing then. Those not polled yet may still answer."""
        return self.good == 0 and self.bad > self.waiting

    def groups(self) -> list[str]:
        return list(dict.fromkeys(each.source.group for each in self.views))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter. state: a HealthState or empty. text: in name, id, address or group."""

    state: str = ""
    group: str = ""
    text: str = ""

    def fits(self, view: View) -> bool:
        source = view.source
        if self.state and (view.filed or view.health.state != self.state):
            return False
        if self.group and source.group != self.group:
            return False
        sought = self.text.casefold()
        return not sought or any(
            sought in each.casefold() for each in (source.name, source.id, source.route or source.url, source.group))


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the sources that fit a filter."""

    views: tuple[View, ...]
    paging: Page


def listed(survey: Survey, wanted: Wanted, number: int) -> Listed:
    found = [each for each in survey.views if wanted.fits(each)]
    page = Page.of(len(found), number, PAGE)
    return Listed(tuple(found[page.rows]), page)


def survey(engine: Engine, book: RuleBook | None, settings: Settings, now: Millis) -> Survey:
    """How every source of the book stands now."""
    with engine.connect() as connection:
        states = readmodel.source_states(connection)
    sources = book.sources if book else ()
    views = [View(each, states.get(each.id), health(each, states.get(each.id), now)) for each in sources]
    heard = coverage_of([each.health for each in views if not each.filed], now, settings.zone)
    views.sort(key=lambda one: (one.source.group, one.filed, TROUBLE.index(one.health.state), one.source.name))
    polls = [each.state.polled_at for each in views if each.state is not None and each.source.polled]
    return Survey(book.hash if book else "", tuple(views), heard, max(polls, default=None))


def view(engine: Engine, book: RuleBook | None, source_id: str, now: Millis) -> View | None:
    """One source of the book, the built-in intake too; None for an unknown id."""
    source = book.source(source_id) if book else None
    if source is None:
        return None
    with engine.connect() as connection:
        state = readmodel.source_states(connection, [source_id]).get(source_id)
    return View(source, state, health(source, state, now))


@dataclass(slots=True)
class Watch:
    """Surveys of one desk; with many sources one serves all who ask within a moment."""

    engine: Engine
    settings: Settings
    real: Clock
    _last: tuple[Millis, Survey] | None = field(default=None)

    def survey(self, book: RuleBook | None, now: Millis) -> Survey:
        kept, at = self._last, self.real.now()
        if kept is not None and at - kept[0] < KEPT and book is not None and kept[1].book == book.hash:
            return kept[1]
        made = survey(self.engine, book, self.settings, now)
        if len(made.views) >= MANY:
            self._last = (at, made)
        return made
