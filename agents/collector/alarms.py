"""系统 notices about sources that cannot be heard: one per source and episode, one for all when many go at once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from agents.bus import Bus
from agents.deps import Deps
from agents.notices import notice
from pipeline.collect.schedule import Outcome, Policy, is_blind
from pipeline.ids import digest
from pipeline.model import Millis, SourceState
from pipeline.rulebook.schema import MINUTE, Source

log = logging.getLogger("wenxun.collect")

TOGETHER = MINUTE
"""Sources that go blind within this time are told of together when they are many."""
MANY = 4
SHOWN = 10

Notice = Callable[..., Awaitable[None]]


class Alarms:
    """`watch` after each poll; `tell` now and then. send: agents.notices.notice, or a stand-in."""

    def __init__(self, deps: Deps, bus: Bus, send: Notice = notice) -> None:
        self._deps, self._bus, self._send = deps, bus, send
        self._told: dict[str, Millis] = {}
        self._waiting: dict[str, tuple[Source, SourceState]] = {}
        self._since: Millis | None = None

    def watch(self, source: Source, state: SourceState, now: Millis) -> None:
        """Remember a source that has just gone blind; forget one that is heard again."""
        episode = state.succeeded_at or 0
        if not is_blind(state, Policy.of(source), now):
            self._waiting.pop(source.id, None)
            self._told.pop(source.id, None) if not state.failures else None
        elif self._told.get(source.id) != episode:
            self._waiting[source.id] = (source, state)
            self._since = now if self._since is None else self._since

    async def tell(self, now: Millis) -> None:
        """Send what waited long enough to be sent together. A notice that fails is tried again next time."""
        if not self._waiting or self._since is None or now - self._since < TOGETHER:
            self._since = self._since if self._waiting else None
            return
        found = list(self._waiting.values())
        messages = [_one(*each) for each in found] if len(found) < MANY else [_many(found)]
        try:
            for key, episode, title, text in messages:
                await self._send(self._bus, key=key, episode=episode, title=title, text=text, at=now,
                                 tell=(self._deps.rules.book.roster.ops,))
        except Exception as error:                      # the collector goes on without its notice
            log.warning("system notice not sent: %s", type(error).__name__)
            return
        self._told.update({source.id: state.succeeded_at or 0 for source, state in found})
        self._waiting.clear()
        self._since = None


def _one(source: Source, state: SourceState) -> tuple[str, Millis, str, str]:
    times = f"连续 {state.failures} 次采集失败" if state.failures > 1 else "采集失败"
    text = f"来源“{source.name}”（{source.id}）{times}，现在听不到它的消息。原因：{state.error}。网址：{source.url}"
    key = f"source:{source.id}:{digest(source.url, size=4)}"
    return key, state.succeeded_at or 0, f"来源失联：{source.name}", text


def _many(found: list[tuple[Source, SourceState]]) -> tuple[str, Millis, str, str]:
    unheard = sum(state.outcome == Outcome.NO_ANSWER for _, state in found)
    advice = ("多半是本机网络、DNS 或代理的问题，请先检查。" if 2 * unheard > len(found)
              else "请按下面的原因逐个核对 sources.yml 里的网址。")
    lines = [f"{source.name}（{source.id}）：{state.error}" for source, state in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append("……其余见值班台的“来源”页")
    text = "\n".join([f"{len(found)} 个来源同时采集失败，现在听不到它们的消息。{advice}", *lines])
    key = "sources:" + digest(*sorted(source.id for source, _ in found), size=4)
    return key, min(state.succeeded_at or 0 for _, state in found), f"{len(found)} 个来源同时失联", text
