"""Forum software that answers JSON instead of a feed: Discourse (`/latest.json`) and NodeBB (`/api/recent`).

Only a topic's title, excerpt, link and date are read. Users, posters and avatars in these documents are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urljoin

from pipeline.collect.entries import Entry


def discourse(document: Mapping[str, Any], url: str) -> list[Entry] | None:
    """The topics of a Discourse list, None if this is none."""
    listing = document.get("topic_list")
    topics = listing.get("topics") if isinstance(listing, Mapping) else None
    if not isinstance(topics, Sequence) or isinstance(topics, str):
        return None
    return [_discourse_topic(topic, url) for topic in topics if isinstance(topic, Mapping)]


def _discourse_topic(topic: Mapping[str, Any], url: str) -> Entry:
    number, slug = text_of(topic.get("id")), text_of(topic.get("slug")) or "-"
    link = urljoin(_root(url), f"t/{quote(slug)}/{number}") if number else ""
    return Entry(
        guid=f"discourse:{number}" if number else "", link=link, date=text_of(topic.get("created_at")),
        title=text_of(topic.get("title") or topic.get("fancy_title")), body=text_of(topic.get("excerpt")))


def nodebb(document: Mapping[str, Any], url: str) -> list[Entry] | None:
    """The topics of a NodeBB list, None if this is none."""
    topics = document.get("topics")
    if not isinstance(topics, Sequence) or isinstance(topics, str):
        return None
    found = [topic for topic in topics if isinstance(topic, Mapping) and "tid" in topic]
    return [_nodebb_topic(topic, url) for topic in found if not topic.get("deleted")] if found or not topics else None


def _nodebb_topic(topic: Mapping[str, Any], url: str) -> Entry:
    number, slug = text_of(topic.get("tid")), text_of(topic.get("slug"))
    return Entry(
        guid=f"nodebb:{number}", link=urljoin(_root(url), f"topic/{quote(slug or number)}"),
        date=text_of(topic.get("timestampISO") or topic.get("timestamp")),
        title=text_of(topic.get("title") or topic.get("titleRaw")))


def _root(url: str) -> str:
    """Where the forum lives: the folder before the list's own path."""
    for mark in ("/latest", "/top", "/new", "/c/", "/tag/", "/api/"):
        before, found, _ = url.partition(mark)
        if found and before.count("/") >= 2:
            return before + "/"
    return urljoin(url, "/")


def text_of(member: Any) -> str:
    """A JSON member as text; anything but text and numbers is none."""
    return str(member) if isinstance(member, (str, int, float)) and not isinstance(member, bool) else ""
