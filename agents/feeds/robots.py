"""What a site's robots.txt (RFC 9309) allows us, asked for once a day and site.

4xx means that there are no rules. A server that breaks (5xx) is not read for an hour: nobody knows its wishes. One that
does not answer at all is asked again at the next poll, which would have found it silent anyway. Either way rules that
were known before go on to hold for a week.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import httpx
from protego import Protego

from agents import outbound
from agents.outbound import Fault, Limits, OutboundError
from pipeline.collect import text
from pipeline.model import Millis
from pipeline.rulebook.schema import DAY, HOUR

PRODUCT = "wenxun"
"""What a site writes after `User-agent:` to speak of us."""
KEPT = DAY
BROKEN = HOUR
STALE = 7 * DAY
MAX_DELAY = 60.0
MAX_BYTES = 500 * 1024
CACHE_BYTES = 48 * 1024**2
SITES = 20_000
SMALL = 16 * 1024
"""Longer files are read outside the event loop: half a second for the longest."""
REMEMBERED = 64

_AGENT_LINE = re.compile(r"^[ \t]*user[- ]?agent[ \t:]+([^\r\n#]*).*$", re.IGNORECASE | re.MULTILINE)
_OTHER = "User-agent: other"

BROKEN_SITE = "网站的 robots.txt 读取出错（{status}），按规定暂不采集。会自动再试；一直这样，请联系网站"
REFUSED = "网站的 robots.txt 不允许采集这个地址。请与网站商定后在 sources.yml 里写 respect_robots: false，或换一个来源"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a URL may be asked for. delay: real seconds between requests to its host.

    error: why not, in Chinese. fault: when the site could not be asked; retry_after: when its answer was a broken one.
    """

    allowed: bool
    delay: float = 0.0
    error: str = ""
    fault: OutboundError | None = None
    retry_after: Millis | None = None


@dataclass(slots=True)
class _Site:
    """rules: robots.txt, empty if there is none. broken: the status that says that nobody knows."""

    rules: str
    asked_at: Millis
    until: Millis
    broken: int = 0
    delay: float = 0.0
    said: OrderedDict[str, Verdict] = field(default_factory=OrderedDict)


class Robots:
    """`verdict = await robots.ask(url, now, user_agent)`: call it in the host's turn, it may make a request."""

    def __init__(self, client: httpx.AsyncClient, timeout: float = 15.0) -> None:
        self._client, self._timeout = client, timeout
        self._sites: OrderedDict[str, _Site] = OrderedDict()
        self._bytes = 0

    async def ask(self, url: str, now: Millis, user_agent: str) -> Verdict:
        """now: the installation's clock. Never raises: a URL that is none is refused by the request itself."""
        place = _site_of(url)
        if not place:
            return Verdict(True)
        site = self._sites.get(place)
        if site is None or now >= site.until:
            try:
                site = self._keep(place, await self._fetch(place, site, now, user_agent))
            except OutboundError as fault:
                if site is None or site.broken or now >= site.asked_at + STALE:
                    same = fault.fault in (Fault.REFUSED, Fault.DNS, Fault.UNREACHABLE, Fault.CERTIFICATE)
                    return Verdict(False, error=f"{'' if same else '取不到 robots.txt：'}{fault}", fault=fault)
        self._sites.move_to_end(place)
        return await self._judge(site, url, now)

    def delay(self, url: str) -> float:
        """Real seconds that the site wants between requests, as far as it was asked."""
        site = self._sites.get(_site_of(url))
        return 0.0 if site is None else site.delay

    async def _fetch(self, place: str, known: _Site | None, now: Millis, user_agent: str) -> _Site:
        answer = await outbound.request(
            self._client, "GET", f"{place}/robots.txt", timeout=self._timeout, limits=Limits(decoded=5 * 1024**2),
            headers={"User-Agent": user_agent, "Accept": "text/plain, */*;q=0.5"})
        if answer.status >= 500:
            if known is not None and not known.broken and now < known.asked_at + STALE:
                known.until = now + BROKEN
                return known
            return _Site("", now, now + BROKEN, broken=answer.status)
        if not 200 <= answer.status < 300:
            return _Site("", now, now + KEPT)
        rules = text.decode(answer.body[:MAX_BYTES], answer.headers.get("content-type", ""))
        return _Site(_ours(rules), now, now + KEPT)

    async def _judge(self, site: _Site, url: str, now: Millis) -> Verdict:
        if site.broken:
            return Verdict(False, error=BROKEN_SITE.format(status=site.broken), retry_after=max(0, site.until - now))
        if not site.rules:
            return Verdict(True)
        path = urlunsplit(("", "", *urlsplit(url)[2:4], ""))
        if path not in site.said:
            small = len(site.rules) <= SMALL
            found = _read(site.rules, url) if small else await asyncio.to_thread(_read, site.rules, url)
            site.said[path], site.delay = found, found.delay
            if len(site.said) > REMEMBERED:
                site.said.popitem(last=False)
            return found
        return site.said[path]

    def _keep(self, place: str, site: _Site) -> _Site:
        """Remember; what was not asked about for longest is forgotten first."""
        before = self._sites.pop(place, None)
        self._bytes += len(site.rules) - (len(before.rules) if before else 0)
        self._sites[place] = site
        while len(self._sites) > 1 and (len(self._sites) > SITES or self._bytes > CACHE_BYTES):
            _, gone = self._sites.popitem(last=False)
            self._bytes -= len(gone.rules)
        return site


def _site_of(url: str) -> str:
    """scheme://host:port as it is written, without user info; empty for what is no web address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _ours(rules: str) -> str:
    """The rules with all other crawlers under one name: their number times that of the rules would cost minutes."""
    named = _AGENT_LINE.sub(lambda line: line[0] if _speaks_of_us(line[1]) else _OTHER, rules)
    lines = [line for line in named.splitlines() if line.strip()]
    kept = [line for before, line in zip(["", *lines], lines, strict=False) if line != _OTHER or before != _OTHER]
    return "\n".join(kept)


def _speaks_of_us(name: str) -> bool:
    plain = name.strip().lower().replace("*", "")
    return not plain or plain in PRODUCT


def _read(rules: str, url: str) -> Verdict:
    robots = Protego.parse(rules)
    delay = min(max(robots.crawl_delay(PRODUCT) or 0.0, 0.0), MAX_DELAY)
    allowed = robots.can_fetch(url, PRODUCT)
    return Verdict(allowed, delay, "" if allowed else REFUSED)
