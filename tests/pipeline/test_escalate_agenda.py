"""A tick looks at what is due and at nothing else, however many events wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.escalate.cases import Agenda
from pipeline.escalate.escalator import Escalator
from pipeline.model import Tick
from tests.pipeline.escalate_kit import MINUTE, NOON, Desk, raised, route, routed

times = st.one_of(st.none(), st.integers(0, 50))


@given(st.lists(st.one_of(st.tuples(st.just("put"), st.sampled_from("abcde"), times),
                          st.tuples(st.just("due"), st.integers(0, 60)))))
def test_an_agenda_gives_what_is_due_and_nothing_twice(did: list[tuple[Any, ...]]) -> None:
    agenda, plain = Agenda(), dict[str, int]()
    for kind, *more in did:
        if kind == "put":
            ident, at = more
            agenda.put(ident, at)
            plain.pop(ident, None)
            if at is not None:
                plain[ident] = at
        else:
            due = sorted(ident for ident, at in plain.items() if at <= more[0])
            assert agenda.take_due(more[0]) == due
            plain = {ident: at for ident, at in plain.items() if ident not in due}


def test_an_agenda_does_not_grow_with_what_is_moved() -> None:
    agenda = Agenda()
    for at in range(10_000):
        agenda.put(f"e{at % 10}", at)
    assert len(agenda._heap) <= 64 + 4 * 10 + 1
    assert agenda.take_due(9_989) == [] and agenda.take_due(9_999) == [f"e{n}" for n in range(10)]


def test_a_tick_runs_only_the_events_that_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(routed(route(0, 5)), *(raised(1, 3, 1, NOON + n * 1000, id=f"e{n}") for n in range(100)))
    desk(Tick(at=NOON + 100_000))
    ran, run = list[str](), Escalator._run
    monkeypatch.setattr(Escalator, "_run", lambda self, event_id, *a, **k: (
        ran.append(event_id), run(self, event_id, *a, **k))[1])
    desk(Tick(at=NOON + 5 * MINUTE - 1))
    assert ran == []
    desk(Tick(at=NOON + 5 * MINUTE + 2000))
    assert ran == ["e0", "e1", "e2"]
    desk.restart()
    desk(Tick(at=NOON + 5 * MINUTE + 4000))
    assert ran == ["e0", "e1", "e2", "e3", "e4"], "a restart knows what is due too"
