"""roster.yml and routes.yml: who is told, how, and when."""

from __future__ import annotations

from enum import StrEnum

from pipeline.rulebook.schema.base import HOUR, Rule


class Person(Rule, frozen=True):
    """A duty role. channels: ids of channels.yml, tried all, unless a step names its own.

    mail: where an smtp channel writes to. mobile: for SMS and voice, and DingTalk mentions. wecom, dingtalk, feishu:
    the account there, for mentions and app messages. account: on the desk; a link sent to this person alone acts as it.
    """

    id: str
    name: str
    channels: tuple[str, ...]
    mail: str = ""
    mobile: str = ""
    wecom: str = ""
    dingtalk: str = ""
    feishu: str = ""
    account: str = ""


class Calendar(StrEnum):
    """Days by the Chinese calendar of public holidays and make-up workdays."""
    WORKDAY = "workday"
    HOLIDAY = "holiday"


class Shift(Rule, frozen=True):
    """Who is on duty from `start` to `end` (HH:MM, over midnight if end <= start) on `days` (1 Monday … 7 Sunday).

    calendar: only on workdays (make-up ones too) or only on days off; then `days` narrows it further.
    rotate: each member alone for this long (ms, whole days), in turn, from the date `since` on; 0: all together.
    """

    members: tuple[str, ...]
    start: str = "00:00"
    end: str = "00:00"
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    calendar: Calendar | None = None
    rotate: int = 0
    since: str = ""


class Team(Rule, frozen=True):
    id: str
    name: str
    shifts: tuple[Shift, ...]


class Override(Rule, frozen=True):
    """Others on duty in a team on one date, from `start` to `end`: instead of whoever the shifts name."""

    date: str
    team: str
    members: tuple[str, ...]
    start: str = "00:00"
    end: str = "00:00"
    reason: str = ""


class Roster(Rule, frozen=True):
    """fallback: the person who is told when nobody else is on duty. ops: the team that gets 系统 notices."""

    people: tuple[Person, ...]
    teams: tuple[Team, ...]
    fallback: str
    ops: str = "ops"
    overrides: tuple[Override, ...] = ()

    def person(self, ident: str) -> Person | None:
        """A duty role by its id."""
        return next((each for each in self.people if each.id == ident), None)


class RouteMode(StrEnum):
    PAGE = "page"
    DIGEST = "digest"


class Step(Rule, frozen=True):
    """tell: teams or people. after: time since the alert was raised. channels: in order, the first that works; empty:
    all channels of each person. A person is told by those of them that the roster gives to the person."""

    tell: tuple[str, ...]
    after: int = 0
    channels: tuple[str, ...] = ()


class Route(Rule, frozen=True):
    """The first route whose matchers all fit is used; empty matchers fit everything.

    groups, regions: of any source of the event. teams: the subject's `team`. lead: who leads the response, a team or a
    person. repeat: the chain begins again this long after its last step until somebody acks; 0 never. until: no repeat
    begins this long after the raise, the alert expires then; 0 never.
    hours: HH:MM-HH:MM in which a digest is sent, empty for any time. every: how often a digest goes out.
    """

    id: str
    steps: tuple[Step, ...]
    levels: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    lead: str = ""
    mode: RouteMode = RouteMode.PAGE
    repeat: int = 0
    until: int = 0
    hours: str = ""
    every: int = HOUR


class Quiet(Rule, frozen=True):
    """Quiet hours: pages of these levels wait until they end. hours: HH:MM-HH:MM. The highest level never waits."""

    levels: tuple[str, ...]
    hours: str
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
