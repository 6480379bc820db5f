"""One process with roles: what starts when, what ends it, and with which exit code."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from agents import rule_feed, runtime, topics_admin
from agents.clock import Clock
from agents.deps import Deps
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline.errors import SettingsError
from tests.builders import book as a_book

LONG = 30.0


class FakeRole(ModuleType):
    """A role's module: notes its start and its end, fails or ends when told."""

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__(f"tests.fake_{name}")
        self.name, self.log = name, log
        self.error: BaseException | None = None
        self.go = asyncio.Event()

    async def run(self, deps: Deps) -> None:
        self.log.append(f"{self.name} starts")
        try:
            await self.go.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.log.append(f"{self.name} ends")


class Stage:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.roles = {name: FakeRole(name, self.log) for name in ("archive", "desk", "deliver", "collect")}
        for role in self.roles.values():
            monkeypatch.setitem(sys.modules, role.__name__, role)
        monkeypatch.setattr(runtime, "PLAIN", {name: role.__name__ for name, role in self.roles.items()})
        monkeypatch.setattr(topics_admin, "ensure", self.ensure)
        monkeypatch.setattr(rule_feed, "follow", self.follow)
        self.codes: list[int] = []
        monkeypatch.setattr(runtime, "_end", self.codes.append)
        settings = replace(Settings(), metrics_bind=("127.0.0.1", 0), grace_seconds=LONG)
        self.deps = Deps(settings, Clock(), Metrics())
        self.process = runtime.Process(self.deps, runtime.parse_roles("archive,desk,deliver,collect"))

    async def ensure(self, settings: Any, changelogs: Any = ()) -> list[str]:
        self.log.append("topics")
        return []

    async def follow(self, deps: Deps, *_: object) -> None:
        await asyncio.Event().wait()

    async def until(self, *lines: str) -> None:
        async with asyncio.timeout(60):
            while not set(lines) <= set(self.log):
                await asyncio.sleep(0.01)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


async def test_roles_wait_for_the_first_rule_book_and_collect_starts_last_and_ends_first(stage: Stage) -> None:
    running = asyncio.create_task(stage.process.run())
    await stage.until("archive starts", "desk starts")
    await asyncio.sleep(0.05)
    assert stage.log == ["topics", "archive starts", "desk starts"]
    assert "rule book: no rule book yet" in stage.process.health.missing()
    stage.deps.rules.offer(a_book())
    await stage.until("collect starts")
    assert stage.log[3:] == ["deliver starts", "collect starts"]
    assert stage.process.health.missing() == []
    stage.process.ask_to_stop()
    assert await asyncio.wait_for(running, 60) == 0
    assert stage.log[5] == "collect ends" and len(stage.log) == 9
    stage.process.deadline.cancel()


async def test_a_role_that_fails_ends_the_others_and_the_process_with_1(stage: Stage) -> None:
    stage.deps.rules.offer(a_book())
    running = asyncio.create_task(stage.process.run())
    await stage.until("collect starts")
    stage.roles["deliver"].error = ConnectionError("gone")
    stage.roles["deliver"].go.set()
    assert await asyncio.wait_for(running, 60) == 1
    assert {f"{name} ends" for name in stage.roles} <= set(stage.log)
    stage.process.deadline.cancel()


async def test_a_role_that_ends_by_itself_ends_the_process_with_1_too(stage: Stage) -> None:
    stage.deps.rules.offer(a_book())
    running = asyncio.create_task(stage.process.run())
    await stage.until("collect starts")
    stage.roles["desk"].go.set()
    assert await asyncio.wait_for(running, 60) == 1
    stage.process.deadline.cancel()


async def test_what_an_operator_can_mend_is_raised_for_the_command_to_say(stage: Stage) -> None:
    stage.roles["desk"].error = SettingsError("WENXUN_DESK_BIND=127.0.0.1:1: cannot be bound")
    stage.roles["desk"].go.set()
    with pytest.raises(SettingsError, match="WENXUN_DESK_BIND"):
        await asyncio.wait_for(stage.process.run(), 60)
    stage.process.deadline.cancel()


async def test_a_second_request_to_stop_ends_it_at_once(stage: Stage) -> None:
    stage.process.ask_to_stop()
    assert stage.codes == []
    stage.process.ask_to_stop()
    assert stage.codes == [1]
    stage.process.deadline.cancel()


async def test_a_stop_that_takes_longer_than_the_grace_period_is_cut(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.process.deps = replace(stage.deps, settings=replace(stage.deps.settings, grace_seconds=0.01))
    stage.process.ask_to_stop()
    async with asyncio.timeout(60):
        while not stage.codes:
            await asyncio.sleep(0.01)
    assert stage.codes == [1]
