"""All roles at work, scraped: what the table says is there, nothing else is, and promtool has nothing to say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.clock import Clock
from agents.commands.serve import prepare_store
from agents.embedded import embedded_broker
from agents.metrics import EVERY, TABLE
from agents.settings import Settings
from pipeline import topics
from pipeline.model import RawBatch
from tests.builders import raw_item
from tests.kafka.broker import Broker, until
from tests.kafka.installation import Installation
from tests.servers import program

pytestmark = pytest.mark.embedded

STAGES = ("score", "track", "escalate", "deliver")
SECONDS = 180.0
EMBEDDED = {"WENXUN_EMBEDDED": "1", "WENXUN_PARTITIONS": "4", "WENXUN_CREATE_TOPICS": "false"}


def rumour(at: int) -> list[tuple[str, str, RawBatch]]:
    """Forty items of ten sources on one matter: enough for every level."""
    return [(topics.ITEMS_RAW, f"s{source}", RawBatch(source_id=f"s{source}", polled_at=at, items=tuple(
        raw_item(f"{10 * source + each:020x}", source_id=f"s{source}", first_seen_at=at, published_at=at,
                 title="城西投票站几点关门", text=f"有人说城西投票站下午三点截止，第{each}条") for each in range(4))))
            for source in range(10)]


class Scraped:
    """Families and samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.kinds = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE ")}
        self.helps = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP ")}
        found = list(text_string_to_metric_families(text))
        self.values = {(each.name, tuple(sorted(each.labels.items()))): each.value
                       for family in found for each in family.samples}
        self.sampled = {family.name for family in found if family.samples}

    def value(self, name: str, **labels: str) -> float:
        return self.values.get((f"wenxun_{name}", tuple(sorted(labels.items()))), -1.0)

    def whole(self) -> bool:
        """Whether all that was sent has gone through every stage, and every watch has looked once."""
        return (all(self.value("ready", role=role) == 1 for role in EVERY)
                and self.value("event_e2e_latency_seconds_count", stage="score") >= 10
                and self.value("items_scored_total", matched="yes") >= 40
                and self.value("store_reachable", role="archive") == self.value("store_reachable", role="desk") == 1
                and self.value("response_clock_left_seconds", clock="answer") > 0
                and all(self.value("event_e2e_latency_seconds_count", stage=stage) > 0 for stage in STAGES)
                and self.value("alerts", status="notified") > 0 and self.value("response_clocks", clock="answer",
                                                                               state="running") > 0
                and self.value("broker_reachable") == 1 and self.value("unaccounted_alerts") == 0
                and all(self.value("assigned_partitions", role=role) > 0 for role in ("collect", "track", "archive"))
                and all(self.value("last_commit_timestamp_seconds", role=role) > 0 for role in (*STAGES, "archive")))


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("live")
    with embedded_broker() as address:
        broker = Broker(folder)
        broker.address = address
        installation = Installation(broker, folder)
        prepare_store(Settings.from_env(installation.environ(**EMBEDDED)))
        try:
            yield asyncio.run(_scraped(installation))
        finally:
            for process in installation.processes:
                process.kill()                          # nothing of it is looked at any more
            installation.end()


async def _scraped(installation: Installation) -> Scraped:
    installation.start("all", **EMBEDDED)
    await installation.ready()
    await installation.send(*rumour(Clock().now()))
    found = Scraped("")
    url = f"http://127.0.0.1:{installation.ports[-1]}/metrics"
    async with httpx.AsyncClient(trust_env=False) as client:
        async def whole() -> bool:
            nonlocal found
            found = Scraped((await client.get(url)).raise_for_status().text)
            return found.whole()

        try:
            await until(whole, SECONDS, "every stage measured")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{found.text}\n{installation.said()}") from None
    return found


def test_every_metric_of_the_table_is_exposed_with_its_kind_and_what_it_means(scraped: Scraped) -> None:
    for each in TABLE:
        name = f"wenxun_{each.name}"
        assert scraped.kinds.get(name) == each.kind.__name__.lower() and name in scraped.helps, name


def test_nothing_else_is_exposed(scraped: Scraped) -> None:
    assert {name for name in scraped.kinds if name.startswith("wenxun_")} == {f"wenxun_{each.name}" for each in TABLE}
    others = {name for name in scraped.kinds if not name.startswith("wenxun_")}
    assert others and all(name.startswith("process_") for name in others)


def test_what_the_table_does_not_call_absent_has_samples(scraped: Scraped) -> None:
    there = {name.removesuffix("_total") for name in scraped.sampled}
    assert [each.name for each in TABLE if not each.absent
            and f"wenxun_{each.name}".removesuffix("_total") not in there] == []


def test_the_chain_was_quick_and_every_role_is_ready(scraped: Scraped) -> None:
    assert all(scraped.value("ready", role=role) == scraped.value("role_info", role=role) == 1 for role in EVERY)
    for stage in STAGES:
        took = scraped.value("event_e2e_latency_seconds_sum", stage=stage)
        assert 0 <= took <= SECONDS * scraped.value("event_e2e_latency_seconds_count", stage=stage)
    assert scraped.value("event_e2e_latency_seconds_count", stage="score") == 10
    assert scraped.value("items_scored_total", matched="yes") == 40
    assert scraped.value("stream_event_seconds_count", role="score") > 0
    assert scraped.value("table_keys", role="track", table="events") > 0
    assert scraped.value("store_reachable", role="archive") == scraped.value("store_reachable", role="desk") == 1
    assert 0 < scraped.value("response_clock_left_seconds", clock="answer") <= 5 * 3600


@pytest.mark.promtool
async def test_promtool_has_nothing_to_say(scraped: Scraped) -> None:
    checking = await asyncio.create_subprocess_exec(
        program("promtool", "promtool"), "check", "metrics", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    said, _ = await checking.communicate(scraped.text.encode())
    assert (checking.returncode, said.decode()) == (0, "")
