"""When and for whom a subject matches at all: its last day, its active times, its source groups."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from pipeline.model import Millis
from pipeline.rulebook.schema import NEVER, Active, Subject
from pipeline.score.explained import Unmet

_DAY = 24 * 60
_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Gate:
    """ends: the first moment after the last day. Most gates have nothing else."""

    ends: Millis
    groups: frozenset[str]
    active: Active | None
    zone: ZoneInfo

    def open(self, at: Millis, group: str) -> bool:
        """Whether an item of this source group, first seen `at`, can match."""
        if at >= self.ends or self.groups and group not in self.groups:
            return False
        return self.active is None or is_active(self.active, at, self.zone)

    def unmet(self, at: Millis, group: str) -> tuple[Unmet, ...]:
        """Everything that keeps it shut."""
        said = {Unmet.EXPIRED: at >= self.ends, Unmet.GROUP: bool(self.groups) and group not in self.groups,
                Unmet.INACTIVE: self.active is not None and not is_active(self.active, at, self.zone)}
        return tuple(unmet for unmet, true in said.items() if true)


def gate_of(subject: Subject, zone: ZoneInfo) -> Gate:
    return Gate(end_of(subject.expires, zone), frozenset(subject.groups), subject.active, zone)


def end_of(expires: str, zone: ZoneInfo) -> Millis:
    """The first moment after the last day; far away for `never`."""
    if expires == NEVER:
        return _FOREVER
    day = dt.date.fromisoformat(expires) + dt.timedelta(days=1)
    return int(dt.datetime.combine(day, dt.time(), zone).timestamp() * 1000)


def is_active(active: Active, at: Millis, zone: ZoneInfo) -> bool:
    """Whether a moment is in the active times. Hours over midnight belong to the day on which they begin."""
    local = dt.datetime.fromtimestamp(at / 1000, zone)
    day = local.date()
    if active.hours:
        start, end = (_minutes(each) for each in active.hours.split("-"))
        now = local.hour * 60 + local.minute
        if start < end:
            if not start <= now < end:
                return False
        elif now < end:
            day -= dt.timedelta(days=1)
        elif now < start:
            return False
    if day.isoweekday() not in active.days:
        return False
    return (not active.start or active.start <= day.isoformat()) and (not active.end or day.isoformat() <= active.end)


def _minutes(text: str) -> int:
    """Minutes since midnight of HH:MM; 24:00 ends the day."""
    hour, _, minute = text.strip().partition(":")
    return int(hour) * 60 + int(minute or 0)
