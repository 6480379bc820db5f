"""Posts -> the bytes a site of each kind serves. Every format carries an author, as real ones do, to be dropped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape

from agents.demo.scenario import ZONE, Format, Post, Site
from pipeline.model import Millis


@dataclass(frozen=True, slots=True)
class Page:
    """What one request is answered from. base: the site's own address, without a slash at its end."""

    site: Site
    base: str
    nickname: str
    posts: Sequence[Post]

    def link(self, post: Post) -> str:
        return f"{self.base}/t/{post.guid}"


def render(page: Page) -> tuple[str, bytes]:
    """(content type, body) in the site's format."""
    content_type, encoding, write = _WRITERS[page.site.format]
    return content_type, write(page).encode(encoding)


def _rss(page: Page, *, encoding: str = "utf-8", author: str = "dc:creator") -> str:
    items = "".join(
        f"<item><title>{escape(post.title)}</title><link>{page.link(post)}</link>"
        f'<guid isPermaLink="false">{escape(post.guid)}</guid><pubDate>{_rfc822(post.published)}</pubDate>'
        f"<{author}>{escape(page.nickname)}</{author}>"
        f"<description><![CDATA[<p>{escape(post.text)}</p>]]></description></item>\n" for post in page.posts)
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\n'
        '<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>'
        f"<title>{escape(page.site.name)}</title><link>{page.base}/</link>"
        f"<description>{escape(page.site.name)}</description><language>zh-CN</language>\n{items}</channel></rss>\n")


def _discuz(page: Page) -> str:
    """A board of Discuz! as its forum.php?mod=rss writes it: GBK, plain author, category."""
    return _rss(page, encoding="gbk", author="author").replace("<channel>", "<channel><generator>Discuz!</generator>")


def _atom(page: Page) -> str:
    entries = "".join(
        f"<entry><title>{escape(post.title)}</title><id>tag:{page.site.origin},2026:{escape(post.guid)}</id>"
        f'<link rel="alternate" href="{page.link(post)}"/><published>{_iso(post.published)}</published>'
        f"<updated>{_iso(post.at)}</updated><author><name>{escape(page.nickname)}</name></author>"
        f'<content type="html">{escape(f"<p>{post.text}</p>")}</content></entry>\n' for post in page.posts)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<title>{escape(page.site.name)}</title><id>tag:{page.site.origin},2026:feed</id>"
        f'<link rel="self" href="{page.base}/feed"/><updated>{_iso(_newest(page))}</updated>\n{entries}</feed>\n')


def _rdf(page: Page) -> str:
    items = "".join(
        f'<item rdf:about="{page.link(post)}"><title>{escape(post.title)}</title><link>{page.link(post)}</link>'
        f"<description>{escape(post.text)}</description><dc:creator>{escape(page.nickname)}</dc:creator>"
        f"<dc:date>{_iso(post.published)}</dc:date></item>\n" for post in page.posts)
    listed = "".join(f'<rdf:li rdf:resource="{page.link(post)}"/>' for post in page.posts)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<channel rdf:about="{page.base}/"><title>{escape(page.site.name)}</title><link>{page.base}/</link>'
        f"<description>{escape(page.site.name)}</description><items><rdf:Seq>{listed}</rdf:Seq></items></channel>\n"
        f"{items}</rdf:RDF>\n")


def _json_feed(page: Page) -> str:
    return json.dumps({
        "version": "https://jsonfeed.org/version/1.1", "title": page.site.name, "home_page_url": f"{page.base}/",
        "feed_url": f"{page.base}/feed", "language": "zh-CN",
        "items": [{
            "id": post.guid, "url": page.link(post), "title": post.title, "content_text": post.text,
            "date_published": _iso(post.published), "date_modified": _iso(post.at),
            "authors": [{"name": page.nickname}]} for post in page.posts]}, ensure_ascii=False)


def _discourse(page: Page) -> str:
    """/latest.json of a Discourse forum: users apart, topics with an excerpt and their counts."""
    topics = [{
        "id": int(post.guid), "title": post.title, "fancy_title": post.title, "slug": "topic",
        "excerpt": post.text, "created_at": _zulu(post.published), "bumped_at": _zulu(post.at),
        "last_posted_at": _zulu(post.at), "bumped": True, "posts_count": 1, "reply_count": 0, "like_count": 0,
        "views": 12, "pinned": False, "visible": True, "closed": False, "archived": False,
        "last_poster_username": page.nickname, "posters": [{"user_id": 7, "description": "原始发帖人"}],
    } for post in page.posts]
    return json.dumps({
        "users": [{"id": 7, "username": page.nickname, "name": page.nickname, "avatar_template": "/a/{size}.png"}],
        "topic_list": {"can_create_topic": False, "per_page": 30, "topics": topics}}, ensure_ascii=False)


def _newest(page: Page) -> Millis:
    return max((post.at for post in page.posts), default=0)


def _rfc822(at: Millis) -> str:
    return format_datetime(datetime.fromtimestamp(at / 1000, ZONE))


def _iso(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, ZONE).isoformat(timespec="seconds")


def _zulu(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_WRITERS: dict[Format, tuple[str, str, Callable[[Page], str]]] = {
    Format.RSS: ("application/rss+xml; charset=utf-8", "utf-8", _rss),
    Format.ATOM: ("application/atom+xml; charset=utf-8", "utf-8", _atom),
    Format.RDF: ("application/rdf+xml; charset=utf-8", "utf-8", _rdf),
    Format.JSON: ("application/feed+json; charset=utf-8", "utf-8", _json_feed),
    Format.DISCUZ: ("text/xml; charset=gbk", "gbk", _discuz),
    Format.DISCOURSE: ("application/json; charset=utf-8", "utf-8", _discourse),
}
