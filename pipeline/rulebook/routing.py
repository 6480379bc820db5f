"""Which route an alert takes, and when quiet hours let it: the one place for both."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from zoneinfo import ZoneInfo

from pipeline.model import DRILL, SHADOW, Millis
from pipeline.rulebook.schema import Quiet, Route, RuleBook

_DAY_MINUTES = 24 * 60
_ROUNDS = 64
"""Quiet hours that follow on one another are looked through this often; ones without an end are refused by checks."""


def route_for(book: RuleBook, level_name: str, subject: str, groups: Collection[str] = (),
              regions: Collection[str] = ()) -> Route | None:
    """The first route whose matchers all fit; None if none does. groups, regions: of the event's sources.

    A subject in shadow or of a drill takes the route of the subject itself.
    """
    name = subject.lstrip(SHADOW + DRILL)
    known = book.subject(name) if any(route.teams for route in book.routes) else None
    team = known.team if known is not None else ""
    for route in book.routes:
        if (_fits(route.levels, (level_name,)) and _fits(route.subjects, (name,)) and _fits(route.groups, groups)
                and _fits(route.regions, regions) and _fits(route.teams, (team,))):
            return route
    return None


def _fits(asked: Collection[str], has: Iterable[str]) -> bool:
    return not asked or any(each in asked for each in has)


def quiet_until(book: RuleBook, level_name: str, at: Millis) -> Millis | None:
    """When the quiet hours that hold back pages of this level at `at` are over; None if none do.

    The highest level never waits, whatever is written.
    """
    if book.levels.ladder and level_name == book.levels.ladder[-1].name:
        return None
    rules = [each for each in book.quiet if level_name in each.levels]
    zone, until = ZoneInfo(book.timezone), at
    for _ in range(_ROUNDS):
        ends = [end for each in rules if (end := quiet_end(each, until, zone)) is not None]
        if not ends:
            break
        until = max(ends)
    return until if until > at else None


def quiet_end(quiet: Quiet, at: Millis, zone: ZoneInfo) -> Millis | None:
    """When the quiet hours that `at` lies in end; None if it lies in none. `days` are the days they begin on."""
    local = dt.datetime.fromtimestamp(at / 1000, zone)
    begin, end = (minutes(part) for part in quiet.hours.split("-"))
    now = local.hour * 60 + local.minute
    today, yesterday = local.isoweekday(), (local - dt.timedelta(days=1)).isoweekday()
    over_midnight = end <= begin
    if now >= begin and today in quiet.days and (over_midnight or now < end):
        return _at(local.date() + dt.timedelta(days=over_midnight), end, zone)
    if over_midnight and now < end and yesterday in quiet.days:
        return _at(local.date(), end, zone)
    return None


def _at(day: dt.date, minute: int, zone: ZoneInfo) -> Millis:
    moment = dt.datetime.combine(day, dt.time(minute // 60, minute % 60), zone)
    return int(moment.timestamp() * 1000)


def minutes(text: str) -> int:
    """Minutes since midnight of `HH:MM`; `24:00` is the midnight that ends the day, which is `00:00` of a shift."""
    hour, _, minute = text.partition(":")
    return (int(hour) * 60 + int(minute or 0)) % _DAY_MINUTES
