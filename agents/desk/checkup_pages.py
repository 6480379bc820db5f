"""测试网址: what a look at an address showed, and the lines to write for it. Nothing of it is stored."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import urlsplit

from starlette.responses import Response

from agents.desk import audit
from agents.desk.checks import SECONDS, Busy
from agents.desk.web import Visit
from agents.feeds.checkup import Checkup, How
from agents.feeds.fetch import user_agent
from pipeline.collect.privacy import mask
from pipeline.errors import WenxunError
from pipeline.rulebook.schema import RuleBook, Source

MAX_URL = 2000


async def test_url(visit: Visit) -> Response:
    """A form with `url`, and with `source` when it is of a source that the rule book has."""
    desk, url = visit.desk, visit.form.get("url", "").strip()
    book = await asyncio.to_thread(desk.book)
    source = book.source(visit.form.get("source", "")) if book else None
    if source is not None:
        url = source.url
    if not url or len(url) > MAX_URL:
        return await asyncio.to_thread(
            visit.message, "没有测试", f"请填写一个网址，最多 {MAX_URL} 个字符。", 400, "/sources")
    how = _how(visit, book, source)
    try:
        seen = await desk.checks.check(visit.session.account, url, how)
    except Busy as busy:
        return await asyncio.to_thread(visit.message, "请稍等", str(busy), 429, "/sources")
    except TimeoutError:
        text = f"{SECONDS:g} 秒内没有看完。网站可能很慢，请在浏览器里打开网址看看，过一会儿再试。"
        return await asyncio.to_thread(visit.message, "没有看完", text, 504, "/sources")
    except WenxunError as error:                        # a proxy that cannot be used, an expat that is too old
        return await asyncio.to_thread(visit.message, "不能测试", str(error), 503, "/sources")
    await asyncio.to_thread(_write, visit, seen)
    return await asyncio.to_thread(
        visit.page, "tested.html", book=book, seen=seen, source=source, zone=how.zone,
        rules_dir=str(desk.deps.settings.rules_dir),
        snippet=snippet(seen) if seen.ok and source is None else "")


def _how(visit: Visit, book: RuleBook | None, source: Source | None) -> How:
    agent = user_agent(visit.desk.deps.settings.contact, len(book.sources) if book else 0)
    return How.of(book, source, visit.now, agent)


def _write(visit: Visit, seen: Checkup) -> None:
    """Host and path: a query may carry a key."""
    with visit.desk.engine.begin() as connection:
        audit.write(connection, visit.now, visit.session.account, "source.test", shown(seen.url), str(seen.outcome))


def shown(url: str) -> str:
    """An address without login, query and what is personal."""
    try:
        parts = urlsplit(url)
        return mask(f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.netloc else parts.path)[:200]
    except ValueError:
        return "（无法识别的网址）"


def snippet(seen: Checkup) -> str:
    """Lines for sources.yml. A JSON string is a YAML string."""
    address = seen.url if seen.url.startswith("rsshub:") else seen.moved_to or seen.final
    name = seen.title.strip()[:60] or urlsplit(seen.final).hostname or "新来源"
    lines = (f"id: {_ident(seen.final)}", f"name: {json.dumps(name, ensure_ascii=False)}",
             f"url: {json.dumps(address, ensure_ascii=False)}", "group: 其他")
    return "\n".join(f"{'  - ' if place == 0 else '    '}{line}" for place, line in enumerate(lines))


def _ident(url: str) -> str:
    """An id that says where it is from: `bbs-example-net-forum`."""
    parts = urlsplit(url)
    path = re.sub(r"\.(?:xml|rss|atom|json|php|html?)$", "", parts.path)
    words = re.findall(r"[a-z0-9]+", f"{(parts.hostname or '').removeprefix('www.')}/{path}".lower())
    boring = {"rss", "feed", "feeds", "atom", "latest", "index", "xml"}
    return "-".join(word for word in words if word not in boring)[:48].strip("-") or "new-source"
