"""When to poll again, and with which validators."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.collect import schedule
from pipeline.collect.schedule import Outcome, Policy, Poll, Result, is_blind, next_poll, next_state
from pipeline.model import SourceState
from pipeline.rulebook.schema import DAY, HOUR, MINUTE, Source
from tests.builders import NOON

POLICY = Policy(interval=5 * MINUTE, min_interval=MINUTE, max_interval=6 * HOUR)
SOURCE = Source(id="news", name="新闻网", url="http://news.example/rss")
DATE = "Sun, 22 Nov 2026 04:00:00 GMT"


EVERY_20 = tuple(NOON - n * 20 * MINUTE for n in range(16, 0, -1))
EVERY_2 = tuple(NOON - n * 2 * MINUTE for n in range(9, 0, -1))
EVERY_DAY = tuple(NOON - n * DAY for n in range(4, 0, -1))


@pytest.mark.parametrize(("result", "minutes"), [
    (Result(Outcome.OK), 5), (Result(Outcome.NOT_MODIFIED), 5),
    (Result(Outcome.OK, asked=1), 5), (Result(Outcome.NOT_MODIFIED, arrivals=EVERY_20), 5),
    (Result(Outcome.NOT_MODIFIED, arrivals=EVERY_2), 1), (Result(Outcome.OK, arrivals=EVERY_2[:3]), 5),
    (Result(Outcome.NOT_MODIFIED, arrivals=EVERY_DAY), 30), (Result(Outcome.OK, fresh=True, arrivals=EVERY_DAY), 5),
    (Result(Outcome.NOT_MODIFIED, arrivals=tuple(at - HOUR for at in EVERY_2)), 5),
    (Result(Outcome.SERVER_ERROR, 1), 1.25), (Result(Outcome.SERVER_ERROR, 2), 1.25),
    (Result(Outcome.NO_ANSWER, 3), 2.5), (Result(Outcome.NO_ANSWER, 5), 10),
    (Result(Outcome.NOT_A_FEED, 60), 360), (Result(Outcome.NO_ANSWER, 10**6), 360),
    (Result(Outcome.REFUSED_BY_SITE, 1), 360), (Result(Outcome.GONE, 1), 24 * 60), (Result(Outcome.ROBOTS, 1), 24 * 60),
    (Result(Outcome.NOT_FOUND, 3), 2.5), (Result(Outcome.RATE_LIMITED, 2), 10),
])
def test_the_wait_follows_the_outcome_and_the_rhythm(result: Result, minutes: float) -> None:
    lowest, highest = max(MINUTE, minutes * MINUTE * 0.9), minutes * MINUTE * 1.1
    waits = [next_poll(POLICY, result, NOON, str(seed)) - NOON for seed in range(200)]
    assert all(lowest - 1 <= each <= highest + 1 for each in waits)
    assert len(set(waits)) > 90, "polls that began together drift apart"


@pytest.mark.parametrize(("asked", "minutes"), [(30 * MINUTE, 30), (DAY, 360)])
def test_what_the_publisher_asks_for_is_a_floor_up_to_the_longest_interval(asked: int, minutes: int) -> None:
    result = Result(Outcome.OK, asked=asked, fresh=True, arrivals=EVERY_2)
    waits = [next_poll(POLICY, result, NOON, str(seed)) - NOON for seed in range(100)]
    assert min(waits) >= minutes * MINUTE and max(waits) <= minutes * MINUTE * 1.1 + 1


@pytest.mark.parametrize(("asked", "lowest"), [(HOUR, HOUR), (10 * DAY, DAY), (1000, 5 * MINUTE)])
def test_retry_after_is_never_cut_short(asked: int, lowest: int) -> None:
    waits = [next_poll(POLICY, Result(Outcome.RATE_LIMITED, 1, retry_after=asked), NOON, str(seed)) - NOON
             for seed in range(100)]
    assert min(waits) >= lowest and max(waits) <= lowest * 1.1 + 1


@given(st.sampled_from(list(Outcome)), st.integers(0, 10**9), st.one_of(st.none(), st.integers(0, 10**15)),
       st.one_of(st.none(), st.integers(0, 10**15)), st.text(max_size=5))
def test_the_next_poll_is_always_between_the_floor_and_a_day(
    outcome: Outcome, failures: int, retry_after: int | None, asked: int | None, seed: str
) -> None:
    at = next_poll(POLICY, Result(outcome, failures, retry_after, asked), NOON, seed)
    assert NOON + MINUTE <= at <= NOON + DAY * 1.1 + 1
    assert at == next_poll(POLICY, Result(outcome, failures, retry_after, asked), NOON, seed)


def test_a_policy_from_odd_settings_is_still_one() -> None:
    odd = Policy.of(Source(id="a", name="a", url="u", interval=10, min_interval=0, max_interval=1))
    assert odd == Policy(10, 1, 10)


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(("headers", "seconds"), [
    ({"retry-after": "3600"}, 3600), ({"retry-after": " 0 "}, 0), ({"retry-after": "99999999999"}, 86400),
    ({"retry-after": "Sun, 22 Nov 2026 05:00:00 GMT"}, 3600), ({"retry-after": "Sun, 22 Nov 2020 05:00:00 GMT"}, 0),
    ({"retry-after": "Sun, 22 Nov 2026 05:00:00 GMT", "date": "Sun, 22 Nov 2026 04:30:00 GMT"}, 1800),
    ({"retry-after": "Sun, 22 Nov 2099 05:00:00 GMT"}, 86400),
    ({"retry-after": "soon"}, None), ({"retry-after": "-5"}, None), ({"retry-after": "²"}, None), ({}, None),
])
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: int | None) -> None:
    assert schedule.retry_after(headers, NOON) == (None if seconds is None else seconds * 1000)


@pytest.mark.parametrize(("headers", "seconds"), [
    ({"cache-control": "public, max-age=600"}, 600), ({"cache-control": 'max-age="60"'}, 60),
    ({"cache-control": "no-cache, max-age=600"}, None), ({"cache-control": "max-age=x"}, None),
    ({"expires": "Sun, 22 Nov 2026 04:10:00 GMT", "date": DATE}, 600), ({"expires": "0"}, None),
    ({"expires": "Sun, 22 Nov 2020 04:10:00 GMT", "date": DATE}, 0), ({}, None),
])
def test_freshness_is_read_from_the_headers(headers: dict[str, str], seconds: int | None) -> None:
    assert schedule.max_age(headers, NOON) == (None if seconds is None else seconds * 1000)


@pytest.mark.parametrize(("status", "retry", "outcome"), [
    (200, None, Outcome.OK), (304, None, Outcome.NOT_MODIFIED), (429, None, Outcome.RATE_LIMITED),
    (503, 5, Outcome.RATE_LIMITED), (503, None, Outcome.SERVER_ERROR), (500, None, Outcome.SERVER_ERROR),
    (410, None, Outcome.GONE), (404, None, Outcome.NOT_FOUND), (401, None, Outcome.REFUSED_BY_SITE),
    (403, None, Outcome.REFUSED_BY_SITE), (302, None, Outcome.BAD_STATUS), (418, None, Outcome.BAD_STATUS),
])
def test_a_status_is_an_outcome(status: int, retry: int | None, outcome: Outcome) -> None:
    assert schedule.outcome_of(status, retry) is outcome


# ---------------------------------------------------------------- state


def known(**changes: Any) -> SourceState:
    values: dict[str, Any] = {
        "source_id": "news", "url": SOURCE.url, "polled_at": NOON, "next_poll_at": NOON, "etag": 'W/"a"',
        "last_modified": DATE, "backfilled": True, "succeeded_at": NOON, "unconditional_at": NOON, **changes}
    return SourceState(**values)


def test_validators_go_back_as_they_came_for_the_same_url_and_not_for_ever() -> None:
    asked = schedule.conditional(known(), SOURCE.url, NOON + HOUR)
    assert asked == {"If-None-Match": 'W/"a"', "If-Modified-Since": DATE}
    assert schedule.conditional(known(), "http://other.example/", NOON) == {}
    assert schedule.conditional(known(), SOURCE.url, NOON + DAY) == {}
    assert schedule.conditional(known(etag="", last_modified=""), SOURCE.url, NOON) == {}
    assert schedule.conditional(None, SOURCE.url, NOON) == {}


def test_validators_of_an_answer_that_never_was_fresh_are_dropped() -> None:
    assert schedule.validators({"etag": '"x"', "last-modified": DATE}) == ('"x"', DATE)
    assert schedule.validators({"etag": '"x"', "expires": "0"}) == ("", "")


def test_a_success_forgets_failures_and_remembers_the_document() -> None:
    poll = Poll(Outcome.OK, etag='"n"', seen=b"12345678", asked_all=True, fresh=True)
    state = next_state(SOURCE, known(failures=4, error="x", backfilled=False), poll, NOON + HOUR)
    assert (state.failures, state.error, state.etag, state.seen) == (0, "", '"n"', b"12345678")
    assert state.backfilled and state.succeeded_at == state.new_item_at == state.unconditional_at == NOON + HOUR


def test_a_failure_keeps_what_was_known_and_counts_up() -> None:
    poll = Poll(Outcome.NO_ANSWER, error="错" * 1000)
    state = next_state(SOURCE, known(failures=1, seen=b"12345678"), poll, NOON + HOUR)
    assert (state.failures, state.etag, state.seen, state.succeeded_at) == (2, 'W/"a"', b"12345678", NOON)
    assert len(state.error) == schedule.MAX_ERROR and state.next_poll_at > NOON + HOUR


def test_not_modified_keeps_the_document() -> None:
    state = next_state(SOURCE, known(seen=b"12345678"), Poll(Outcome.NOT_MODIFIED, etag='"n"'), NOON + HOUR)
    assert (state.seen, state.etag, state.unconditional_at) == (b"12345678", '"n"', NOON)
    assert state.succeeded_at == NOON + HOUR


def test_another_url_is_another_source() -> None:
    state = next_state(SOURCE, known(url="http://old.example/", failures=7), Poll(Outcome.NO_ANSWER), NOON)
    assert (state.failures, state.url, state.backfilled, state.etag) == (1, SOURCE.url, False, "")


# ---------------------------------------------------------------- 404, moves, rhythm


def polled(polls: list[Poll], before: SourceState | None = None, start: int = NOON) -> list[SourceState]:
    """The states after polls, each at the time that the state before it says."""
    states, now = [], start
    for poll in polls:
        before = next_state(SOURCE, before, poll, now)
        states.append(before)
        now = before.next_poll_at
    return states


def test_the_tenth_404_in_a_row_disables_and_anything_else_between_does_not() -> None:
    missing = Poll(Outcome.NOT_FOUND, error="地址不存在（404）")
    states = polled([missing] * 11)
    assert [state.outcome for state in states[8:]] == ["not_found", "gone", "gone"]
    assert states[9].next_poll_at - states[9].polled_at >= 0.9 * DAY and "10 次" in states[9].error
    mixed = polled([missing] * 9 + [Poll(Outcome.NO_ANSWER)] + [missing] * 9)
    assert mixed[-1].outcome == "not_found" and mixed[-1].missing == 9 and mixed[-1].failures == 19
    assert polled([missing] * 5 + [Poll(Outcome.OK)])[-1].missing == 0


def test_a_permanent_move_is_believed_at_the_third_sighting_and_forgotten_when_it_fails() -> None:
    there = "http://new.example/rss"
    moved = Poll(Outcome.OK, url=there, moved_to=there, etag='"n"')
    states = polled([moved, moved, moved])
    assert [schedule.address(SOURCE, state) for state in states] == [SOURCE.url, SOURCE.url, there]
    stays = polled([Poll(Outcome.NOT_MODIFIED, url=there, etag='"n"')] * 3, states[-1])
    assert {schedule.address(SOURCE, state) for state in stays} == {there} and stays[-1].etag_url == there
    gone = polled([Poll(Outcome.NO_ANSWER)] * 3, stays[-1])
    assert [schedule.address(SOURCE, state) for state in gone] == [there, there, SOURCE.url]
    assert gone[-1].etag == "" and schedule.conditional(gone[-1], SOURCE.url, gone[-1].polled_at) == {}


@pytest.mark.parametrize("polls", [
    [("a", "a"), ("a", "a"), ("b", "b")], [("a", "a"), ("a", "a"), ("a", ""), ("a", "a")], [("a", "")] * 9,
])
def test_another_target_or_a_redirect_for_now_begins_anew(polls: list[tuple[str, str]]) -> None:
    last = polled([Poll(Outcome.OK, url=url, moved_to=moved_to) for url, moved_to in polls])[-1]
    assert schedule.address(SOURCE, last) == SOURCE.url and last.moves <= 1


def test_arrivals_are_polls_that_brought_something_after_the_first() -> None:
    first, *rest = polled([Poll(Outcome.OK, fresh=True, seen=b""), *[Poll(Outcome.OK, fresh=True, seen=b"")] * 20])
    assert first.arrivals == () and len(rest[-1].arrivals) == 16 and rest[-1].arrivals[-1] == rest[-1].polled_at
    quiet = next_state(SOURCE, rest[-1], Poll(Outcome.NOT_MODIFIED), NOON + DAY)
    assert quiet.arrivals == rest[-1].arrivals and quiet.failed_since is None


def test_the_longest_pause_is_remembered_and_fades() -> None:
    state = known(arrivals=(NOON,), pause=15 * HOUR)
    assert schedule.longest_pause(known(), NOON) == DAY, "nobody knows yet whether it sleeps"
    assert schedule.longest_pause(state, NOON + HOUR) == 15 * HOUR - HOUR // 7
    assert schedule.longest_pause(state, NOON + 20 * HOUR) == 20 * HOUR


def test_trouble_has_a_beginning() -> None:
    first, second = polled([Poll(Outcome.NO_ANSWER)] * 2, known())
    assert first.failed_since == second.failed_since == NOON
    assert next_state(SOURCE, second, Poll(Outcome.OK), NOON + HOUR).failed_since is None


# ---------------------------------------------------------------- blindness


@pytest.mark.parametrize(("changes", "later", "blind"), [
    ({"failures": 3}, 0, True), ({"failures": 2}, 7 * MINUTE, False), ({"failures": 2}, 8 * MINUTE, True),
    ({"failures": 1}, 9 * MINUTE, False), ({"failures": 1}, 10 * MINUTE, True), ({"failures": 0}, DAY, False),
    ({"failures": 1, "outcome": "gone"}, 0, True), ({"failures": 1, "outcome": "robots"}, 0, True),
    ({"failures": 1, "next_poll_at": NOON + HOUR}, 8 * MINUTE, True),
    ({"failures": 1, "succeeded_at": None}, DAY, False),
    ({"failures": 1, "succeeded_at": None, "failed_since": NOON}, 10 * MINUTE, True),
    ({"failures": 0, "failed_since": NOON + MINUTE, "next_poll_at": NOON + HOUR}, 8 * MINUTE, True),
    ({"failures": 1, "failed_since": NOON + 2 * HOUR}, 3 * HOUR, False),
    ({"failures": 2, "failed_since": NOON + 2 * HOUR}, 3 * HOUR, True),
])
def test_a_source_is_blind_within_two_of_its_intervals(changes: dict[str, Any], later: int, blind: bool) -> None:
    assert is_blind(known(**changes), POLICY, NOON + later) is blind


@given(st.sampled_from([Outcome.NO_ANSWER, Outcome.SERVER_ERROR, Outcome.NOT_A_FEED, Outcome.NOT_FOUND,
                        Outcome.REFUSED_BY_SITE, Outcome.RATE_LIMITED]),
       st.integers(MINUTE, HOUR), st.integers(0, 30_000), st.booleans())
def test_whatever_the_trouble_it_is_told_blind_two_intervals_after_the_last_good_answer(
    outcome: Outcome, interval: int, slow: int, rhythm: bool
) -> None:
    source = Source(id="news", name="新闻网", url=SOURCE.url, interval=interval)
    arrivals = tuple(NOON - n * 4 * interval for n in range(8, 0, -1)) if rhythm else ()
    state = next_state(source, known(arrivals=arrivals), Poll(Outcome.OK), NOON)
    usual = max(interval, state.next_poll_at - NOON + slow)
    while state.next_poll_at + slow < NOON + 2 * usual:
        state = next_state(source, state, Poll(outcome), state.next_poll_at + slow)
    assert state.failures and is_blind(state, Policy.of(source), NOON + 2 * usual)


def test_a_held_host_is_no_failure_and_yet_nothing_is_heard() -> None:
    state = schedule.postponed(SOURCE, known(), NOON + HOUR, "同一网站要求放慢", NOON + 5 * MINUTE)
    assert (state.failures, state.outcome, state.polled_at) == (0, "rate_limited", NOON)
    assert NOON + HOUR <= state.next_poll_at <= NOON + HOUR + MINUTE
    assert not is_blind(state, POLICY, NOON + 7 * MINUTE) and is_blind(state, POLICY, NOON + 8 * MINUTE)
    assert not is_blind(next_state(SOURCE, state, Poll(Outcome.OK), NOON + HOUR), POLICY, NOON + 2 * HOUR)
