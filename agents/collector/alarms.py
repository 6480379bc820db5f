"""系统 notices about sources: not heard, heard again, silent, gone, moved. One per source and episode, one for all when
many of a kind come together."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from agents.bus import Bus
from agents.collector.vitals import Vitals
from agents.deps import Deps
from agents.notices import notice
from pipeline.collect.health import HEARD, Health, HealthState, health, length, moment
from pipeline.collect.redact import shown
from pipeline.collect.schedule import Outcome
from pipeline.ids import digest
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import MINUTE, Source

log = logging.getLogger("wenxun.collect")

TOGETHER = MINUTE
"""Sources with the same trouble within this time are told of together when they are many."""
MANY = 4
SHOWN = 10
LOOK_SECONDS = 1.0
"""Real seconds between looks at sources whose trouble grows with time alone."""
AT_A_LOOK = 500

Notice = Callable[..., Awaitable[None]]


class Kind(StrEnum):
    BLIND = "source"                     # part of the notice's key, as it was from the beginning
    HEARD = "heard"
    SILENT = "silent"
    GONE = "gone"
    MOVED = "moved"


_OF_STATE = {HealthState.BLIND: Kind.BLIND, HealthState.DISABLED: Kind.GONE, HealthState.SILENT: Kind.SILENT}
_TITLES = {Kind.BLIND: "来源失联", Kind.HEARD: "来源恢复", Kind.SILENT: "来源沉默", Kind.GONE: "来源停用",
           Kind.MOVED: "来源搬家"}
_MANY = {
    Kind.BLIND: ("同时失联", "同时采集失败，现在听不到它们的消息。"), Kind.HEARD: ("已恢复", "又能听到了。"),
    Kind.SILENT: ("同时沉默", "能采集，但都比平时安静得多。请看这些网站是否还在更新。"),
    Kind.GONE: ("停用", "的地址已经没有了，每天只再看一次。请更换或删除它们。"),
    Kind.MOVED: ("搬家", "永久搬到了新地址，已按新地址采集。请改 sources.yml。"),
}


@dataclass(frozen=True, slots=True)
class _News:
    """Something to tell of a source. episode: when it began; the same kind and episode is told once."""

    kind: Kind
    source: Source
    health: Health
    state: SourceState
    episode: Millis


class Alarms:
    """`watch` after each poll; `tell` now and then. send: agents.notices.notice, or a stand-in."""

    def __init__(self, deps: Deps, bus: Bus, send: Notice = notice) -> None:
        self._deps, self._bus, self._send = deps, bus, send
        self.vitals = Vitals(deps.metrics)
        self._told: dict[tuple[Kind, str], Millis] = {}
        self._waiting: dict[tuple[Kind, str], _News] = {}
        self._since: Millis | None = None
        self._failing: dict[str, tuple[Source, SourceState]] = {}
        self._looked = float("-inf")

    def watch(self, source: Source, state: SourceState | None, now: Millis) -> None:
        """What a poll, or the start, found. None: nothing is known of the source."""
        found = health(source, state, now)
        self.vitals.see(found)
        self._failing.pop(source.id, None)
        if state is None or found.state in (HealthState.NEW, HealthState.OVERDUE):
            return
        if found.state is HealthState.FAILING:
            self._failing[source.id] = (source, state)
        self._settle(source, found, state)
        if (kind := _OF_STATE.get(found.state)) is not None:
            self._want(_News(kind, source, found, state, _episode(kind, state)), now)
        if found.moved_to:
            self._want(_News(Kind.MOVED, source, found, state, _place(found.moved_to)), now)

    def forget(self, source_id: str) -> None:
        """The source is polled here no longer."""
        self.vitals.forget(source_id)
        self._failing.pop(source_id, None)
        for kind in Kind:
            self._waiting.pop((kind, source_id), None)
            self._told.pop((kind, source_id), None)

    def _want(self, news: _News, now: Millis) -> None:
        if self._told.get((news.kind, news.source.id)) != news.episode:
            self._waiting[news.kind, news.source.id] = news
            self._since = now if self._since is None else self._since

    def _settle(self, source: Source, found: Health, state: SourceState) -> None:
        """What is over: it is not told any more, and where trouble was told of, its end is."""
        for kind in (Kind.BLIND, Kind.GONE, Kind.SILENT):
            if _OF_STATE.get(found.state) is not kind:
                self._waiting.pop((kind, source.id), None)
        if found.state not in HEARD:
            return
        began = [self._told.pop((kind, source.id), None) for kind in (Kind.BLIND, Kind.GONE)]
        episodes = [each for each in began if each is not None]
        if episodes:
            self._want(_News(Kind.HEARD, source, found, state, min(episodes)), state.polled_at)

    async def tell(self, now: Millis) -> None:
        """Send what waited long enough to be sent together. A notice that fails is tried again next time."""
        self._look(now)
        if not self._waiting or self._since is None or now - self._since < TOGETHER:
            self._since = self._since if self._waiting else None
            return
        try:
            for kind in Kind:
                found = [news for news in self._waiting.values() if news.kind is kind]
                await self._tell(found, now)
        except Exception as error:                      # the collector goes on without its notice
            log.warning("system notice not sent: %s", type(error).__name__)
            return
        self._since = None

    async def _tell(self, found: list[_News], now: Millis) -> None:
        zone = ZoneInfo(self._deps.rules.book.timezone)
        messages = [_one(each, now, zone) for each in found] if len(found) < MANY else [_many(found)]
        for key, episode, title, text in messages:
            await self._send(self._bus, key=key, episode=episode, title=title, text=text, at=now,
                             tell=(self._deps.rules.book.roster.ops,))
        for news in found:
            self._waiting.pop((news.kind, news.source.id), None)
            if news.kind is not Kind.HEARD:
                self._told[news.kind, news.source.id] = news.episode

    def _look(self, now: Millis) -> None:
        """Failing sources become blind by time alone."""
        real = asyncio.get_running_loop().time()
        if real - self._looked < LOOK_SECONDS / self._deps.clock.factor:
            return
        self._looked = real
        for source, state in list(itertools.islice(self._failing.values(), AT_A_LOOK)):     # `watch` puts them last
            self.watch(source, state, now)


def _episode(kind: Kind, state: SourceState) -> Millis:
    return (state.new_item_at if kind is Kind.SILENT else state.succeeded_at) or 0


def _place(url: str) -> Millis:
    """A move has no time that survives a restart: its target tells it from others."""
    return int(digest(url, size=5), 16)


# ---------------------------------------------------------------- words


def _one(news: _News, now: Millis, zone: ZoneInfo) -> tuple[str, Millis, str, str]:
    source, state, url = news.source, news.state, shown(news.source.url)
    about = f"来源“{source.name}”（{source.id}）"
    times = f"连续 {state.failures} 次采集失败" if state.failures > 1 else "采集失败"
    began = f"自 {moment(news.episode, now, zone)} 起约{length(now - news.episode)}" if news.episode else "此前一直"
    text = {
        Kind.BLIND: f"{about}{times}，现在听不到它的消息。原因：{state.error}。网址：{url}",
        Kind.HEARD: f"{about}又能听到了，{began}听不到。还留在订阅里的内容会补上，其余的可能没有收到。",
        Kind.SILENT: f"{about}{news.health.why}。{news.health.advice}。网址：{url}",
        Kind.GONE: f"{about}已停用，每天只再看一次。原因：{state.error}。网址：{url}",
        Kind.MOVED: f"{about}已永久搬到 {shown(news.health.moved_to)}，现在按新地址采集。请改 sources.yml。"
                    f"原网址：{url}",
    }[news.kind]
    key = f"{news.kind}:{source.id}:{digest(source.url, size=4)}"
    return key, news.episode, f"{_TITLES[news.kind]}：{source.name}", text


def _many(found: list[_News]) -> tuple[str, Millis, str, str]:
    kind, number = found[0].kind, len(found)
    title, begin = _MANY[kind]
    if kind is Kind.BLIND:
        unheard = sum(each.state.outcome == Outcome.NO_ANSWER for each in found)
        begin += ("多半是本机网络、DNS 或代理的问题，请先检查。" if 2 * unheard > number
                  else "请按下面的原因逐个核对 sources.yml 里的网址。")
    lines = [_line(each) for each in found[:SHOWN]]
    if number > SHOWN:
        lines.append("……其余见值班台的“来源”页")
    text = "\n".join([f"{number} 个来源{begin}", *lines])
    key = f"{'sources' if kind is Kind.BLIND else kind}:" + digest(*sorted(each.source.id for each in found), size=4)
    return key, min(each.episode for each in found), f"{number} 个来源{title}", text


def _line(news: _News) -> str:
    name = f"{news.source.name}（{news.source.id}）"
    if news.kind is Kind.MOVED:
        return f"{name}：{shown(news.health.moved_to)}"
    return name if news.kind in (Kind.HEARD, Kind.SILENT) else f"{name}：{news.state.error}"
