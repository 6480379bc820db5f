"""Forum software that answers JSON instead of a feed: Discourse and NodeBB, their lists of topics and their topics.

Only titles, texts, links, dates and counts are read. Users, posters and avatars in these documents are not.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from pipeline.collect.bylines import without_bylines
from pipeline.collect.entries import Entry
from pipeline.collect.figures import counts, less_one

_LIKE = 2
"""Discourse's number of the action `like`."""
_LIST_PATH = re.compile(
    r"/(?:(?:latest|top|hot|new|posts|categories_and_latest)(?:\.json)?(?=/|$)|(?:c|t|tag|tags|api)/)")


# ---------------------------------------------------------------- Discourse


def discourse(document: Mapping[str, Any], url: str) -> list[Entry] | None:
    """The topics of a list, or the posts of a topic or of the whole forum; None if this is none of them."""
    listing, stream, root = document.get("topic_list"), document.get("post_stream"), _root(url)
    if isinstance(listing, Mapping) and (topics := _mappings(listing.get("topics"))) is not None:
        return [_discourse_topic(topic, root) for topic in topics]
    if isinstance(stream, Mapping) and (posts := _mappings(stream.get("posts"))) is not None:
        return [_discourse_post(post, document, root) for post in posts if _shown(post)]
    if (posts := _mappings(document.get("latest_posts"))) is not None:
        return [_discourse_post(post, {}, root) for post in posts if _shown(post)]
    return None


def _discourse_topic(topic: Mapping[str, Any], root: str) -> Entry:
    number = text_of(topic.get("id"))
    return Entry(
        guid=f"discourse:{number}" if number else "", link=_discourse_link(topic.get("slug"), number, root),
        date=text_of(topic.get("created_at")), title=_plain_or(topic.get("title"), topic.get("fancy_title")),
        body=text_of(topic.get("excerpt")), counts=_discourse_counts(topic))


def _discourse_counts(topic: Mapping[str, Any]) -> Any:
    posts = topic.get("posts_count")
    return counts(comments=less_one(posts) if posts is not None else topic.get("reply_count"),
                  likes=topic.get("like_count"), views=topic.get("views"))


def _shown(post: Mapping[str, Any]) -> bool:
    """Whether a post says something: no notice that a topic was closed, nothing hidden or deleted."""
    return post.get("post_type", 1) in (1, 2) and not any(
        post.get(name) for name in ("hidden", "deleted_at", "user_deleted", "action_code"))


def _discourse_post(post: Mapping[str, Any], topic: Mapping[str, Any], root: str) -> Entry:
    """topic: the document the post stands in; empty when the post itself says which topic it is of."""
    topic_id = text_of(post.get("topic_id") or topic.get("id"))
    number, place = text_of(post.get("id")), text_of(post.get("post_number"))
    link = _discourse_link(post.get("topic_slug") or topic.get("slug"), topic_id, root)
    actions = _mappings(post.get("actions_summary")) or []
    likes = next((action.get("count") for action in actions if action.get("id") == _LIKE), None)
    title = _plain_or(topic.get("title") or post.get("topic_title"), topic.get("fancy_title"))
    found = counts(comments=post.get("reply_count"), likes=likes, views=post.get("reads"))
    if place == "1" and topic:
        found = _discourse_counts(topic) or found
    return Entry(
        guid=f"discourse-post:{number}" if number else "", date=text_of(post.get("created_at")),
        link=f"{link}/{place}" if link and place not in ("", "1") else link,
        title=title if place == "1" or not title else f"Re: {title}",
        body=without_bylines(text_of(post.get("cooked"))), counts=found)


def _discourse_link(slug: Any, number: str, root: str) -> str:
    return urljoin(root, f"t/{quote(text_of(slug) or '-')}/{quote(number)}") if number else ""


# ---------------------------------------------------------------- NodeBB


def nodebb(document: Mapping[str, Any], url: str) -> list[Entry] | None:
    """The topics of a list, or the posts of a topic; None if this is neither."""
    posts = _mappings(document.get("posts"))
    if posts is not None and "tid" in document:
        return [_nodebb_post(post, document, _root(url)) for post in posts if not post.get("deleted")]
    topics = _mappings(document.get("topics"))
    if topics is None:
        return None
    found = [topic for topic in topics if "tid" in topic]
    return [_nodebb_topic(topic, _root(url)) for topic in found if not topic.get("deleted")] if found or not topics \
        else None


def _nodebb_topic(topic: Mapping[str, Any], root: str) -> Entry:
    number, slug = text_of(topic.get("tid")), text_of(topic.get("slug"))
    return Entry(
        guid=f"nodebb:{number}", link=urljoin(root, f"topic/{quote(slug or number)}"),
        date=text_of(topic.get("timestampISO") or topic.get("timestamp")),
        title=text_of(topic.get("title") or topic.get("titleRaw")), counts=_nodebb_counts(topic))


def _nodebb_counts(topic: Mapping[str, Any]) -> Any:
    return counts(comments=less_one(topic.get("postcount")), views=topic.get("viewcount"), likes=_votes(topic))


def _votes(each: Mapping[str, Any]) -> Any:
    upvotes = each.get("upvotes")
    return each.get("votes") if upvotes is None else upvotes


def _nodebb_post(post: Mapping[str, Any], topic: Mapping[str, Any], root: str) -> Entry:
    number = text_of(post.get("pid"))
    title, first = text_of(topic.get("title") or topic.get("titleRaw")), number == text_of(topic.get("mainPid"))
    replies = post.get("replies")
    found = counts(comments=replies.get("count") if isinstance(replies, Mapping) else replies, likes=_votes(post))
    return Entry(
        guid=f"nodebb-post:{number}" if number else "", link=urljoin(root, f"post/{quote(number)}") if number else "",
        date=text_of(post.get("timestampISO") or post.get("timestamp")),
        title=title if first or not title else f"Re: {title}", body=without_bylines(text_of(post.get("content"))),
        counts=_nodebb_counts(topic) or found if first else found)


# ---------------------------------------------------------------- members


def _root(url: str) -> str:
    """Where the forum lives: the folder before the list's own path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    path = parts.path
    mark = _LIST_PATH.search(path)
    return f"{parts.scheme}://{parts.netloc}{path[:mark.start()] if mark else ''}/"


def _mappings(members: Any) -> list[Mapping[str, Any]] | None:
    """The objects of a list, None if it is no list."""
    if not isinstance(members, Sequence) or isinstance(members, str):
        return None
    return [each for each in members if isinstance(each, Mapping)]


def _plain_or(plain: Any, markup: Any) -> str:
    """A title as markup, from a member that is plain text or else from one that is markup."""
    return html.escape(text_of(plain), quote=False) or text_of(markup)


def text_of(member: Any) -> str:
    """A JSON member as text; anything but text and numbers is none."""
    return str(member) if isinstance(member, (str, int, float)) and not isinstance(member, bool) else ""
