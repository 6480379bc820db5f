"""A save that would raise many open events waits for a person; what is in force last survives broker and restart."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from agents import rule_impact, rule_watch
from agents.clock import Clock
from agents.rule_answer import NothingPending, answer_of
from agents.rule_feed import Seen
from agents.rule_files import load_book, read_dir, starter_dir
from agents.rule_history import History, Line, What
from agents.settings import Settings
from pipeline.model import EventHead, EventStatus, MemberRow, RulesAnswer, RulesState, WarmEvent
from pipeline.rulebook.schema import RuleBook
from tests import messages
from tests.agents import store_fakes as fakes
from tests.agents.rule_kit import ZONE, FakeBus, first_level, until, value, watching
from tests.builders import NOON

MINUTE = 60_000
CLOCK = Clock(NOON, 0, 0.0)
"""Stands still at NOON."""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    shutil.copytree(starter_dir(), tmp_path / "rules")
    return tmp_path / "rules"


def event(ident: str, *, shift: int = 0, **changes: Any) -> EventHead:
    """Watched: two items of two sources within an hour, under every level of the starter rules. shift: of its times."""
    now = NOON + shift
    rows = tuple(MemberRow(f"{ident}-{n}", now - n * MINUTE, f"s{n}.example", 0, ((n, 100),)) for n in range(2))
    values: dict[str, Any] = {
        "subject": "polling-place", "key": "polling-place", "status": EventStatus.WATCHING, "level": 0,
        "level_name": "", "peak": 0, "raises": 0, "number": 0, "items": 2, "sources": 2, "opened_at": now,
        "changed_at": now, "first_item_at": now - MINUTE, "last_item_at": now, "joined": rows,
        "floor_at": 0, **changes}
    return messages.head(ident, version=2, **values)


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    """Twelve events that a first level of two items raises, and what must not count: one closed, one in shadow."""
    engine = fakes.new_store(tmp_path / "data")
    fakes.put(engine, *(event(f"e{number:02}") for number in range(12)))
    fakes.put(engine, event("closed", status=EventStatus.CLOSED), event("shadowed", subject="~polling-place"))
    return engine


def lower(rules: Path, name: str = "三级响应") -> str:
    """A first level that events of two items reach; the hash of the book. name: to tell such books apart."""
    path = rules / "levels.yml"
    text = first_level(path.read_text("utf-8"), 2)
    path.write_text(text.replace("三级响应", name, 1), "utf-8")
    return load_book(rules, ZONE).hash


def said(bus: FakeBus) -> tuple[str, str, int]:
    return bus.state.in_force, bus.state.pending, bus.state.raise_count


def lines(rules: Path) -> list[tuple[What, str]]:
    return [(line.what, line.by) for line in History(rules.parent / "data").lines()]


async def test_a_save_that_raises_many_events_waits_and_says_so(rules: Path, store: Engine) -> None:
    async with watching(rules, clock=CLOCK) as (deps, bus):
        await until(lambda: bus.books)
        new = lower(rules)
        await until(lambda: bus.notices)
        first = bus.books[0].hash
        assert len(bus.books) == 1 and said(bus) == (first, new, 12)
        assert {(each.previous, each.level) for each in bus.state.raises} == {("", "一般")}
        assert value(deps, "rules_last_reload_successful") == 0
        assert value(deps, "rules_pending") == 1 and value(deps, "rules_pending_raises") == 12
        told = bus.notices[0]
        assert told.title == "规则变更待确认" and f"wenxun rules confirm {new}" in told.text
        assert "会升级 12 个事件" in told.text and f"仍用上一份规则（{first}）" in told.text
        await until(lambda: lines(rules)[0] == (What.PENDING, ""))


@pytest.mark.parametrize("accept", [True, False], ids=["confirmed", "rejected"])
async def test_a_person_decides(rules: Path, store: Engine, accept: bool) -> None:
    async with watching(rules, clock=CLOCK) as (deps, bus):
        await until(lambda: bus.books)
        new = lower(rules)
        await until(lambda: bus.state.pending)
        deps.rules.answer = answer_of(bus.state, accept=accept, by="li", now=NOON)
        await until(lambda: not bus.state.pending)
        await until(lambda: (What.CONFIRMED if accept else What.REJECTED, "li") in lines(rules))
        assert value(deps, "rules_pending") == 0 and value(deps, "rules_last_reload_successful") == accept
        if accept:
            assert bus.books[-1].hash == bus.state.in_force == new and bus.state.problems == ()
        else:
            assert len(bus.books) == 1 and f"规则变更 {new} 被 li 否决" in bus.state.problems[0]
            assert value(deps, "rules_problems") == 1


async def test_a_newer_save_takes_the_place_of_what_waits(rules: Path, store: Engine) -> None:
    before = (rules / "levels.yml").read_text("utf-8")
    async with watching(rules, clock=CLOCK) as (deps, bus):
        await until(lambda: bus.books)
        old = lower(rules)
        await until(lambda: bus.state.pending == old)
        newer = lower(rules, "三级应对")
        await until(lambda: bus.state.pending == newer)
        deps.rules.answer = RulesAnswer(hash=old, accept=True, by="li", at=NOON)
        (rules / "levels.yml").write_text(before, "utf-8")
        await until(lambda: not bus.state.pending)
        assert {book.hash for book in bus.books} == {bus.state.in_force} == {load_book(rules, ZONE).hash}


async def test_a_restart_keeps_it_waiting_and_takes_the_answer_given_meanwhile(rules: Path, store: Engine) -> None:
    known = load_book(rules, ZONE)
    new = lower(rules)
    state = RulesState(at=NOON - 5, in_force=known.hash, read_at=NOON - 9, pending=new, raise_count=12)
    async with watching(rules, clock=CLOCK, seen=Seen(book=known, state=state)) as (_, bus):
        await until(lambda: bus.notices)
        assert (bus.books, said(bus), bus.state.read_at) == ([], (known.hash, new, 12), NOON - 9)
    for at, published in ((NOON - 10, []), (NOON - 5, [new])):     # one to an earlier question does not count
        answer = RulesAnswer(hash=new, accept=True, by="li", at=at)
        async with watching(rules, clock=CLOCK, seen=Seen(book=known, state=state, answer=answer)) as (_, bus):
            await until(lambda bus=bus, published=published: bus.books if published else bus.notices)  # type: ignore[misc]
            assert [book.hash for book in bus.books] == published


async def test_what_was_rejected_stays_out_after_a_restart(rules: Path, store: Engine) -> None:
    known = load_book(rules, ZONE)
    new = lower(rules)
    state = RulesState(at=NOON, in_force=known.hash, read_at=NOON - 9, problems=("规则变更被否决",))
    answer = RulesAnswer(hash=new, accept=False, by="li", at=NOON - 5)
    async with watching(rules, clock=CLOCK, seen=Seen(book=known, state=state, answer=answer)) as (_, bus):
        await until(lambda: bus.state.problems)
        assert bus.books == [] and "被 li 否决" in bus.state.problems[0] and bus.state.pending == ""


@pytest.mark.parametrize("what", [What.PENDING, What.REJECTED, What.CONFIRMED])
async def test_a_lost_topic_loses_neither_the_book_in_force_nor_what_was_decided(
    rules: Path, store: Engine, what: What,
) -> None:
    """As after a stop of `wenxun up`: the embedded broker forgets."""
    known = load_book(rules, ZONE)
    history = History(rules.parent / "data")
    history.keep(Line(NOON - 60, known.hash, What.PUBLISHED), read_dir(rules).texts)
    new = lower(rules)
    history.keep(Line(NOON - 9, new, What.PENDING), read_dir(rules).texts)
    if what is not What.PENDING:
        history.keep(Line(NOON - 5, new, what, "li"))
    async with watching(rules, clock=CLOCK) as (_, bus):
        await until(lambda: bus.books and bus.state.in_force)
        expected = {What.PENDING: (known.hash, new, 12), What.REJECTED: (known.hash, "", 0),
                    What.CONFIRMED: (new, "", 0)}[what]
        assert said(bus) == expected and [book.hash for book in bus.books] == [expected[0]]


@pytest.mark.sqlite                                     # a file that is none
async def test_without_an_archive_or_for_a_change_that_judges_nothing_nobody_is_asked(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    async with watching(rules, clock=CLOCK) as (_, bus):
        await until(lambda: bus.books)
        lower(rules)
        await until(lambda: len(bus.books) == 2)
    (tmp_path / "data" / "wenxun.db").write_bytes(b"no database")
    before, after = bus.books
    settings = Settings(data_dir=tmp_path / "data")
    assert rule_impact.impact(settings, before, after, NOON) == rule_impact.Impact()
    assert "the archive cannot be read" in caplog.text
    caplog.clear()
    other = (rules / "subjects" / "polling-place.yml").read_text("utf-8").replace("title: ", "title: 新", 1)
    (rules / "subjects" / "polling-place.yml").write_text(other, "utf-8")
    assert rule_impact.impact(settings, after, load_book(rules, ZONE), NOON).count == 0 and caplog.text == ""


async def test_few_events_are_raised_at_once(rules: Path, tmp_path: Path) -> None:
    fakes.put(fakes.new_store(tmp_path / "data"), *(event(f"e{number:02}") for number in range(10)))
    async with watching(rules, clock=CLOCK) as (_, bus):
        await until(lambda: bus.books)
        lower(rules)
        await until(lambda: len(bus.books) == 2)
        assert bus.notices == []


def test_an_answer_is_to_what_waits_and_never_older_than_the_question() -> None:
    state = RulesState(at=NOON, in_force="a" * 16, read_at=NOON - 9, pending="b" * 16)
    assert answer_of(state, accept=True, by="li", now=NOON - 60_000, hash="bb").at == NOON
    for wrong, told in ((None, "没有待确认"), (state, "不是 c：其间又改过")):
        with pytest.raises(NothingPending, match=told):
            answer_of(wrong, accept=True, by="li", now=NOON, hash="c")


async def test_a_broken_directory_beside_a_lost_topic_runs_on_the_newest_snapshot_that_parses(rules: Path) -> None:
    known, history = load_book(rules, ZONE), History(rules.parent / "data")
    history.keep(Line(NOON - 60, known.hash, What.PUBLISHED), read_dir(rules).texts)
    history.keep(Line(NOON - 50, "f" * 16, What.PUBLISHED), {"levels.yml": "of a later version"})
    shutil.rmtree(rules)
    async with watching(rules, clock=CLOCK) as (deps, bus):
        await until(lambda: bus.notices)
        assert bus.books == [known] and f"仍在用上一份规则（{known.hash}）" in bus.notices[0].text
        assert bus.state.in_force == known.hash and "没有这个规则目录" in bus.state.problems[0]
        assert value(deps, "rules_last_reload_successful") == 0


async def test_what_expires_is_told_once_a_day_also_after_a_restart(rules: Path) -> None:
    path = rules / "subjects" / "safety.yml"
    text = path.read_text("utf-8")
    found = re.search(r"^expires: .*$", text, re.M)
    assert found
    path.write_text(text.replace(found[0], "expires: 2026-12-01"), "utf-8")
    ids = set()
    for at in (NOON, NOON + 6 * 3_600_000):
        async with watching(rules, clock=Clock(at, 0, 0.0)) as (_, bus):
            await until(lambda bus=bus: bus.notices)    # type: ignore[misc]
            assert "规则到期提醒" == bus.notices[0].title and "safety" in bus.notices[0].text
            assert "负责人" in bus.notices[0].text
            ids.add(bus.notices[0].id)
    assert len(ids) == 1
    async with watching(rules, clock=Clock(NOON - 4 * 3_600_000, 0, 0.0)) as (_, bus):
        await until(lambda: bus.books)
        await asyncio.sleep(3 * rule_watch.POLL_SECONDS)
        assert bus.notices == [], "nobody is woken at eight in the morning"


def test_an_event_too_small_for_any_threshold_is_not_even_read_but_an_urgent_level_may_be_reached_by_one_report(
    rules: Path, store: Engine, monkeypatch: pytest.MonkeyPatch,
) -> None:
    fakes.put(store, event("lone", items=1, sources=1, joined=()))
    before = load_book(rules, ZONE)
    lower(rules)
    after, asked = load_book(rules, ZONE), []
    settings = Settings(data_dir=rules.parent / "data")

    def judge(warm: WarmEvent, book: RuleBook, now: int) -> None:
        asked.append(warm.head.id)

    assert rule_impact.impact(settings, before, after, NOON, judge=judge).count == 0
    assert sorted(asked) == [f"e{number:02}" for number in range(12)]
    events = replace(after.levels.events, urgent_level="重大")
    urgent = replace(after, levels=replace(after.levels, events=events))
    asked.clear()
    rule_impact.impact(settings, before, urgent, NOON, judge=judge)
    assert "lone" in asked
