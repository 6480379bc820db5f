"""What every role is given: settings, clock, metrics and the live rule book."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.clock import Clock
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline.model import RulesAnswer, RulesState, Worker
from pipeline.rulebook.schema import RuleBook


class RuleStore:
    """The rule book in force in this process. Swapped whole; each record is handled with the book read once.

    scorer: version of the book that this process's scorer is built from; empty: there is none.
    state, answer: the newest of topic `rules`. workers: the newest record of each process, by name.
    """

    def __init__(self, book: RuleBook | None = None) -> None:
        self._book = book
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.scorer = ""
        self.state: RulesState | None = None
        self.answer: RulesAnswer | None = None
        self.workers: dict[str, Worker] = {}
        if book is not None:
            self._changed.set()

    @property
    def book(self) -> RuleBook:
        """The book in force. Wait for `ready()` before the first use."""
        if self._book is None:
            raise RuntimeError("no rule book yet: await rules.ready() first")
        return self._book

    @property
    def loaded(self) -> bool:
        return self._book is not None

    @property
    def version(self) -> str:
        """Of the book in force; empty before the first."""
        return self._book.version if self._book is not None else ""

    def offer(self, book: RuleBook) -> None:
        self._book = book
        self._changed.set()
        self._tell()

    def built(self, version: str) -> None:
        """The scorer at work here is now that of the book of this version."""
        self.scorer = version
        self._tell()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call it in the event loop whenever another book is in force or another scorer at work."""
        self._listeners.append(listener)

    async def ready(self) -> RuleBook:
        await self._changed.wait()
        return self.book

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


@dataclass(frozen=True, slots=True)
class Deps:
    settings: Settings
    clock: Clock
    metrics: Metrics
    rules: RuleStore = field(default_factory=RuleStore)
