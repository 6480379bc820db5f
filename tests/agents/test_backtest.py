"""A backtest decides what `pipeline.replay` decides, whatever it leaves out on the way."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from agents.backtest import run
from agents.backtest.history import parts_of_archive, parts_of_file
from agents.store import history_reads
from pipeline import topics
from pipeline.backtest.compare import Side
from pipeline.backtest.pages import escalated
from pipeline.backtest.values import SETTLE, TICK, Grid
from pipeline.model import (
    OPEN_SUBJECT,
    Counts,
    CountsBatch,
    CountsRow,
    Escalation,
    EventHead,
    Millis,
    RawBatch,
    RawItem,
    ScoredItem,
    Tick,
)
from pipeline.replay import Input, Replay
from pipeline.rulebook.schema import (
    DAY,
    HOUR,
    MINUTE,
    Active,
    Condition,
    Fold,
    LevelOverride,
    Levels,
    Near,
    Pattern,
    Route,
    RouteMode,
    RuleBook,
    Source,
    Status,
    Step,
    Subject,
    Term,
    Threshold,
    WordList,
)
from pipeline.score.score import Scorer
from tests import stores
from tests.agents.store_fakes import new_store, put
from tests.builders import NOON, book, levels, raw_item

UNTIL = NOON + 20 * DAY
TEXTS = ("投票站几点关门", "南门投票站排队两小时", "有人说投票站三点截止", "选民证丢了还能投票吗", "选民证补办要几天",
         "网传选民证作废", "路灯坏了三天没人修", "小区停水通知", "今天天气不错")
PLACES = "云石柳桥溪松岭湖塘梅竹沙洲口湾坪"


class Silent:
    """Progress that nobody looks at."""

    def read(self, items: int) -> None:
        assert items >= 0

    def played(self, done: int, of: int) -> None:
        assert done <= of


def subject(ident: str, terms: tuple[str, ...] = ()) -> Subject:
    return Subject(id=ident, title=f"关于 {ident}", owner="值班室", reason="试验", expires="never",
                   terms=tuple(Term(text=text) for text in terms))


def rules(**changes: Any) -> RuleBook:
    sources = tuple(Source(id=f"s{n}", name=f"来源{n}", url=f"http://s{n}.example/", origin=f"o{n}",
                           official=n == 7, group="本地" if n % 2 else "外地") for n in range(8))
    values: dict[str, Any] = {
        "sources": sources,
        "subjects": (subject("polling", terms=("投票站",)), subject("papers", terms=("选民证",))),
        "levels": grown_levels(),
        "routes": (
            Route(id="digest", levels=("一般",), mode=RouteMode.DIGEST, every=HOUR, steps=(Step(tell=("duty-a",)),)),
            Route(id="page", repeat=30 * MINUTE,
                  steps=(Step(tell=("duty-a",)), Step(tell=("leader-a",), after=10 * MINUTE)))),
        **changes}
    return book(**values)


def grown_levels() -> Levels:
    """With counts: what grows fast reaches the second level."""
    made = levels()
    grows = Threshold(window=HOUR, growth=80, growth_sources=1)
    one, two, three = made.ladder
    top = Threshold(window=3 * HOUR, items=16, sources=5)
    return replace(made, ladder=(one, replace(two, enter=(*two.enter, grows)), replace(three, enter=(top,))))


def history(seed: int = 3) -> list[RawBatch | CountsBatch]:
    """Ten days: single items, bursts, lulls of hours, edits that begin or end a match, backfill, growing counts."""
    found: list[RawBatch | CountsBatch] = []
    chance, at = random.Random(seed), NOON
    for n in range(260):
        at += chance.choice((7, 20, 40)) * 1000 if n % 52 < 34 else chance.randrange(5, 300) * MINUTE
        source, place = f"s{chance.randrange(8)}", "".join(chance.choices(PLACES, k=2))
        text = f"{place}{chance.choice(TEXTS) if chance.random() < 0.4 else TEXTS[n // 52 * 2]}"
        backfill = n % 29 == 0
        item = raw_item(f"{n:020x}", revision=f"{n:016x}", source_id=source, title=text, text=text * 2,
                        first_seen_at=at, published_at=at - (30 * HOUR if backfill else chance.randrange(0, 60_000)),
                        backfill=backfill, counts=Counts(comments=3, likes=1) if n % 3 == 0 else None)
        found.append(RawBatch(source_id=source, polled_at=at, items=(item,)))
        if n % 17 == 0:
            other = f"更新：{place}{chance.choice(TEXTS)}"
            edit = replace(item, revision=f"{n + 1000:016x}", title=other, text=other, counts=None,
                           first_seen_at=at + chance.randrange(1, 90) * MINUTE)
            found.append(RawBatch(source_id=source, polled_at=edit.first_seen_at, items=(edit,)))
        for step in range(4 if n % 3 == 0 else 0):
            when = at + (step + 1) * 11 * MINUTE
            rows = (CountsRow(item.id, when, Counts(comments=3 + 25 * (step + 1), likes=1)),)
            found.append(CountsBatch(source_id=source, at=when, items=rows))
    return found


def in_order(engine: Engine) -> list[tuple[Millis, int, int, RawItem | CountsBatch]]:
    part = history_reads.Slice(NOON, UNTIL, UNTIL)
    with engine.connect() as connection:
        items = [(item.first_seen_at, 0, place, item) for place, item in
                 enumerate(history_reads.contents(connection, part))]
        counts = [(one.at, 1, place, one) for place, one in enumerate(history_reads.counts(connection, part))]
    return sorted([*items, *counts], key=lambda each: each[:3])


def with_ticks(records: list[tuple[Millis, int, int, RawItem | CountsBatch]]) -> Iterator[Input]:
    times = [at for at, kind, _, _ in records if kind == 0]
    tick, end = times[0], Grid.of(times[0], times[-1]).end
    assert end - times[-1] <= SETTLE
    for at, _, _, record in records:
        while tick + TICK <= at:
            tick += TICK
            yield Input(topics.ITEMS_SCORED, Tick(at=tick))
        batch = record
        if isinstance(record, RawItem):
            batch = RawBatch(source_id=record.source_id, polled_at=at, items=(record,))     # type: ignore[assignment]
        yield Input(topics.ITEMS_RAW, batch)
    while tick < end:
        tick += TICK
        yield Input(topics.ITEMS_SCORED, Tick(at=tick))


class Watched(Scorer):
    """Without the open subject."""

    def score(self, item: RawItem) -> dict[str, ScoredItem]:
        return {name: seen for name, seen in super().score(item).items() if name != OPEN_SUBJECT}


Events = dict[str, tuple[str, frozenset[str], list[tuple[Millis, int]]]]
Told = Counter[tuple[Any, ...]]


def replayed(records: list[Any], of: RuleBook, build: type[Scorer]) -> tuple[Events, Told]:
    """Events that reached a level, with members and levels, and every message: by the whole flow."""
    flow = Replay(of, 4, build=build)
    members: dict[str, set[str]] = {}
    events: Events = {}
    told: Told = Counter()
    for each in with_ticks(records):
        for decision in flow.feed(each):
            if isinstance(decision, EventHead):
                members.setdefault(decision.id, set()).update(row.item_id for row in decision.joined)
                if decision.number:
                    changes = events[decision.id][2] if decision.id in events else []
                    if not changes or changes[-1][1] != decision.level:
                        changes.append((decision.changed_at, decision.level))
                    events[decision.id] = decision.subject, frozenset(members[decision.id]), changes
            elif isinstance(decision, Escalation):
                told[_message(decision)] += 1
    return events, told


def found(side: Side, grid: Grid) -> tuple[Events, Told]:
    """The same of a backtest."""
    events = {event.id: (event.subject, frozenset(event.items), [(each.at, each.level) for each in event.changes])
              for played in side.played for event in played.events}
    steps = [step for played in side.played for step in played.steps]
    return events, Counter(map(_message, escalated(steps, side.book, grid)))


def _message(each: Escalation) -> tuple[Any, ...]:
    about = (each.head.id,) if each.head is not None else tuple(head.id for head in each.digest)
    return each.id, each.at, each.kind, each.tell, each.level_name, each.step, each.repeat, about, each.shadow


def backtested(engine: Engine, live: RuleBook, candidate: RuleBook, **how: Any) -> run.Result:
    parts = parts_of_archive(stores.url_of(engine), NOON, UNTIL)
    result = run.backtest(live, candidate, parts, progress=Silent(), with_ids=True, **how)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = new_store(tmp_path_factory.mktemp("store"))
    put(engine, *history())
    return engine


CANDIDATES: dict[str, dict[str, Any]] = {
    "the same": {},
    "a term more": {"subjects": (subject("polling", terms=("投票站", "南门投票站", "路灯")),
                                 subject("papers", terms=("选民证",)))},
    "an exclusion": {"subjects": (
        replace(subject("polling", terms=("投票站",)), exclude=(Pattern(text="排队"),)),
        subject("papers", terms=("选民证",)))},
    "by group": {"subjects": (replace(subject("polling", terms=("投票站",)), groups=("本地",)),)},
    "a shadow rule": {"subjects": (
        subject("polling", terms=("投票站",)),
        replace(subject("papers", terms=("选民证", "停水")), status=Status.SHADOW))},
    "another ladder": {"levels": levels(overrides=(
        LevelOverride(subject="papers", enter={"重大": (Threshold(items=4, sources=2, window=HOUR),)}),))},
    "another origin": {"sources": tuple(Source(id=f"s{n}", name=f"来源{n}", url=f"http://s{n}.example/", origin="o",
                                               official=n == 2) for n in range(8))},
    "other words' weight": {"sentiment": replace(rules().sentiment, words={"排队": -2.0})},
    "spelled as it is": {"subjects": (
        replace(subject("polling", terms=("投票站",)), fold=Fold(evasion=False, variants=False)),
        subject("papers", terms=("选民证",)))},
    "in the whole language": {
        "lists": (WordList(id="stations", title="站点", words=("投票站", "路灯")),),
        "subjects": (
            replace(subject("polling"), terms=(Term(list="stations"), Term(regex="[一二三]+点")),
                    match=Condition(none=(Condition(pattern=Pattern(near=Near(words=("排队", "小时"), within=4))),))),
            replace(subject("papers", terms=("选民证",)), active=Active(hours="06:00-23:00")),
            replace(subject("words"), terms=(Term(text="天气", word=True),)))},
    "where words end": {"subjects": (
        replace(subject("polling"), terms=(Term(text="投票", word=True), Term(text="投票站"))),
        replace(subject("papers"), terms=(Term(text="选民", word=True), Term(text="作废"))))},
    "more at stake": {"subjects": (replace(subject("polling", terms=("投票站",)), impact=4),
                                   subject("papers", terms=("选民证",)))},
}


@pytest.mark.parametrize("name", CANDIDATES)
def test_both_sides_are_what_replay_decides(archive: Engine, name: str) -> None:
    live, candidate = rules(hash="a" * 16), rules(hash="b" * 16, **CANDIDATES[name])
    result, records = backtested(archive, live, candidate), in_order(archive)
    grid = Grid.of(result.first, result.last)
    for side, own in ((result.live, live), (result.candidate, candidate)):
        assert found(side, grid) == replayed(records, own, Watched)


def test_the_history_of_these_tests_has_what_is_to_be_told_apart(archive: Engine) -> None:
    """Levels that rise and fall, rises by counts, digests, pages of several steps, edits, events of both subjects."""
    result = backtested(archive, rules(), rules())
    events, told = found(result.live, Grid.of(result.first, result.last))
    assert {name for name, _, _ in events.values()} == {"polling", "papers"}
    assert max(level for _, _, changes in events.values() for _, level in changes) == 3
    assert min(level for _, _, changes in events.values() for _, level in changes) == 0
    assert {kind for _, _, kind, *_ in told} == {"page", "digest", "inform"}
    assert {step for _, _, _, _, _, step, *_ in told} == {0, 1}
    assert any(head.decision.why == "growing" for head in _heads(result.live))
    assert result.counts > 300 and result.items > 260


def _heads(side: Side) -> list[EventHead]:
    return [step.head for played in side.played for step in played.steps]


def test_the_open_subject_counts_when_it_is_asked_for(archive: Engine) -> None:
    own = rules(levels=levels(overrides=(
        LevelOverride(subject="*", enter={"一般": (Threshold(items=3, sources=2, window=HOUR),)}),)))
    result, records = backtested(archive, own, own, open_subject=True), in_order(archive)
    events, told = found(result.live, Grid.of(result.first, result.last))
    assert (events, told) == replayed(records, own, Scorer)
    assert "*" in {name for name, _, _ in events.values()}


def test_processes_change_nothing_of_the_result(archive: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.backtest.history.PART_ITEMS", 40)
    live, candidate = rules(hash="a" * 16), rules(hash="b" * 16, **CANDIDATES["a term more"])
    alone, together = (backtested(archive, live, candidate, jobs=jobs) for jobs in (1, 2))
    assert alone == together
    assert alone.comparison.rules[0].gained_titles


def test_a_file_out_of_order_is_played_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.backtest.history.PART_BYTES", 4_000)
    items = [each.items[0] for each in history() if isinstance(each, RawBatch)]
    lines = [json.dumps({"source": item.source_id, "title": item.title, "text": item.text, "at": item.first_seen_at},
                        ensure_ascii=False) for item in items]
    results = []
    for name in ("sorted", "shuffled"):
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
        parts = parts_of_file(tmp_path / name, "Asia/Shanghai", lambda _: None)
        results.append(run.backtest(rules(), rules(**CANDIDATES["by group"]), parts, progress=Silent()))
        random.Random(1).shuffle(lines)
    assert results[0] is not None and results[1] is not None
    assert results[0].comparison == results[1].comparison
    assert results[0].comparison.events
