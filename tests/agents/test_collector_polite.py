"""What the collector owes the sites it reads, and what it tells people when they cannot be heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agents.feeds.hosts import Hosts
from pipeline import topics
from pipeline.model import Counts, CountsBatch, SourceState
from pipeline.rulebook.schema import DAY, HOUR, MINUTE
from tests.agents.test_collector import RSS, RememberingBus, collecting, known, source
from tests.builders import NOON
from tests.feed_servers import reply, site
from tests.feed_texts import county_news, entry, rss

PAGE = reply(200, county_news().encode(), RSS)


# ---------------------------------------------------------------- robots.txt


async def test_what_robots_txt_forbids_is_not_asked_for_and_said_so() -> None:
    rules = reply(200, b"User-agent: wenxun\nDisallow: /feed")
    async with site(robots=rules, feed=PAGE, free=PAGE) as here:
        barred, free = source(here), source(here, "/free", "free")
        stubborn = source(here, "/feed", "stubborn", respect_robots=False)
        async with collecting(barred, free, stubborn, allow=here.allow) as rig:
            await rig.until(lambda: len(rig.collector.states) == 3)
            assert rig.metric("source_blind_since_timestamp_seconds", source="news", outcome="robots") >= NOON / 1000
            assert rig.metric("sources", state="blind") == 1 and rig.metric("sources", state="ok") == 2
    state = rig.collector.states["news"]
    assert state.outcome == "robots" and "robots.txt" in state.error and state.next_poll_at >= NOON + 0.9 * DAY
    assert sorted(asked.path for asked in here.asked) == ["/feed", "/free"] and len(here.robots) == 1
    assert rig.collector.states["free"].outcome == rig.collector.states["stubborn"].outcome == "ok"


async def test_the_pause_of_robots_txt_lies_between_requests() -> None:
    moments: list[float] = []

    async def slow(writer: asyncio.StreamWriter) -> None:
        moments.append(asyncio.get_running_loop().time())
        writer.write(PAGE)

    async with site(robots=reply(200, b"User-agent: *\nCrawl-delay: 0.3\nDisallow: /x"), feed=slow) as here:
        async with collecting(*(source(here, "/feed", f"s{n}") for n in range(3)), allow=here.allow) as rig:
            await rig.until(lambda: len(rig.collector.states) == 3)
    assert all(later - earlier >= 0.29 for earlier, later in zip(moments, moments[1:], strict=False))


# ---------------------------------------------------------------- moves and validators


async def test_a_permanent_move_is_learned_at_the_third_sighting_and_told_once() -> None:
    async with site(new=reply(200, county_news().encode(), RSS, 'ETag: "n"')) as there:
        away = reply(301, b"", f"Location: {there.url('/new')}")
        async with site(feed=away) as here:
            async with collecting(source(here), allow=(*here.allow, *there.allow), factor=6000) as rig:
                await rig.until(lambda: len(rig.bus.states()) >= 6)
                await rig.until(lambda: rig.notices)
    assert len(here.asked) == 3, "from then on the new address is asked"
    assert len(there.asked) >= 6 and there.asked[-1].header("if-none-match") == b'"n"'
    assert [notice["title"] for notice in rig.notices] == ["来源搬家：来源news"] and "/new" in rig.notices[0]["text"]
    assert rig.bus.states()[-1].outcome == "ok" and rig.bus.states()[-1].url == here.url("/feed")


@pytest.mark.parametrize("status", [302, 303, 307])
async def test_a_move_for_now_is_never_learned(status: int) -> None:
    async with site(new=PAGE) as there:
        async with site(feed=reply(status, b"", f"Location: {there.url('/new')}")) as here:
            async with collecting(source(here), allow=(*here.allow, *there.allow), factor=6000) as rig:
                await rig.until(lambda: len(rig.bus.states()) >= 5)
    assert len(here.asked) >= 5 and rig.bus.states()[-1].moved_to == "" and rig.notices == []


async def test_a_moved_source_whose_new_place_fails_goes_back() -> None:
    async with site(new=[PAGE, PAGE, PAGE, PAGE, reply(500)]) as there:
        async with site(feed=reply(308, b"", f"Location: {there.url('/new')}")) as here:
            async with collecting(source(here), allow=(*here.allow, *there.allow), factor=6000) as rig:
                await rig.until(lambda: len(here.asked) >= 4)
    assert len(there.asked) >= 7


async def test_validators_of_one_address_mean_nothing_at_another() -> None:
    """A redirect that leads elsewhere now: its 304 speaks of another document, so the document is asked for whole."""
    other = county_news().replace("news-", "other-").replace("news.example", "other.example")
    async with site(one=reply(200, county_news().encode(), RSS, 'ETag: "1"'),
                    two=[reply(304), reply(200, other.encode(), RSS, 'ETag: "1"')]) as there:
        turns = [reply(302, b"", f"Location: {there.url(path)}") for path in ("/one", "/two")]
        async with site(feed=turns) as here:
            async with collecting(source(here), allow=(*here.allow, *there.allow), factor=3000) as rig:
                await rig.until(lambda: len(rig.bus.items()) >= 6)
    second, third = there.asked[1:3]
    assert (second.path, second.header("if-none-match")) == ("/two", b'"1"')
    assert (third.path, third.header("if-none-match")) == ("/two", None)


# ---------------------------------------------------------------- Retry-After


async def test_retry_after_leaves_the_whole_host_alone_but_not_other_routes() -> None:
    """Virtual time: an hour passes in seconds, and in it no feed of the host is asked for."""
    async with site(busy=[reply(429, b"", "Retry-After: 3600"), PAGE], other=PAGE) as here, \
            site(one=reply(429, b"", "Retry-After: 3600"), two=PAGE) as hub:
        feeds = [source(here, "/busy", "busy"), *(source(here, "/other", f"s{n}") for n in range(5))]
        routes = [source(hub, "/one", "one", route="rsshub:/one"), source(hub, "/two", "two", route="rsshub:/two")]
        async with collecting(*feeds, *routes, allow=(*here.allow, *hub.allow), factor=1200) as rig:
            await rig.until(lambda: any(asked.path == "/busy" for asked in here.asked))
            await rig.until(lambda: rig.collector.states.get("busy"))
            limited = rig.collector.states["busy"]
            before = len(here.asked)

            def postponed() -> list[SourceState]:
                return [state for name, state in rig.collector.states.items() if name.startswith("s")
                        and state.outcome == "rate_limited"]

            await rig.until(postponed)
            held = postponed()
            assert all(state.failures == 0 and "推迟" in state.error for state in held)
            assert all(state.next_poll_at >= limited.polled_at + HOUR - MINUTE for state in held)
            await rig.until(lambda: len(here.asked) >= before + 6)
            clock = rig.deps.clock
            assert all(clock.start + (asked.at - clock.real_start) * clock.factor >= limited.polled_at + HOUR - MINUTE
                       for asked in here.asked[before:]), "asked within the hour"
    assert sum(asked.path == "/two" for asked in hub.asked) >= 3, "a route is not its neighbour"
    refused = 1 + sum(asked.path == "/one" for asked in hub.asked)
    assert 2 <= rig.metric("feed_fetches_total", outcome="rate_limited") <= refused, "a postponed poll is no fetch"


async def test_a_hundred_feeds_of_one_host_never_overlap() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005)
        writer.write(PAGE)
        await writer.drain()

    async with site(feed=slow) as here:
        async with collecting(*(source(here, "/feed", f"s{n}") for n in range(100)), allow=here.allow) as rig:
            await rig.until(lambda: len(rig.collector.states) == 100, seconds=120)
    assert here.busiest == 1 and len(here.robots) == 1


@pytest.mark.parametrize(("length", "held"), [(HOUR, HOUR), (10 * DAY, DAY), (0, None), (-1, None)])
def test_a_hold_lasts_a_day_at_most(length: int, held: int | None) -> None:
    hosts = Hosts()
    hosts.hold("http://A.example/x", NOON, length)
    assert hosts.held_until("http://a.example/y", NOON) == (None if held is None else NOON + held)
    assert hosts.held_until("http://b.example/", NOON) is None
    assert hosts.held_until("http://a.example/y", NOON + (held or 0)) is None


def test_a_hold_of_one_address_is_not_the_hosts() -> None:
    hosts = Hosts()
    hosts.hold("http://hub.example/a", NOON, HOUR, alone=True)
    assert hosts.held_until("http://hub.example/a", NOON, alone=True) == NOON + HOUR
    assert hosts.held_until("http://hub.example/b", NOON, alone=True) is None
    assert hosts.held_until("http://hub.example/a", NOON) is None


async def test_hosts_that_nobody_asks_are_forgotten() -> None:
    hosts = Hosts()
    async with hosts.turn("http://a.example/"):
        hosts.pace("http://a.example/", 0.05)
    assert len(hosts._hosts) == 1
    await asyncio.sleep(0.15)
    assert hosts._hosts == {}


# ---------------------------------------------------------------- health


async def test_a_server_whose_plug_is_pulled_is_blind_within_two_intervals_and_told_again_when_it_is_back() -> None:
    async def dead(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with site(feed=[PAGE, *[dead] * 4, PAGE]) as here:
        async with collecting(source(here), allow=here.allow, factor=300) as rig:
            blind = _first(rig.metric, "source_blind_since_timestamp_seconds", source="news", outcome="no_answer")
            await rig.until(blind)
            heard = rig.collector.states["news"].succeeded_at
            assert heard is not None and rig.collector.states["news"].polled_at <= heard + 10 * MINUTE
            since = rig.metric("source_blind_since_timestamp_seconds", source="news", outcome="no_answer")
            assert since == heard / 1000
            assert rig.metric("sources", state="blind") == 1
            await rig.until(lambda: len(rig.notices) >= 2)
            assert rig.metric("sources", state="blind") == 0 and not blind()
    assert [notice["title"] for notice in rig.notices[:2]] == ["来源失联：来源news", "来源恢复：来源news"]
    assert rig.notices[1]["episode"] == heard and "起约" in rig.notices[1]["text"]


def _first(metric: Callable[..., float], name: str, **labels: str) -> Callable[[], bool]:
    return lambda: metric(name, **labels) > 0


async def test_a_gone_address_is_told_as_gone_and_a_silent_source_once() -> None:
    async with site(gone=reply(410), quiet=reply(304)) as here:
        quiet = source(here, "/quiet", "quiet")
        past = tuple(NOON - 3 * HOUR - n * 10 * MINUTE for n in range(9, -1, -1))
        states = {"quiet": known(quiet, etag='"q"', new_item_at=past[-1], arrivals=past, outcome="ok")}
        async with collecting(source(here, "/gone", "gone"), quiet, allow=here.allow, states=states,
                              factor=1200) as rig:
            await rig.until(lambda: len(rig.notices) >= 2)
            asked = len(here.asked)
            await rig.until(lambda: len(here.asked) >= asked + 2)
    titles = [notice["title"] for notice in rig.notices]
    assert sorted(titles) == ["来源停用：来源gone", "来源沉默：来源quiet"]
    assert sum(asked.path == "/gone" for asked in here.asked) == 1


async def test_a_source_that_leaves_takes_its_metrics_along() -> None:
    async with site(feed=reply(410)) as here:
        async with collecting(source(here), allow=here.allow) as rig:
            await rig.until(lambda: rig.metric("sources", state="disabled") == 1)
            book = rig.deps.rules.book
            rig.deps.rules.offer(msgspec.structs.replace(book, sources=(), hash="c" * 16))
            await rig.until(lambda: rig.metric("sources", state="disabled") == 0)


# ---------------------------------------------------------------- counts


def batches(bus: RememberingBus) -> list[CountsBatch]:
    return [record for topic, _, record in bus.sent if topic == topics.ITEMS_RAW and isinstance(record, CountsBatch)]


async def test_counts_that_change_are_sent_behind_the_items_and_the_rest_is_not() -> None:
    def page(first: int, second: int) -> bytes:
        ns = 'xmlns:slash="http://purl.org/rss/1.0/modules/slash/"'
        text = rss(entry(1, "一", "甲", extra=f"<slash:comments>{first}</slash:comments>"),
                   entry(2, "二", "乙", extra=f"<slash:comments>{second}</slash:comments>"))
        return reply(200, text.replace('version="2.0"', f'version="2.0" {ns}').encode(), RSS)

    async with site(feed=[page(1, 5), page(1, 5), page(4, 5)]) as here:
        async with collecting(source(here), allow=here.allow, factor=3000) as rig:
            await rig.until(lambda: len(rig.bus.states()) >= 5)
            bus: Any = rig.bus
    found = batches(bus)
    assert len(found) == 1 and found[0].source_id == "news"
    assert [(row.counts, row.at) for row in found[0].items] == [(Counts(comments=4), found[0].at)]
    first = next(record for topic, _, record in bus.sent if topic == topics.ITEMS_RAW)
    assert {item.counts for item in first.items} == {Counts(comments=1), Counts(comments=5)}
    assert rig.metric("counts_changed_total") == 1


def commented(first: int, title: str = "一") -> bytes:
    ns = 'xmlns:slash="http://purl.org/rss/1.0/modules/slash/"'
    text = rss(entry(1, title, "甲", extra=f"<slash:comments>{first}</slash:comments>"))
    return reply(200, text.replace('version="2.0"', f'version="2.0" {ns}').encode(), RSS)


@pytest.mark.parametrize(("read_at", "since"), [
    (NOON - 8 * HOUR, NOON - 8 * HOUR), (NOON - MINUTE, None), (None, None)])
async def test_counts_say_since_when_nobody_read_the_document_also_after_a_restart(
    read_at: int | None, since: int | None,
) -> None:
    async with site(feed=[commented(3), commented(163, "一（更新）")]) as here:
        of = source(here)
        async with collecting(of, allow=here.allow) as rig:
            await rig.until(rig.bus.states)
        seen = rig.bus.states()[0].seen
        async with collecting(of, allow=here.allow, states={"news": known(of, seen=seen, succeeded_at=read_at)}) as rig:
            await rig.until(rig.bus.states)
            (edit,) = rig.bus.items()
            assert (edit.title, edit.counts, edit.counts_since) == ("一（更新）", Counts(comments=163), since)
        seen = rig.bus.states()[0].seen
        async with collecting(of, allow=here.allow, states={"news": known(of, seen=seen, succeeded_at=read_at)}) as rig:
            await rig.until(rig.bus.states)
    assert [batch.since for batch in batches(rig.bus)] == [since]


async def test_a_304_is_a_reading_of_the_counts() -> None:
    async with site(feed=[reply(304), commented(163)]) as here:
        of = source(here)
        states = {"news": known(of, etag='"e"', seen=b"", succeeded_at=NOON - 8 * HOUR)}
        async with collecting(of, allow=here.allow, states=states, factor=3000) as rig:
            await rig.until(lambda: len(rig.bus.states()) >= 2)
    assert [state.outcome for state in rig.bus.states()[:2]] == ["not_modified", "ok"]
    heard = rig.bus.states()[0].succeeded_at
    assert heard is not None and heard >= NOON
    assert {item.counts_since for item in rig.bus.items()} <= {None, heard}
