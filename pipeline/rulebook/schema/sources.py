"""sources.yml: what is collected."""

from __future__ import annotations

from enum import StrEnum

from pipeline.rulebook.schema.base import HOUR, MINUTE, Rule


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


class JsonList(Rule, frozen=True):
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


class Source(Rule, frozen=True):
    """A public feed, or a desk where people file reports (kind `intake`, without url).

    origin: who publishes it, by default the URL's host without `www.` (of a RSSHub route its first part); sources count
    by origin. region: a tag for routes. route: `rsshub:/…` as it was written, url is then the address on the book's
    instance.
    """

    id: str
    name: str
    url: str = ""
    kind: SourceKind = SourceKind.FEED
    format: SourceFormat = SourceFormat.AUTO
    group: str = "其他"
    region: str = ""
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

DRILL_SOURCE = "drill"
"""Source id of all items of drills; none of sources.yml may have it."""
