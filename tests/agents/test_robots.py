"""robots.txt: who may be asked, how often it is read, and what a broken one means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agents import outbound
from agents.feeds import robots as module
from agents.feeds.robots import Robots
from agents.outbound import Fault
from agents.settings import Settings
from pipeline.rulebook.schema import DAY, HOUR, MINUTE
from tests.builders import NOON
from tests.feed_servers import Answer, Site, drip, reply, site

AGENT = "wenxun/9 (+ops@county.example; 1 sources)"


@asynccontextmanager
async def asking(*answers: Answer, timeout: float = 2.0) -> AsyncIterator[tuple[Robots, Site]]:
    async with site(robots=list(answers)) as here:
        async with outbound.client(Settings(allow_private=here.allow)) as client:
            yield Robots(client, timeout), here


def rules(text: str) -> bytes:
    return reply(200, text.encode(), "Content-Type: text/plain")


@pytest.mark.parametrize(("text", "path", "allowed"), [
    ("", "/feed", True), ("User-agent: *\nDisallow: /", "/feed", False), ("User-agent: *\nDisallow:", "/feed", True),
    ("User-agent: *\nDisallow: /\n\nUser-agent: wenxun\nDisallow: /private", "/feed", True),
    ("User-agent: *\nDisallow: /\n\nUser-agent: wenxun\nDisallow: /private", "/private/1", False),
    ("User-agent: Wenxun\nDisallow: /", "/feed", False), ("User-agent: otherbot\nDisallow: /", "/feed", True),
    ("User-agent: a\nUser-agent: *\nDisallow: /feed", "/feed", False),
    ("User-agent: a\nDisallow: /x\nUser-agent: b\nDisallow: /feed", "/feed", True),
    ("User-agent: *\nDisallow: /*.xml$", "/feed.xml", False), ("User-agent: *\nDisallow: /*.xml$", "/feed.xml?a", True),
    ("User-agent: *\nDisallow: /\nAllow: /feed", "/feed", True),
    ("\ufeffUser-agent: *\r\nDisallow: /feed # 说明\r\n", "/feed", False),
    ("<html><body>没有这个页面</body></html>", "/feed", True),
])
async def test_what_the_rules_say_of_us(text: str, path: str, allowed: bool) -> None:
    async with asking(rules(text)) as (robots, here):
        verdict = await robots.ask(here.url(path), NOON, AGENT)
    assert verdict.allowed is allowed and bool(verdict.error) is not allowed
    assert allowed or "respect_robots" in verdict.error


async def test_it_is_asked_for_once_a_day_and_site_by_the_installations_clock() -> None:
    async with asking(rules("User-agent: *\nDisallow: /a"), rules("")) as (robots, here):
        verdicts = [(await robots.ask(here.url(path), at, AGENT)).allowed for path, at in (
            ("/a", NOON), ("/b", NOON + HOUR), ("/a", NOON + DAY - 1), ("/a", NOON + DAY))]
    assert verdicts == [False, True, False, True] and len(here.robots) == 2
    assert here.robots[0].header("user-agent") == AGENT.encode()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429])
async def test_no_robots_txt_means_no_rules(status: int) -> None:
    async with asking(reply(status)) as (robots, here):
        assert (await robots.ask(here.url("/feed"), NOON, AGENT)).allowed
        assert (await robots.ask(here.url("/feed"), NOON + HOUR, AGENT)).allowed
    assert len(here.robots) == 1


async def test_a_broken_one_forbids_for_an_hour_and_says_so() -> None:
    async with asking(reply(503), rules("")) as (robots, here):
        first = await robots.ask(here.url("/feed"), NOON, AGENT)
        second = await robots.ask(here.url("/feed"), NOON + 20 * MINUTE, AGENT)
        third = await robots.ask(here.url("/feed"), NOON + HOUR, AGENT)
    assert not first.allowed and "503" in first.error and "robots.txt" in first.error
    assert (first.retry_after, second.retry_after) == (HOUR, 40 * MINUTE) and not second.allowed
    assert third.allowed and len(here.robots) == 2


@pytest.mark.parametrize("trouble", [reply(500), b"junk\r\n"], ids=["500", "junk"])
async def test_rules_that_were_known_hold_for_a_week_while_nobody_can_be_asked(trouble: bytes) -> None:
    async with asking(rules("User-agent: *\nDisallow: /a"), trouble) as (robots, here):
        found = []
        for path, at in (("/a", NOON), ("/a", NOON + DAY), ("/b", NOON + 2 * DAY), ("/b", NOON + 8 * DAY)):
            found.append((await robots.ask(here.url(path), at, AGENT)).allowed)
    assert found == [False, False, True, False]


async def test_a_site_that_does_not_answer_is_asked_again_at_once() -> None:
    async with asking(drip(b"", b"", 0.05), rules(""), timeout=2.0) as (robots, here):
        first = await robots.ask(here.url("/feed"), NOON, AGENT)
        second = await robots.ask(here.url("/feed"), NOON + MINUTE, AGENT)
    assert not first.allowed and first.fault is not None and first.fault.fault is Fault.TIMEOUT
    assert "robots.txt" in first.error and second.allowed


async def test_redirects_are_followed_by_the_outbound_rules() -> None:
    async with site(there=rules("User-agent: *\nDisallow: /feed")) as there:
        to = reply(301, b"", f"Location: {there.url('/there')}")
        async with site(robots=to) as here, site(robots=reply(302, b"", "Location: http://169.254.169.254/")) as bad:
            allow = (*here.allow, *there.allow, *bad.allow)
            async with outbound.client(Settings(allow_private=allow)) as client:
                assert not (await Robots(client).ask(here.url("/feed"), NOON, AGENT)).allowed
                refused = await Robots(client).ask(bad.url("/feed"), NOON, AGENT)
    assert refused.fault is not None and refused.fault.fault is Fault.REFUSED and "169.254" in refused.error


@pytest.mark.parametrize(("said", "seconds"), [("5", 5.0), ("3600", 60.0), ("-1", 0.0), ("bald", 0.0), ("0.5", 0.5)])
async def test_the_pause_a_site_wants_is_at_most_a_minute(said: str, seconds: float) -> None:
    async with asking(rules(f"User-agent: *\nCrawl-delay: {said}\nDisallow: /x")) as (robots, here):
        assert robots.delay(here.url("/feed")) == 0.0
        assert (await robots.ask(here.url("/feed"), NOON, AGENT)).delay == seconds
        assert robots.delay(here.url("/other")) == seconds


async def test_half_a_megabyte_is_read_and_the_rest_is_not() -> None:
    padding = "#" * 99 + "\n"
    early = "User-agent: *\nDisallow: /a\n" + padding * 5200 + "Disallow: /b\n"
    async with asking(rules(early)) as (robots, here):
        assert not (await robots.ask(here.url("/a"), NOON, AGENT)).allowed
        assert (await robots.ask(here.url("/b"), NOON, AGENT)).allowed


async def test_other_crawlers_are_one_however_many_there_are() -> None:
    """Names of crawlers times rules is what the parser costs: 14,000 times 14,000 would take minutes."""
    hostile = "".join(f"user-agent: a{n}\n" for n in range(14_000)) + "disallow: /x\n" * 14_000
    text = hostile + "user-agent: *\ndisallow: /feed\n"
    assert module._ours(text).lower().count("user-agent") == 2
    async with asking(rules(text)) as (robots, here):
        assert not (await robots.ask(here.url("/feed"), NOON, AGENT)).allowed
        assert (await robots.ask(here.url("/x"), NOON, AGENT)).allowed


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SITES", 2)
    async with asking(rules("User-agent: *\nDisallow: /a")) as (robots, here):
        await robots.ask(here.url("/a"), NOON, AGENT)
        for port in range(2):
            robots._keep(f"http://other{port}", module._Site("x", NOON, NOON + DAY))
        assert len(robots._sites) == 2 and robots._bytes == 2
        await robots.ask(here.url("/a"), NOON, AGENT)
    assert len(here.robots) == 2


@pytest.mark.parametrize("url", ["", "ftp://x/y", "http://[", "no url"])
async def test_what_is_no_web_address_is_left_to_the_request(url: str) -> None:
    async with asking(rules("")) as (robots, _):
        assert (await robots.ask(url, NOON, AGENT)).allowed
