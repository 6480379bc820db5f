"""Whether a source can be heard, said so that a person knows what to do; and of all sources, which are not heard.

The desk, the CLI, the alarms and the metrics read this, so that they never disagree. Times are milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum

from pipeline.collect.redact import shown
from pipeline.collect.schedule import (
    SIGHTINGS,
    Outcome,
    Policy,
    heard_until,
    is_blind,
    silence_from,
    usual_gap,
)
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import DAY, HOUR, MINUTE, Source, SourceKind

OVERDUE = 5 * MINUTE
"""So long after its time a poll is missing because nobody polls."""


class HealthState(StrEnum):
    """Stable: the label of the metric `sources` and part of the API."""

    OK = "ok"
    QUIET = "quiet"                      # it answers; nothing new, as usual
    SILENT = "silent"                    # it answers; nothing new for longer than it ever is
    FAILING = "failing"                  # the last poll failed; too early to call it blind
    BLIND = "blind"                      # nothing can be heard of it
    DISABLED = "disabled"                # the site says that the feed is gone
    PAUSED = "paused"                    # not enabled in sources.yml
    NEW = "new"                          # not polled yet
    OVERDUE = "overdue"                  # nobody polls it


_WORDS: Mapping[HealthState, str] = {
    HealthState.OK: "正常", HealthState.QUIET: "暂无新内容", HealthState.SILENT: "沉默",
    HealthState.FAILING: "采集失败", HealthState.BLIND: "失联", HealthState.DISABLED: "停用",
    HealthState.PAUSED: "暂停（未启用）", HealthState.NEW: "等待首次采集", HealthState.OVERDUE: "逾期",
}


def word(state: HealthState) -> str:
    """What people read."""
    return _WORDS[state]


HEARD = frozenset((HealthState.OK, HealthState.QUIET, HealthState.SILENT))
"""States in which what a source publishes is read."""


@dataclass(frozen=True, slots=True)
class Health:
    """since: when this state began, as far as that is known; of a source that is not heard, its last good answer (or
    first failure): what it published after that may be missing. gap: usual time from news to news; rhythm: in words.
    why and advice are Chinese; advice is empty when there is nothing to do. moved_to: where it answers from for good.
    """

    source_id: str
    name: str
    state: HealthState
    since: Millis | None
    why: str
    advice: str = ""
    gap: Millis | None = None
    rhythm: str = ""
    outcome: str = ""
    moved_to: str = ""

    @property
    def word(self) -> str:
        return _WORDS[self.state]

    @property
    def heard(self) -> bool:
        return self.state in HEARD


def health(source: Source, state: SourceState | None, now: Millis) -> Health:
    """How a source of sources.yml is. state: what is known of it, None if nothing; of another URL it does not count."""
    known = state if state is not None and state.url == source.url else None
    gap = usual_gap(known.arrivals) if known else None
    how = _state(source, known, now)
    since, why, advice = _reason(how, known)
    moved = known.moved_to if known is not None and known.moves >= SIGHTINGS else ""
    if moved:
        advice = f"{advice}。" if advice else ""
        advice += f"已永久搬到 {shown(moved)}，请改 sources.yml"
    return Health(
        source.id, source.name, how, since, why, advice, gap, "" if gap is None else f"通常每{length(gap)}左右有新内容",
        known.outcome if known else "", moved)


def _state(source: Source, state: SourceState | None, now: Millis) -> HealthState:
    if not source.enabled:
        return HealthState.PAUSED
    if not source.polled:                               # a desk where people report is always open
        return HealthState.OK
    if state is None or not state.outcome:
        return HealthState.NEW
    if now > state.next_poll_at + OVERDUE:
        return HealthState.OVERDUE
    if state.outcome == Outcome.GONE:
        return HealthState.DISABLED
    if is_blind(state, Policy.of(source), now):
        return HealthState.BLIND
    if state.failures or state.failed_since is not None:
        return HealthState.FAILING
    quiet = now - max(state.new_item_at or 0, state.arrivals[-1] if state.arrivals else 0)
    odd = silence_from(state.arrivals, state.pause)
    if odd is not None and quiet > odd:
        return HealthState.SILENT
    gap = usual_gap(state.arrivals)
    return HealthState.QUIET if quiet > (DAY if gap is None else max(2 * gap, HOUR)) else HealthState.OK


def _reason(how: HealthState, state: SourceState | None) -> tuple[Millis | None, str, str]:
    """(since, why, advice)."""
    if how is HealthState.PAUSED:
        return None, "sources.yml 里没有启用这个来源", "要采集就删去 enabled: false"
    if state is None or how is HealthState.NEW:
        why = "人工上报随时可以填写" if how is HealthState.OK else "还没有采集过"
        return None, why, ""
    if how is HealthState.OVERDUE:
        return state.next_poll_at, "到了时间却没有采集，采集程序可能停了", "请看采集程序是否在运行、能否连上 Kafka"
    if how in (HealthState.DISABLED, HealthState.BLIND, HealthState.FAILING):
        why, _, advice = state.error.partition("。")
        times = f"（连续 {state.failures} 次）" if state.failures > 1 else ""
        return heard_until(state), f"{why or '采集失败'}{times}", advice.rstrip("。")
    if how is HealthState.SILENT:
        gap = usual_gap(state.arrivals) or 0
        return state.new_item_at, f"能采集，但比平时安静得多：通常每{length(gap)}左右有新内容，现在一直没有", (
            "请在浏览器里打开这个来源，看网站是否在更新、订阅是否卡住")
    if how is HealthState.QUIET:
        return state.new_item_at, "能正常采集，只是没有新内容", ""
    return state.succeeded_at, "能正常采集", ""


# ---------------------------------------------------------------- all sources


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which sources are heard. totals: how many in each state. blind: not heard, disabled and overdue ones too."""

    at: Millis
    totals: Mapping[HealthState, int]
    blind: tuple[Health, ...]
    silent: tuple[Health, ...]
    statement: str

    @property
    def watched(self) -> int:
        """Sources that are meant to be heard."""
        return sum(self.totals.values()) - self.totals.get(HealthState.PAUSED, 0)


NAMED = 5
DEAF = (HealthState.BLIND, HealthState.DISABLED, HealthState.OVERDUE)


def coverage(
    sources: Iterable[Source], states: Mapping[str, SourceState], now: Millis, zone: tzinfo
) -> Coverage:
    """What is heard and what is not; desks where people report are left out. states: by source id. zone: of the times
    in the statement."""
    return coverage_of(
        [health(each, states.get(each.id), now) for each in sources if each.kind is SourceKind.FEED], now, zone)


def coverage_of(found: Sequence[Health], now: Millis, zone: tzinfo) -> Coverage:
    """The same of sources whose health is known already; without desks where people report."""
    deaf = (each for each in found if each.state in DEAF)
    blind = tuple(sorted(deaf, key=lambda each: (each.since or 0, each.name)))
    silent = tuple(each for each in found if each.state is HealthState.SILENT)
    totals = Counter(each.state for each in found)
    return Coverage(now, totals, blind, silent, _statement(totals, blind, now, zone))


def _statement(totals: Mapping[HealthState, int], blind: tuple[Health, ...], now: Millis, zone: tzinfo) -> str:
    watched = sum(totals.values()) - totals.get(HealthState.PAUSED, 0)
    if not watched:
        return "没有启用的来源，什么消息也收不到"
    others = [f"{totals[each]} 个{word(each)}" for each in (HealthState.SILENT, HealthState.FAILING, HealthState.NEW)
              if totals.get(each)]
    good = totals.get(HealthState.OK, 0) + totals.get(HealthState.QUIET, 0)
    beginning = f"{watched} 个来源中 {good} 个正常" + "".join(f"，{each}" for each in others)
    if not blind:
        return beginning
    named = [f"{each.name}自 {moment(each.since, now, zone)} 起" if each.since is not None else each.name
             for each in blind[:NAMED]]
    rest = f"，等 {len(blind)} 个" if len(blind) > NAMED else ""
    return f"{beginning}；{len(blind)} 个失联：{'，'.join(named)}{rest}，期间的消息可能没有收到"


# ---------------------------------------------------------------- words


def length(span: Millis) -> str:
    """` 20 分钟`, ` 3 小时`, ` 2 天`: a length as people say it, with a space before it."""
    for unit, size, until in (("秒", 1000, MINUTE), ("分钟", MINUTE, 100 * MINUTE), ("小时", HOUR, 2 * DAY)):
        if span < until:
            return f" {max(1, round(span / size))} {unit}"
    return f" {round(span / DAY)} 天"


def moment(at: Millis, now: Millis, zone: tzinfo) -> str:
    """`14:05` of today, else `11月21日 14:05`."""
    then, today = (datetime.fromtimestamp(each / 1000, zone) for each in (at, now))
    clock = f"{then:%H:%M}"
    return clock if then.date() == today.date() else f"{then.month}月{then.day}日 {clock}"
