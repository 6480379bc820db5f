"""Rules in shadow: they see the same items, and change nothing of what the live rules decide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pipeline import codec, topics
from pipeline.escalate import policy
from pipeline.escalate.escalator import Escalator
from pipeline.model import (
    Close,
    Counts,
    CountsBatch,
    CountsRow,
    Escalation,
    EscalationKind,
    EventHead,
    RawBatch,
    RawItem,
    Tick,
    Verdict,
    VerdictKind,
    WarmEvent,
)
from pipeline.replay import Input, Replay
from pipeline.rulebook.schema import (
    HOUR,
    MINUTE,
    LevelOverride,
    Route,
    RuleBook,
    SentimentRules,
    Source,
    Status,
    Step,
    Subject,
    Term,
    Threshold,
)
from pipeline.rulebook.shadow import judging, runs_in_shadow, seen_by
from pipeline.score.pair import ScorerPair
from pipeline.track.pair import TrackerPair
from tests.builders import NOON, book, levels, raw_item, routes, scored_batch, scored_item
from tests.pipeline.test_escalate import head

SOURCES = tuple(Source(id=f"s{n}", name=f"站{n}", url=f"http://s{n}.example/rss", origin=f"s{n}.example")
                for n in range(5))
POLLING = Subject(id="polling", title="投票时间地点", owner="值班室", reason="投票日", expires="2036-12-31",
                  terms=(Term(text="投票站"),))
BUS = Subject(id="bus", title="停运", owner="值班室", reason="投票日", expires="2036-12-31", status=Status.SHADOW,
              terms=(Term(text="公交停运"), Term(text="投票站")))
LIVE = book(sources=SOURCES, subjects=(POLLING,))
BESIDE = book(sources=SOURCES, subjects=(replace(POLLING, terms=(Term(text="关门"),)),
                                         replace(BUS, status=Status.LIVE)),
              sentiment=SentimentRules(words={"关门": -3.0}), hash="5" * 16,
              levels=levels(overrides=(LevelOverride(subject="*", enter={"一般": (Threshold(
                  items=2, sources=2, window=HOUR),)}),)))

ONE_RULE = replace(LIVE, subjects=(POLLING, BUS), hash="c" * 16)
WITH_BOOK = replace(LIVE, shadow=BESIDE)
"""The live side of either is LIVE."""

TEXTS = ("投票站几点关门", "投票站几点关门，公交停运了", "公交停运，怎么去", "暴雨要来了，公交停运", "今晚停电吗",
         "投票站排队")


def day(rules: RuleBook) -> Iterator[Input]:
    """Half a day of six texts told by five sources, with edits, counts that grow, and time; then nobody speaks."""
    yield Input(topics.RULES, rules)
    for n in range(120):
        at, source = NOON + n * MINUTE, f"s{n % 5}"
        items = tuple(item(f"i{n}-{k}", at, source, TEXTS[(n + k) % 6] + "啊" * (n % 3)) for k in range(1 + n % 2))
        yield Input(topics.ITEMS_RAW, RawBatch(source_id=source, polled_at=at, items=items))
        if n % 7 == 3:
            counted = CountsBatch(source_id=source, at=at, items=(
                CountsRow(items[0].id, at, Counts(comments=n * 40)),))
            yield Input(topics.ITEMS_RAW, counted)
        if n % 5 == 0:
            yield Input(topics.ITEMS_SCORED, Tick(at=at))
    for n in range(140):
        yield Input(topics.ITEMS_SCORED, Tick(at=NOON + 2 * HOUR + n * 5 * MINUTE))


def item(ident: str, at: int, source: str, title: str) -> RawItem:
    return raw_item(ident, source_id=source, title=title, text="", first_seen_at=at, published_at=at,
                    counts=Counts(comments=0))


def decided(rules: RuleBook) -> tuple[list[Any], list[Any]]:
    """What is live of the day's decisions, and what is of shadow rules."""
    flow, live, shadow = Replay(rules, 4), [], []
    for each in day(rules):
        for decision in flow.feed(each):
            (shadow if in_shadow(decision) else live).append(decision)
    return live, shadow


def in_shadow(decision: Any) -> bool:
    return decision.shadow if isinstance(decision, EventHead | Escalation) else False


def encoded(decisions: list[Any]) -> list[bytes]:
    """As they are on the wire, the name of the book apart: a book with a rule more is another book."""
    return [codec.encode(each).replace(b"c" * 16, b"b" * 16) for each in decisions]


@pytest.mark.parametrize("rules", [ONE_RULE, WITH_BOOK], ids=["one rule", "a directory"])
def test_what_is_live_is_the_same_to_the_byte_with_and_without_shadow_rules(rules: RuleBook) -> None:
    without, nothing = decided(LIVE)
    live, shadow = decided(rules)
    assert nothing == [] and {type(each) for each in shadow} == {EventHead, Escalation}
    assert len(without) > 150 and any(isinstance(each, Escalation) for each in without)
    assert encoded(live) == encoded(without)


def test_a_shadow_rule_of_the_live_book_makes_events_and_pages_of_its_own() -> None:
    _, shadow = decided(ONE_RULE)
    heads = [each for each in shadow if isinstance(each, EventHead)]
    assert {each.subject for each in heads} == {"~bus"}
    assert {each.short[:2] for each in heads if each.number} == {"S-"}
    assert max(each.level for each in heads) > 0 and all(each.book == ONE_RULE.hash for each in heads)


def test_a_shadow_directory_is_a_whole_book_with_its_own_sentiment_open_subject_and_levels() -> None:
    pair = ScorerPair(WITH_BOOK)
    found = pair.score(item("a", NOON, "s1", "投票站几点关门"))
    assert list(found) == ["polling", "~polling", "~bus"]
    assert (found["polling"].sentiment.polarity, found["~polling"].sentiment.polarity) == ("neutral", "negative")
    assert list(pair.score(item("b", NOON, "s1", "今晚停电吗"))) == ["*", "~*"]
    assert {seen_by(WITH_BOOK, each) for each in ("~polling", "~*", "~bus")} == {BESIDE.hash}
    assert seen_by(WITH_BOOK, "polling") == LIVE.hash == seen_by(ONE_RULE, "~bus").replace("c", "b")
    _, shadow = decided(WITH_BOOK)
    assert any(each.level for each in shadow if isinstance(each, EventHead) and each.subject == "~*")
    assert {each.book for each in shadow} == {BESIDE.hash}


def test_a_rule_in_shadow_in_both_books_is_the_shadow_books() -> None:
    both = replace(ONE_RULE, shadow=replace(BESIDE, subjects=(replace(BUS, terms=(Term(text="停电"),)),)))
    found = ScorerPair(both).score(item("a", NOON, "s1", "公交停运"))
    assert list(found) == ["*", "~*"], "the live book's spelling of the rule is not tried out any more"
    assert list(ScorerPair(both).score(item("b", NOON, "s1", "今晚停电吗"))) == ["*", "~bus"]
    other = replace(both, shadow=replace(BESIDE, subjects=()))
    assert list(ScorerPair(other).score(item("a", NOON, "s1", "公交停运"))) == ["*", "~bus", "~*"]
    assert runs_in_shadow(both) == runs_in_shadow(other) == runs_in_shadow(ONE_RULE) == ("bus",)


def test_a_shadow_book_that_cannot_be_scored_stops_no_live_item() -> None:
    class Broken:
        def score(self, item: RawItem) -> Any:
            raise ValueError("cannot")

    def build(rules: RuleBook) -> Any:
        return Broken() if rules.hash == BESIDE.hash else ScorerPair(rules)

    pair = ScorerPair(WITH_BOOK, build)
    assert list(pair.score(item("a", NOON, "s1", "投票站几点关门"))) == ["polling"]
    assert (pair.trouble, pair.failures) == ("ValueError: cannot", 1)

    def unbuilt(rules: RuleBook) -> Any:
        if rules.hash == BESIDE.hash:
            raise RuntimeError("no such dictionary")
        return ScorerPair(rules)

    assert list(ScorerPair(WITH_BOOK, unbuilt).score(item("a", NOON, "s1", "投票站"))) == ["polling"]
    assert ScorerPair(WITH_BOOK, unbuilt).trouble == "RuntimeError: no such dictionary"


def test_the_open_subject_is_sliced_in_shadow_too() -> None:
    seen = scored_item("a", terms=(70, 3))
    assert (topics.item_key(seen, "*"), topics.item_key(seen, "~*"), topics.item_key(seen, "~bus")) == (
        "*/3", "~*/3", "~bus")


# ---------------------------------------------------------------- track


def three(subject: str, first: int = 0, at: int = NOON) -> Any:
    terms = (first, 1 + first, 2 + first)
    return scored_batch(*(scored_item(f"{subject}{first}{n}", origin=f"o{n}", at=at + n, terms=terms)
                          for n in range(3)), subject=subject)


def test_numbers_of_shadow_events_use_up_no_live_ones_and_are_kept_over_a_restart() -> None:
    rows: dict[bytes, bytes] = {}

    def said(tracker: TrackerPair, record: Any) -> list[str]:
        out = tracker.handle(record, ONE_RULE)
        for key, value in out.puts.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        return [each.short for each in out.heads if each.number]

    tracker = TrackerPair(0, 1)
    assert said(tracker, three("~bus"))[-1] == "S-0001"
    assert said(tracker, three("polling"))[-1] == "E-0001"
    assert [each.short for each in tracker.open_events] == ["E-0001"]
    tracker = TrackerPair.restore(0, 1, rows.items())
    assert [each.short for each in tracker.open_events] == ["E-0001"]
    assert said(tracker, three("~bus", 50, NOON + 9))[-1] == "S-0002"
    assert said(tracker, three("polling", 50, NOON + 9))[-1] == "E-0002"


def test_a_shadow_rule_is_judged_by_its_own_thresholds() -> None:
    strict = levels(overrides=(LevelOverride(subject="bus", enter={"一般": (Threshold(
        items=9, sources=2, window=HOUR),)}),))
    heads = TrackerPair(0, 1).handle(three("~bus"), replace(ONE_RULE, levels=strict)).heads
    assert heads[-1].level == 0
    assert judging(replace(ONE_RULE, levels=strict)).levels.overrides[0].subject == "~bus"


def test_commands_and_warm_up_reach_the_side_they_are_about() -> None:
    tracker = TrackerPair(0, 1)
    shadow = tracker.handle(three("~bus"), ONE_RULE).heads[-1]
    live = tracker.handle(three("polling"), ONE_RULE).heads[-1]
    closed = Close(id="c", event_id=shadow.id, key=shadow.key, by="w", at=NOON + 9, reason="不相关")
    out = tracker.handle(closed, ONE_RULE)
    assert [(each.short, each.status) for each in out.heads] == [("S-0001", "closed")]
    assert [each.id for each in tracker.open_events] == [live.id]
    warm = TrackerPair(0, 1)
    out = warm.handle(WarmEvent(head=shadow, rows=()), ONE_RULE)
    assert out.puts and all(key.startswith(b"~") for key in out.puts) and warm.open_events == []
    assert warm.handle(three("~bus", 50), ONE_RULE).heads[-1].short == "S-0002"
    assert warm.handle(three("polling"), ONE_RULE).heads[-1].short == "E-0001"


def test_an_error_of_the_shadow_side_stops_no_clock_of_the_live_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = TrackerPair(0, 1)
    tracker.handle(three("~bus"), ONE_RULE)
    tracker.handle(three("polling"), ONE_RULE)
    assert tracker.shadow is not None
    with monkeypatch.context() as patch:
        patch.setattr(tracker.shadow, "handle", lambda record, rules: 1 / 0)
        out = tracker.handle(Tick(at=NOON + MINUTE), ONE_RULE)
    assert list(out.puts) == [b"t"] and tracker.trouble.startswith("ZeroDivisionError")
    heads = [head for n in range(1, 900) for head in tracker.handle(Tick(at=NOON + n * 5 * MINUTE), ONE_RULE).heads]
    assert {head.subject for head in heads} == {"polling"} and heads[-1].level == 0
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        tracker.handle(three("~bus", 50), ONE_RULE)


def test_without_shadow_rules_time_writes_no_row_for_them() -> None:
    assert list(TrackerPair(0, 1).handle(Tick(at=NOON), LIVE).puts) == [b"t"]


# ---------------------------------------------------------------- escalate


def shadow_head(version: int = 1, **changes: Any) -> EventHead:
    return replace(head(version), subject="~bus", key="~bus", **changes)


def test_a_raise_in_shadow_is_one_recorded_page_and_nobody_is_asked_again() -> None:
    escalator, said, states, puts = Escalator(), [], [], set()
    for record in (shadow_head(), shadow_head(), shadow_head(2, changed_at=NOON + 5),
                   *(Tick(at=NOON + n * 5 * MINUTE) for n in range(1, 40))):
        out = escalator.handle(record, ONE_RULE)
        said += out.escalations
        states += out.states
        puts |= set(out.puts)
    assert {each.id for each in said} == {said[0].id} and len(said) == 2, "a head that comes again says the same again"
    page = said[0]
    assert (page.kind, page.shadow, page.tell, page.step, page.at) == (EscalationKind.PAGE, True, ("duty",), 0, NOON)
    assert states == [] and puts == {b"t", b"r"}, "what time it is, by which rules"


def test_a_shadow_head_moves_no_live_timer() -> None:
    late = shadow_head(changed_at=NOON + HOUR)
    late = replace(late, decision=replace(late.decision, at=NOON + HOUR))
    escalator = Escalator()
    escalator.handle(head(), ONE_RULE)
    assert [each.shadow for each in escalator.handle(late, ONE_RULE).escalations] == [True]
    assert escalator.now == NOON


def test_who_would_be_told_is_the_shadow_books_affair() -> None:
    only = (Route(id="bus", subjects=("bus",), steps=(Step(tell=("leaders",)), Step(tell=("ops",), after=MINUTE))),)
    beside = replace(ONE_RULE, shadow=replace(BESIDE, routes=only))
    assert policy.in_shadow(shadow_head(), beside).tell == ("leaders",)
    other = replace(shadow_head(), subject="~polling")
    assert policy.in_shadow(other, beside).tell == (BESIDE.roster.fallback,)
    assert policy.in_shadow(replace(other, level=1, level_name="一般"), replace(beside, shadow=None)).kind == "digest"
    assert routes()[2].steps[0].tell == policy.in_shadow(replace(other, level=1, level_name="一般"), ONE_RULE).tell


def test_what_comes_of_a_shadow_rule_may_not_be_sent_whatever_its_flag_says() -> None:
    page = policy.in_shadow(shadow_head(), ONE_RULE)
    assert page.unsendable and replace(page, shadow=False).unsendable
    assert replace(page, shadow=False, head=None, digest=(head(), shadow_head())).unsendable
    assert not replace(page, shadow=False, head=head(), digest=(head(),)).unsendable


def test_a_verdict_changes_no_alert() -> None:
    escalator = Escalator()
    escalator.handle(head(), LIVE)
    before = msgspec.msgpack.encode(escalator._cases)
    out = escalator.handle(Verdict(id="v", subject="polling", kind=VerdictKind.NOT_RELEVANT, by="w", at=NOON + 1,
                                   event_id="e1"), LIVE)
    assert (out.escalations, out.states, out.puts, out.late) == ([], [], {}, 0)
    assert msgspec.msgpack.encode(escalator._cases) == before
