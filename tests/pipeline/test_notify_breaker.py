"""The breaker, played with random outcomes and times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.notify.breaker import FIRST_PAUSE, MAX_ASKED, MAX_PAUSE, THRESHOLD, Breaker, State, pause

NOW = 1_795_320_000_000
LEASE = 60_000
STEPS = st.lists(st.tuples(
    st.integers(0, 400_000), st.sampled_from(["ok", "fail", "asked", "refused"]), st.integers(0, 2 * MAX_ASKED)),
    max_size=60)


def failing(times: int, now: int = NOW) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker = breaker.failed(now)
    return breaker


@given(STEPS)
def test_it_always_lets_a_trial_through_in_the_end_and_never_two_at_once(steps: list[tuple[int, str, int]]) -> None:
    breaker, now = Breaker(), NOW
    for passed, outcome, asked in steps:
        now += passed
        state, allowed = breaker.state(now), breaker.allows(now, 9)
        assert allowed == {State.CLOSED: 9, State.OPEN: 0}.get(state, allowed) and allowed in (0, 1, 9)
        assert breaker.due(now) <= now + max(MAX_ASKED, MAX_PAUSE, LEASE)
        if not allowed:
            assert breaker.allows(breaker.due(now), 1) == 1, "the time it names is the time it may be tried"
            continue
        breaker = breaker.tried(now, LEASE)
        if state is State.HALF_OPEN:
            assert breaker.allows(now, 9) == 0, "one trial at a time"
        match outcome:
            case "ok":
                breaker = breaker.succeeded()
                assert breaker.state(now) is State.CLOSED
            case "refused":
                breaker = breaker.answered()
                assert breaker.state(now) is state and breaker.allows(now, 1) == 1
            case _:
                breaker = breaker.failed(now, asked if outcome == "asked" else None)
                opens = outcome == "asked" or state is State.HALF_OPEN or breaker.failures >= THRESHOLD
                assert (breaker.state(now) is State.OPEN) is opens


def test_three_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    assert failing(2).state(NOW) is State.CLOSED and failing(3).state(NOW) is State.OPEN
    assert failing(2).succeeded().failed(NOW).failed(NOW).state(NOW) is State.CLOSED


def test_a_receiver_that_asks_to_wait_opens_it_at_once_for_so_long() -> None:
    breaker = Breaker().failed(NOW, 600_000)
    assert breaker.state(NOW + 599_999) is State.OPEN and breaker.state(NOW + 600_000) is State.HALF_OPEN
    assert Breaker().failed(NOW, 10 * MAX_ASKED).open_until == NOW + MAX_ASKED


def test_the_pause_doubles_with_every_failed_trial_up_to_five_minutes() -> None:
    breaker, now, pauses = failing(3), NOW, []
    for _ in range(12):
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        breaker = breaker.tried(now, LEASE).failed(now)
    assert pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert pauses[-1] == MAX_PAUSE == pause(99)


def test_late_failures_of_calls_made_before_it_opened_open_it_no_further() -> None:
    opened = failing(3)
    assert (opened.failed(NOW + 1).opened, opened.failed(NOW + 1).open_until) == (1, opened.open_until)
    assert opened.failed(NOW + 1, 60_000).open_until == NOW + 60_001


@pytest.mark.parametrize("jump", [-3_600_000 - FIRST_PAUSE, 3_600_000])
def test_a_clock_that_jumps_leaves_it_to_be_tried(jump: int) -> None:
    assert failing(3).state(NOW + jump) is State.HALF_OPEN
