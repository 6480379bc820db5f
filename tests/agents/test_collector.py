"""The collector's loop against loopback sites, with a bus that remembers and a clock that can run fast."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from agents import outbound
from agents.clock import Clock
from agents.collector.alarms import Alarms
from agents.collector.backpressure import OpenGate
from agents.collector.loop import Collector
from agents.collector.poll import Poller
from agents.collector.publish import Publisher
from agents.deps import Deps, RuleStore
from agents.feeds.fetch import Fetcher
from agents.feeds.worker import Done, Job, handle
from agents.metrics import Metrics
from agents.outbound import Limits
from agents.settings import Settings
from pipeline import codec, topics
from pipeline.model import RawItem, SourceState
from pipeline.rulebook.schema import HOUR, MINUTE, Source
from tests.builders import NOON, book
from tests.feed_servers import Answer, Site, drip, reply, site
from tests.feed_texts import TITLES, county_news, entry, rss

RSS = "Content-Type: application/rss+xml; charset=utf-8"
BOMB = gzip.compress(b"0" * 20 * 1024**2, 1)


@dataclass
class RememberingBus:
    """Takes records in order. away: errors to raise instead, one per send, until they are used up."""

    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    away: list[Exception] = field(default_factory=list)
    stuck: asyncio.Event | None = None

    async def send(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        if self.stuck is not None:
            await self.stuck.wait()
        if self.away:
            raise self.away.pop(0)
        codec.decode(codec.encode(record), codec.encode_headers(record, source="collect", at=NOON, ident=ident))
        self.sent.append((topic, key, record))

    def partitions(self, topic: str) -> int:
        return topics.partitions_of(topic, 4)

    def items(self) -> list[RawItem]:
        return [item for topic, _, record in self.sent if topic == topics.ITEMS_RAW for item in record.items]

    def states(self) -> list[SourceState]:
        return [record for topic, _, record in self.sent if topic == topics.COLLECTOR_STATE]

    def order(self) -> list[str]:
        return [topic for topic, _, _ in self.sent]


@dataclass
class Rig:
    """A running collector and what it is made of."""

    deps: Deps
    bus: RememberingBus
    collector: Collector
    notices: list[dict[str, Any]]
    task: asyncio.Task[None]

    async def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert not self.task.done(), self.task.exception()
            assert time.monotonic() < deadline, f"waited {seconds:g} s; last state {self.bus.states()[-1:]}"
            await asyncio.sleep(0.01)

    def metric(self, name: str, **labels: str) -> float:
        return self.deps.metrics.registry.get_sample_value(f"wenxun_{name}", labels) or 0.0


class InProcess:
    """Parses here: to start a process takes longer than most of these tests, and is tested with the parse workers."""

    async def parse(self, job: Job) -> Done:
        return await asyncio.to_thread(handle, job)


def fast(factor: float) -> Clock:
    """Noon now, and this many times faster than real time from here on."""
    return Clock(NOON, time.time_ns() // 1_000_000, factor)


def source(here: Site, path: str = "/feed", name: str = "news", **changes: Any) -> Source:
    return msgspec.structs.replace(Source(id=name, name=f"来源{name}", url=here.url(path)), **changes)


@asynccontextmanager
async def collecting(
    *sources: Source, allow: tuple[str, ...], states: dict[str, SourceState] | None = None, factor: float = 1.0,
    bus: RememberingBus | None = None, timeout: float = 10.0, limits: Limits | None = None, **settings: Any,
) -> AsyncIterator[Rig]:
    deps = Deps(Settings(allow_private=allow, **settings), fast(factor), Metrics(), RuleStore(book(sources=sources)))
    bus, notices = bus or RememberingBus(), []

    async def note(_: Any, **what: Any) -> None:
        notices.append(what)

    async with outbound.client(deps.settings) as client:
        publisher = Publisher(bus, OpenGate(), deps.metrics, first_wait=0.01)  # type: ignore[arg-type]
        alarms = Alarms(deps, bus, note)  # type: ignore[arg-type]
        poller = Poller(deps, Fetcher(client, timeout, limits or Limits()), InProcess(), publisher, OpenGate())
        collector = Collector(deps, poller, alarms)
        collector.take(range(deps.settings.partitions), states or {})
        task = asyncio.create_task(collector.run())
        try:
            yield Rig(deps, bus, collector, notices, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def known(of: Source, **changes: Any) -> SourceState:
    values: dict[str, Any] = {
        "source_id": of.id, "url": of.url, "polled_at": NOON, "next_poll_at": NOON, "backfilled": True,
        "succeeded_at": NOON, "unconditional_at": NOON, **changes}
    return SourceState(**values)


# ---------------------------------------------------------------- items and states


async def test_a_first_poll_is_backfill_and_its_state_follows_its_items() -> None:
    async with site(feed=reply(200, county_news().encode(), RSS, 'ETag: "v1"')) as here:
        async with collecting(source(here), allow=here.allow) as rig:
            await rig.until(rig.bus.states)
    assert [item.title for item in reversed(rig.bus.items())] == TITLES
    assert all(item.backfill and item.source_id == "news" for item in rig.bus.items())
    assert rig.bus.order() == [topics.ITEMS_RAW, topics.COLLECTOR_STATE]
    state = rig.bus.states()[0]
    assert state.backfilled and state.etag == '"v1"' and len(state.seen) == 48 and state.outcome == "ok"
    assert rig.metric("items_collected_total", kind="backfill") == 3
    assert rig.metric("feed_fetches_total", outcome="ok") == 1


async def test_only_new_entries_and_edits_are_sent_afterwards() -> None:
    first = county_news()
    second = first.replace("时间不变", "时间改到六点").replace("<item>", entry(9, "新的一条", "刚刚发生") + "<item>", 1)
    async with site(feed=[reply(200, first.encode(), RSS), reply(200, second.encode(), RSS)]) as here:
        async with collecting(source(here), allow=here.allow, factor=3000) as rig:
            await rig.until(lambda: len(rig.bus.states()) >= 4)
    news = rig.bus.items()[3:]
    assert {item.title for item in news} == {"新的一条", TITLES[0]} and len(news) == 2
    assert not any(item.backfill for item in news)
    assert rig.metric("items_collected_total", kind="new") == rig.metric("items_collected_total", kind="revision") == 1


@pytest.mark.parametrize(("most", "muted"), [(24 * HOUR, False), (0, True)])
async def test_an_edit_of_an_old_entry_without_a_date_raises_nothing(most: int, muted: bool) -> None:
    documents = [rss(entry(1, "旧条目", text), *more).encode() for text, *more in (
        ("原文",), ("改版后的原文", entry(2, "新条目", "刚刚发生")))]
    async with site(feed=[reply(200, each, RSS) for each in documents]) as here:
        async with collecting(source(here), allow=here.allow, factor=3000) as rig:
            levels = rig.deps.rules.book.levels
            events = msgspec.structs.replace(levels.events, page_max_age=most)
            rig.deps.rules.offer(msgspec.structs.replace(
                rig.deps.rules.book, levels=msgspec.structs.replace(levels, events=events)))
            await rig.until(lambda: len(rig.bus.items()) >= 3)
    news = {item.title: item.backfill for item in rig.bus.items()[1:]}
    assert news == {"旧条目": muted, "新条目": False}
    assert rig.metric("items_collected_total", kind="revision") == 1


async def test_a_known_source_sends_only_what_it_has_not_seen() -> None:
    """A restart: what was seen comes from collector.state, here with no validators, as the warm-up writes it."""
    async with site(feed=reply(200, county_news().encode(), RSS)) as here:
        async with collecting(source(here), allow=here.allow) as rig:
            await rig.until(rig.bus.states)
        seen = rig.bus.states()[0].seen
        warmed = {"news": known(source(here), seen=seen[16:], unconditional_at=None)}
        async with collecting(source(here), allow=here.allow, states=warmed) as rig:
            await rig.until(rig.bus.states)
    assert [item.title for item in rig.bus.items()] == [TITLES[0]] and not rig.bus.items()[0].backfill


async def test_a_second_request_is_conditional_byte_for_byte_and_304_costs_no_items() -> None:
    etag, stamp = 'W/"\u00e9 ~"', "Sun, 22 Nov 2026 04:00:00 +0000 (odd)"
    full = reply(200, county_news().encode(), RSS, f"ETag: {etag}", f"Last-Modified: {stamp}")
    async with site(feed=[full, reply(304, b"")]) as here:
        async with collecting(source(here), allow=here.allow, factor=3000, contact="ops@county.example") as rig:
            await rig.until(lambda: len(rig.bus.states()) >= 3)
    assert here.asked[0].header("if-none-match") is None
    for asked in here.asked[1:3]:
        assert asked.header("if-none-match") == etag.encode("latin-1")
        assert asked.header("if-modified-since") == stamp.encode()
    assert here.asked[0].header("user-agent") == f"{outbound.USER_AGENT} (+ops@county.example; 1 sources)".encode()
    assert len(rig.bus.items()) == 3 and rig.bus.states()[-1].outcome == "not_modified"


async def test_a_kill_between_items_and_state_asks_for_the_document_again() -> None:
    """Validators are stored only after the broker has the items."""
    bus = RememberingBus(stuck=asyncio.Event())
    async with site(feed=reply(200, county_news().encode(), RSS, 'ETag: "v1"')) as here:
        async with collecting(source(here), allow=here.allow, bus=bus) as rig:
            await rig.until(lambda: here.asked)
            await asyncio.sleep(0.3)
            assert rig.collector.states == {}
        async with collecting(source(here), allow=here.allow) as rig:
            await rig.until(rig.bus.states)
    assert here.asked[1].header("if-none-match") is None and len(rig.bus.items()) == 3


async def test_a_broker_that_is_away_is_waited_for_with_the_items_in_hand() -> None:
    bus = RememberingBus(away=[KafkaConnectionError(), TimeoutError(), KafkaConnectionError()])
    async with site(feed=[reply(200, county_news().encode(), RSS), reply(200, rss().encode(), RSS)]) as here:
        async with collecting(source(here), allow=here.allow, bus=bus) as rig:
            await rig.until(rig.bus.states)
    assert len(rig.bus.items()) == 3 and len(here.asked) == 1


async def test_an_error_no_waiting_mends_ends_the_role() -> None:
    bus = RememberingBus(away=[MessageSizeTooLargeError("no")])
    async with site(feed=reply(200, county_news().encode(), RSS)) as here:
        async with collecting(source(here), allow=here.allow, bus=bus) as rig:
            with pytest.raises(MessageSizeTooLargeError):
                await asyncio.wait_for(rig.task, 60)


# ---------------------------------------------------------------- the rule book


async def test_sources_come_and_go_with_the_live_rule_book() -> None:
    page = reply(200, county_news().encode(), RSS)
    async with site(one=page, two=page) as here:
        one, two = source(here, "/one", "one"), source(here, "/two", "two")
        async with collecting(one, allow=here.allow, factor=3000) as rig:
            await rig.until(lambda: rig.collector.states.get("one"))
            rig.deps.rules.offer(book(sources=(two, msgspec.structs.replace(one, enabled=False))))
            await rig.until(lambda: rig.collector.states.get("two"))
            await rig.until(lambda: "one" not in rig.collector._polling)
            before = sum(asked.path == "/one" for asked in here.asked)
            polled = len(here.asked)
            await rig.until(lambda: len(here.asked) >= polled + 3)
            assert sum(asked.path == "/one" for asked in here.asked) == before
    assert rig.deps.metrics.registry.get_sample_value(
        "wenxun_feed_last_success_timestamp_seconds", {"source": "one"}) is None


async def test_a_source_whose_turn_has_not_come_is_left_alone_after_a_restart() -> None:
    async with site(feed=reply(200, county_news().encode(), RSS)) as here:
        later = {"news": known(source(here), next_poll_at=NOON + 4 * MINUTE)}
        async with collecting(source(here), allow=here.allow, states=later):
            await asyncio.sleep(0.6)
        assert here.asked == []


async def test_an_edited_url_is_asked_at_once_and_is_a_first_poll() -> None:
    async with site(feed=reply(200, county_news().encode(), RSS)) as here:
        old = known(source(here), url="http://old.example/", next_poll_at=NOON + HOUR, etag='"old"')
        async with collecting(source(here), allow=here.allow, states={"news": old}) as rig:
            await rig.until(rig.bus.states)
        assert here.asked[0].header("if-none-match") is None and rig.bus.items()[0].backfill


# ---------------------------------------------------------------- politeness


async def test_one_host_has_one_request_in_flight() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(reply(200, county_news().encode(), RSS))
        await writer.drain()

    async with site(feed=slow) as here:
        async with collecting(*(source(here, "/feed", f"s{n}") for n in range(6)), allow=here.allow) as rig:
            await rig.until(lambda: len(rig.bus.states()) >= 6)
        assert here.busiest == 1


async def test_retry_after_is_obeyed_in_the_clock_of_the_installation() -> None:
    page = reply(200, county_news().encode(), RSS)
    async with site(feed=[reply(429, b"", "Retry-After: 3600"), page]) as here:
        async with collecting(source(here), allow=here.allow, factor=6000) as rig:
            await rig.until(lambda: len(rig.bus.states()) >= 2)
    limited, after = rig.bus.states()[:2]
    assert limited.outcome == "rate_limited" and after.outcome == "ok"
    assert HOUR <= limited.next_poll_at - limited.polled_at <= 1.1 * HOUR + 1
    assert after.polled_at >= limited.next_poll_at


async def test_the_publishers_ttl_and_max_age_are_heard() -> None:
    page = reply(200, rss(entry(1, "题", "文"), head="<ttl>30</ttl>").encode(), RSS, "Cache-Control: max-age=3600")
    async with site(feed=page) as here:
        async with collecting(source(here), allow=here.allow) as rig:
            await rig.until(rig.bus.states)
    state = rig.bus.states()[0]
    assert 0.9 * HOUR <= state.next_poll_at - state.polled_at <= 1.1 * HOUR


# ---------------------------------------------------------------- trouble


@pytest.mark.parametrize(("answer", "outcome", "said"), [
    (reply(500), "server_error", "500"), (reply(404), "not_found", "sources.yml"), (reply(410), "gone", "永久停用"),
    (reply(403), "refused_by_site", "403"), (reply(304), "bad_status", "304"), (reply(200), "not_a_feed", "空的"),
    (reply(200, "<html><title>维护中</title></html>".encode()), "not_a_feed", "《维护中》"),
    (reply(200, b"x", "Content-Encoding: gzip, gzip"), "no_answer", "压缩"),
    (reply(302, b"", "Location: http://169.254.169.254/"), "blocked", "WENXUN_FEED_ALLOW_PRIVATE_CIDRS"),
    (reply(200, b"", "Content-Length: 52428800", length=False), "no_answer", "MiB"),
    (drip(reply(200, b"", length=False), b"<", 0.02), "no_answer", "答"),
    (b"junk\r\n", "no_answer", "127.0.0.1"), (reply(200, BOMB, "Content-Encoding: gzip"), "no_answer", "15 MiB"),
], ids=["500", "404", "410", "403", "304", "empty", "html", "double-gzip", "redirect", "huge", "endless", "junk",
        "bomb"])
async def test_trouble_is_an_outcome_in_plain_words(answer: Answer, outcome: str, said: str) -> None:
    async with site(feed=answer) as here:
        timeout = 30.0 if isinstance(answer, bytes) else 0.5        # only what never ends has to be waited for
        async with collecting(source(here), allow=here.allow, timeout=timeout) as rig:
            await rig.until(rig.bus.states)
    state = rig.bus.states()[0]
    assert (state.outcome, state.failures, state.backfilled) == (outcome, 1, False)
    assert said in state.error and rig.bus.items() == []
    assert re.search("请|再试|需要", state.error), f"no word of what to do: {state.error}"
    deaf = outcome == "gone"                            # then that is what its series says
    assert rig.metric("feed_consecutive_failures", source="news") == (not deaf)
    assert (rig.metric("source_blind_since_timestamp_seconds", source="news", outcome=outcome) > 0) is deaf


async def test_one_bad_source_does_not_stop_the_others() -> None:
    page = reply(200, county_news().encode(), RSS)
    async with site(feed=drip(b"", b"", 0.05)) as bad, site(feed=page) as good:
        async with collecting(source(bad, name="bad"), source(good, name="good"), timeout=300,
                              allow=(*bad.allow, *good.allow)) as rig:
            await rig.until(lambda: rig.collector.states.get("good"))
            assert "bad" not in rig.collector.states


async def test_a_recovery_starts_the_count_again() -> None:
    page = reply(200, county_news().encode(), RSS)
    async with site(feed=[reply(500), reply(500), page]) as here:
        async with collecting(source(here), allow=here.allow, factor=6000) as rig:
            await rig.until(lambda: len(rig.bus.states()) >= 3)
    assert [state.failures for state in rig.bus.states()[:3]] == [1, 2, 0]
    assert rig.bus.states()[2].error == "" and rig.notices == []


async def test_a_blind_source_is_told_once_per_episode_and_again_after_it_was_heard() -> None:
    page = reply(200, county_news().encode(), RSS)
    async with site(feed=[reply(500)] * 5 + [page] + [reply(502)] * 50) as here:
        async with collecting(source(here), allow=here.allow, factor=20_000) as rig:
            await rig.until(lambda: len(rig.notices) >= 3)
            await rig.until(lambda: len(here.asked) >= 14)
    first, heard, second = rig.notices
    assert first["key"] == second["key"] and first["key"].startswith("source:news:")
    assert first["episode"] == 0 and second["episode"] == rig.bus.states()[5].succeeded_at
    assert heard["title"] == "来源恢复：来源news" and "此前一直听不到" in heard["text"]
    assert "来源news" in first["text"] and "500" in first["text"] and first["tell"] == ("ops",)


async def test_many_sources_that_go_blind_together_are_one_notice() -> None:
    async with site(feed=reply(500)) as here:
        async with collecting(*(source(here, "/feed", f"s{n}", max_interval=1, interval=10_000, min_interval=10_000)
                                for n in range(8)), allow=here.allow, factor=60) as rig:
            await rig.until(lambda: rig.notices)
    assert len(rig.notices) == 1 and rig.notices[0]["title"] == "8 个来源同时失联"
    assert "来源s0（s0）：网站出错（500）" in rig.notices[0]["text"] and "sources.yml" in rig.notices[0]["text"]


async def test_guids_that_change_at_each_poll_send_nothing_again() -> None:
    documents = [reply(200, county_news().replace("<guid>news-", f"<guid>poll-{number}-").encode(), RSS)
                 for number in range(4)]
    async with site(feed=documents) as here:
        async with collecting(source(here), allow=here.allow, factor=3000) as rig:
            await rig.until(lambda: len(rig.bus.states()) >= 4)
    assert len(rig.bus.items()) == 3
    assert [state.by_link for state in rig.bus.states()[:4]] == [False, True, True, True]
