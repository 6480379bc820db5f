"""A source looked at once, as a person asks for it: what the document is, what would be stored of it, what to mend.

Nothing is remembered and nothing is sent on. The desk, `wenxun sources check` and `wenxun sources add` show the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import httpx

from agents import outbound
from agents.feeds import advice
from agents.feeds.fetch import ACCEPT, outcome_of
from agents.feeds.hosts import Hosts
from agents.feeds.parsing import ParsePool
from agents.feeds.robots import Robots
from agents.feeds.worker import Done, Job
from agents.outbound import Limits, OutboundError, Response
from agents.outbound.faults import moved_to
from pipeline.collect import discover, schedule, text
from pipeline.collect.discover import Found
from pipeline.collect.schedule import Outcome
from pipeline.model import Millis, RawItem
from pipeline.rulebook.schema import RSSHUB, JsonList, RuleBook, Source, SourceFormat

SHOWN = 5
"""Items of a checkup."""
CANDIDATES = 6
"""Addresses found on a page that are looked at too."""
MAX_PAUSE = 10.0
"""Seconds between requests to a host, where it wants that many or more: a person waits."""
LIMITS = Limits()
SOURCE = "checkup"
"""The source id of items that nobody stores."""


@dataclass(frozen=True, slots=True)
class How:
    """How the document is to be read and asked for. now: milliseconds. user_agent: feeds.fetch.user_agent(…)."""

    now: Millis
    user_agent: str
    zone: str = "Asia/Shanghai"
    rsshub: str = RSSHUB
    form: SourceFormat = SourceFormat.AUTO
    rules: JsonList | None = None
    respect_robots: bool = True

    @classmethod
    def of(cls, book: RuleBook | None, source: Source | None, now: Millis, user_agent: str) -> How:
        """By the rule book and, where the source is in it, as the source says."""
        known = cls(now, user_agent) if book is None else cls(now, user_agent, book.timezone, book.rsshub)
        if source is None:
            return known
        return replace(known, zone=source.timezone or known.zone, form=source.format, rules=source.list,
                       respect_robots=source.respect_robots)


@dataclass(frozen=True, slots=True)
class Charset:
    """name: the codec that the text was read with. found: by which evidence. declared: labels that say another one."""

    name: str = ""
    found: str = ""
    contradicted: str = ""


@dataclass(frozen=True, slots=True)
class Dates:
    """Of the document's entries: with a readable date, without one, dated in the future (counted as readable too)."""

    readable: int = 0
    undated: int = 0
    future: int = 0
    newest: Millis | None = None
    oldest: Millis | None = None


@dataclass(frozen=True, slots=True)
class RobotsSay:
    """allowed: None when nobody asked. delay: seconds between requests. text: Chinese, why not; of a site that could
    not be asked, why. heeded: the source keeps to it."""

    allowed: bool | None = None
    delay: float = 0.0
    text: str = ""
    heeded: bool = True


@dataclass(frozen=True, slots=True)
class Validators:
    """What the server gives to ask for changes only. answered: status of the second, conditional request; 0 if none."""

    etag: str = ""
    last_modified: str = ""
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that a page leads to, looked at shortly. error: why it is no feed; empty when it is one."""

    url: str
    why: str
    kind: str = ""
    title: str = ""
    entries: int = 0
    newest: Millis | None = None
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(frozen=True, slots=True)
class Checkup:
    """What one look at an address or a file showed.

    url: as it was asked for. final: after redirects and RSSHub. outcome: as a poll would end; a page is NOT_A_FEED with
    `candidates`. error: Chinese, empty for a feed. items: the newest, as they would be stored. entries: how many in
    all; skipped: with nothing to read. redirects: (status, URL). ttl, max_age: what the publisher asks for, ms.
    size: bytes. took: real ms of the request. advice: Chinese sentences, the most important first.
    """

    url: str
    final: str
    outcome: Outcome
    error: str = ""
    status: int = 0
    kind: str = ""
    title: str = ""
    charset: Charset = Charset()
    dates: Dates = Dates()
    items: tuple[RawItem, ...] = ()
    entries: int = 0
    skipped: int = 0
    robots: RobotsSay = RobotsSay()
    validators: Validators = Validators()
    redirects: tuple[tuple[int, str], ...] = ()
    ttl: Millis | None = None
    max_age: Millis | None = None
    retry_after: Millis | None = None
    size: int = 0
    took: int = 0
    candidates: tuple[Candidate, ...] = ()
    advice: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def moved_to(self) -> str:
        """Where it answers from for good: only permanent redirects on the way."""
        return moved_to(self.redirects)

    @property
    def usable(self) -> tuple[Candidate, ...]:
        """The feeds that a page leads to, best first."""
        return tuple(each for each in self.candidates if each.ok)


async def check(
    url: str, how: How, *, client: httpx.AsyncClient, parser: ParsePool, turns: Hosts | None = None,
    robots: Robots | None = None, timeout: float = 30.0, limits: Limits = LIMITS,
) -> Checkup:
    """Look at an address: a feed, a page that leads to feeds, or `rsshub:/…`. What goes wrong is in the Checkup.

    timeout: real seconds for one request; robots.txt, a page's candidates and the conditional request are others.
    robots: where the answers of sites are kept from check to check.
    """
    look = _Look(how, client, parser, turns or Hosts(), robots or Robots(client), timeout, limits)
    return advice.advised(await look.at(url), how)


async def check_bytes(
    body: bytes, how: How, *, parser: ParsePool, name: str = "", content_type: str = ""
) -> Checkup:
    """Look at a document that is here already. name: file name or URL; a URL resolves relative links."""
    base = name if name.startswith(("http://", "https://")) else ""
    done = await parser.parse(_job(body, content_type, base, how))
    seen = _read(Checkup(name, base, Outcome.OK, size=len(body)), done, body, content_type)
    if done.error and discover.is_page(page := text.decode(body[:discover.MAX_PAGE], content_type)):
        found = discover.feeds_of(page, base or "http://localhost/") if base else ()
        seen = replace(seen, candidates=tuple(Candidate(each.url, each.why) for each in found))
    return advice.advised(seen, how)


# ---------------------------------------------------------------- one look


@dataclass(frozen=True, slots=True)
class _Look:
    how: How
    client: httpx.AsyncClient
    parser: ParsePool
    turns: Hosts
    robots: Robots
    timeout: float
    limits: Limits

    async def at(self, url: str) -> Checkup:
        final = advice.resolved(url, self.how.rsshub)
        if not advice.is_web(final):
            return Checkup(url, final, Outcome.BLOCKED, error="网址写得不对", robots=RobotsSay())
        robots, fault = await self._robots(final)
        if fault is not None:
            return Checkup(url, final, outcome_of(fault), error=str(fault), robots=robots)
        if robots.allowed is False and self.how.respect_robots:
            return Checkup(url, final, Outcome.ROBOTS, error=robots.text, robots=robots)
        answer, took = await self._get(final)
        if isinstance(answer, OutboundError):
            return Checkup(url, final, outcome_of(answer), error=str(answer), took=took, robots=robots)
        seen = _headers(Checkup(url, answer.url, Outcome.OK, took=took, robots=robots), answer, self.how.now)
        if seen.outcome is not Outcome.OK:
            return seen
        content_type = answer.headers.get("content-type", "")
        done = await self.parser.parse(_job(answer.body, content_type, answer.url, self.how))
        seen = _read(seen, done, answer.body, content_type)
        if done.error:
            page = text.decode(answer.body[:discover.MAX_PAGE], content_type)
            return replace(seen, candidates=await self._candidates(discover.feeds_of(page, answer.url)))
        return await self._asked_again(seen)

    async def _robots(self, url: str) -> tuple[RobotsSay, OutboundError | None]:
        """What robots.txt says, and why nothing of the site can be reached, if that showed already."""
        async with self.turns.turn(url):
            said = await self.robots.ask(url, self.how.now, self.how.user_agent)
        text = said.error.partition("。")[0]
        allowed = None if said.fault else said.allowed
        return RobotsSay(allowed, said.delay, text, self.how.respect_robots), said.fault

    async def _get(self, url: str, **more: str) -> tuple[Response | OutboundError, int]:
        """The answer or why there is none, and the milliseconds it took without waiting for the host's turn."""
        headers = {"User-Agent": self.how.user_agent, "Accept": ACCEPT, **more}
        async with self.turns.turn(url):
            began = time.monotonic()
            try:
                answer: Response | OutboundError = await outbound.request(
                    self.client, "GET", url, headers=headers, timeout=self.timeout, limits=self.limits)
            except OutboundError as error:
                answer = error
            self.turns.pace(url, min(self.robots.delay(url), MAX_PAUSE))
            return answer, round((time.monotonic() - began) * 1000)

    async def _asked_again(self, seen: Checkup) -> Checkup:
        """With the status of a request that carries the validators, when there are any."""
        pairs = (("If-None-Match", seen.validators.etag), ("If-Modified-Since", seen.validators.last_modified))
        asks = {name: value for name, value in pairs if value}
        if not asks:
            return seen
        answer, _ = await self._get(seen.final, **asks)
        status = answer.status if isinstance(answer, Response) else 0
        return replace(seen, validators=replace(seen.validators, answered=status))

    async def _candidates(self, found: Sequence[Found]) -> tuple[Candidate, ...]:
        """A short look at what a page leads to. What the page itself names is shown even if it is no feed."""
        looked = [await self._candidate(each) for each in found[:CANDIDATES]]
        return tuple(sorted((each for each, known in zip(looked, found, strict=False) if each.ok or known.advertised),
                            key=lambda each: not each.ok))

    async def _candidate(self, found: Found) -> Candidate:
        robots, fault = await self._robots(found.url)
        if fault is not None or not robots.allowed:
            return Candidate(found.url, found.why, error=str(fault) if fault else robots.text)
        answer, _ = await self._get(found.url)
        if isinstance(answer, OutboundError):
            return Candidate(found.url, found.why, error=str(answer))
        seen = _headers(Checkup(found.url, answer.url, Outcome.OK), answer, self.how.now)
        if seen.outcome is not Outcome.OK:
            return Candidate(found.url, found.why, error=seen.error)
        how = replace(self.how, form=SourceFormat.AUTO, rules=None)
        done = await self.parser.parse(_job(answer.body, answer.headers.get("content-type", ""), answer.url, how))
        newest = max((item.published_at for item in done.items if item.published_at is not None), default=None)
        return Candidate(found.url, found.why, done.kind, done.title, len(done.items), newest, done.error)


def _headers(seen: Checkup, answer: Response, now: Millis) -> Checkup:
    """With what status and headers say."""
    wait = schedule.retry_after(answer.headers, now)
    outcome = schedule.outcome_of(answer.status, wait)
    if outcome is Outcome.NOT_MODIFIED:
        outcome = Outcome.BAD_STATUS                    # an answer to a question that was not asked
    etag, last_modified = schedule.validators(answer.headers)
    return replace(
        seen, outcome=outcome, status=answer.status, error=advice.of_status(outcome, answer.status),
        redirects=answer.redirects, size=len(answer.body), retry_after=wait, validators=Validators(etag, last_modified),
        max_age=schedule.max_age(answer.headers, now))


def _job(body: bytes, content_type: str, url: str, how: How) -> Job:
    return Job(body=body, content_type=content_type, form=str(how.form), source_id=SOURCE, url=url, zone=how.zone,
               now=how.now, backfill=False, rules=how.rules)


def _read(seen: Checkup, done: Done, body: bytes, content_type: str) -> Checkup:
    """With what the parse process read."""
    if done.error:
        return replace(seen, outcome=Outcome.NOT_A_FEED, error=done.error)
    dated = [item.published_at for item in done.items if item.published_at is not None]
    name, found, other = advice.charset_found(done.charset, body[:4096], content_type)
    return replace(
        seen, kind=done.kind, title=done.title, charset=Charset(name, found, other), ttl=done.ttl,
        dates=Dates(len(dated), len(done.items) - len(dated), done.clamped, max(dated, default=None),
                    min(dated, default=None)),
        items=tuple(reversed(done.items[-SHOWN:])), entries=len(done.items), skipped=done.skipped)
