"""The day that the demo plays, read from deploy/demo/scenario.yml, and what each site has published by a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from pipeline.errors import SettingsError
from pipeline.model import Millis

ZONE = ZoneInfo("Asia/Shanghai")
FOLDER = Path(__file__).resolve().parent.parent.parent / "deploy" / "demo"


class Part(StrEnum):
    """A post's role in the story."""

    NEWS = "news"
    MOVED = "moved"
    RUMOUR = "rumour"
    QUEUE = "queue"
    CORRECTION = "correction"
    ECHO = "echo"


class Format(StrEnum):
    """How a site publishes."""

    RSS = "rss"
    ATOM = "atom"
    RDF = "rdf"
    JSON = "json"
    DISCUZ = "discuz"
    DISCOURSE = "discourse"


@dataclass(frozen=True, slots=True)
class Site:
    id: str
    name: str
    origin: str
    format: Format
    group: str
    official: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """at: when it (or this edit of it) appears. published: when its guid first appeared."""

    at: Millis
    published: Millis
    site: str
    guid: str
    title: str
    text: str
    part: Part


@dataclass(frozen=True, slots=True)
class Scenario:
    opens: Millis
    closes: Millis
    nickname: str
    sites: tuple[Site, ...]
    posts: tuple[Post, ...]

    def visible(self, site: str, now: Millis) -> tuple[Post, ...]:
        """What the site shows at a time: the newest text of each guid, newest first."""
        newest: dict[str, Post] = {}
        for post in self.posts:
            if post.site == site and post.at <= now:
                newest[post.guid] = post
        return tuple(sorted(newest.values(), key=lambda post: (post.published, post.guid), reverse=True))

    def first(self, part: Part) -> Post:
        return next(post for post in self.posts if post.part is part)

    def official(self) -> Site:
        return next(site for site in self.sites if site.official)


def load(path: Path = FOLDER / "scenario.yml") -> Scenario:
    """The scenario, posts in the order in which they appear. SettingsError if the file is missing or wrong."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _scenario(raw)
    except FileNotFoundError:
        raise SettingsError(f"{path} is missing: the demo runs from a clone of the project") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"{path}: not a scenario: {error!r}") from error


def _scenario(raw: dict[str, Any]) -> Scenario:
    day: date = raw["day"]
    sites = tuple(Site(**{**site, "format": Format(site["format"])}) for site in raw["sites"])
    known = {site.id for site in sites}
    for post in raw["posts"]:
        if post["site"] not in known:
            raise ValueError(f"post {post['guid']}: no site {post['site']!r}")
    return Scenario(
        opens=_moment(day, raw["opens"]), closes=_moment(day, raw["closes"]), nickname=raw["nickname"], sites=sites,
        posts=tuple(_posts(day, raw["posts"])))


def _posts(day: date, raw: Iterable[dict[str, str]]) -> list[Post]:
    first: dict[tuple[str, str], Millis] = {}
    posts = []
    for each in sorted(raw, key=lambda post: (_moment(day, post["at"]), post["site"], post["guid"])):
        at = _moment(day, each["at"])
        published = first.setdefault((each["site"], each["guid"]), at)
        posts.append(Post(at, published, each["site"], each["guid"], each["title"], each["text"], Part(each["part"])))
    return posts


def _moment(day: date, text: str) -> Millis:
    """`HH:MM` on the day, `-1 HH:MM` on the day before, in the county's zone."""
    offset, _, clock = text.rpartition(" ")
    hour, minute = clock.split(":")
    at = datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=ZONE)
    return int((at + timedelta(days=int(offset or 0))).timestamp() * 1000)


def clock_text(at: Millis, *, seconds: bool = False) -> str:
    """HH:MM[:SS] in the county's zone, for people."""
    return f"{datetime.fromtimestamp(at / 1000, ZONE):{'%H:%M:%S' if seconds else '%H:%M'}}"
