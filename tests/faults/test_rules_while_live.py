"""Rule files mistreated while everything runs: the last good book stays at work, somebody is told, nothing is lost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.clock import Clock
from agents.embedded import embedded_broker
from agents.rule_files import load_book
from pipeline import topics
from pipeline.model import Escalation, EventHead, EventStatus, RulesState, ScoredBatch
from pipeline.rulebook.schema import RuleBook
from tests.faults.test_killed_child import EmbeddedInstallation, _at, batches
from tests.kafka.broker import until

pytestmark = [pytest.mark.embedded, pytest.mark.fault]

ZONE = "Asia/Shanghai"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[EmbeddedInstallation]:
    with embedded_broker() as address:
        yield EmbeddedInstallation(_at(address, tmp_path), tmp_path)


class Flow:
    """Items that keep coming: how many were sent."""

    def __init__(self, installation: EmbeddedInstallation) -> None:
        self.installation, self.sent = installation, 0

    async def run(self) -> None:
        while True:
            await self.installation.send(*batches(self.sent, 8, Clock().now()))
            self.sent += 8
            await asyncio.sleep(0.25)

    async def scored(self) -> bool:
        found = {item.item.id for batch in await self.installation.read(topics.ITEMS_SCORED)
                 if isinstance(batch, ScoredBatch) and not batch.subject.startswith("~") for item in batch.items}
        return len(found) == self.sent


@asynccontextmanager
async def flowing(installation: EmbeddedInstallation) -> AsyncIterator[Flow]:
    flow = Flow(installation)
    task = asyncio.create_task(flow.run())
    try:
        yield flow
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def state(installation: EmbeddedInstallation) -> RulesState | None:
    said = [each for each in await installation.read(topics.RULES) if isinstance(each, RulesState)]
    return said[-1] if said else None


async def stands(installation: EmbeddedInstallation, true: Callable[[RulesState], bool], what: str) -> RulesState:
    async def holds() -> bool:
        found = await state(installation)
        return found is not None and true(found)

    try:
        await until(holds, 180, what)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{await state(installation)}\n{installation.said()}") from None
    found = await state(installation)
    assert found is not None
    return found


async def told(installation: EmbeddedInstallation, words: str) -> bool:
    return any(isinstance(each, Escalation) and words in each.text
               for each in await installation.read(topics.ESCALATIONS))


async def test_whatever_is_done_to_the_files_the_last_good_book_works_on(installation: EmbeddedInstallation) -> None:
    rules = installation.folder / "rules"
    parent = installation.up()
    try:
        await stands(installation, lambda found: bool(found.in_force), "a first book")
        async with flowing(installation) as flow:
            await saved_a_hundred_times_a_second(installation, rules)
            await in_another_encoding(installation, rules)
            await a_rule_with_open_events_removed(installation, rules)
            last = await the_directory_deleted(installation, rules)
        await until(flow.scored, 180, f"all {flow.sent} items scored\n{installation.said()}")
        assert parent.starts == 1, installation.said()
    finally:
        installation.down(parent)
    with embedded_broker() as address:                  # everything anew: the broker has forgotten, the files are gone
        installation.broker = _at(address, installation.folder)
        parent = installation.up()
        try:
            found = await stands(installation, lambda found: bool(found.problems), "the trouble is said")
            assert found.in_force == last.version and "没有这个规则目录" in found.problems[0]
            await until(lambda: told(installation, f"仍在用上一份规则（{last.hash}）"), 180, "ops are told")
            await installation.send(*batches(100_000, 8, Clock().now()))
            await until(lambda: _scored_by(installation, last.hash), 180, f"scored\n{installation.said()}")
            assert parent.starts == 1, installation.said()
        finally:
            installation.down(parent)


async def saved_a_hundred_times_a_second(installation: EmbeddedInstallation, rules: Path) -> None:
    path = rules / "levels.yml"
    text = path.read_text("utf-8")
    before = len([each for each in await installation.read(topics.RULES) if isinstance(each, RuleBook)])
    for number in range(400):
        path.write_text(text.replace("三级响应", f"三级响应{number:04d}", 1), "utf-8")
        await asyncio.sleep(0.01)
    last = load_book(rules, ZONE)
    found = await stands(installation, lambda found: found.in_force == last.version, "the last save in force")
    books = [each for each in await installation.read(topics.RULES) if isinstance(each, RuleBook)]
    assert found.problems == () and len(books) > before + 1, "some were in force meanwhile"
    assert not await told(installation, "改动没有生效")


async def in_another_encoding(installation: EmbeddedInstallation, rules: Path) -> None:
    path = rules / "subjects" / "safety.yml"
    text, known = path.read_text("utf-8"), load_book(rules, ZONE).version
    path.write_bytes(b"\xef\xbb\xbf" + text.encode("gb18030"))
    found = await stands(installation, lambda found: bool(found.problems), "GBK is refused")
    assert found.in_force == known and found.problems[0].startswith("subjects/safety.yml:1:1: 文件是 GBK 编码")
    await until(lambda: told(installation, "subjects/safety.yml:1:1: 文件是 GBK 编码"), 180, "ops are told")
    path.write_text(text, "utf-8")
    await stands(installation, lambda found: not found.problems, "mended")


async def a_rule_with_open_events_removed(installation: EmbeddedInstallation, rules: Path) -> None:
    await until(lambda: _open(installation), 180, f"an open event\n{installation.said()}")
    (rules / "subjects" / "polling-place.yml").unlink()
    last = load_book(rules, ZONE)
    await stands(installation, lambda found: found.in_force == last.version, "the rule is gone")
    await until(lambda: _scored_by(installation, last.hash), 180, f"scored without it\n{installation.said()}")
    assert await _open(installation), "the event goes on until it is calm or closed"


async def the_directory_deleted(installation: EmbeddedInstallation, rules: Path) -> RuleBook:
    last = load_book(rules, ZONE)
    shutil.rmtree(rules)
    found = await stands(installation, lambda found: bool(found.problems), "a directory that is gone is said")
    assert found.in_force == last.version and "没有这个规则目录" in found.problems[0]
    await until(lambda: told(installation, f"仍在用上一份规则（{last.hash}）"), 180, "ops are told")
    return last


async def _open(installation: EmbeddedInstallation) -> bool:
    heads = {each.id: each for each in await installation.read(topics.EVENTS) if isinstance(each, EventHead)}
    return any(head.subject == "polling-place" and head.status is EventStatus.OPEN for head in heads.values())


async def _scored_by(installation: EmbeddedInstallation, hash: str) -> bool:
    return any(isinstance(each, ScoredBatch) and each.book == hash
               for each in await installation.read(topics.ITEMS_SCORED))
