"""What every role is given: settings, clock, metrics and the live rule book."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agents.clock import Clock
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline.rulebook.schema import RuleBook


class RuleStore:
    """The rule book in force in this process. Swapped whole; each record is handled with the book read once."""

    def __init__(self, book: RuleBook | None = None) -> None:
        self._book = book
        self._changed = asyncio.Event()
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

    def offer(self, book: RuleBook) -> None:
        self._book = book
        self._changed.set()

    async def ready(self) -> RuleBook:
        await self._changed.wait()
        return self.book


@dataclass(frozen=True, slots=True)
class Deps:
    settings: Settings
    clock: Clock
    metrics: Metrics
    rules: RuleStore = field(default_factory=RuleStore)
