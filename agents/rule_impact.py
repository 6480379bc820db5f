"""How many open events a new rule book would raise, from what the archive has: asked before it is published."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from agents.deadletter import describe
from agents.settings import Settings
from agents.store.engine import open_store
from agents.store.open_events import open_events
from pipeline.errors import SettingsError
from pipeline.model import EventHead, LevelDecision, Millis, Raise, WarmEvent
from pipeline.rulebook.schema import RuleBook
from pipeline.track.rejudge import rejudged

log = logging.getLogger("wenxun.rules")

SHOWN = 100
Judge = Callable[[WarmEvent, RuleBook, Millis], LevelDecision | None]


@dataclass(frozen=True, slots=True)
class Impact:
    """The first SHOWN events that would be raised, and how many there are."""

    raises: tuple[Raise, ...] = ()
    count: int = 0


def impact(settings: Settings, before: RuleBook, after: RuleBook, now: Millis, *, judge: Judge = rejudged) -> Impact:
    """What the new book would raise at once. Blocks. None without an archive, or when it cannot be read: a rule change
    does not wait for a database."""
    if not may_raise(before, after):
        return Impact()
    try:
        if settings.store_url.startswith("sqlite") and not _there(settings):
            return Impact()
        urgent = before.levels.events.urgent_level != after.levels.events.urgent_level
        worth = (lambda head: True) if urgent else partial(_within_reach, after=after)   # one report may be enough
        return _count(settings, after, now, judge, worth)
    except (SQLAlchemyError, SettingsError, OSError) as error:
        log.warning("rules: what book %s would raise is not known, the archive cannot be read (%s)", after.hash,
                    describe(error))
        return Impact()


def may_raise(before: RuleBook, after: RuleBook) -> bool:
    """Whether events that are there can be judged otherwise: by levels and by what is at stake, not by what matches."""
    return before.levels != after.levels or _stakes(before) != _stakes(after)


def _stakes(book: RuleBook) -> dict[str, int]:
    return {each.id: each.impact for each in book.subjects if each.impact != 1}


def _there(settings: Settings) -> bool:
    name = make_url(settings.store_url).database
    return bool(name) and Path(str(name)).exists()


def _count(
    settings: Settings, after: RuleBook, now: Millis, judge: Judge, worth: Callable[[EventHead], bool],
) -> Impact:
    raises: list[Raise] = []
    count = 0
    engine = open_store(settings.store_url)
    try:
        with engine.connect() as connection:
            for warm in open_events(connection, now, after.levels, worth):
                decision = judge(warm, after, now)
                if decision is None or decision.level <= decision.previous:
                    continue
                count += 1
                if count <= SHOWN:
                    raises.append(_raise(warm, decision))
    finally:
        engine.dispose()
    return Impact(tuple(raises), count)


def _within_reach(head: EventHead, after: RuleBook) -> bool:
    """Whether it has, over all its time, the items and sources of any threshold. Most watched ones are too small."""
    return any(head.items >= each.items and head.sources >= each.sources for each in after.levels.thresholds())


def _raise(warm: WarmEvent, decision: LevelDecision) -> Raise:
    head = warm.head
    return Raise(event_id=head.id, short=head.short, title=head.title, previous=head.level_name, level=decision.name)

