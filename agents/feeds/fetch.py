"""One request for one source -> a value that says how it ended. Ordinary trouble is an outcome, never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from agents import outbound
from agents.feeds.robots import Robots, Verdict
from agents.outbound import Fault, Limits, OutboundError
from agents.outbound.faults import SHIPPED, moved_to
from pipeline.collect import schedule
from pipeline.collect.schedule import Outcome, Poll
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import Source

ACCEPT = ("application/rss+xml, application/atom+xml, application/feed+json, application/json;q=0.9, "
          "application/xml;q=0.9, text/xml;q=0.9, */*;q=0.5")

_STATUS = {
    Outcome.RATE_LIMITED: "网站要求放慢（{status}），将按它给出的时间再采集",
    Outcome.GONE: "网站说这个地址已永久停用（410）。请更换或删除这个来源",
    Outcome.REFUSED_BY_SITE: "网站拒绝访问（{status}）。可能需要登录或屏蔽了采集，请与对方联系",
    Outcome.NOT_FOUND: "地址不存在（404）。请核对 sources.yml 里的网址",
    Outcome.SERVER_ERROR: "网站出错（{status}），稍后再试",
    Outcome.BAD_STATUS: "网站返回了意外的状态 {status}，会自动再试；一直这样，请核对网址",
}

_HINTS = {
    Fault.UNREACHABLE: "。会自动再试；一直这样，请看网站是否还在、本机能否上网",
    Fault.CERTIFICATE: "。请核对网址和本机的时间，或联系网站",
    Fault.TIMEOUT: "。会自动再试；一直这样，请在浏览器里打开网址看看",
    Fault.TOO_SLOW: "。会自动再试；一直这样，请在浏览器里打开网址看看",
    Fault.TOO_BIG: "。订阅源不会这么大，请核对网址，或换一个条目少的订阅地址",
    Fault.PROTOCOL: "。会自动再试；一直这样，请在浏览器里打开网址看看，或联系网站",
}
"""What to do; the other faults say it themselves."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body to be parsed, and what its headers say. url: whose answer it is; moved_to: see schedule.Poll."""

    body: bytes
    content_type: str
    url: str
    etag: str
    last_modified: str
    fresh_for: Millis | None
    asked_all: bool
    moved_to: str = ""


class Fetcher:
    """What all requests share. timeout and limits are real time and bytes."""

    def __init__(
        self, client: httpx.AsyncClient, timeout: float = 30.0, limits: Limits = SHIPPED, robots: Robots | None = None
    ) -> None:
        self.client, self.timeout, self.limits = client, timeout, limits
        self.robots = robots or Robots(client, min(timeout, 15.0))

    async def fetch(
        self, source: Source, state: SourceState | None, now: Millis, user_agent: str
    ) -> Fetched | Poll:
        """A body, or how the poll ended without one. Call it in the host's turn: robots.txt may be asked for first."""
        url = schedule.address(source, state)
        if source.respect_robots and (poll := refused(await self.robots.ask(url, now, user_agent))) is not None:
            return poll
        asks = schedule.conditional(state, source.url, now)
        try:
            answer = await self._request(url, user_agent, asks)
            if answer.status == 304 and state is not None and answer.url != (state.etag_url or source.url):
                asks = {}                               # validators of one address mean nothing at another
                answer = await self._request(url, user_agent, asks)
        except OutboundError as error:
            return unanswered(error)
        return _sorted(answer, state, now, bool(asks))

    async def _request(self, url: str, user_agent: str, asks: Mapping[str, str]) -> outbound.Response:
        return await outbound.request(
            self.client, "GET", url, timeout=self.timeout, limits=self.limits,
            headers={"User-Agent": user_agent, "Accept": ACCEPT, **asks})


def refused(verdict: Verdict) -> Poll | None:
    """How a poll ends that robots.txt forbids; None when it does not."""
    if verdict.allowed:
        return None
    if verdict.fault is not None:
        return unanswered(verdict.fault, verdict.error)
    if verdict.retry_after is not None:
        return Poll(Outcome.SERVER_ERROR, error=verdict.error, retry_after=verdict.retry_after)
    return Poll(Outcome.ROBOTS, error=verdict.error)


def unanswered(error: OutboundError, words: str = "") -> Poll:
    """How a poll ends that brought no response. words: instead of the error's own."""
    return Poll(outcome_of(error), error=f"{words or error}{_HINTS.get(error.fault, '')}")


def outcome_of(error: OutboundError) -> Outcome:
    """BLOCKED is for people to mend, NO_ANSWER may mend itself."""
    return Outcome.BLOCKED if error.fault is Fault.REFUSED else Outcome.NO_ANSWER


def user_agent(contact: str, sources: int) -> str:
    """wenxun/0.1.0 (+ops@county.example; 42 sources)"""
    who = f"+{contact}; " if contact else ""
    return f"{outbound.USER_AGENT} ({who}{sources} sources)"


def _sorted(answer: outbound.Response, state: SourceState | None, now: Millis, conditional: bool) -> Fetched | Poll:
    wait = schedule.retry_after(answer.headers, now)
    outcome = schedule.outcome_of(answer.status, wait)
    fresh_for = schedule.max_age(answer.headers, now)
    etag, last_modified = schedule.validators(answer.headers)
    moved = moved_to(answer.redirects)
    if outcome is Outcome.OK:
        return Fetched(answer.body, answer.headers.get("content-type", ""), answer.url, etag, last_modified, fresh_for,
                       not conditional, moved)
    if outcome is Outcome.NOT_MODIFIED and state is not None and conditional:
        return Poll(outcome, asked=fresh_for, etag=etag or state.etag, url=answer.url, moved_to=moved,
                    last_modified=last_modified or state.last_modified)
    if outcome is Outcome.NOT_MODIFIED:
        outcome = Outcome.BAD_STATUS                    # an answer to a question that was not asked
    return Poll(outcome, error=_STATUS[outcome].format(status=answer.status), retry_after=wait, url=answer.url)
