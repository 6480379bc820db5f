"""A start with empty tables while rules run in shadow: both sides go on, and the live one never gives way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, insert

from agents import warmup
from agents.deps import Deps
from agents.store import schema
from pipeline import codec
from pipeline.model import Escalation, EventHead, RulesAnswer, ScoredBatch, Verdict, VerdictKind, WarmEvent
from pipeline.rulebook.schema import Status, Subject, Term
from pipeline.track.pair import TrackerPair
from tests.agents import store_fakes as fakes
from tests.agents.test_warmup import PARTITIONS, FakeBus, deps, store, warm
from tests.builders import NOON, book, raw_batch, scored_batch, scored_item
from tests.messages import page

__all__ = ["deps", "store"]
BUS = Subject(id="bus", title="停运", owner="值班室", reason="投票日", expires="2036-12-31", status=Status.SHADOW,
              terms=(Term(text="停运"),))
BOOK = book(subjects=(*book().subjects, BUS))


def story(subject: str, count: int, *, start: int = 0, at: int = NOON) -> ScoredBatch:
    return scored_batch(*(scored_item(f"a{n}", origin=f"site{n % 9}.example", at=at)
                          for n in range(start, start + count)), subject=subject)


def archived(engine: Engine, tracker: TrackerPair, *batches: ScoredBatch) -> list[EventHead]:
    heads = [head for batch in batches for head in tracker.handle(batch, BOOK).heads]
    for batch in batches:
        fakes.put(engine, raw_batch(*(item.item for item in batch.items)), batch)
    fakes.put(engine, *heads)
    return heads


async def test_both_sides_go_on_where_they_stood_with_their_own_numbers(deps: Deps, store: Engine) -> None:
    deps.rules.offer(BOOK)
    steady = TrackerPair(0, PARTITIONS)
    archived(store, steady, story("polling", 4), story("~bus", 4), story("~bus", 4, start=50, at=NOON + 1))
    bus, _ = await warm(deps, store)
    fresh = TrackerPair(0, PARTITIONS)
    for record in bus.records(WarmEvent, ScoredBatch):
        assert fresh.handle(record, BOOK).heads == []
    for rest in (story("polling", 9, start=10), story("~bus", 9, start=10)):
        assert fresh.handle(rest, BOOK).heads == steady.handle(rest, BOOK).heads
    other = scored_batch(*(scored_item(f"b{n}", origin=f"site{n}.example", terms=(90, 91, 92)) for n in range(4)))
    assert {head.short for head in fresh.handle(other, BOOK).heads if head.number} == {"E-0005"}
    apart = replace(other, subject="~bus")
    assert {head.short for head in fresh.handle(apart, BOOK).heads if head.number} == {"S-0005"}


async def test_the_greatest_number_of_each_side_comes_back_though_its_event_is_over(deps: Deps, store: Engine) -> None:
    old = NOON - 90 * 24 * 3_600_000
    tracker = TrackerPair(0, PARTITIONS)
    live, shadow = (archived(store, tracker, story(each, 4, at=old))[-1] for each in ("polling", "~bus"))
    over = [replace(head, level=0, status="calm", changed_at=old, number=number, version=99)
            for head, number in ((live, 9), (shadow, 5))]
    fakes.put(store, *over)
    bus, _ = await warm(deps, store)
    assert {head.short for head in (record.head for record in bus.records(WarmEvent))} == {"E-0009", "S-0005"}


async def test_what_runs_in_shadow_takes_what_room_is_left(
    deps: Deps, store: Engine, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warmup, "BUDGET_BYTES", 12_000)
    lone = [scored_item(f"i{n:03d}", at=NOON - n, terms=(n * 7 + 1,), text="投票站") for n in range(60)]
    shadow = [scored_item(f"s{n:03d}", at=NOON - n, terms=(n * 7 + 1,), text="投票站") for n in range(60)]
    fakes.put(store, scored_batch(*lone, subject="polling"))
    alone, _ = await warm(deps, store)
    fakes.put(store, scored_batch(*shadow, subject="~polling"))
    archived(store, TrackerPair(0, PARTITIONS), story("~bus", 4))
    both, sent = await warm(deps, store)
    assert 0 < sent.items < 120 and sent.left_out
    live = [record for record in both.records(ScoredBatch) if record.subject == "polling"]
    assert live == alone.records(ScoredBatch)
    assert both.sent.index(next(each for each in both.sent if each[2] == live[-1])) < min(
        n for n, (_, key, _) in enumerate(both.sent) if key.startswith("~"))


async def test_nothing_that_only_a_shadow_rule_said_is_sent_on_at_a_start(deps: Deps, store: Engine) -> None:
    fakes.put(store, page("live"), replace(page("shadow"), shadow=True))
    bus, _ = await warm(deps, store)
    assert [each.id for each in bus.records(Escalation)] == ["live"]


async def test_verdicts_are_said_again_to_where_they_belong_and_answers_about_rules_are_not(
    deps: Deps, store: Engine, tmp_path: Path,
) -> None:
    at = deps.clock.now()
    records: list[Any] = [
        Verdict(id="v1", subject="bus", kind=VerdictKind.NOT_RELEVANT, by="w", at=at, event_id="e1"),
        Verdict(id="v2", subject="bus", kind=VerdictKind.RELEVANT, by="w", at=at, item_id="i1"),
        RulesAnswer(hash="b", accept=True, by="w", at=at)]
    with store.begin() as connection:
        for n, record in enumerate(records):
            connection.execute(insert(schema.commands).values(
                id=f"c{n}", event_id="x", type=codec.type_name(record), record=codec.encode(record).decode(),
                accepted_at=2**50))
    bus: FakeBus
    bus, sent = await warm(deps, store)
    assert [(topic, key) for topic, key, _ in bus.sent] == [("events", "e1"), ("events", "i1")] and sent.commands == 2
