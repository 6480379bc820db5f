"""A start with empty tables: what the archive knew is back, nothing is told twice, nothing is lost in between."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, insert

from agents import archivist, warmup
from agents.bus import Bus
from agents.clock import Clock
from agents.deps import Deps, RuleStore
from agents.embedded import embedded_broker
from agents.metrics import Metrics
from agents.settings import Settings
from agents.store import schema
from pipeline import codec, topics
from pipeline.collect.identity import pack_seen
from pipeline.escalate.escalator import Escalator
from pipeline.ids import digest
from pipeline.model import (
    Ack,
    AlertState,
    AlertStatus,
    Close,
    Counts,
    CountsBatch,
    CountsRow,
    Escalation,
    EventHead,
    EventStatus,
    PollRequest,
    ScoredBatch,
    Snooze,
    SourceState,
    Tick,
    WarmAlert,
    WarmEvent,
    Why,
)
from pipeline.rulebook.schema import HOUR, MINUTE, Level, RuleBook, Threshold
from pipeline.track.tracker import Tracker
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON, book, levels, raw_batch, raw_item, scored_batch, scored_item

PARTITIONS = 4


@dataclass
class FakeBus:
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    where: defaultdict[str, list[int | None]] = field(default_factory=lambda: defaultdict(list))

    async def post(self, topic: str, key: str, record: Any, *, ident: str,
                   partition: int | None = None) -> asyncio.Future[Any]:
        self.where[topic].append(partition)
        self.sent.append((topic, key, codec.decode_as(type(record), codec.encode(record))))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def partitions(self, topic: str) -> int:
        return PARTITIONS

    def records(self, *kinds: type) -> list[Any]:
        return [record for _, _, record in self.sent if isinstance(record, kinds)]


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return fakes.new_store(tmp_path)


@pytest.fixture
def deps(tmp_path: Path) -> Deps:
    return Deps(Settings(data_dir=tmp_path), Clock(start=NOON, real_start=0, factor=1e-15), Metrics(),
                RuleStore(book()))


async def warm(deps: Deps, store: Engine) -> tuple[FakeBus, warmup.WarmUp]:
    bus: Any = FakeBus()
    return bus, await warmup.from_store(deps, bus, store)


# ---------------------------------------------------------------- events and items


def burst(count: int, *, start: int = 0, at: int = NOON) -> ScoredBatch:
    """Items of one story from several sites."""
    numbers = range(start, start + count)
    return scored_batch(*(scored_item(f"a{n}", origin=f"site{n % 9}.example", at=at) for n in numbers))


async def test_a_tracker_that_starts_empty_goes_on_where_the_archive_stood(deps: Deps, store: Engine) -> None:
    """Warmed up and fed the rest, it has the members, level and number that it would have had without the restart."""
    first, rest = burst(11), burst(25, start=11)
    steady = Tracker(0, PARTITIONS)
    heads = steady.handle(first, book()).heads
    fakes.put(store, raw_batch(*(item.item for item in first.items)), first, *heads)
    expected = steady.handle(rest, book()).heads[-1]

    bus, _ = await warm(deps, store)
    fresh = Tracker(0, PARTITIONS)
    for record in bus.records(WarmEvent, ScoredBatch):
        assert fresh.handle(record, book()).heads == [], "a warm-up tells nobody anything"
    found = fresh.handle(rest, book()).heads[-1]
    assert found == expected
    assert (found.items, found.level_name, found.number) == (36, "重大", 1)


async def test_what_the_archive_had_not_seen_of_an_event_joins_it_again(deps: Deps, store: Engine) -> None:
    """Items were archived, the head that counted them was not: they come back as items, once each."""
    tracker = Tracker(0, PARTITIONS)
    early, late = burst(4), burst(8, start=4)
    fakes.put(store, early, *tracker.handle(early, book()).heads, late)
    expected = tracker.handle(late, book()).heads[-1]
    bus, sent = await warm(deps, store)
    fresh, heads = Tracker(0, PARTITIONS), []
    for record in bus.records(WarmEvent, ScoredBatch):
        heads += fresh.handle(record, book()).heads
    assert (sent.events, sent.rows, sent.items) == (1, 4, 8)
    assert (heads[-1].id, heads[-1].level, heads[-1].items) == (expected.id, expected.level, 12)


async def test_lone_items_come_in_the_order_of_their_first_sight_in_full_batches(deps: Deps, store: Engine) -> None:
    for n in range(150):
        fakes.put(store, scored_batch(scored_item(f"i{n:03d}", at=NOON - n, terms=(n * 7 + 1,))))
    bus, sent = await warm(deps, store)
    batches = bus.records(ScoredBatch)
    seen = [item.item.first_seen_at for batch in batches for item in batch.items]
    assert seen == sorted(seen) and len(seen) == sent.items == 150
    assert [len(batch.items) for batch in batches] == [64, 64, 22]
    assert {key for topic, key, record in bus.sent if isinstance(record, ScoredBatch)} == {"polling"}


async def test_items_of_the_open_subject_go_to_the_partitions_of_their_keys(deps: Deps, store: Engine) -> None:
    items = [scored_item(f"i{n}", terms=(n, n + 1)) for n in range(40)]
    fakes.put(store, scored_batch(*items, subject="*"))
    bus, _ = await warm(deps, store)
    for _, key, batch in bus.sent:
        keys = {topics.item_key(item, "*") for item in batch.items}
        assert {topics.partition_of(each, PARTITIONS) for each in keys} == {topics.partition_of(key, PARTITIONS)}
    assert sum(len(batch.items) for batch in bus.records(ScoredBatch)) == 40


async def test_an_item_in_an_event_of_one_subject_is_still_alone_in_another(deps: Deps, store: Engine) -> None:
    fakes.put(store, scored_batch(scored_item()), scored_batch(scored_item(), subject="queues"), fakes.head(7, "a1"))
    bus, _ = await warm(deps, store)
    assert [batch.subject for batch in bus.records(ScoredBatch)] == ["queues"]


async def test_texts_go_back_only_as_far_as_the_tracker_quotes_them(deps: Deps, store: Engine) -> None:
    fakes.put(store, scored_batch(scored_item(text="长" * 5_000)))
    bus, _ = await warm(deps, store)
    before = fakes.dump(store)
    assert len(bus.records(ScoredBatch)[0].items[0].item.text) == 80
    fakes.put(store, *bus.records(ScoredBatch, WarmEvent))
    assert fakes.dump(store) == before, "and do not replace the whole ones in the archive"


async def test_what_is_past_is_left_where_it_is(deps: Deps, store: Engine) -> None:
    old = NOON - 25 * HOUR
    fakes.put(store, scored_batch(scored_item("i1", at=old)),
              fakes.head(3, "a1", event_id="calm", status=EventStatus.CALM, level=0, number=5, last_item_at=old,
                         changed_at=old),
              fakes.head(3, "a2", event_id="small", status=EventStatus.WATCHING, level=0, number=0, last_item_at=old,
                         changed_at=old))
    bus, sent = await warm(deps, store)
    assert [(record.head.id, record.rows) for record in bus.records(WarmEvent)] == [("calm", ())], "for its number"
    assert sent.items == 0


async def test_a_closed_event_comes_back_too_so_that_it_stays_closed(deps: Deps, store: Engine) -> None:
    fakes.put(store, fakes.head(9, "a1", status=EventStatus.CLOSED, level=0, muted=True, floor_at=NOON))
    bus, _ = await warm(deps, store)
    assert [(record.head.muted, record.head.floor_at) for record in bus.records(WarmEvent)] == [(True, NOON)]


async def test_numbers_go_on_after_the_greatest_of_each_partition(deps: Deps, store: Engine) -> None:
    long_ago = NOON - 90 * 24 * HOUR
    for number in (1, 2, 5, 9, 6):
        fakes.put(store, fakes.head(3, event_id=f"e{number}", number=number, status=EventStatus.CALM, level=0,
                                    changed_at=long_ago, last_item_at=long_ago))
    bus, _ = await warm(deps, store)
    assert sorted(record.head.number for record in bus.records(WarmEvent)) == [6, 9]
    fresh = Tracker(0, PARTITIONS)
    for record in bus.records(WarmEvent):
        if (record.head.number - 1) % PARTITIONS == 0:
            fresh.handle(record, book())
    assert fresh.handle(burst(11), book()).heads[-1].number == 13


async def test_more_than_the_broker_can_hold_is_bounded_and_said(
    deps: Deps, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmup, "BUDGET_BYTES", 20_000)
    fakes.put(store, scored_batch(*(scored_item(f"i{n:03d}", at=NOON - n, terms=(n,)) for n in range(60))))
    bus, sent = await warm(deps, store)
    kept = [item.item.id for batch in bus.records(ScoredBatch) for item in batch.items]
    assert 0 < len(kept) < 60 and sent.left_out == 60 - len(kept)
    assert sorted(kept) == [f"i{n:03d}" for n in range(len(kept))], "the newest are kept"
    assert sum(len(codec.encode(record)) for record in bus.records(ScoredBatch)) <= 20_000


async def test_an_event_of_very_many_items_comes_back_with_its_newest(deps: Deps, store: Engine) -> None:
    terms = tuple((1_000_000 + n, 200) for n in range(16))
    rows = tuple(fakes.member(f"{n:020d}", NOON - n, terms=terms) for n in range(4_000))
    fakes.put(store, messages.head("e1", joined=rows))
    bus, sent = await warm(deps, store)
    (record,) = bus.records(WarmEvent)
    assert 0 < len(record.rows) < 4_000 and sent.left_out == 4_000 - len(record.rows)
    assert [row.at for row in record.rows] == [NOON - n for n in range(len(record.rows))]
    assert len(codec.encode(record)) < 1_000_000


# ---------------------------------------------------------------- alerts


def raised(version: int, level: int, raises: int) -> EventHead:
    decision = messages.decision(level=level, previous=level - 1)
    return fakes.head(version, "a1", level=level, raises=raises, peak=level, decision=decision, excerpts=(),
                      level_name=("", "一般", "较大", "重大")[level])


async def escalate(bus: FakeBus) -> tuple[Escalator, list[Escalation]]:
    escalator, told = Escalator(), []
    for topic, _, record in bus.sent:
        if topic == topics.EVENTS:
            told += escalator.handle(record, book()).escalations
    return escalator, told


async def test_an_alert_that_was_told_goes_on_with_its_next_step_and_tells_nobody_again(
    deps: Deps, store: Engine
) -> None:
    before = Escalator()
    outcome = before.handle(raised(7, 3, 3), book())
    (page,), state = outcome.escalations, outcome.states[-1]
    fakes.put(store, raised(7, 3, 3), state, page)
    _in_ledger(store, page)
    bus, sent = await warm(deps, store)
    after, told = await escalate(bus)
    assert told == [] and (sent.alerts, sent.heads, sent.messages) == (1, 0, 0)
    due = Tick(at=NOON + 5 * MINUTE)
    assert [each.id for each in after.handle(due, book()).escalations] == [
        each.id for each in before.handle(due, book()).escalations] != []


async def test_a_raise_that_nobody_was_told_of_is_told_after_the_start(deps: Deps, store: Engine) -> None:
    """The head reached the archive, the alert did not: without it the event would stay silent for ever."""
    fakes.put(store, raised(7, 3, 3))
    bus, sent = await warm(deps, store)
    _, told = await escalate(bus)
    assert [each.level for each in told] == [3] and sent.heads == 1


async def test_a_second_raise_behind_a_known_alert_is_told_too(deps: Deps, store: Engine) -> None:
    before = Escalator()
    outcome = before.handle(raised(7, 2, 2), book())
    fakes.put(store, raised(7, 2, 2), *outcome.states, *outcome.escalations, raised(9, 3, 3))
    for page in outcome.escalations:
        _in_ledger(store, page)
    bus, _ = await warm(deps, store)
    _, told = await escalate(bus)
    assert [each.id for each in told] == [each.id for each in before.handle(raised(9, 3, 3), book()).escalations]


async def test_a_fall_that_the_alert_had_not_seen_ends_it(deps: Deps, store: Engine) -> None:
    outcome = Escalator().handle(raised(7, 3, 3), book())
    calm = fakes.head(9, status=EventStatus.CALM, level=0, level_name="", raises=3, peak=3)
    fakes.put(store, raised(7, 3, 3), *outcome.states, calm)
    bus, _ = await warm(deps, store)
    escalator = Escalator()
    states = [state for topic, _, record in bus.sent if topic == topics.EVENTS
              for state in escalator.handle(record, book()).states]
    assert states[-1].status is AlertStatus.ENDED


async def test_an_alert_ahead_of_its_event_makes_the_next_version_news(deps: Deps, store: Engine) -> None:
    """The archive has the alert of version 9 and the event of version 7: version 8 would be dropped as known."""
    alert_id = digest("alert", "e1", 2, 2)
    fakes.put(store, raised(7, 2, 2), fakes.alert(event_version=9, alert_id=alert_id))
    bus, _ = await warm(deps, store)
    assert [record.head.version for record in bus.records(WarmEvent)] == [9]
    assert [(record.head.version, record.head.raises) for record in bus.records(WarmAlert)] == [(9, 2)]


async def test_ended_alerts_stay_ended(deps: Deps, store: Engine) -> None:
    fakes.put(store, fakes.head(status=EventStatus.CALM, level=0), fakes.alert(status=AlertStatus.ENDED))
    bus, _ = await warm(deps, store)
    assert bus.records(WarmAlert, AlertState) == []


def _in_ledger(store: Engine, escalation: Escalation) -> None:
    row = {"id": f"{escalation.id}-x"[:20], "escalation": codec.encode(escalation).decode(), "person": "duty-a",
           "channel": "console", "status": "confirmed", "attempts": 1, "decided_at": escalation.at, "next_try_at": 0,
           "lease_until": 0, "error": "", "reported": True}
    with store.begin() as connection:
        connection.execute(insert(schema.outbox), row)


async def test_only_a_message_that_is_not_in_delivers_ledger_is_sent_again(deps: Deps, store: Engine) -> None:
    kept, lost = messages.page("aa01"), messages.page("bb02")
    fakes.put(store, kept, lost, messages.system("cc03"), messages.page("dd04", at=NOON - 25 * HOUR))
    _in_ledger(store, kept)
    bus, sent = await warm(deps, store)
    assert [(topic, key, record.id) for topic, key, record in bus.sent] == [
        (topics.ESCALATIONS, "e1", "bb02"), (topics.ESCALATIONS, "cc03", "cc03")]
    assert sent.messages == 2


# ---------------------------------------------------------------- commands, sources


async def test_what_people_decided_today_is_sent_again_in_its_order(deps: Deps, store: Engine) -> None:
    real = Clock().now()
    orders = [
        (Close(id="c3", event_id="e1", key="polling", by="wang", at=NOON, reason="已处置"), real - 1_000),
        (Ack(id="c1", event_id="e1", alert_id="al1", by="wang", at=NOON), real - 3_000),
        (Snooze(id="c2", event_id="e1", alert_id="al1", by="wang", at=NOON, until=NOON + MINUTE), real - 2_000),
        (Snooze(id="c4", event_id="e1", alert_id="al1", by="wang", at=NOON - HOUR, until=NOON), real - 1_500),
        (Ack(id="c5", event_id="e1", alert_id="al0", by="wang", at=NOON), real - 25 * HOUR)]
    with store.begin() as connection:
        connection.execute(insert(schema.commands), [
            {"id": record.id, "event_id": "e1", "type": codec.type_name(record),
             "record": codec.encode(record).decode(), "accepted_at": at, "sent_at": at} for record, at in orders])
    bus, sent = await warm(deps, store)
    assert [(topic, key, record.id) for topic, key, record in bus.sent] == [
        (topics.EVENTS, "e1", "c1"), (topics.EVENTS, "e1", "c2"), (topics.ITEMS_SCORED, "polling", "c3")]
    assert sent.commands == 3


async def test_a_report_that_the_archive_has_not_got_is_sent_again_and_a_poll_is_not(
    deps: Deps, store: Engine
) -> None:
    """The embedded broker forgets: a source is read anew, a person would not know to file once more."""
    real = Clock().now()
    waiting = raw_batch(raw_item("r1"), source_id="intake")
    poll = PollRequest(id="p1", source_id="a", by="wang", at=NOON)
    rows = [("c1", waiting, codec.encode(waiting).decode()), ("c2", waiting, ""),
            ("c3", poll, codec.encode(poll).decode())]
    with store.begin() as connection:
        connection.execute(insert(schema.commands), [
            {"id": ident, "event_id": ident, "type": codec.type_name(record), "record": text,
             "accepted_at": real - 1_000, "sent_at": real} for ident, record, text in rows])
    bus, sent = await warm(deps, store)
    assert bus.sent == [(topics.ITEMS_RAW, "intake", waiting)] and sent.commands == 1


async def test_a_source_remembers_only_what_was_scored_and_is_polled_at_once_without_validators(
    deps: Deps, store: Engine
) -> None:
    edited = raw_item("a2", revision="2" * 16, first_seen_at=NOON + 1)
    fakes.put(store, raw_batch(raw_item("a1"), raw_item("a2"), edited, raw_item("a3")),
              scored_batch(scored_item("a1"), scored_item("a2")), scored_batch(scored_item("a1"), subject="*"),
              fakes.source_state(failures=2, unconditional_at=NOON), fakes.source_state("leer", backfilled=False))
    bus, sent = await warm(deps, store)
    states = {state.source_id: state for state in bus.records(SourceState)}
    state = states["xinwen"]
    scored = ("a1", "0" * 16, raw_item("a1").url)
    assert state.seen == pack_seen([scored]), "a2's edit and a3 were not scored: they must come again"
    assert (state.etag, state.last_modified, state.unconditional_at, state.next_poll_at) == ("", "", None, NOON)
    assert (state.url, state.backfilled, state.failures) == ("http://xinwen.example/rss", True, 2)
    assert (states["leer"].backfilled, states["leer"].seen) == (False, b"")
    assert sent.sources == 2


async def test_a_source_keeps_its_rhythm_and_a_wait_its_site_asked_for_over_a_start(deps: Deps, store: Engine) -> None:
    usual = fakes.source_state(etag='"1"', arrivals=(NOON - HOUR, NOON), moved_to="http://neu.example/", moves=2)
    told = fakes.source_state("leer", outcome="rate_limited", failures=1, next_poll_at=NOON + HOUR)
    fakes.put(store, usual, told)
    bus, _ = await warm(deps, store)
    states = {state.source_id: state for state in bus.records(SourceState)}
    assert states["xinwen"].arrivals == (NOON - HOUR, NOON) and states["xinwen"].moves == 2
    assert states["xinwen"].etag == "" and states["leer"].next_poll_at == NOON + HOUR
    assert bus.where[topics.COLLECTOR_STATE] == [
        topics.partition_of_host(state.url, PARTITIONS) for state in bus.records(SourceState)]


async def test_an_empty_store_sends_nothing(deps: Deps, store: Engine) -> None:
    bus, sent = await warm(deps, store)
    assert bus.sent == [] and sent == warmup.WarmUp()


# ---------------------------------------------------------------- on a broker


def test_the_group_waited_for_is_the_archives() -> None:
    assert warmup.ARCHIVE_GROUP == archivist.GROUP


@pytest.mark.embedded
async def test_the_start_waits_for_an_archive_that_is_behind(tmp_path: Path) -> None:
    with embedded_broker() as address:
        settings = Settings(bootstrap=address, data_dir=tmp_path, embedded=True)
        deps = Deps(settings, Clock(), Metrics(), RuleStore(book()))
        now = deps.clock.now()
        async with Bus(settings, deps.clock, "test") as bus:
            await bus.send(topics.ITEMS_SCORED, "polling", scored_batch(scored_item(at=now)), ident="1")
            assert not await warmup.archive_caught_up(deps, stalled_seconds=0.3, poll_seconds=0.05)
            role = asyncio.create_task(archivist.run(deps))
            try:
                async with asyncio.timeout(60):
                    sent = await warmup.warm_up(deps, bus)
            finally:
                role.cancel()
                await asyncio.gather(role, return_exceptions=True)
    assert sent.items == 1


# ---------------------------------------------------------------- counts


def grown(item_id: str, at: int, comments: int) -> CountsBatch:
    return CountsBatch(source_id="xinwen", at=at, items=(CountsRow(item_id, at, Counts(comments=comments)),))


def growing() -> RuleBook:
    need = Threshold(items=90, sources=9, window=HOUR), Threshold(window=HOUR, growth=500)
    return book(levels=levels(ladder=(Level(name="一般", response="三级响应", enter=need),), overrides=()))


async def test_the_growth_of_an_event_survives_a_restart(deps: Deps, store: Engine) -> None:
    deps.rules.offer(growing())
    both = scored_batch(*(scored_item(each, origin=each, at=NOON - HOUR // 2, counts=Counts(comments=10))
                          for each in "ab"))
    early = [grown("a", NOON - 20 * MINUTE, 200), grown("b", NOON - 10 * MINUTE, 150)]
    steady = Tracker(0, PARTITIONS)
    heads = [head for record in (both, *early) for head in steady.handle(record, growing()).heads]
    fakes.put(store, raw_batch(*(item.item for item in both.items)), both, *early, *heads)

    bus, _ = await warm(deps, store)
    fresh = Tracker(0, PARTITIONS)
    for record in bus.records(WarmEvent, ScoredBatch):
        assert fresh.handle(record, growing()).heads == []
    late = grown("a", NOON, 390)
    found = fresh.handle(late, growing()).heads
    assert found == steady.handle(late, growing()).heads
    assert (found[-1].decision.why, found[-1].growth) == (Why.GROWING, 520)


async def test_what_grew_over_an_outage_is_no_burst_after_a_second_restart_either(deps: Deps, store: Engine) -> None:
    deps.rules.offer(growing())
    both = scored_batch(*(scored_item(each, origin=each, at=NOON - 8 * HOUR, counts=Counts(comments=10))
                          for each in "ab"))
    late = msgspec.structs.replace(grown("a", NOON - MINUTE, 810), since=NOON - 8 * HOUR)
    edit = scored_item("b", origin="b", at=NOON - MINUTE, revision="1" * 16, counts=Counts(comments=810))
    edit = msgspec.structs.replace(edit, item=msgspec.structs.replace(edit.item, counts_since=NOON - 8 * HOUR))
    edited = scored_batch(edit)
    steady = Tracker(0, PARTITIONS)
    heads = [head for record in (both, late, edited) for head in steady.handle(record, growing()).heads]
    fakes.put(store, raw_batch(*(item.item for item in both.items)), both, late, raw_batch(edit.item), edited, *heads)

    bus, _ = await warm(deps, store)
    fresh = Tracker(0, PARTITIONS)
    for record in bus.records(WarmEvent, ScoredBatch):
        assert fresh.handle(record, growing()).heads == []
    for record in (grown("a", NOON, 900), grown("b", NOON + 1, 900)):
        found = fresh.handle(record, growing()).heads
        assert found == steady.handle(record, growing()).heads and found[-1].level == 0


async def test_what_a_lone_item_grew_by_before_the_restart_is_no_growth_of_now(deps: Deps, store: Engine) -> None:
    deps.rules.offer(growing())
    lone = scored_batch(scored_item("a", at=NOON - HOUR, counts=Counts(comments=10)))
    fakes.put(store, raw_batch(lone.items[0].item), lone, grown("a", NOON - 30 * MINUTE, 800))
    bus, _ = await warm(deps, store)
    fresh = Tracker(0, PARTITIONS)
    for record in (*bus.records(WarmEvent, ScoredBatch), grown("a", NOON, 900)):
        assert fresh.handle(record, growing()).heads == []
