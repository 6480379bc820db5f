"""One alert that nobody answers: who would be told when, by which channel, as escalate and deliver decide it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from pipeline.escalate.escalator import Escalator, Outcome
from pipeline.ids import digest
from pipeline.model import Escalation, EventHead, EventStatus, Evidence, LevelDecision, Millis, Receiver, Tick, Why
from pipeline.notify.route import receivers
from pipeline.rulebook.schema import DAY, RuleBook

MOST = 5_000
"""Times at which something is due of one alert that are looked at."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is decided, and whom it reaches at that time; nobody if it is held back."""

    escalation: Escalation
    receivers: tuple[Receiver, ...]


def event_at(book: RuleBook, level_name: str, subject: str, at: Millis, groups: tuple[str, ...] = (),
             regions: tuple[str, ...] = ()) -> EventHead:
    """An event that is detected and reaches the level at `at`. ValueError if the book has no such level."""
    level = [each.name for each in book.levels.ladder].index(level_name) + 1
    known = book.subject(subject)
    return EventHead(
        id=digest("unanswered", subject, level_name, at), subject=subject, key=subject, version=1,
        status=EventStatus.OPEN, level=level, level_name=level_name, peak=level,
        decision=LevelDecision(level, 0, Why.RAISED, Evidence(0, 0, 0, at), at, level_name), book=book.hash,
        title=known.title if known is not None else subject, first_item_at=at, last_item_at=at, opened_at=at,
        changed_at=at, raises=1, level_since=at, groups=groups, regions=regions)


def messages(book: RuleBook, head: EventHead, length: Millis = DAY) -> Iterator[Message]:
    """Everything that is decided about it within `length`, in order."""
    zone, escalator, end = ZoneInfo(book.timezone), Escalator(), head.changed_at + length
    outcome: Outcome = escalator.handle(head, book)
    for _ in range(MOST):
        for each in outcome.escalations:
            by = receivers(each.tell, book.roster, each.at, zone, each.channels)
            yield Message(each, () if each.unsendable else by)
        at = escalator.next_due
        if at is None or at > end:
            return
        outcome = escalator.handle(Tick(at=at), book)
