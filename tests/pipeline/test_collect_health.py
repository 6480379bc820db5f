"""Whether a source is heard, in words and in sum."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipeline.collect.health import HealthState, coverage, health, length, word
from pipeline.collect.schedule import Outcome, Poll, next_state, usual_gap
from pipeline.model import SourceState
from pipeline.rulebook.schema import DAY, HOUR, INTAKE, MINUTE, Source
from tests.builders import NOON

SHANGHAI = ZoneInfo("Asia/Shanghai")
SOURCE = Source(id="news", name="青山县新闻网", url="http://news.example/rss")
EVERY_20 = tuple(NOON - n * 20 * MINUTE for n in range(8, -1, -1))


def known(**changes: Any) -> SourceState:
    values: dict[str, Any] = {
        "source_id": "news", "url": SOURCE.url, "polled_at": NOON, "next_poll_at": NOON + DAY, "backfilled": True,
        "outcome": "ok", "succeeded_at": NOON, "new_item_at": NOON, **changes}
    return SourceState(**values)


def failed(outcome: str = "no_answer", **changes: Any) -> SourceState:
    return known(**{"outcome": outcome, "failures": 3, "failed_since": NOON + MINUTE,
                    "error": "域名无法解析：news.example。请检查网址和本机的 DNS", **changes})


@pytest.mark.parametrize(("state", "later", "expected", "since", "said"), [
    (None, 0, "new", None, "还没有采集过"),
    (known(url="http://old.example/"), 0, "new", None, "还没有采集过"),
    (known(), HOUR, "ok", NOON, "能正常采集"),
    (known(), 25 * HOUR - DAY + DAY - 1, "overdue", NOON + DAY, "采集程序"),
    (known(next_poll_at=NOON + 3 * DAY), 25 * HOUR, "quiet", NOON, "没有新内容"),
    (known(arrivals=EVERY_20), 30 * MINUTE, "ok", NOON, "能正常采集"),
    (known(arrivals=EVERY_20), 70 * MINUTE, "quiet", NOON, "没有新内容"),
    (known(arrivals=EVERY_20), 121 * MINUTE, "silent", NOON, "每 20 分钟左右"),
    (known(arrivals=EVERY_20[2:]), 5 * HOUR, "quiet", NOON, "没有新内容"),
    (known(arrivals=EVERY_20, pause=10 * HOUR), 14 * HOUR, "quiet", NOON, "没有新内容"),
    (known(arrivals=EVERY_20, pause=10 * HOUR), 16 * HOUR, "silent", NOON, "安静得多"),
    (failed(failures=1), 2 * MINUTE, "failing", NOON, "域名无法解析"),
    (failed(), 2 * MINUTE, "blind", NOON, "（连续 3 次）"),
    (failed(failures=1), 10 * MINUTE, "blind", NOON, "域名无法解析"),
    (failed(succeeded_at=None), 2 * MINUTE, "blind", NOON + MINUTE, "域名无法解析"),
    (failed("gone", failures=1), 2 * MINUTE, "disabled", NOON, "域名无法解析"),
    (failed("robots", failures=1), 2 * MINUTE, "blind", NOON, "域名无法解析"),
    (failed(next_poll_at=NOON), 6 * MINUTE, "overdue", NOON, "采集程序"),
])
def test_the_state_of_a_source_and_why(
    state: SourceState | None, later: int, expected: str, since: int | None, said: str
) -> None:
    found = health(SOURCE, state, NOON + later)
    assert (found.state, found.since) == (expected, since)
    assert said in found.why and found.word == word(HealthState(expected))
    assert not found.heard or found.state in (HealthState.OK, HealthState.QUIET, HealthState.SILENT)
    assert not (found.why + found.advice).endswith("。")


def test_what_is_not_polled_is_told_apart() -> None:
    off = Source(id="news", name="n", url=SOURCE.url, enabled=False)
    assert health(off, failed(), NOON).state is HealthState.PAUSED
    assert health(INTAKE, None, NOON).state is HealthState.OK


def test_the_advice_names_a_move_without_keys() -> None:
    found = health(SOURCE, known(moved_to="http://new.example/rss?key=geheim", moves=3), NOON)
    assert found.moved_to.endswith("geheim") and "http://new.example/rss" in found.advice
    assert "geheim" not in found.advice and "sources.yml" in found.advice
    assert health(SOURCE, known(moved_to="http://new.example/", moves=2), NOON).moved_to == ""


def test_a_rhythm_is_the_usual_gap() -> None:
    uneven = (*EVERY_20, NOON + 14 * HOUR)
    assert usual_gap(uneven) == 20 * MINUTE and usual_gap(EVERY_20[:3]) is None
    assert health(SOURCE, known(arrivals=uneven), NOON).rhythm == "通常每 20 分钟左右有新内容"
    assert health(SOURCE, known(), NOON).rhythm == ""


def test_a_county_office_that_sleeps_at_night_is_called_silent_on_its_first_weekend_only() -> None:
    """Nine to five on weekdays, every 20 minutes, from a Monday; the collector polls every 5 minutes."""
    monday, state, silent, news = NOON - 12 * HOUR + DAY, known(), set(), 0
    for step in range(0, 21 * 24 * 60, 5):
        day, clock = divmod(step, 24 * 60)
        fresh = day % 7 < 5 and 9 * 60 <= clock < 17 * 60 and clock % 20 == 0
        state = next_state(SOURCE, state, Poll(Outcome.OK, seen=b"", fresh=fresh), monday + step * MINUTE)
        news += fresh
        if health(SOURCE, state, monday + step * MINUTE).state is HealthState.SILENT:
            silent.add(day)
    assert news == 15 * 24 and silent == {5, 6, 7}, "its first Saturday afternoon until Monday morning"


def test_one_that_speaks_round_the_clock_is_called_silent_within_hours_once_it_is_known() -> None:
    state, now = known(), NOON
    for _ in range(8 * 24 * 6):
        state, now = next_state(SOURCE, state, Poll(Outcome.OK, seen=b"", fresh=True), now), now + 10 * MINUTE
    states = {hours: health(
        SOURCE, next_state(SOURCE, state, Poll(Outcome.NOT_MODIFIED), now + hours * HOUR), now + hours * HOUR
    ).state for hours in range(4)}
    assert states[0] is HealthState.OK and states[1] is HealthState.QUIET and states[2] is HealthState.SILENT


# ---------------------------------------------------------------- all sources


def sources(number: int) -> list[Source]:
    return [Source(id=f"s{n}", name=f"来源{n}", url=SOURCE.url) for n in range(number)]


def test_the_statement_says_who_is_not_heard_since_when() -> None:
    states = {f"s{n}": known() for n in range(40)} | {"s0": failed(), "s1": failed(succeeded_at=NOON - DAY)}
    found = coverage([*sources(40), INTAKE], states, NOON + 2 * MINUTE, SHANGHAI)
    assert found.statement == (
        "40 个来源中 38 个正常；2 个失联：来源1自 11月21日 12:00 起，来源0自 12:00 起，期间的消息可能没有收到")
    assert [each.source_id for each in found.blind] == ["s1", "s0"] and found.watched == 40
    assert found.totals == {HealthState.OK: 38, HealthState.BLIND: 2} and found.silent == ()


@pytest.mark.parametrize(("states", "expected"), [
    ({}, "2 个来源中 0 个正常，2 个等待首次采集"),
    ({"s0": known(), "s1": known()}, "2 个来源中 2 个正常"),
    ({"s0": known(arrivals=EVERY_20), "s1": failed(failures=1)}, "2 个来源中 0 个正常，1 个沉默，1 个采集失败"),
])
def test_the_statement_counts_the_rest(states: dict[str, SourceState], expected: str) -> None:
    if "s0" in states and states["s0"].arrivals:
        later = {name: known(**{**_fields(state), "next_poll_at": NOON + DAY}) for name, state in states.items()}
        later["s1"] = failed(failures=1, failed_since=NOON + 3 * HOUR - MINUTE, succeeded_at=NOON + 3 * HOUR - MINUTE)
        assert coverage(sources(2), later, NOON + 3 * HOUR, SHANGHAI).statement == expected
    else:
        assert coverage(sources(2), states, NOON, SHANGHAI).statement == expected


def _fields(state: SourceState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__struct_fields__}


def test_many_blind_ones_are_counted_and_none_enabled_is_said() -> None:
    found = coverage(sources(7), {f"s{n}": failed() for n in range(7)}, NOON + MINUTE, SHANGHAI)
    assert "等 7 个" in found.statement and found.statement.count("自 ") == 5
    off = [Source(id="a", name="a", url="http://a/", enabled=False)]
    assert coverage(off, {}, NOON, SHANGHAI).statement == "没有启用的来源，什么消息也收不到"


@pytest.mark.parametrize(("span", "said"), [
    (0, " 1 秒"), (45_000, " 45 秒"), (20 * MINUTE, " 20 分钟"), (90 * MINUTE, " 90 分钟"), (3 * HOUR, " 3 小时"),
    (3 * DAY, " 3 天")])
def test_lengths_as_people_say_them(span: int, said: str) -> None:
    assert length(span) == said
