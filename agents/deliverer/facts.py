"""What a message says beside its escalation: the link where it is answered, and what is usual for its subject.

The figures are one indexed read each, kept for a while. A read that fails or takes long costs the message nothing but
these figures.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from agents import link_key
from agents.deps import Deps
from agents.store.schema import scored
from pipeline.errors import SettingsError
from pipeline.model import Escalation, Millis
from pipeline.notify.message import Facts
from pipeline.rulebook.schema import DAY, HOUR

log = logging.getLogger("wenxun.deliver")

USUAL_DAYS = 7
KEPT: Millis = 60_000
"""How long figures of a subject are used again, by real time."""
MAX_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    usual: float | None = None
    now_items: int | None = None


class FactFinder:
    """executor: the threads that wait for the store. real: milliseconds of real time."""

    def __init__(self, deps: Deps, engine: Engine, executor: Executor, real: Callable[[], Millis]) -> None:
        self._deps, self._engine, self._executor, self._real = deps, engine, executor, real
        self._known: dict[str, tuple[Millis, Figures]] = {}
        self._said = ""

    async def find(self, escalation: Escalation, person: str) -> Facts:
        """person: empty when several read the message."""
        found = await self._figures(escalation.head.subject) if escalation.head else Figures()
        return Facts(await self._link(escalation, person), found.usual, found.now_items)

    async def _link(self, escalation: Escalation, person: str) -> str:
        """Without a key that can be used a message has no link: better than no message. The key is read for each, as
        the desk does: one that was replaced would sign links that nobody can open."""
        settings = self._deps.settings
        if not settings.link_url or not escalation.event_id:
            return ""
        try:
            key = await asyncio.to_thread(link_key.load, settings)
        except SettingsError as error:
            if self._said != str(error):
                log.error("messages carry no links: %s", error)
            self._said = str(error)
            return ""
        self._said = ""
        return link_key.answer_link(settings, key, escalation, person)

    async def _figures(self, subject: str) -> Figures:
        real = self._real()
        at, known = self._known.get(subject, (0, Figures()))
        if real - KEPT < at <= real:
            return known
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(MAX_SECONDS):
                known = await loop.run_in_executor(self._executor, self._read, subject, self._deps.clock.now())
        except (SQLAlchemyError, TimeoutError) as error:
            log.warning("what is usual for a subject cannot be read: %s", type(error).__name__)
            known = Figures()
        if len(self._known) > 1000:
            self._known.clear()
        self._known[subject] = (real, known)
        return known

    def _read(self, subject: str, now: Millis) -> Figures:
        with self._engine.connect() as connection:
            return read_figures(connection, subject, now)


def read_figures(connection: Connection, subject: str, now: Millis) -> Figures:
    """usual: None while the archive has not seen a whole day of the subject."""
    column = scored.c
    mine = column.subject == subject
    first, count = connection.execute(
        select(func.min(column.first_seen_at), func.count())
        .where(mine, column.first_seen_at > now - USUAL_DAYS * DAY, column.first_seen_at <= now - HOUR)).one()
    latest = connection.execute(
        select(func.count()).where(mine, column.first_seen_at > now - HOUR, column.first_seen_at <= now)).one()
    hours = (now - HOUR - first) / HOUR if first is not None else 0.0
    return Figures(round(count / hours, 2) if hours >= 24 else None, int(latest[0]))
