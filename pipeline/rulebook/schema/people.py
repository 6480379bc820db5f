"""roster.yml, channels.yml, routes.yml: who is told, how, and when."""

from __future__ import annotations

from enum import StrEnum

from pipeline.rulebook.schema.base import HOUR, Rule


class Person(Rule, frozen=True):
    """A duty role. channels: ids of channels.yml, tried all. mail: where an smtp channel writes to."""

    id: str
    name: str
    channels: tuple[str, ...]
    mail: str = ""


class Shift(Rule, frozen=True):
    """Who is on duty from `start` to `end` (HH:MM, over midnight if end <= start) on `days` (1 Monday … 7 Sunday)."""

    members: tuple[str, ...]
    start: str = "00:00"
    end: str = "00:00"
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)


class Team(Rule, frozen=True):
    id: str
    name: str
    shifts: tuple[Shift, ...]


class Roster(Rule, frozen=True):
    """fallback: the person who is told when nobody else is on duty. ops: the team that gets 系统 notices."""

    people: tuple[Person, ...]
    teams: tuple[Team, ...]
    fallback: str
    ops: str = "ops"


class ChannelType(StrEnum):
    WEBHOOK = "webhook"
    SMTP = "smtp"
    CONSOLE = "console"


class Channel(Rule, frozen=True):
    """An endpoint. Secrets are read from files, relative to the rule directory, by the deliverer alone."""

    id: str
    type: ChannelType
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    host: str = ""
    port: int = 0
    tls: str = "starttls"
    username: str = ""
    password_file: str = ""
    sender: str = ""


class RouteMode(StrEnum):
    PAGE = "page"
    DIGEST = "digest"


class Step(Rule, frozen=True):
    """tell: teams or people. after: time since the alert was raised."""

    tell: tuple[str, ...]
    after: int = 0


class Route(Rule, frozen=True):
    """The first route whose matchers all fit is used; empty matchers fit everything.

    repeat: the chain begins again this long after its last step until somebody acks; 0 never.
    hours: HH:MM-HH:MM in which a digest is sent, empty for any time. every: how often a digest goes out.
    """

    id: str
    steps: tuple[Step, ...]
    levels: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    mode: RouteMode = RouteMode.PAGE
    repeat: int = 0
    hours: str = ""
    every: int = HOUR
