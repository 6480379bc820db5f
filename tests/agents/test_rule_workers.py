"""On the embedded broker: who runs which book, a pending change confirmed from the command line, a very large book."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from agents import archivist, rule_feed, rule_watch, rule_workers
from agents.bus import Bus
from agents.clock import Clock
from agents.commands.broker import published, reachable
from agents.deps import Deps
from agents.embedded import embedded_broker
from agents.rule_files import load_book, starter_dir
from agents.rule_history import What
from agents.rule_workers import alive
from agents.settings import Settings
from pipeline import topics
from pipeline.errors import Problem
from pipeline.model import Worker
from tests.agents import store_fakes as fakes
from tests.agents.rule_kit import ZONE, deps_for, running, until
from tests.agents.test_rule_pending import event, lines, lower
from tests.builders import NOON
from tests.rule_books import large_book, many_files

pytestmark = pytest.mark.embedded


@pytest.fixture
def broker() -> Iterator[str]:
    with embedded_broker() as address:
        yield address


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    shutil.copytree(starter_dir(), tmp_path / "rules")
    return tmp_path / "rules"


def process(rules: Path, broker: str, name: str) -> Deps:
    deps = deps_for(rules, broker)
    return Deps(replace(deps.settings, pod_name=name, embedded=True), deps.clock, deps.metrics)


async def test_each_process_says_which_book_it_runs_at_each_change_and_that_it_ended(rules: Path, broker: str) -> None:
    one, two = process(rules, broker, "score-0"), process(rules, broker, "rules-0")
    workers = two.rules.workers
    async with AsyncExitStack() as stack:
        for deps, roles in ((one, ("score",)), (two, ("rules", "archive"))):
            await stack.enter_async_context(running(rule_feed.follow(deps)))
            if deps is one:
                speaking = await stack.enter_async_context(AsyncExitStack())
                await speaking.enter_async_context(running(rule_workers.announce(deps, roles)))
            else:
                await stack.enter_async_context(running(rule_workers.announce(deps, roles)))
        await stack.enter_async_context(running(rule_watch.run(two)))
        await until(lambda: {each.book for each in workers.values()} == {one.rules.version} != {""}, 60)
        first = one.rules.version
        one.rules.built(first)
        await until(lambda: workers["score-0"].scorer == first)
        (rules / "subjects" / "safety.yml").unlink()
        await until(lambda: {each.book for each in workers.values()} == {load_book(rules, ZONE).version})
        assert workers["score-0"].scorer == first and workers["score-0"].since <= workers["score-0"].at
        assert [(each.name, each.roles) for each in alive(workers.values(), Clock().now())] == [
            ("rules-0", ("rules", "archive")), ("score-0", ("score",))]
        await speaking.aclose()
        await until(lambda: workers["score-0"].stopped)
        assert [each.name for each in alive(workers.values(), Clock().now())] == ["rules-0"]
        done = await asyncio.to_thread(wenxun, two.settings, "rules", "workers", "--json")
        assert [each["name"] for each in json.loads(done.stdout)] == ["rules-0"], done.stderr


def test_who_was_not_heard_of_for_three_minutes_is_not_listed() -> None:
    quiet = Worker(name="a", roles=("score",), at=NOON - 180_000, book="b" * 16, since=NOON)
    assert alive([quiet], NOON) == [] and alive([quiet], NOON - 1) == [quiet] and alive([quiet], NOON, 720.0) == [quiet]


def wenxun(settings: Settings, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if key != "KAFKA_BOOTSTRAP_SERVERS"}
    environ |= {"KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap, "WENXUN_DATA_DIR": str(settings.data_dir),
                "WENXUN_RULES_DIR": str(settings.rules_dir), **more}
    return subprocess.run([sys.executable, "-m", "agents", *arguments], capture_output=True, text=True, env=environ,
                          timeout=180, stdin=subprocess.DEVNULL)


async def test_a_pending_change_is_confirmed_from_the_command_line(rules: Path, broker: str, tmp_path: Path) -> None:
    deps = process(rules, broker, "rules-0")
    now = deps.clock.now()
    shift = now - NOON
    fakes.put(fakes.new_store(tmp_path / "data"), *(event(f"e{number:02}", shift=shift) for number in range(12)))
    async with running(rule_feed.follow(deps)), running(rule_watch.run(deps)):
        await until(lambda: deps.rules.loaded, 60)
        done = await asyncio.to_thread(wenxun, deps.settings, "rules", "confirm", "--yes")
        assert done.returncode == 2 and "没有待确认的规则变更" in done.stderr
        new = lower(rules)
        await until(lambda: deps.rules.state is not None and deps.rules.state.pending == new)
        done = await asyncio.to_thread(wenxun, deps.settings, "rules", "confirm", "ffff")
        assert done.returncode == 2 and f"待确认的规则是 {new}，不是 ffff" in done.stderr
        assert deps.rules.version != new
        beside = replace(deps.settings, bootstrap="")           # as beside `wenxun up`: the data folder says where
        with published(deps.settings.data_dir, broker):
            done = await asyncio.to_thread(wenxun, beside, "rules", "confirm", new[:6])
        assert done.returncode == 0, done.stderr
        assert "会升级 12 个事件" in done.stdout and f"已生效：{new}" in done.stdout
        await until(lambda: deps.rules.version == new)
    assert [what for what, _ in lines(rules)[:3]] == [What.PUBLISHED, What.CONFIRMED, What.PENDING]


def test_the_address_of_a_broker_that_is_gone_is_not_used(tmp_path: Path) -> None:
    with published(tmp_path, "127.0.0.1:5"):
        assert reachable({}, tmp_path).bootstrap == "127.0.0.1:5"
        assert reachable({"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}, tmp_path).bootstrap == "k:9092"
    assert reachable({}, tmp_path).bootstrap == "127.0.0.1:9092"


async def test_ten_thousand_subjects_are_one_record_that_everybody_gets(
    broker: str, rules: Path, tmp_path: Path,
) -> None:
    book, deps = large_book(10_000), process(rules, broker, "score-0")
    store = fakes.new_store(tmp_path / "data")
    sender = Bus(deps.settings, deps.clock, "rules", max_bytes=topics.MAX_BOOK_BYTES)
    async with running(archivist.run(deps)), running(rule_feed.follow(deps)), sender as bus:
        for number in range(3):                         # more than the embedded broker would hold uncompressed
            await bus.send(topics.RULES, "book", book, ident=f"{book.hash}-{number}", partition=0)
        await until(lambda: deps.rules.loaded, 60)
        assert deps.rules.book == book
        assert (await rule_feed.newest_book(deps.settings)) == book
        await until(lambda: [row["hash"] for row in fakes.rows(store, "books")] == [book.hash], 60)


async def test_a_directory_of_two_thousand_files_is_published(broker: str, rules: Path) -> None:
    many_files(rules, 2_100, 2)
    deps = process(rules, broker, "rules-0")
    async with running(rule_feed.follow(deps)), running(rule_watch.run(deps)):
        await until(lambda: deps.rules.loaded, 60)
        assert len(deps.rules.book.subjects) > 2_100
        (rules / "subjects" / "m00001.yml").unlink()
        await until(lambda: deps.rules.book.subject("m00001") is None, 60)


async def test_a_book_that_no_topic_takes_leaves_the_one_before_and_says_so(
    broker: str, rules: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    deps = process(rules, broker, "rules-0")
    monkeypatch.setattr(topics, "MAX_BOOK_BYTES", 64 * 1024)
    async with running(rule_feed.follow(deps)), running(rule_watch.run(deps)):
        await until(lambda: deps.rules.loaded, 60)
        first = deps.rules.version
        many_files(rules, 400, 3)
        await until(lambda: deps.rules.state is not None and deps.rules.state.problems, 60)
        assert deps.rules.state is not None and "规则太多" in deps.rules.state.problems[0]
        assert deps.rules.version == deps.rules.state.in_force == first


async def test_the_book_stays_on_the_topic_however_many_saves_are_refused(broker: str, rules: Path) -> None:
    """The embedded broker keeps about 5 MB and drops the oldest: it may not be the book."""
    deps = process(rules, broker, "rules-0")
    async with Bus(deps.settings, deps.clock, "rules", max_bytes=topics.MAX_BOOK_BYTES) as bus:
        watch, book, chance = rule_watch.Watch(deps, bus), load_book(rules, ZONE), random.Random(5)
        await watch._publish(book, {})
        for _ in range(rule_watch.STATES_AFTER_BOOK + 30):              # each far larger than any that there will be
            noise = [Problem(f"subjects/{chance.randbytes(250).hex()}.yml", 1, 1, "", "", "") for _ in range(200)]
            watch._problems = tuple(str(each) for each in noise)
            await watch._say()
    assert (await rule_feed.newest_book(deps.settings)) == book
