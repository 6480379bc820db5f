"""Who is told: teams to the members on duty, people as they are, each by their channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.model import Millis, Receiver
from pipeline.rulebook.duty import on_duty
from pipeline.rulebook.schema import Person, Roster

OPS = "ops"
"""What 系统 notices tell, whatever the roster calls that team."""


def receivers(tell: Iterable[str], roster: Roster, at: Millis, zone: ZoneInfo,
              channels: tuple[str, ...] = ()) -> tuple[Receiver, ...]:
    """Receivers in the order of `tell`, without duplicates; the fallback person when nobody else can be reached.

    channels: of the step, in order: a person is told by the first of them that the person has, and the others stand by.
    Without any, and for a person who has none of them, by all of the person's channels.
    An id that the roster does not know (a newer or older book decided it) is passed over: somebody is always told.
    """
    local = datetime.fromtimestamp(at / 1000, zone)
    found = _receivers(people(tell, roster, local), roster, channels)
    return found or _receivers([roster.fallback], roster, channels)


def people(tell: Iterable[str], roster: Roster, local: datetime) -> Iterator[str]:
    """Ids of the people that these teams and people are at this local time; one may come twice."""
    teams = {team.id: team for team in roster.teams}
    for wanted in tell:
        name = roster.ops if wanted == OPS else wanted
        yield from on_duty(teams[name], local, roster.overrides) if name in teams else (name,)


def _receivers(names: Iterable[str], roster: Roster, channels: tuple[str, ...]) -> tuple[Receiver, ...]:
    known = {person.id: person for person in roster.people}
    found = [each for name in names if name in known for each in _ways(known[name], channels)]
    return tuple(dict.fromkeys(found))


def _ways(person: Person, channels: tuple[str, ...]) -> Iterator[Receiver]:
    ordered = [each for each in channels if each in person.channels]
    if ordered:
        yield Receiver(person.id, ordered[0], tuple(ordered[1:]))
    else:
        yield from (Receiver(person.id, each) for each in person.channels)
