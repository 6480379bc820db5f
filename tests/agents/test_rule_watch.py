"""The role `rules` and the feed of every process: a good book is live within a second, a bad file changes nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError

from agents import rule_dir, rule_feed, rule_watch
from agents.bus import Bus
from agents.embedded import embedded_broker
from agents.rule_files import load_book, starter_dir
from agents.rule_watch import Watch
from pipeline import topics
from pipeline.model import EscalationKind, Tick
from pipeline.rulebook.schema import RuleBook
from tests.agents.rule_kit import ZONE, FakeBus, deps_for, first_level, running, until, value, watching


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    shutil.copytree(starter_dir(), tmp_path / "rules")
    return tmp_path / "rules"


def break_file(rules: Path, name: str = "levels.yml") -> None:
    (rules / name).write_text("ladder: [\n", "utf-8")


async def test_the_book_is_published_at_the_start(rules: Path) -> None:
    async with watching(rules) as (deps, bus):
        await until(lambda: bus.books)
        assert bus.books == [load_book(rules, ZONE)]
        assert value(deps, "rules_last_reload_successful") == 1


async def test_an_edit_is_published_and_a_save_without_a_change_is_not(rules: Path) -> None:
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        (rules / "levels.yml").touch()
        await asyncio.sleep(2 * rule_watch.POLL_SECONDS)
        assert len(bus.books) == 1
        text = (rules / "levels.yml").read_text("utf-8")
        (rules / "levels.yml").write_text(first_level(text, 4), "utf-8")
        await until(lambda: len(bus.books) == 2)
        assert bus.books[1].levels.ladder[0].enter[0].items == 4


async def test_a_bad_file_changes_nothing_and_ops_are_told_once(rules: Path) -> None:
    async with watching(rules) as (deps, bus):
        await until(lambda: bus.books)
        break_file(rules)
        await until(lambda: bus.notices)
        break_file(rules, "roster.yml")
        await asyncio.sleep(3 * rule_watch.POLL_SECONDS)
        assert len(bus.books) == 1 and len(bus.notices) == 1
        assert value(deps, "rules_last_reload_successful") == 0
        told = bus.notices[0]
        assert (told.kind, told.tell) == (EscalationKind.SYSTEM, ("ops",))
        assert f"仍在用上一份规则（{bus.books[0].hash}）" in told.text and "levels.yml:2:1: " in told.text


async def test_a_number_that_is_written_wrongly_is_told_to_nobody(
    rules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    roster = (rules / "roster.yml").read_text("utf-8")
    assert "{id: " in roster
    async with watching(rules) as (deps, bus):
        await until(lambda: bus.books)
        (rules / "roster.yml").write_text(roster.replace("{id: ", "{mobile: 138 1234 5678, id: ", 1), "utf-8")
        await until(lambda: bus.notices)
        told = "".join((bus.notices[0].text, caplog.text, str(bus.state.problems)))
    assert "手机号的写法不对" in told and "wenxun rules check" in told
    assert not any(each in told for each in ("1234 5678", "12345678"))


async def test_a_file_full_of_problems_does_not_fill_the_log(
    rules: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    async with watching(rules) as (deps, bus):
        await until(lambda: bus.books)
        (rules / "roster.yml").write_text("".join(f"k{number}: 1\n" for number in range(3_000)), "utf-8")
        await until(lambda: bus.notices)
    assert 200 <= len([each for each in caplog.messages if "roster.yml:" in each]) <= 400
    assert any(" 300" in each and "problem(s)" in each for each in caplog.messages)


async def test_a_file_that_is_right_again_is_in_force_and_a_new_trouble_is_told_again(rules: Path) -> None:
    good = (rules / "levels.yml").read_text("utf-8")
    async with watching(rules) as (deps, bus):
        await until(lambda: bus.books)
        break_file(rules)
        await until(lambda: bus.notices)
        (rules / "levels.yml").write_text(good, "utf-8")
        await until(lambda: value(deps, "rules_last_reload_successful") == 1)
        break_file(rules)
        os.utime(rules / "levels.yml", (time.time() + 60, time.time() + 60))
        await until(lambda: len(bus.notices) == 2)
        assert bus.notices[0].id != bus.notices[1].id


async def test_a_restart_in_the_same_trouble_tells_it_under_the_same_id(rules: Path) -> None:
    break_file(rules)
    ids = []
    for _ in range(2):
        async with watching(rules) as (_, bus):
            await until(lambda bus=bus: bus.notices)  # type: ignore[misc]
            ids.append(bus.notices[0].id)
    assert ids[0] == ids[1]


async def test_a_directory_that_is_bad_at_the_start_keeps_the_book_of_the_topic_and_says_so(rules: Path) -> None:
    known = load_book(rules, ZONE)
    break_file(rules)
    async with watching(rules, known) as (_, bus):
        await until(lambda: bus.notices)
        assert bus.books == [] and f"仍在用上一份规则（{known.hash}）" in bus.notices[0].text


async def test_a_directory_that_is_bad_at_the_start_without_any_book_says_that_nothing_runs(rules: Path) -> None:
    shutil.rmtree(rules)
    async with watching(rules) as (_, bus):
        await until(lambda: bus.notices)
        assert "目前没有可用的规则" in bus.notices[0].text and "wenxun init" in bus.notices[0].text


async def test_a_rename_over_the_file_is_an_edit_like_any_other(rules: Path) -> None:
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        text = first_level((rules / "levels.yml").read_text("utf-8"), 5)
        (rules / "levels.yml.new").write_text(text, "utf-8")
        (rules / "levels.yml.new").rename(rules / "levels.yml")
        await until(lambda: len(bus.books) == 2)
        assert bus.books[1].levels.ladder[0].enter[0].items == 5


async def test_a_swapped_link_changes_all_files_at_once(rules: Path, tmp_path: Path) -> None:
    shutil.copytree(rules, tmp_path / "two")
    levels = tmp_path / "two" / "levels.yml"
    levels.write_text(first_level(levels.read_text("utf-8"), 6), "utf-8")
    (tmp_path / "link").symlink_to(rules)
    async with watching(tmp_path / "link") as (_, bus):
        await until(lambda: bus.books)
        (tmp_path / "new").symlink_to(tmp_path / "two")
        (tmp_path / "new").rename(tmp_path / "link")
        await until(lambda: len(bus.books) == 2)
        assert bus.books[1].levels.ladder[0].enter[0].items == 6


async def test_a_file_that_is_being_written_is_not_read_in_the_middle(rules: Path) -> None:
    path = rules / "levels.yml"
    text = first_level(path.read_text("utf-8"), 7)
    async with watching(rules) as (deps, bus):
        await until(lambda: bus.books)
        with path.open("w", encoding="utf-8") as file:
            for start in range(0, len(text), 200):
                file.write(text[start:start + 200])
                file.flush()
                await asyncio.sleep(rule_dir.SETTLE_SECONDS / 3)
        await until(lambda: len(bus.books) == 2)
        assert bus.notices == [] and bus.books[1].levels.ladder[0].enter[0].items == 7
        assert value(deps, "rules_last_reload_successful") == 1


async def test_what_could_not_be_sent_is_sent_when_the_broker_is_back(rules: Path) -> None:
    deps, bus = deps_for(rules), FakeBus(away=1)
    with pytest.raises(KafkaConnectionError):
        await Watch(deps, bus).run()  # type: ignore[arg-type]
    async with running(Watch(deps, bus).run()):  # type: ignore[arg-type]
        await until(lambda: bus.books)


async def test_a_broker_that_is_away_is_waited_for_and_no_client_is_left_open(
    rules: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (rule_feed, rule_watch):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    deps = deps_for(rules)
    async with running(rule_watch.run(deps)), running(rule_feed.follow(deps)):
        await until(lambda: min(map(caplog.text.count, ("broker not reachable", "cannot read topic"))) > 1)
    gc.collect()                                        # an open client would warn here, and a warning is an error


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with embedded_broker() as address:
        yield address


@pytest.mark.embedded
async def test_a_save_is_in_force_in_another_process_soon(rules: Path, broker: str) -> None:
    watcher, follower = deps_for(rules, broker), deps_for(rules, broker)
    async with running(rule_watch.run(watcher)), running(rule_feed.follow(follower)):
        first = await asyncio.wait_for(follower.rules.ready(), 60)
        for items in (4, 5, 6):
            text = first_level((rules / "levels.yml").read_text("utf-8"), items)
            (rules / "levels.yml").write_text(text, "utf-8")
            await until(lambda items=items: follower.rules.book.levels.ladder[0].enter[0].items == items)  # type: ignore[misc]
        assert follower.rules.book.hash != first.hash
        assert value(follower, "rules_config_hash_info", hash=follower.rules.book.hash) == 1
        assert value(follower, "rules_loaded", kind="subjects") == len(first.subjects) > 0


@pytest.mark.embedded
async def test_who_comes_later_takes_the_newest_book_only_and_survives_what_is_none(rules: Path) -> None:
    book = load_book(rules, ZONE)
    with embedded_broker() as address:
        deps = deps_for(rules, address)
        async with Bus(deps.settings, deps.clock, "rules") as bus:
            for name in ("first", "second"):
                await bus.send(topics.RULES, "book", _named(book, name), ident=name, partition=0)
            await bus.send(topics.RULES, "book", Tick(at=1), ident="tick", partition=0)
            assert (await rule_feed.newest_book(deps.settings)) == _named(book, "second")
            offered: list[str] = []
            deps.rules.offer = lambda each: offered.append(each.hash)  # type: ignore[method-assign]
            async with running(rule_feed.follow(deps)):
                await until(lambda: offered)
                await bus.send(topics.RULES, "book", _named(book, "third"), ident="third", partition=0)
                await until(lambda: len(offered) == 2)
        assert offered == ["second", "third"]
        assert value(deps, "agent_errors_total", role="rules") == 1


def _named(book: RuleBook, name: str) -> RuleBook:
    from msgspec.structs import replace

    return replace(book, hash=name)


@pytest.mark.embedded
async def test_a_bad_directory_at_the_start_leaves_the_followers_their_book(rules: Path) -> None:
    with embedded_broker() as address:
        deps, follower = deps_for(rules, address), deps_for(rules, address)
        async with running(rule_watch.run(deps)), running(rule_feed.follow(follower)):
            good = await asyncio.wait_for(follower.rules.ready(), 60)
        break_file(rules)
        later = deps_for(rules, address)
        async with running(rule_watch.run(deps)), running(rule_feed.follow(later)):
            assert (await asyncio.wait_for(later.rules.ready(), 60)).hash == good.hash
            await until(lambda: value(deps, "rules_last_reload_successful") == 0)
