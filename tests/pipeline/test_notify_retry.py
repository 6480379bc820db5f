from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.notify.retry import CAP, FLOOR, HORIZON, MIN_ATTEMPTS, GiveUp, after_failure, backoff

SECOND = 1000


def test_the_wait_doubles_from_one_second_up_to_five_minutes() -> None:
    assert [backoff(n, 0.999_999) // SECOND for n in (1, 2, 3, 4, 9, 10, 50)] == [0, 1, 3, 7, 255, 299, 299]
    assert backoff(10_000, 1.0) == CAP


def test_chance_spreads_over_the_whole_wait() -> None:
    waits = [backoff(6, random.Random(n).random()) for n in range(200)]
    assert min(waits) < 3_000 and max(waits) > 29_000 and max(waits) <= 32_000


@given(st.integers(0, 2**32), st.lists(st.one_of(st.none(), st.integers(0, HORIZON * 2)), max_size=8))
def test_on_a_virtual_clock_tries_go_forward_never_past_the_horizon_and_end_in_giving_up(
    seed: int, asked: list[int | None]
) -> None:
    chance, now, attempts, tries = random.Random(seed), 0, 0, []
    while True:
        attempts += 1
        tries.append(now)
        retry_after = asked[attempts - 1] if attempts <= len(asked) else None
        following = after_failure(attempts, HORIZON - now, chance.random(), retry_after)
        if isinstance(following, GiveUp):
            break
        assert following.after >= (FLOOR if now < HORIZON - FLOOR else 1)
        if retry_after and now + retry_after <= HORIZON:
            assert following.after >= retry_after
        now += following.after
        assert now <= HORIZON or attempts < MIN_ATTEMPTS
    assert tries == sorted(tries) and len(tries) >= MIN_ATTEMPTS
    assert tries[-1] >= HORIZON


def test_a_message_older_than_the_horizon_is_still_tried_a_few_times() -> None:
    late = -HORIZON
    following = [after_failure(n, late, 0.5) for n in range(1, MIN_ATTEMPTS + 1)]
    assert [isinstance(one, GiveUp) for one in following] == [False] * (MIN_ATTEMPTS - 1) + [True]
