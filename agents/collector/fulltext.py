"""The articles behind a poll's new entries, for sources that set `full_text`. Trouble costs the article only.

Pages are asked for as politely as feeds: robots.txt always, one request per host, its pause, its wish to be left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from agents import outbound
from agents.deps import Deps
from agents.feeds.fetch import Fetcher
from agents.feeds.hosts import Hosts
from agents.feeds.parsing import ParsePool
from agents.feeds.worker import PAGE, Job
from agents.outbound import Limits, OutboundError
from pipeline.collect import schedule
from pipeline.collect.fulltext import MAX_PAGE_BYTES, is_page, with_article
from pipeline.model import RawItem
from pipeline.topics import host_of

PER_POLL = 20
SECONDS = 60.0
"""Real seconds that the pages of one poll may take in all; items do not wait longer."""
PAGE_SECONDS = 10.0
GIVE_UP = 3
"""Failures in a row after which the rest of a poll's pages is left."""
LIMITS = Limits(raw=MAX_PAGE_BYTES, decoded=2 * MAX_PAGE_BYTES)


class FullText:
    """`fresh = await full_text.fill(fresh, user_agent)`. Metric feed_pages_total says how the pages ended."""

    def __init__(
        self, deps: Deps, fetcher: Fetcher, parser: ParsePool, hosts: Hosts, seconds: float = SECONDS,
        page_seconds: float = PAGE_SECONDS,
    ) -> None:
        self._deps, self._fetcher, self._parser, self._hosts = deps, fetcher, parser, hosts
        self._seconds, self._page_seconds = seconds, page_seconds

    async def fill(self, items: Sequence[RawItem], agent: str) -> tuple[RawItem, ...]:
        """The items in their order, the newest 20 with the article of their page where that says more."""
        filled = list(items)
        wanted = [at for at in reversed(range(len(items))) if _leads_to_a_page(items[at].url)]
        done = failures = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                for at in wanted[:PER_POLL]:
                    outcome, filled[at] = await self._one(items[at], agent)
                    self._deps.metrics["feed_pages_total"].labels(outcome).inc()
                    done += 1
                    failures = failures + 1 if outcome in ("failed", "held") else 0
                    if failures >= GIVE_UP:
                        break
        self._deps.metrics["feed_pages_total"].labels("left").inc(len(wanted) - done)
        return tuple(filled)

    async def _one(self, item: RawItem, agent: str) -> tuple[str, RawItem]:
        """How it ended, as the metric's label, and the item."""
        answer = await self._page(item.url, agent)
        if isinstance(answer, str):
            return answer, item
        done = await self._parser.parse(Job(
            body=answer.body, content_type=answer.headers.get("content-type", ""), form=PAGE, source_id=item.source_id,
            url=answer.url, zone="", now=0, backfill=False))
        if done.error:
            return "failed", item
        better = with_article(item, done.text)
        return ("summary" if better is item else "article"), better

    async def _page(self, url: str, agent: str) -> outbound.Response | str:
        """The page, or in a word why there is none."""
        async with self._hosts.turn(url):
            now = self._deps.clock.now()
            if self._hosts.held_until(url, now) is not None:
                return "held"
            robots = self._fetcher.robots
            if not (await robots.ask(url, now, agent)).allowed:
                return "robots"
            self._hosts.pace(url, robots.delay(url))
            try:
                answer = await outbound.request(
                    self._fetcher.client, "GET", url, timeout=self._page_seconds, limits=LIMITS,
                    headers={"User-Agent": agent, "Accept": "text/html, application/xhtml+xml;q=0.9"})
            except OutboundError:
                return "failed"
            wait = schedule.retry_after(answer.headers, now)
            if schedule.outcome_of(answer.status, wait) is schedule.Outcome.RATE_LIMITED:
                self._hosts.hold(answer.url, now, wait or 0)
                return "held"
            if host_of(answer.url) != host_of(url) and not (await robots.ask(answer.url, now, agent)).allowed:
                return "robots"                         # redirected to a site that does not want us
        if answer.status != 200:
            return "failed"
        return answer if is_page(answer.headers.get("content-type", "")) else "not_html"


def _leads_to_a_page(url: str) -> bool:
    """Not a site's front page: that is what is left of a link that names a person."""
    parts = urlsplit(url)
    return bool(parts.netloc) and (parts.path not in ("", "/") or bool(parts.query))
