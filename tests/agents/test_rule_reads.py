"""How rules do: matches, events, pages, verdicts and their ratio; shadow beside live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, event, text

from agents.store import readmodel, rule_reads
from agents.store.rule_reads import Against, RuleFigures, Spans, Verdicts
from pipeline.model import (
    Escalation,
    EscalationKind,
    EventHead,
    EventStatus,
    ScoredBatch,
    Verdict,
    VerdictKind,
)
from pipeline.rulebook.schema import DAY, HOUR
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON, book, scored_batch, scored_item


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return fakes.new_store(tmp_path)


def matched(subject: str, *hours: float) -> ScoredBatch:
    """Items that a subject matched so many hours before noon."""
    return scored_batch(*(scored_item(f"{subject}{each}", at=NOON - int(each * HOUR)) for each in hours),
                        subject=subject)


def event_of(subject: str, number: int, *items: str, hours: float = 1, **changes: Any) -> EventHead:
    at = NOON - int(hours * HOUR)
    return messages.head(f"{subject}-{number}", subject=subject, key=subject, number=number, items=len(items),
                         opened_at=at, changed_at=at, joined=tuple(fakes.member(each) for each in items), **changes)


def page_of(head: EventHead, step: int = 0, repeat: int = 0, **changes: Any) -> Escalation:
    return Escalation(
        id=f"{head.id}-{step}-{repeat}", kind=EscalationKind.PAGE, at=head.changed_at, why="raised", tell=("duty",),
        event_id=head.id, step=step, repeat=repeat, shadow=head.shadow, **changes)


def verdict(ident: str, subject: str, kind: VerdictKind, about: str, at: int = NOON, *, item: bool = False) -> Verdict:
    thing = {"item_id": about} if item else {"event_id": about}
    return Verdict(id=ident, subject=subject, kind=kind, by="wang", at=at, book="b" * 16, **thing)


def figures(store: Engine, *subjects: str) -> dict[str, RuleFigures]:
    with store.connect() as connection:
        return rule_reads.rule_figures(connection, NOON, subjects)


def against(store: Engine, *subjects: str, **options: Any) -> Against:
    with store.connect() as connection:
        return rule_reads.against(connection, NOON, subjects, **options)


def test_matches_events_and_pages_are_counted_in_three_spans_by_subject_live_or_shadow(store: Engine) -> None:
    first, late = event_of("bus", 1, "a", hours=2), event_of("bus", 2, "b", hours=80)
    fakes.put(store, matched("bus", 1, 30, 31, 24 * 8, 24 * 31), matched("~bus", 2, 3), matched("*", 1),
              first, late, event_of("bus", 0, "c"), event_of("~bus", 1, "a"),
              page_of(first), page_of(first, step=1), page_of(first, repeat=1), page_of(late),
              page_of(event_of("~bus", 1)), page_of(event_of("~bus", 1), step=1, digest=()))
    assert figures(store, "~bus", "bus", "never") == {
        "~bus": RuleFigures("~bus", Spans(2, 2, 2), Spans(1, 1, 1), Spans(1, 1, 1)),
        "bus": RuleFigures("bus", Spans(1, 3, 4), Spans(1, 2, 2), Spans(1, 2, 2)),
        "never": RuleFigures("never")}


RELEVANT, NOT, TWICE, LEVEL = (VerdictKind.RELEVANT, VerdictKind.NOT_RELEVANT, VerdictKind.DUPLICATE,
                               VerdictKind.WRONG_LEVEL)


@pytest.mark.parametrize(("said", "judged", "ratio"), [
    ((), 0, None),
    ((NOT, NOT, NOT, NOT), 4, None),
    ((NOT, NOT, NOT, NOT, NOT), 5, 1.0),
    ((RELEVANT, TWICE, LEVEL, NOT, RELEVANT), 5, 0.2),
    ((RELEVANT, TWICE, TWICE, LEVEL, RELEVANT), 5, 0.0)])
def test_the_ratio_needs_a_sample_and_counts_a_duplicate_as_relevant(
    store: Engine, said: tuple[VerdictKind, ...], judged: int, ratio: float | None,
) -> None:
    fakes.put(store, *(verdict(f"v{n}", "bus", kind, f"e{n}") for n, kind in enumerate(said)),
              *(verdict(f"w{n}", "~bus", NOT, f"e{n}") for n in range(7)))
    found = figures(store, "bus")["bus"].verdicts
    assert (found.judged, found.false_positives) == (judged, ratio)
    assert figures(store, "~bus")["~bus"].verdicts == Verdicts(not_relevant=7)


def test_the_last_word_on_a_thing_counts_in_any_order_and_once(store: Engine) -> None:
    words = [verdict("v1", "bus", NOT, "e1", NOON), verdict("v2", "bus", RELEVANT, "e1", NOON + 5),
             verdict("v3", "bus", NOT, "i1", NOON, item=True), verdict("v4", "bus", NOT, "i1", NOON + 1, item=True),
             verdict("v0", "bus", TWICE, "e1", NOON + 5), verdict("old", "bus", NOT, "e9", NOON - 91 * DAY)]
    for each in (*reversed(words), *words):
        fakes.put(store, each)
    assert figures(store, "bus")["bus"].verdicts == Verdicts(relevant=1, not_relevant=1)
    assert len(fakes.rows(store, "verdicts")) == len(words)


def test_a_verdict_on_an_event_is_a_line_of_its_timeline(store: Engine) -> None:
    fakes.put(store, event_of("bus", 1, "a"), verdict("v1", "bus", NOT, "bus-1"),
              verdict("v2", "bus", NOT, "a", item=True))
    with store.connect() as connection:
        lines = readmodel.timeline(connection, "bus-1")
    assert [(line.detail["kind"], line.detail["by"]) for line in lines if line.kind == "verdict"] == [
        ("not_relevant", "wang")]
    assert [row["event_id"] for row in fakes.rows(store, "timeline") if row["kind"] == "verdict"] == ["bus-1"]


# ---------------------------------------------------------------- beside each other


def test_shadow_beside_live_tells_what_both_have_and_what_only_one_of_them_has(store: Engine) -> None:
    same, live_only = event_of("polling", 7, *"abcd", hours=3), event_of("bus", 8, *"xyz", hours=5)
    twin, more = event_of("~bus", 1, *"bcdefg", hours=2), event_of("~bus", 2, *"pqrstuv", hours=1)
    slight = event_of("*", 9, *"pq" "hijklm", hours=1)
    before = event_of("bus", 6, "k", hours=30)
    fakes.put(store, matched("~bus", 20, 1), same, live_only, twin, more, slight, before,
              page_of(same), page_of(live_only), page_of(before), page_of(twin), page_of(more))
    found = against(store, "bus")
    assert [(each.shadow.short, each.live.short, each.common, each.share) for each in found.both] == [
        ("S-0001", "E-0007", 3, 0.75)]
    assert [each.short for each in found.only_shadow] == ["S-0002"]
    assert [each.short for each in found.only_live] == ["E-0008"], "E-0006 is of before the rule ran in shadow"
    assert (found.since, found.shadow_pages, found.live_pages) == (NOON - 20 * HOUR, 2, 1)
    assert found.per_day(found.shadow_pages) == 2.0 and found.days < 1
    assert against(store, "~bus") == found
    everything = against(store, "bus", whole=True)
    assert [each.short for each in everything.only_live] == ["E-0009", "E-0008"] and everything.live_pages == 2


def test_pages_per_day_are_those_of_the_time_both_were_running(store: Engine) -> None:
    heads = [event_of("~bus", n, f"i{n}", hours=10 * n) for n in range(1, 9)]
    fakes.put(store, matched("~bus", 24 * 4, 24 * 20), *heads, *map(page_of, heads))
    found = against(store, "bus", span=30 * DAY)
    assert found.days == 20 and found.per_day(found.shadow_pages) == pytest.approx(8 / 20)
    assert against(store, "bus").days == 4
    assert against(store, "nobody") == Against(None, NOON) and against(store, "nobody").per_day(0) == 0


# ---------------------------------------------------------------- what lists leave out


def test_events_in_shadow_are_in_no_list_and_no_figure_unless_asked_for(store: Engine) -> None:
    fakes.put(store, event_of("bus", 1, "a"), event_of("~bus", 1, "a"))
    with store.connect() as connection:
        assert [card.head.subject for card in readmodel.open_events(connection)] == ["bus"]
        assert [card.head.subject for card in readmodel.open_events(connection, shadow=True)] == ["~bus"]
        assert readmodel.counts(connection).open_events == 1
        ids = [readmodel.event_id(connection, ref) for ref in ("E-0001", "1", "S-0001", "s1", "S-0002")]
        assert ids == ["bus-1", "bus-1", "~bus-1", "~bus-1", None]
        assert readmodel.events(connection, (EventStatus.OPEN,), subject="~bus") == []


def test_a_book_and_the_one_in_shadow_beside_it_are_kept_apart(store: Engine) -> None:
    live, beside = book(), book(hash="5" * 16)
    fakes.put(store, replace(live, shadow=beside), at=NOON + 5)
    fakes.put(store, replace(live, shadow=beside), at=NOON)
    fakes.put(store, live, at=NOON + 9)
    kept = {row["hash"][0]: (row["first_at"], row["at"], row["shadow_at"]) for row in fakes.rows(store, "books")}
    assert kept == {"b": (NOON, NOON + 9, 0), "5": (0, 0, NOON + 5)}
    with store.connect() as connection:
        assert readmodel.book(connection) == live and readmodel.book(connection, "5" * 16) == beside
    fakes.put(store, beside, at=NOON + 20)
    with store.connect() as connection:
        assert readmodel.book(connection) == beside
    assert {row["first_at"] for row in fakes.rows(store, "books")} == {NOON, NOON + 20}


# ---------------------------------------------------------------- a large archive


@pytest.mark.sqlite                                     # asks its planner
def test_no_question_about_rules_reads_a_large_table_whole(store: Engine) -> None:
    fakes.put(store, matched("~bus", 1), event_of("~bus", 1, "a", "b"), event_of("bus", 1, "a", "b"),
              page_of(event_of("~bus", 1)), verdict("v", "bus", NOT, "bus-1"))
    asked: list[tuple[str, Any]] = []
    event.listen(store, "before_cursor_execute",
                 lambda conn, cursor, statement, parameters, context, many: asked.append((statement, parameters)))
    figures(store, "bus", "~bus")
    against(store, "bus")
    against(store, "bus", whole=True)
    queries = list(asked)
    plans = []
    with store.connect() as connection:
        for statement, parameters in queries:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans += [row[-1] for row in rows]
        assert connection.execute(text("SELECT count(*) FROM scored")).scalar() == 1
    assert len(queries) > 8
    large = ("scored", "members", "mine", "other", "events", "escalations", "verdicts")
    scans = {plan for plan in plans if plan.startswith("SCAN") and plan.split()[1] in large}
    assert scans == set()
