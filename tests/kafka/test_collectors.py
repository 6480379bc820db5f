"""Collectors as users run them, on a real Kafka: they share the sources, one joins, one dies, and nothing is asked
twice at once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents import topics_admin
from agents.bus import Bus
from agents.clock import Clock
from agents.settings import Settings
from pipeline import topics
from pipeline.model import PollRequest, RawBatch, SourceState
from pipeline.rulebook.schema import HOUR, Source
from tests.builders import book
from tests.feed_texts import entry, rss
from tests.kafka.broker import Broker, until
from tests.kafka.installation import Installation

pytestmark = pytest.mark.kafka

PARTITIONS, HOSTS, PER_HOST = 12, 24, 3
INTERVAL = 20_000
"""Two of them are longer than a killed collector's session (20 s), a rebalance and a poll take, by 15 s."""


@dataclass
class Request:
    host: str
    path: str
    contact: str
    validator: str
    at: float


@dataclass
class Web:
    """Feeds on many loopback hosts. Each answers after a moment, and notes who asked, when, and what else it was
    answering then. The collector says its name as its contact."""

    asked: list[Request] = field(default_factory=list)
    overlaps: list[tuple[str, str]] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    _busy: Counter[str] = field(default_factory=Counter)

    def sources(self) -> tuple[Source, ...]:
        return tuple(
            Source(id=f"s{host.rpartition('.')[2]}-{number}", name=f"来源{host}-{number}",
                   url=f"http://{host}:{port}/feed{number}", interval=INTERVAL, min_interval=INTERVAL,
                   max_interval=INTERVAL, respect_robots=False)
            for host, port in self.ports.items() for number in range(PER_HOST))

    async def serve(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            path = head.split(" ", 2)[1]
            contact = lines.get("user-agent", "").partition("(+")[2].partition("@")[0]
            validator = lines.get("if-none-match", "")
            if self._busy[host]:
                self.overlaps.append((host, path))
            self._busy[host] += 1
            self.asked.append(Request(host, path, contact, validator, time.monotonic()))
            try:
                await asyncio.sleep(0.03)
                writer.write(_answer(host, path, validator))
                await writer.drain()
            finally:
                self._busy[host] -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def askers(self, since: float) -> dict[str, set[str]]:
        """Host -> who asked it since then."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for each in self.asked:
            if each.at >= since:
                found[each.host].add(each.contact)
        return found

    def since(self, at: float) -> set[tuple[str, str]]:
        return {(each.host, each.path) for each in self.asked if each.at >= at}


def _answer(host: str, path: str, validator: str) -> bytes:
    if validator == f'"{host}{path}"':
        return b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    body = rss(*(entry(number, f"{host}{path} 第 {number} 条", f"正文 {number}") for number in range(2))).encode()
    return (f'HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nETag: "{host}{path}"\r\n'
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    here, servers = Web(), []
    for number in range(2, 2 + HOSTS):
        host = f"127.0.0.{number}"
        while host not in here.ports:                   # as many hosts on each partition: no collector is without
            server = await asyncio.start_server(lambda r, w, host=host: here.serve(host, r, w), host, 0)
            port = server.sockets[0].getsockname()[1]
            if topics.partition_of_host(f"http://{host}:{port}/", PARTITIONS) == number % PARTITIONS:
                here.ports[host] = port
                servers.append(server)
            else:
                server.close()
    try:
        yield here
    finally:
        for server in servers:
            server.close()


class Collectors(Installation):
    def begin(self, name: str, here: Web) -> None:
        allow = ",".join(f"{host}:{port}" for host, port in here.ports.items())
        self.start("collect", POD_NAME="", WENXUN_CONTACT=f"{name}@county.example",
                   WENXUN_PARTITIONS=str(PARTITIONS), WENXUN_FEED_ALLOW_PRIVATE_CIDRS=allow)

    async def metric(self, number: int, name: str) -> float:
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                text = (await client.get(f"http://127.0.0.1:{self.ports[number]}/metrics")).text
        except httpx.HTTPError:
            return 0.0
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"wenxun_{name} ")), 0.0)

    async def shares(self, *numbers: int) -> list[int]:
        return [int(await self.metric(number, "feed_polls_assigned")) for number in numbers]

    async def settled(self, count: int, *numbers: int, seconds: float = 180) -> list[int]:
        """Wait until each of these collectors has sources, so many together."""
        async def done() -> bool:
            shares = await self.shares(*numbers)
            return all(shares) and sum(shares) == count

        try:
            await until(done, seconds, f"{count} sources shared")
        except AssertionError as error:
            raise AssertionError(f"{error}: {await self.shares(*numbers)}\n{self.said()}") from None
        return await self.shares(*numbers)

    @property
    def settings(self) -> Settings:
        return Settings(bootstrap=self.broker.address, partitions=PARTITIONS)

    async def send_requests(self, *sources: Source) -> None:
        async with Bus(self.settings, Clock(), "desk") as bus:
            for each in sources:
                request = PollRequest(id=f"r-{each.id}", source_id=each.id, by="wang", at=Clock().now())
                await bus.send(topics.POLLS, each.id, request, ident=request.id,
                               partition=topics.partition_of_host(each.url, PARTITIONS))

    async def all(self, topic: str) -> list[Any]:
        from pipeline import codec

        return [codec.decode(record.value, record.headers)  # type: ignore[attr-defined]
                for record in await self.broker.records(topic, PARTITIONS)]


@pytest.fixture
def installation(kafka: Broker, tmp_path: Path) -> Iterator[Collectors]:
    made = Collectors(kafka, tmp_path)
    yield made
    made.end()


@pytest.mark.fault
async def test_collectors_share_the_sources_one_joins_one_dies_and_the_heirs_bring_its_validators(
    installation: Collectors,
) -> None:
    async with web() as here:
        sources = here.sources()
        await topics_admin.ensure(installation.settings)
        await installation.send((topics.RULES, "book", book(sources=sources)))
        installation.begin("one", here)
        installation.begin("two", here)
        shares = await installation.settled(len(sources), 0, 1)
        settled = time.monotonic()
        assert min(shares) > 0, f"both have sources: {shares}"   # equal numbers of partitions; hosts lie there by hash
        await until(lambda: _polled(here, sources, settled), 180, "every source polled")
        assert all(len(names) == 1 for names in here.askers(settled).values()), "a host has one collector"

        installation.begin("three", here)
        shares = await installation.settled(len(sources), 0, 1, 2)
        joined = time.monotonic()
        assert min(shares) > 0, f"all three have sources: {shares}"
        before = {host: names for host, names in here.askers(settled).items()}
        await until(lambda: _polled(here, sources, joined), 180, "every source polled by three")
        after = here.askers(joined)
        assert all(len(names) == 1 for names in after.values())
        moved = [host for host in after if after[host] != before[host] & after[host]]
        assert {name for host in moved for name in after[host]} == {"three"}, "what need not move stays"
        batches = [each for each in await installation.all(topics.ITEMS_RAW) if isinstance(each, RawBatch)]
        items = Counter((item.id, item.revision) for batch in batches for item in batch.items)
        assert len(items) == 2 * len(sources) and set(items.values()) == {1}, "joining repeats nothing"

        installation.processes[0].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        orphans = {(host, f"/feed{number}") for host, names in after.items() if names == {"one"}
                   for number in range(PER_HOST)}
        assert orphans
        await until(lambda: _asked(here, orphans, killed), 2 * INTERVAL / 1000,
                    "the sources of the dead collector polled by the others within two intervals")
        heirs = [each for each in here.asked if each.at >= killed and (each.host, each.path) in orphans]
        assert {each.contact for each in heirs} <= {"two", "three"}
        assert {each.validator for each in heirs} == {f'"{host}{path}"' for host, path in orphans}
        assert here.overlaps == []
        items_after = Counter((item.id, item.revision) for batch in await installation.all(topics.ITEMS_RAW)
                              if isinstance(batch, RawBatch) for item in batch.items)
        assert items_after.keys() == items.keys(), "what is repeated has the same id"
        inherited = max(min(each.at for each in heirs if (each.host, each.path) == one) for one in orphans)
        print(f"{len(sources)} sources, {len(here.asked)} requests, shares {shares}, {len(moved)} of {len(after)} "
              f"hosts moved to the third, {len(orphans)} sources inherited within {inherited - killed:.1f} s")


async def test_a_person_has_a_source_polled_now_whoever_has_it(kafka: Broker, tmp_path: Path) -> None:
    """On the same broker: the book of the test before is replaced, its sources are left alone."""
    installation = Collectors(kafka, tmp_path)
    try:
        async with web() as here:
            slow = tuple(Source(id=f"slow-{each.id}", name=each.name, url=each.url, respect_robots=False,
                                interval=HOUR, min_interval=1) for each in here.sources())
            await topics_admin.ensure(installation.settings)
            await installation.send((topics.RULES, "book", book(sources=slow, hash="slow")))
            installation.begin("one", here)
            installation.begin("two", here)
            await until(lambda: _polled(here, slow, 0), 180, f"first polls\n{installation.said()}")
            await installation.settled(len(slow), 0, 1)

            async def kept() -> bool:                   # a state comes after its poll's answer
                return {each.id for each in slow} <= {
                    each.source_id for each in await installation.all(topics.COLLECTOR_STATE)
                    if isinstance(each, SourceState)}

            await until(kept, 180, "the state of each source")
            wanted = slow[::4 * PER_HOST]
            asked = time.monotonic()
            await installation.send_requests(*wanted)
            await until(lambda: _polled(here, wanted, asked), 180, f"what was asked for\n{installation.said()}")
            assert len(here.since(asked)) == len(wanted)
    finally:
        installation.end()


async def _polled(here: Web, sources: tuple[Source, ...], since: float) -> bool:
    found = here.since(since)
    return all((each.url.split("/")[2].partition(":")[0], "/" + each.url.split("/")[3]) in found for each in sources)


async def _asked(here: Web, wanted: set[tuple[str, str]], since: float) -> bool:
    return wanted <= here.since(since)
