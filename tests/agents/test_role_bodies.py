"""The bodies of score, track and escalate with fakes: no Faust, no broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from agents.clock import Clock
from agents.deps import Deps, RuleStore
from agents.escalator import Escalate
from agents.metrics import Metrics
from agents.scorer import Score, ScorerOfBook, split
from agents.settings import Settings
from agents.tracker import Track
from pipeline import codec, topics
from pipeline.escalate.escalator import Escalator
from pipeline.model import (
    SHADOW,
    Counts,
    CountsBatch,
    CountsRow,
    DeadLetter,
    DrillMark,
    Escalation,
    EventHead,
    RawBatch,
    ScoredBatch,
    Tick,
    Verdict,
    VerdictKind,
    Why,
)
from pipeline.replay import Input, Replay
from pipeline.rulebook.schema import HOUR, MINUTE, Level, RuleBook, Threshold
from pipeline.track.pair import TrackerPair
from tests.builders import NOON, book, levels, raw_batch, raw_item, scored_batch, scored_item
from tests.pipeline.test_escalate import head


class FakeOut:
    """Remembers what was sent, in order. `fail` names a topic whose sends are refused."""

    def __init__(self, fail: str = "") -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.fail = fail

    async def post(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        if topic == self.fail:
            raise ConnectionError("broker away")
        self.sent.append((topic, key, record))

    send = post

    def records(self, kind: type) -> list[Any]:
        return [record for _, _, record in self.sent if isinstance(record, kind)]


class FakeTable:
    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def apply(self, partition: int, puts: Mapping[bytes, bytes | None]) -> None:
        for key, value in puts.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


class FakeStates:
    def __init__(self, state: Any) -> None:
        self.state = state

    def of(self, partition: int) -> Any:
        return self.state

    def held(self) -> dict[int, Any]:
        return {0: self.state}


@pytest.fixture
def deps() -> Deps:
    return Deps(Settings(), Clock(NOON, 0, 0.0), Metrics(), RuleStore(book()))


def value(deps: Deps, name: str, **labels: str) -> float:
    return deps.metrics.registry.get_sample_value(f"wenxun_{name}", labels) or 0.0


async def test_an_item_goes_on_once_per_subject_it_matches(deps: Deps) -> None:
    out = FakeOut()
    await Score(deps, out)(raw_batch(raw_item("a"), raw_item("b", title="今天天气很好", text="")), 0)  # type: ignore[arg-type]
    keys = {record.subject: [one.item.id for one in record.items] for record in out.records(ScoredBatch)}
    assert keys == {"polling": ["a"], "*": ["b"]}


async def test_one_bad_item_is_set_aside_alone_and_can_be_replayed(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    out, body = FakeOut(), Score(deps, FakeOut())
    body._out = out  # type: ignore[assignment]
    scorer = await body._scorers.get()
    good = scorer.score

    class Brittle:
        def score(self, item: Any) -> Any:
            if item.id == "bad":
                raise ValueError("cannot")
            return good(item)

        book_of, trouble = scorer.book_of, ""

    body._scorers._scorer = Brittle()  # type: ignore[assignment]
    await body(raw_batch(raw_item("a"), raw_item("bad"), raw_item("c")), 2)
    (letter,) = [record for topic, _, record in out.sent if topic == topics.DEAD_LETTERS]
    assert [one.item.id for batch in out.records(ScoredBatch) for one in batch.items] == ["a", "c"]
    alone = codec.decode(letter.value, {"ce_type": letter.type.encode()})
    assert isinstance(alone, RawBatch) and [item.id for item in alone.items] == ["bad"]
    assert value(deps, "dead_letters_total", role="score", reason="failed") == 1


def test_a_scored_record_that_grows_too_large_is_split_and_never_cut() -> None:
    items = [scored_item(f"i{n}", text="文" * 4000) for n in range(64)]
    batches = list(split("polling", "b", items))
    assert len(batches) > 1 and all(len(codec.encode(batch)) <= topics.MAX_RECORD_BYTES for batch in batches)
    assert [one.item.id for batch in batches for one in batch.items] == [one.item.id for one in items]


async def test_the_tracker_writes_its_rows_and_sends_the_event_on(deps: Deps) -> None:
    out, table = FakeOut(), FakeTable()
    body = Track(deps, out, table, FakeStates(TrackerPair(0, 4)))  # type: ignore[arg-type]
    for n in range(3):
        await body(scored_batch(scored_item(f"i{n}", origin=f"s{n}", at=NOON + n)), 0)
    last = out.records(EventHead)[-1]
    assert last.level_name == "一般" and out.sent[-1][:2] == (topics.EVENTS, last.id)
    assert TrackerPair.restore(0, 4, table.rows.items()).open_events[0].id == last.id
    await body(Tick(at=NOON + MINUTE), 0)
    assert value(deps, "open_events", level="一般") == 1
    assert value(deps, "level_decisions_total", why="raised") == 1


async def test_open_events_are_judged_again_at_the_first_tick_under_other_rules_as_replay_does(deps: Deps) -> None:
    out, table, state = FakeOut(), FakeTable(), TrackerPair(0, 1)
    lax = book(hash="c" * 16, levels=levels(ladder=(Level(
        name="一般", response="三级响应", enter=(Threshold(items=2, sources=2, window=HOUR),)),), overrides=()))
    items = [scored_batch(scored_item(f"i{n}", origin=f"s{n}", at=NOON + n)) for n in range(2)]
    flow, replayed = Replay(book(), 1, frozenset({topics.ITEMS_RAW, topics.ITEMS_SCORED, topics.EVENTS})), []
    body = Track(deps, out, table, FakeStates(state))  # type: ignore[arg-type]
    for record in (*items, lax, Tick(at=NOON + MINUTE, behind=True), Tick(at=NOON + 2 * MINUTE)):
        if isinstance(record, RuleBook):
            deps.rules.offer(record)
            list(flow.feed(Input(topics.RULES, record)))
        else:
            await body(record, 0)
            replayed += flow.feed(Input(topics.ITEMS_SCORED, record, 0))
    last = out.records(EventHead)[-1]
    assert (last.level, last.decision.why, last.book, last.changed_at) == (1, Why.RULES, "c" * 16, NOON + 2 * MINUTE)
    assert out.records(EventHead) == replayed
    assert value(deps, "level_decisions_total", why="rules") == 1
    assert value(deps, "event_e2e_latency_seconds_count", stage="track") == 0
    again = Track(deps, FakeOut(), table, FakeStates(TrackerPair.restore(0, 1, table.rows.items())))  # type: ignore[arg-type]
    await again(Tick(at=NOON + 3 * MINUTE), 0)
    assert value(deps, "level_decisions_total", why="rules") == 1, "a restart does not do it twice"


async def test_a_decision_that_several_heads_carry_is_counted_and_timed_once(deps: Deps) -> None:
    out = FakeOut()
    body = Track(deps, out, FakeTable(), FakeStates(TrackerPair(0, 4)))  # type: ignore[arg-type]
    await body(Tick(at=NOON + MINUTE), 0)                           # a backlog: items of before the last tick
    for first in (0, 4):
        await body(scored_batch(*(scored_item(f"i{n}", origin=f"s{n}", at=NOON) for n in range(first, first + 4))), 0)
    heads = [head for head in out.records(EventHead) if head.level]
    assert len(heads) == 3 and {head.decision for head in heads} == {heads[0].decision}
    assert value(deps, "level_decisions_total", why="raised") == 1
    assert value(deps, "event_e2e_latency_seconds_count", stage="track") == 1


async def test_a_drill_is_in_no_figure(deps: Deps) -> None:
    out = FakeOut()
    body = Track(deps, out, FakeTable(), FakeStates(TrackerPair(0, 4)))  # type: ignore[arg-type]
    mark = DrillMark(run="r1", source_name="演练源", origin="o")
    items = [scored_item(f"i{n}", origin=f"s{n}", at=NOON, drill=mark) for n in range(4)]
    await body(scored_batch(*items, subject="!polling"), 0)
    assert any(head.level for head in out.records(EventHead))
    assert value(deps, "level_decisions_total", why="raised") == 0
    assert value(deps, "event_e2e_latency_seconds_count", stage="track") == 0


async def test_what_runs_in_shadow_is_in_no_figure_and_its_trouble_is_said_once(deps: Deps) -> None:
    pair, out = TrackerPair(0, 4), FakeOut()
    body = Track(deps, out, FakeTable(), FakeStates(pair))  # type: ignore[arg-type]
    await body(scored_batch(*(scored_item(f"i{n}", origin=f"s{n}", at=NOON + n) for n in range(3)), subject="~bus"), 0)
    await body(Tick(at=NOON + MINUTE), 0)
    assert out.records(EventHead)[-1].level_name == "一般"
    assert value(deps, "open_events", level="一般") == value(deps, "level_decisions_total", why="raised") == 0
    pair._beside[SHADOW].trouble = "ValueError: x"
    for n in range(3):
        await body(Tick(at=NOON + (2 + n) * MINUTE), 0)
    assert value(deps, "agent_errors_total", role="track") == 1


async def test_pages_in_shadow_are_no_escalations_of_any_figure(deps: Deps) -> None:
    out = FakeOut()
    body = Escalate(deps, out, FakeTable(), FakeStates(Escalator()))  # type: ignore[arg-type]
    await body(replace(head(), subject="~polling"), 0)
    await body(Verdict(id="v", subject="polling", kind=VerdictKind.RELEVANT, by="w", at=NOON, event_id="e1"), 0)
    assert [each.shadow for each in out.records(Escalation)] == [True] and len(out.sent) == 1
    assert value(deps, "escalations_total", kind="page") == 0


async def test_a_shadow_book_that_does_not_score_is_said_once(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    deps.rules.offer(replace(book(), shadow=book(hash="5" * 16)))
    out = FakeOut()
    body = Score(deps, out)  # type: ignore[arg-type]
    scorer = await body._scorers.get()
    monkeypatch.setattr(scorer._beside, "score", lambda item: 1 / 0)
    for n in range(3):
        await body(raw_batch(raw_item(f"a{n}")), 0)
    assert [batch.subject for batch in out.records(ScoredBatch)] == ["polling"] * 3
    assert value(deps, "agent_errors_total", role="score") == 1 and not out.records(DeadLetter)


async def test_a_record_that_does_not_belong_on_a_topic_is_refused(deps: Deps) -> None:
    body = Track(deps, FakeOut(), FakeTable(), FakeStates(TrackerPair(0, 4)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="items.scored holds no EventHead"):
        await body(head(), 0)


async def test_the_escalator_says_decided_only_after_its_escalation_is_out(deps: Deps) -> None:
    table, state = FakeTable(), Escalator()
    body = Escalate(deps, FakeOut(fail=topics.ESCALATIONS), table, FakeStates(state))  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        await body(head(), 0)
    assert table.rows == {}
    out = FakeOut()
    again = Escalate(deps, out, table, FakeStates(Escalator.restore(0, table.rows.items())))  # type: ignore[arg-type]
    await again(head(), 0)
    assert len(out.records(Escalation)) == 1 and b"a|e1" in table.rows


async def test_a_repeat_after_the_state_was_written_sends_no_second_page(deps: Deps) -> None:
    out, table = FakeOut(), FakeTable()
    body = Escalate(deps, out, table, FakeStates(Escalator()))  # type: ignore[arg-type]
    await body(head(), 0)
    restored: Iterable[tuple[bytes, bytes]] = table.rows.items()
    again = Escalate(deps, out, table, FakeStates(Escalator.restore(0, restored)))  # type: ignore[arg-type]
    await again(replace(head(), joined=()), 0)
    assert len(out.records(Escalation)) == 1


async def test_a_rule_book_whose_scorer_cannot_be_built_leaves_the_one_before_it_at_work(
    deps: Deps, monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorers = ScorerOfBook(deps)
    before = await scorers.get()

    def broken(book: Any) -> Any:
        raise RuntimeError("no such dictionary")

    with monkeypatch.context() as patch:
        patch.setattr("agents.scorer.ScorerPair", broken)
        deps.rules.offer(replace(book(), hash="c" * 16))
        for _ in range(50):
            assert await scorers.get() == before
            await asyncio.sleep(0.001)
    assert value(deps, "agent_errors_total", role="score") == 1
    deps.rules.offer(replace(book(), hash="d" * 16))
    async with asyncio.timeout(60):
        while (await scorers.get()).book.hash != "d" * 16:
            await asyncio.sleep(0.01)


async def test_a_wait_for_the_first_scorer_that_is_given_up_does_not_end_its_making(deps: Deps) -> None:
    scorers = ScorerOfBook(deps)
    waiting = asyncio.create_task(scorers.get())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await scorers.get()).book.hash == "b" * 16


async def test_counts_go_to_every_tracker_as_they_are(deps: Deps) -> None:
    class Places(FakeOut):
        async def post(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
            self.sent.append((f"{topic}/{partition}", key, record))

    out, counts = Places(), CountsBatch(source_id="xinwen", at=NOON, items=(CountsRow("a", NOON, Counts(likes=3)),))
    await Score(deps, out)(counts, 2)  # type: ignore[arg-type]
    assert out.sent == [(f"{topics.ITEMS_SCORED}/{each}", "xinwen", counts) for each in range(deps.settings.partitions)]


async def test_growth_reaches_the_table_and_is_sent_on(deps: Deps) -> None:
    table, out = FakeTable(), FakeOut()
    body = Track(deps, out, table, FakeStates(TrackerPair(0, 4)))  # type: ignore[arg-type]
    await body(scored_batch(*(scored_item(each, counts=Counts(comments=1)) for each in "ab")), 0)
    await body(CountsBatch(source_id="xinwen", at=NOON, items=(CountsRow("a", NOON, Counts(comments=41)),)), 0)
    assert [head.growth for head in out.records(EventHead)] == [0, 40]
    assert sorted(key[:2] for key in table.rows) == [b"c|", b"c|", b"h|", b"i|", b"i|", b"t"]
