"""The role `rules` over a directory, with a bus that remembers: for tests."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaConnectionError

from agents.clock import Clock
from agents.deps import Deps
from agents.metrics import Metrics
from agents.rule_feed import Seen
from agents.rule_watch import Watch
from agents.settings import Settings
from pipeline.model import Escalation, RulesState
from pipeline.rulebook.schema import RuleBook

ZONE = "Asia/Shanghai"


def first_level(text: str, items: int) -> str:
    """levels.yml of the starter rules with another number of items for the first level."""
    written = re.compile(r"^( +enter: \{items: )\d+(, sources: 2, window: 1h\})", re.M)
    changed, count = written.subn(rf"\g<1>{items}\g<2>", text)
    assert count == 1
    return changed


class FakeBus:
    """Remembers what was sent; refuses the first `away` sends, as a broker that is away does."""

    def __init__(self, away: int = 0) -> None:
        self.sent: list[Any] = []
        self.away = away

    async def send(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        if self.away:
            self.away -= 1
            raise KafkaConnectionError("away")
        self.sent.append(record)

    @property
    def books(self) -> list[RuleBook]:
        return [record for record in self.sent if isinstance(record, RuleBook)]

    @property
    def state(self) -> RulesState:
        """The newest; an empty one while nothing was said."""
        said = [record for record in self.sent if isinstance(record, RulesState)]
        return said[-1] if said else RulesState(at=0, in_force="", read_at=0)

    @property
    def notices(self) -> list[Escalation]:
        return [record for record in self.sent if isinstance(record, Escalation)]


def deps_for(rules: Path, bootstrap: str = "127.0.0.1:1", clock: Clock | None = None) -> Deps:
    settings = Settings(rules_dir=rules, data_dir=rules.parent / "data", bootstrap=bootstrap)
    return Deps(settings, clock or Clock(), Metrics())


def value(deps: Deps, name: str, **labels: str) -> float | None:
    return deps.metrics.registry.get_sample_value(f"wenxun_{name}", labels)


async def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def watching(
    rules: Path, in_force: RuleBook | None = None, *, seen: Seen | None = None, clock: Clock | None = None,
) -> AsyncIterator[tuple[Deps, FakeBus]]:
    """in_force: what the topic holds; seen: all of it."""
    deps, bus = deps_for(rules, clock=clock), FakeBus()
    async with running(Watch(deps, bus, seen or Seen(book=in_force)).run()):  # type: ignore[arg-type]
        yield deps, bus
