"""The rule book: everything an operator may change, as frozen values. Lengths of time are milliseconds.

One RuleBook is published whole on topic `rules`; `hash` names it in every decision. In YAML, durations are written
`30s 5m 2h 7d`, times of day `HH:MM`, dates `2026-12-31`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class _Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False):
    pass


# ---------------------------------------------------------------- sources.yml


class SourceFormat(StrEnum):
    AUTO = "auto"
    FEED = "feed"
    DISCOURSE = "discourse"
    NODEBB = "nodebb"
    JSON = "json"


RSSHUB = "https://rsshub.app"
"""The public instance, where no other is named."""


def on_instance(route: str, instance: str) -> str:
    """The address of `rsshub:/…` on a RSSHub instance; any other address is its own."""
    path = route.removeprefix("rsshub:")
    return route if path == route else f"{instance.rstrip('/')}/{path.lstrip('/')}"


class SourceKind(StrEnum):
    FEED = "feed"
    INTAKE = "intake"


class JsonList(_Rule, frozen=True):
    """Where a JSON document has its list and each entry its parts, as JMESPath.

    items is from the top, the rest from an entry. link and text may hold `{path}` places, to build a link from an id.
    """

    items: str
    title: str
    link: str = ""
    text: str = ""
    id: str = ""
    date: str = ""
    comments: str = ""
    forwards: str = ""
    likes: str = ""
    views: str = ""


class Source(_Rule, frozen=True):
    """A public feed, or a desk where people file reports (kind `intake`, without url).

    origin: who publishes it, by default the URL's host without `www.` (of a RSSHub route its first part); sources count
    by origin. route: `rsshub:/…` as it was written, url is then the address on the book's instance.
    """

    id: str
    name: str
    url: str = ""
    kind: SourceKind = SourceKind.FEED
    format: SourceFormat = SourceFormat.AUTO
    group: str = "其他"
    origin: str = ""
    official: bool = False
    interval: int = 5 * MINUTE
    min_interval: int = MINUTE
    max_interval: int = 6 * HOUR
    timezone: str = ""
    enabled: bool = True
    list: JsonList | None = None
    full_text: bool = False
    respect_robots: bool = True
    route: str = ""

    @property
    def polled(self) -> bool:
        return self.enabled and self.kind is SourceKind.FEED


INTAKE = Source(id="intake", name="人工上报", kind=SourceKind.INTAKE, group="人工上报", origin="intake")
"""Always there, so that a report can be filed before anybody wrote an intake source into sources.yml."""


# ---------------------------------------------------------------- subjects/*.yml


class Term(_Rule, frozen=True):
    text: str
    weight: float = 1.0


class Subject(_Rule, frozen=True):
    """What is watched. An item matches when its distinct terms' weights reach `threshold` and no `exclude` occurs."""

    id: str
    title: str
    owner: str
    reason: str
    expires: str
    terms: tuple[Term, ...]
    threshold: float = 1.0
    exclude: tuple[str, ...] = ()


# ---------------------------------------------------------------- sentiment.yml


class SentimentEngine(StrEnum):
    LEXICON = "lexicon"
    SNOWNLP = "snownlp"


class SentimentRules(_Rule, frozen=True):
    """words: weight below 0 is negative. negations flip, degrees multiply the next word within `reach` characters.
    unsure_below: a confidence under it gives `unsure`."""

    engine: SentimentEngine = SentimentEngine.LEXICON
    words: dict[str, float] = {}
    negations: tuple[str, ...] = ()
    degrees: dict[str, float] = {}
    reach: int = 4
    unsure_below: float = 0.2


# ---------------------------------------------------------------- levels.yml


class Threshold(_Rule, frozen=True):
    """Reached when `items` distinct items of `sources` independent sources lie within `window`.

    Or, where `growth` is not 0: when comments, forwards and likes of the event's items grew by it within `window`, on
    items of `growth_sources` independent sources.
    """

    items: int
    sources: int
    window: int
    growth: int = 0
    growth_sources: int = 1


class Level(_Rule, frozen=True):
    """A response level. The ladder is written lowest first; rank is the place in it, from 1."""

    name: str
    response: str
    enter: Threshold
    color: str = "#888888"
    leave_ratio: float = 0.6
    hold: int = 30 * MINUTE


class LevelOverride(_Rule, frozen=True):
    """Other thresholds for one subject (`*` is the open subject). Only the levels named here exist for it."""

    subject: str
    enter: dict[str, Threshold]


class EventRules(_Rule, frozen=True):
    """similarity: cosine from which an item joins an event. join_within: no member is further away in time.
    page_max_age: an item older than this at first sight raises no level. calm_after: calm this long ends the event.
    urgent_level: name of the level that an urgent report reaches alone; empty: none."""

    similarity: float = 0.3
    join_within: int = 24 * HOUR
    page_max_age: int = 24 * HOUR
    calm_after: int = 24 * HOUR
    urgent_level: str = ""


class Levels(_Rule, frozen=True):
    ladder: tuple[Level, ...]
    overrides: tuple[LevelOverride, ...] = ()
    events: EventRules = EventRules()

    def name(self, rank: int) -> str:
        """The level's name; rank 0 is `未达级`."""
        return self.ladder[rank - 1].name if 0 < rank <= len(self.ladder) else "未达级"


# ---------------------------------------------------------------- roster.yml


class Person(_Rule, frozen=True):
    """A duty role. channels: ids of channels.yml, tried all. mail: where an smtp channel writes to."""

    id: str
    name: str
    channels: tuple[str, ...]
    mail: str = ""


class Shift(_Rule, frozen=True):
    """Who is on duty from `start` to `end` (HH:MM, over midnight if end <= start) on `days` (1 Monday … 7 Sunday)."""

    members: tuple[str, ...]
    start: str = "00:00"
    end: str = "00:00"
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)


class Team(_Rule, frozen=True):
    id: str
    name: str
    shifts: tuple[Shift, ...]


class Roster(_Rule, frozen=True):
    """fallback: the person who is told when nobody else is on duty. ops: the team that gets 系统 notices."""

    people: tuple[Person, ...]
    teams: tuple[Team, ...]
    fallback: str
    ops: str = "ops"


# ---------------------------------------------------------------- channels.yml


class ChannelType(StrEnum):
    WEBHOOK = "webhook"
    SMTP = "smtp"
    CONSOLE = "console"


class Channel(_Rule, frozen=True):
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


# ---------------------------------------------------------------- routes.yml


class RouteMode(StrEnum):
    PAGE = "page"
    DIGEST = "digest"


class Step(_Rule, frozen=True):
    """tell: teams or people. after: time since the alert was raised."""

    tell: tuple[str, ...]
    after: int = 0


class Route(_Rule, frozen=True):
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


# ---------------------------------------------------------------- the whole


class RuleBook(_Rule, frozen=True):
    """All rule files, checked as a whole. hash: 16 hex digits of the content; made by parse.py."""

    sources: tuple[Source, ...]
    subjects: tuple[Subject, ...]
    sentiment: SentimentRules
    levels: Levels
    roster: Roster
    channels: tuple[Channel, ...]
    routes: tuple[Route, ...]
    timezone: str = "Asia/Shanghai"
    rsshub: str = RSSHUB
    hash: str = ""

    def source(self, ident: str) -> Source | None:
        """A source by its id; the built-in intake desk too."""
        return next((each for each in (*self.sources, INTAKE) if each.id == ident), None)
