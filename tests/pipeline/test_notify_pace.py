"""The bucket of a channel, and what goes out together when it is nearly empty."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.notify.pace import SINGLY, Bucket, Unit, calls, capacity, rate_of, refill, urgency
from pipeline.rulebook.schema import Channel, ChannelType

NOW = 1_795_320_000_000


@given(st.integers(1, 120), st.lists(st.integers(0, 20_000), max_size=300))
def test_no_minute_ever_sees_more_calls_than_the_rate(rate: int, waits: list[int]) -> None:
    bucket, now, made = Bucket(), NOW, deque[int]()
    for wait in waits:
        now += wait
        bucket = bucket.refilled(rate, now)
        while bucket.tokens >= 1:
            bucket = bucket.taken(1)
            made.append(now)
        while made and made[0] <= now - 60_000:
            made.popleft()
        assert len(made) <= rate


@given(st.integers(1, 120), st.integers(0, 100_000))
def test_a_token_comes_at_the_time_it_is_due(rate: int, passed: int) -> None:
    empty = Bucket(0.0, NOW).refilled(rate, NOW + passed)
    due = empty.due(rate, NOW + passed)
    assert empty.refilled(rate, due).tokens >= 1 and due - NOW <= 60_000 / refill(rate) + 1 + passed


def test_a_clock_that_jumps_brings_no_burst_and_no_standstill() -> None:
    empty = Bucket(0.0, NOW)
    assert empty.refilled(18, NOW + 3_600_000).tokens == capacity(18)
    back = empty.refilled(18, NOW - 3_600_000)
    assert back.tokens == 0 and back.due(18, back.refilled_at) < NOW - 3_600_000 + 10_000


def test_robots_have_the_rate_of_their_service_unless_the_rules_say_another() -> None:
    rates = {kind: rate_of(Channel(id="c", type=kind)) for kind in ChannelType}
    assert {kind.value for kind, rate in rates.items() if rate} >= {"wecom-bot", "dingtalk-bot", "feishu-bot"}
    assert all(rate <= 20 for kind, rate in rates.items() if kind in (ChannelType.WECOM_BOT, ChannelType.DINGTALK_BOT))
    assert 0 < rates[ChannelType.FEISHU_BOT] <= 100 and rates[ChannelType.WEBHOOK] == 0
    assert rate_of(Channel(id="c", type=ChannelType.DINGTALK_BOT, rate=5)) == 5
    assert {ChannelType.ALIYUN_SMS, ChannelType.TENCENT_VOICE, ChannelType.HTTP} <= SINGLY


def unit(key: str, level: int = 1, receiver: str = "", *, top: bool = False, kind: str = "page") -> Unit:
    return Unit(key, receiver, urgency(kind, level), top)


def keys(found: list[tuple[Unit, ...]]) -> list[str]:
    return ["+".join(each.key for each in call) for call in found]


LOW = [unit("a", 1), unit("b", 2)]
TOP = [unit("T", 3, top=True), unit("U", 3, top=True)]


@pytest.mark.parametrize("units,limit,scarce,bundles,expected", [
    (LOW, 2, False, True, ["b", "a"]),                        # in no hurry: one by one, the higher level first
    ([*LOW, unit("c", 2)], 2, False, True, ["b", "c"]),       # only slots are short: the rest is next
    ([*LOW, unit("c", 2)], 2, True, True, ["b+c+a"]),         # the rate is short: all that waits in one
    ([*LOW, *TOP], 2, True, True, ["T", "U"]),                # the highest pages alone, the lower ones next time
    ([*LOW, *TOP], 3, True, True, ["T", "U", "b+a"]),
    ([*LOW, *TOP], 1, True, True, ["T+U+b+a"]),               # more of them than calls: first in the one there is
    ([*LOW, *TOP], 2, True, False, ["T", "U"]),               # a channel without bundles: they wait for their turn
    ([*LOW, *TOP], 0, True, True, []),
    ([unit("a", 1, "x"), unit("b", 2, "y"), unit("c", 2, "x")], 2, True, True, ["b", "c+a"]),   # per person
])
def test_what_goes_out_together(
    units: list[Unit], limit: int, scarce: bool, bundles: bool, expected: list[str]
) -> None:
    found = keys(calls(units, limit, scarce=scarce, bundles=bundles))
    assert sorted(found) == sorted(expected) and found[:1] == sorted(expected, key=found.index)[:1]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("xy")), max_size=30), st.integers(0, 6), st.booleans())
def test_a_page_of_the_highest_level_never_waits_behind_lower_ones(
    waiting: list[tuple[int, str]], limit: int, bundles: bool
) -> None:
    units = [unit(str(n), level, receiver, top=level == 3) for n, (level, receiver) in enumerate(waiting)]
    found = calls(units, limit, scarce=True, bundles=bundles)
    assert len(found) <= limit
    gone = [each for call in found for each in call]
    assert len(gone) == len(set(gone))
    left = [each for each in units if each not in gone]
    if any(each.top for each in left):
        assert all(any(each.top for each in call) for call in found)


def test_urgency_is_level_then_page() -> None:
    kinds = [("page", 3), ("clock", 3), ("inform", 3), ("page", 2), ("system", 0)]
    assert sorted(kinds, key=lambda each: urgency(*each)) == kinds
