"""值守手册: docs/runbooks as pages, for whoever an alert of Prometheus sends here.

Without a sign-in: who is called at night may have no account, and the store that knows accounts may be what is away. So
nothing here reads the store, and the pages hold no secret.
"""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from agents.desk import web

INDEX = "README"
PATH = "/runbooks/"
_MISSING = "没有这一页手册"


def folder() -> Path:
    """Beside the packages in a checkout, inside `agents` in an installed wheel (see setup.py)."""
    packages = Path(__file__).parents[2]
    packed = packages / "agents" / "runbooks"
    return packed if packed.is_dir() else packages / "docs" / "runbooks"


@cache
def names() -> frozenset[str]:
    """Alerts that have a page."""
    return frozenset(path.stem for path in folder().glob("*.md")) - {INDEX}


@cache
def page(name: str) -> tuple[str, tuple[Markup, ...]]:
    """Title, and the page's parts: Chinese, English. The name must be one of `names`, or INDEX."""
    parts = (folder() / f"{name}.md").read_text("utf-8").split("\n---\n")
    title = parts[0].partition("\n")[0].lstrip("# ")
    return title, tuple(Markup(_markdown().render(part)) for part in parts)  # noqa: S704 (ours, html is off)


def link(desk_url: str, name: str) -> str:
    """The address of an alert's page on a desk that people can open; empty if there is none."""
    return f"{desk_url.rstrip('/')}{PATH}{name}" if desk_url and name in names() else ""


async def index(request: Request) -> Response:
    return await _answer(request, INDEX, 200)


async def show(request: Request) -> Response:
    name = str(request.path_params["name"])
    return await _answer(request, name, 200) if name in names() else await _answer(request, "", 404)


async def _answer(request: Request, name: str, status: int) -> Response:
    def work() -> str:
        title, parts = page(name) if name else (_MISSING, ())
        return web.desk_of(request).render.page("runbook.html", book=None, title=title, parts=parts,
                                                at_index=name == INDEX)

    return HTMLResponse(await asyncio.to_thread(work), status)


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.core.ruler.push("own_links", lambda state: _own_links(state.tokens))
    return made


def _own_links(tokens: list[Token]) -> None:
    """Links to other runbooks lead to their pages; of links to documents that are not here the words stay."""
    for token in tokens:
        kept: list[Token] = []
        dropped = False
        for child in token.children or ():
            if child.type == "link_open":
                target = str(child.attrs["href"])
                name = target.removesuffix(".md")
                dropped = name != INDEX and name not in names()
                child.attrs["href"] = PATH + ("" if name == INDEX else name)
            if not (dropped and child.type in ("link_open", "link_close")):
                kept.append(child)
            dropped = dropped and child.type != "link_close"
        token.children = kept if token.children is not None else None
