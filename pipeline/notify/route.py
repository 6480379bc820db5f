"""Who is told: teams to the members on duty, people as they are, each by every channel of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.model import Millis, Receiver
from pipeline.rulebook.schema import Roster, Shift, Team

OPS = "ops"
"""What 系统 notices tell, whatever the roster calls that team."""
_DAY_MINUTES = 24 * 60


def receivers(tell: Iterable[str], roster: Roster, at: Millis, zone: ZoneInfo) -> tuple[Receiver, ...]:
    """Receivers in the order of `tell`, without duplicates; the fallback person when nobody else can be reached.

    An id that the roster does not know (a newer or older book decided it) is passed over: somebody is always told.
    """
    local = datetime.fromtimestamp(at / 1000, zone)
    found = _channels(_people(tell, roster, local), roster)
    return found or _channels([roster.fallback], roster)


def on_duty(team: Team, local: datetime) -> tuple[str, ...]:
    """People of the team whose shift covers this local time, in the order of the shifts."""
    members = [person for shift in team.shifts if covers(shift, local) for person in shift.members]
    return tuple(dict.fromkeys(members))


def covers(shift: Shift, local: datetime) -> bool:
    """Whether the shift is on. `days` are the days it starts on; one over midnight reaches into the next day."""
    start, end = minutes(shift.start), minutes(shift.end)
    now = local.hour * 60 + local.minute
    today, yesterday = local.isoweekday(), (local - timedelta(days=1)).isoweekday()
    if start < end:
        return today in shift.days and start <= now < end
    return (today in shift.days and now >= start) or (yesterday in shift.days and now < end)


def minutes(text: str) -> int:
    """Minutes since midnight of `HH:MM`; `24:00` is the midnight that ends the day, which is `00:00` of a shift."""
    hour, _, minute = text.partition(":")
    return (int(hour) * 60 + int(minute or 0)) % _DAY_MINUTES


def _people(tell: Iterable[str], roster: Roster, local: datetime) -> Iterator[str]:
    teams = {team.id: team for team in roster.teams}
    for wanted in tell:
        name = roster.ops if wanted == OPS else wanted
        yield from on_duty(teams[name], local) if name in teams else (name,)


def _channels(people: Iterable[str], roster: Roster) -> tuple[Receiver, ...]:
    known = {person.id: person for person in roster.people}
    found = [Receiver(name, channel) for name in people if name in known for channel in known[name].channels]
    return tuple(dict.fromkeys(found))
