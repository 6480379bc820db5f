"""The county's sites as real HTTP servers, a port each: the feed, a front page and a page per post.

They show at each moment of the clock what has been published up to then, with an ETag and 304.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from agents.demo.formats import Page, render
from agents.demo.scenario import Format, Post, Scenario, Site, clock_text
from agents.demo.web import HOST
from pipeline.ids import digest
from pipeline.model import Millis

FEED_PATHS = {Format.DISCUZ: "/forum.php?mod=rss", Format.DISCOURSE: "/latest.json"}
_STYLE = (
    "body{font:16px/1.7 system-ui,'Noto Sans CJK SC',sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;"
    "color:#222}small{color:#777}a{color:#0b57a4;text-decoration:none}h1{font-size:1.4rem}li{margin:.3rem 0}"
    ".b{background:#fff3cd;padding:.3rem .8rem;border-radius:.3rem}")


def base_url(port: int) -> str:
    return f"http://{HOST}:{port}"


def feed_path(site: Site) -> str:
    return FEED_PATHS.get(site.format, "/feed")


class Sites:
    """One ASGI app for all sites; the port that was asked says which. served: answers so far, by site and status."""

    def __init__(self, scenario: Scenario, ports: Mapping[str, int], now: Callable[[], Millis]) -> None:
        self._scenario, self._now = scenario, now
        self._by_port = {ports[site.id]: site for site in scenario.sites}
        self.served: dict[tuple[str, int], int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        site = self._by_port[scope["server"][1]]
        response = self._answer(site, Request(scope, receive))
        await response(scope, receive, send)

    def _answer(self, site: Site, request: Request) -> Response:
        path = request.url.path
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("method not allowed", 405)
        if path == feed_path(site).partition("?")[0]:
            return self._feed(site, request)
        if path == "/robots.txt":
            return PlainTextResponse("User-agent: *\nAllow: /\n")
        posts = self._scenario.visible(site.id, self._now())
        if path == "/":
            return HTMLResponse(_front(site, posts))
        post = next((post for post in posts if path == f"/t/{post.guid}"), None)
        return HTMLResponse(_post(site, post)) if post else PlainTextResponse("not found", 404)

    def _feed(self, site: Site, request: Request) -> Response:
        base = base_url(request.scope["server"][1])
        posts = self._scenario.visible(site.id, self._now())
        content_type, body = render(Page(site, base, self._scenario.nickname, posts))
        tag = f'"{digest(body.hex(), size=8)}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Type": content_type}
        response = Response(body, headers=headers)
        if request.headers.get("if-none-match") == tag:
            response = Response(status_code=304, headers=headers)
        key = (site.id, response.status_code)
        self.served[key] = self.served.get(key, 0) + 1
        return response


def _front(site: Site, posts: tuple[Post, ...]) -> str:
    rows = "".join(f'<li><small>{clock_text(post.published)}</small> <a href="/t/{post.guid}">{escape(post.title)}</a>'
                   for post in posts)
    return _html(site, f"<h1>{escape(site.name)}</h1><ul>{rows}</ul>")


def _post(site: Site, post: Post) -> str:
    return _html(site, (
        f'<p><a href="/">← {escape(site.name)}</a></p><h1>{escape(post.title)}</h1>'
        f"<small>{clock_text(post.published)}</small><p>{escape(post.text)}</p>"))


def _html(site: Site, body: str) -> str:
    return (f'<!doctype html><html lang="zh-CN"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{escape(site.name)}</title><style>{_STYLE}</style>"
            f'<p class="b">演示：虚构的云溪县</p>{body}</html>')
