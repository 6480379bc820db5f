"""Who is on duty now in each team, and who comes next."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agents.desk.describe import Names
from pipeline.model import Millis
from pipeline.rulebook.duty import spans
from pipeline.rulebook.schema import Roster, Team

AHEAD = dt.timedelta(days=14)
"""A team whose people do not change in this time is said not to change."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A team. now, then: names of people; empty: nobody. change: when `then` begins, None if nothing changes soon.
    fallback: who is told while nobody is on duty."""

    team: str
    name: str
    now: tuple[str, ...]
    change: Millis | None
    then: tuple[str, ...]
    fallback: str


def rota(names: Names, now: Millis, zone: ZoneInfo) -> list[Watch]:
    """Every team of the book, in its order."""
    if names.book is None:
        return []
    roster = names.book.roster
    return [_watch(roster, team, names, now, zone) for team in roster.teams]


def _watch(roster: Roster, team: Team, names: Names, now: Millis, zone: ZoneInfo) -> Watch:
    local = dt.datetime.fromtimestamp(now / 1000, zone).replace(tzinfo=None, second=0, microsecond=0)
    first, *later = spans(roster, team, local, local + AHEAD)
    change = int(later[0].begin.replace(tzinfo=zone).timestamp() * 1000) if later else None
    then = later[0].people if later else ()
    return Watch(team.id, team.name, _named(first.people, names), change, _named(then, names),
                 names.who(roster.fallback))


def _named(people: tuple[str, ...], names: Names) -> tuple[str, ...]:
    return tuple(names.who(each) for each in people)
