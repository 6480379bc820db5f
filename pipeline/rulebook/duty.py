"""Who of a team is on duty: shifts, rotations, the calendar, and overrides of a day. In local wall-clock time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pipeline.rulebook.routing import minutes
from pipeline.rulebook.schema import DAY, Calendar, Override, Roster, Shift, Team
from pipeline.rulebook.workdays import workday

ONE_DAY = dt.timedelta(days=1)
_MONDAY = "2026-01-05"
"""Where a rotation begins that came without its `since`; the parser asks for one."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `begin` to before `end`, without zone, these people of a team are on duty."""

    team: str
    begin: dt.datetime
    end: dt.datetime
    people: tuple[str, ...]


def on_duty(team: Team, local: dt.datetime, overrides: tuple[Override, ...] = ()) -> tuple[str, ...]:
    """People of the team at this local time, each once: those of an override that covers it, else those of its shifts,
    in their order."""
    for each in overrides:
        if each.team == team.id and _within(local, dt.date.fromisoformat(each.date), each):
            return tuple(dict.fromkeys(each.members))
    return tuple(dict.fromkeys(person for shift in team.shifts for person in _members(shift, local)))


def covers(shift: Shift, local: dt.datetime) -> bool:
    """Whether the shift is on. `days` and the calendar are of the day it starts on; one over midnight reaches into the
    next day."""
    return _started(shift, local) is not None


def _members(shift: Shift, local: dt.datetime) -> tuple[str, ...]:
    day = _started(shift, local)
    if day is None or not shift.members:
        return ()
    return (shift.members[turn(shift, day) % len(shift.members)],) if shift.rotate else shift.members


def _started(shift: Shift, local: dt.datetime) -> dt.date | None:
    """The day on which the shift that is on now began; None when none is."""
    for day in (local.date(), local.date() - ONE_DAY):
        if starts_on(shift, day) and _within(local, day, shift):
            return day
    return None


def starts_on(shift: Shift, day: dt.date) -> bool:
    """Whether a shift begins on this day."""
    if day.isoweekday() not in shift.days:
        return False
    return shift.calendar is None or workday(day) is (shift.calendar is Calendar.WORKDAY)


def bounds(day: dt.date, hours: Shift | Override) -> tuple[dt.datetime, dt.datetime]:
    """When what starts on this day begins and ends, without zone."""
    begin, end = minutes(hours.start), minutes(hours.end)
    midnight = dt.datetime.combine(day, dt.time())
    return (midnight + dt.timedelta(minutes=begin),
            midnight + dt.timedelta(minutes=end) + (ONE_DAY if end <= begin else dt.timedelta()))


def _within(local: dt.datetime, day: dt.date, hours: Shift | Override) -> bool:
    begin, end = bounds(day, hours)
    return begin <= local.replace(tzinfo=None) < end


@lru_cache(maxsize=4096)
def turn(shift: Shift, day: dt.date) -> int:
    """Which turn of a rotation this day lies in; `since` begins turn 0, earlier days have negative ones.

    A turn in which the shift never starts (a weekend, a week of holidays) is passed over: nobody's turn is lost by it.
    """
    since, length = dt.date.fromisoformat(shift.since or _MONDAY), max(1, shift.rotate // DAY)
    wanted = (day - since).days // length
    if shift.calendar is None and (length >= 7 or len(set(shift.days)) == 7):
        return wanted
    first, last = min(0, wanted), max(0, wanted)
    held = sum(any(starts_on(shift, since + dt.timedelta(days=number * length + offset)) for offset in range(length))
               for number in range(first, last))
    return held if wanted >= 0 else -held


def spans(roster: Roster, team: Team, begin: dt.datetime, end: dt.datetime) -> list[Span]:
    """Who is on duty from `begin` to `end`, without zone and whole minutes: one after the other, without a hole."""
    edges = sorted({begin, end, *(each for each in _edges(roster, team, begin, end) if begin < each < end)})
    found: list[Span] = []
    for start, stop in zip(edges, edges[1:], strict=False):
        people = on_duty(team, start, roster.overrides)
        if found and found[-1].people == people:
            found[-1] = Span(team.id, found[-1].begin, stop, people)
        else:
            found.append(Span(team.id, start, stop, people))
    return found


def _edges(roster: Roster, team: Team, begin: dt.datetime, end: dt.datetime) -> Iterator[dt.datetime]:
    """Every time at which people may change."""
    day = begin.date() - ONE_DAY
    while day <= end.date():
        for shift in team.shifts:
            if starts_on(shift, day):
                yield from bounds(day, shift)
        day += ONE_DAY
    for each in roster.overrides:
        if each.team == team.id:
            yield from bounds(dt.date.fromisoformat(each.date), each)


def duty_gaps(roster: Roster, begin: dt.datetime, days: int = 30, teams: frozenset[str] | None = None) -> list[Span]:
    """When nobody of a team is on duty, in the days from `begin` on (without zone). teams: only these; None: all."""
    end = begin + dt.timedelta(days=days)
    return [span for team in roster.teams if teams is None or team.id in teams
            for span in spans(roster, team, begin, end) if not span.people]
