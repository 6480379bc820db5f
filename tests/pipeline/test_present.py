"""A host whose clock is ahead: what it dates into the future happened now, and no window of others moves by it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.escalate.escalator import Escalator
from pipeline.model import (
    Ack,
    Close,
    Counts,
    CountsBatch,
    CountsRow,
    EventHead,
    EventStatus,
    Silence,
    Snooze,
    Statement,
    Tick,
    Why,
)
from pipeline.present import AHEAD, not_ahead
from pipeline.rulebook.schema import HOUR, MINUTE, Route, Step
from pipeline.track.tracker import Tracker
from tests.builders import NOON, book, scored_batch, scored_item
from tests.messages import decision, head

BOOK = book()
SKEWS = (10 * MINUTE, HOUR - MINUTE)


class Host:
    """A tracker on a host whose clock is right. cut: whether times of the future are cut, as the agent does it."""

    def __init__(self, *, cut: bool = True) -> None:
        self.tracker, self.cut, self.heads = Tracker(0, 4), cut, list[tuple[int, EventHead]]()

    def take(self, record: Any, now: int) -> None:
        seen = not_ahead(record, now)[0] if self.cut else record
        self.heads += [(now, head) for head in self.tracker.handle(seen, BOOK).heads]

    def changes(self, subject: str = "polling") -> list[tuple[int, int]]:
        """When the level of the subject's event became which."""
        found = [(now, head.level) for now, head in self.heads if head.subject == subject]
        return [each for n, each in enumerate(found) if n == 0 or found[n - 1][1] != each[1]]


def day(host: Host, skew: int) -> None:
    """Three reports of an event within ten minutes, and for eight hours a collector whose items are dated by `skew`."""
    for n in range(3):
        at = NOON + n * 5 * MINUTE
        host.take(scored_batch(scored_item(f"a{n}", origin=f"site{n}", at=at)), at)
    for n in range(8 * 12):
        at = NOON + 11 * MINUTE + n * 5 * MINUTE
        host.take(Tick(at=at), at)
        if skew:
            host.take(scored_batch(scored_item(f"b{n}", terms=(n + 50, n + 51, n + 52), at=at + skew),
                                   subject="water"), at)


@pytest.mark.parametrize("skew", SKEWS)
def test_items_of_a_clock_that_is_ahead_calm_nothing_down_early(skew: int) -> None:
    alone, beside, uncut = Host(), Host(), Host(cut=False)
    for host, off in ((alone, 0), (beside, skew), (uncut, skew)):
        day(host, off)
    assert [level for _, level in alone.changes()] == [0, 1, 0], "the event rises, and calms down by itself"
    assert beside.changes() == alone.changes()
    assert uncut.changes() != alone.changes(), "this test would not see it"


@pytest.mark.parametrize("skew", SKEWS)
def test_two_collectors_whose_clocks_differ_still_make_one_event_of_the_level(skew: int) -> None:
    host = Host()
    for n in range(3):
        at = NOON + n * MINUTE
        ahead = skew if n % 2 else 0
        host.take(scored_batch(scored_item(f"a{n}", origin=f"site{n}", at=at + ahead, published_at=None)), at)
    last = host.heads[-1][1]
    assert (last.level, last.items, len({head.id for _, head in host.heads})) == (1, 3, 1)
    assert last.last_item_at <= NOON + 2 * MINUTE, "nothing happened in the future"


def test_an_event_that_a_desk_ahead_of_us_closed_comes_back_with_what_is_new() -> None:
    host = Host()
    for n in range(3):
        host.take(scored_batch(scored_item(f"a{n}", origin=f"site{n}", at=NOON + n)), NOON + n)
    event = host.heads[-1][1]
    now = NOON + MINUTE
    host.take(Close(id="c", event_id=event.id, key=event.key, by="li", at=now + HOUR - MINUTE, reason="已处置"), now)
    assert host.heads[-1][1].level == 0
    for n in range(3):
        at = now + (n + 2) * MINUTE
        host.take(scored_batch(scored_item(f"n{n}", origin=f"site{n}", at=at)), at)
    assert host.heads[-1][1].level == 1


def test_counts_of_the_future_are_of_now() -> None:
    row = CountsRow("a", NOON + HOUR, Counts(comments=3))
    cut, ahead = not_ahead(CountsBatch(source_id="s", at=NOON + HOUR, items=(row,), since=NOON + 2 * HOUR), NOON)
    assert (cut.at, cut.items[0].at, cut.since, ahead) == (NOON, NOON, NOON, HOUR)
    assert cut.items[0].counts == row.counts


@pytest.mark.parametrize("skew", SKEWS)
def test_an_alert_of_an_event_that_was_raised_in_the_future_takes_its_second_step_in_time(skew: int) -> None:
    steps = (Step(tell=("duty",)), Step(tell=("leaders",), after=5 * MINUTE))
    rules = replace(BOOK, routes=(Route(id="r", steps=steps),))
    at = NOON + skew
    raised = head("e1", version=1, level=1, raises=1, decision=replace(decision(level=1, previous=0), at=at),
                  first_item_at=at, last_item_at=at, opened_at=at, changed_at=at)
    for cut, minutes in ((True, 5), (False, 5 + skew // MINUTE)):
        escalator, told = Escalator(), []
        for minute in range(75):
            now = NOON + minute * MINUTE
            for record in (*((raised,) if minute == 0 else ()), Tick(at=now)):
                sent = escalator.handle(not_ahead(record, now)[0] if cut else record, rules).escalations
                told += [(minute, each.step) for each in sent if each.repeat == 0]
        assert told[:2] == [(0, 0), (minutes, 1)], "uncut, it waits for its own time"


def test_a_head_of_the_future_keeps_which_decision_was_its_last_change() -> None:
    at = NOON + HOUR
    ahead = head("e1", version=1, level=1, raises=1, changed_at=at, decision=replace(decision(level=1), at=at),
                 opened_at=NOON - MINUTE, urgent_at=at, first_item_at=NOON - MINUTE, last_item_at=at)
    cut, by = not_ahead(ahead, NOON)
    assert (cut.changed_at, cut.decision.at, cut.opened_at, cut.urgent_at, by) == (
        NOON, NOON, NOON - MINUTE, NOON, HOUR)


def test_a_fall_by_rules_that_was_decided_in_the_future_is_told_once() -> None:
    """Later heads carry the decision again, each cut to its own now: it seemed a new one each time."""
    escalator, sent = Escalator(wary=True), []
    raised = head("e1", version=1, level=2, raises=1, changed_at=NOON + HOUR,
                  decision=replace(decision(), at=NOON + HOUR))
    fell = replace(raised, level=0, level_name="", status=EventStatus.CALM, decision=replace(
        decision(), at=NOON + HOUR + MINUTE, level=0, previous=2, why=Why.RULES, name=""))
    heads = [raised, *(replace(fell, version=1 + n, changed_at=NOON + HOUR + n * MINUTE) for n in range(1, 5))]
    escalator.handle(Tick(at=NOON), BOOK)
    for n, each in enumerate(heads):
        cut = not_ahead(each, NOON + n * MINUTE)[0]
        assert (cut.decision.at == cut.changed_at) is (n < 2)
        sent += [made.why for made in escalator.handle(cut, BOOK).escalations]
    assert sent == ["raised", "rules"]


def test_what_a_desk_ahead_of_us_says_counts_from_now() -> None:
    ack = Ack(id="a", event_id="e", alert_id="x", by="li", at=NOON + HOUR)
    assert not_ahead(ack, NOON) == (replace(ack, at=NOON), HOUR)
    snooze = Snooze(id="s", event_id="e", alert_id="x", by="li", at=NOON + HOUR, until=NOON + HOUR + 30 * MINUTE)
    assert not_ahead(snooze, NOON)[0].until == NOON + 30 * MINUTE, "half an hour, as the person said"


@pytest.mark.parametrize("skew", [0, *SKEWS])
def test_a_silence_of_a_desk_ahead_of_us_holds_from_now_on_and_ends_when_a_person_ends_it(skew: int) -> None:
    """It began when our clock had caught up, and held on after its end: that was older than its beginning."""
    escalator, sent = Escalator(wary=True), []
    silence = Silence(id="s", by="li", at=NOON + skew, owner="li", reason="r", starts_at=NOON + skew,
                      ends_at=NOON + skew + 30 * MINUTE, subjects=("polling",))
    ended = replace(silence, at=max(silence.at + 1, NOON + 2 * MINUTE), expired_at=NOON + 2 * MINUTE)
    raised = head("e1", version=1, level=2, raises=1, changed_at=NOON + MINUTE)
    records = [(0, Tick(at=NOON)), (0, silence), (1, raised), (2, ended), (3, Tick(at=NOON + 3 * MINUTE))]
    for minute, record in records:
        out = escalator.handle(not_ahead(record, NOON + minute * MINUTE)[0], BOOK)
        sent += [(minute, made.suppressed_by) for made in out.escalations]
    assert sent in ([(1, "silence:s"), (2, "")], [(1, "silence:s"), (3, "")]), "at once, or by the next tick"
    held = not_ahead(silence, NOON)[0]
    assert (held.starts_at, held.ends_at) == (NOON, NOON + 30 * MINUTE), "half an hour, as the person said"


def test_a_statement_of_a_desk_ahead_of_us_was_registered_now() -> None:
    said = Statement(id="x", event_id="e1", by="li", at=NOON + HOUR, title="t", published_at=NOON - MINUTE)
    assert not_ahead(said, NOON) == (replace(said, at=NOON), HOUR)


def test_what_is_near_enough_stays_as_it_is() -> None:
    near = scored_batch(scored_item("a", at=NOON + AHEAD))
    assert not_ahead(near, NOON) == (near, 0) and not_ahead(near, NOON)[0] is near
    late = scored_item("b", at=NOON + AHEAD + 1, counts_since=NOON + 1)
    mixed = scored_batch(scored_item("a", at=NOON - MINUTE), late)
    first, second = not_ahead(mixed, NOON)[0].items
    assert first is mixed.items[0] and second.item.first_seen_at == second.item.counts_since == NOON
    assert not_ahead(Tick(at=NOON + HOUR), NOON) == (Tick(at=NOON + HOUR), 0), "ticks are the tracker's own"
