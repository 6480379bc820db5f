"""What deliver says about itself: gauges of the outbox and of each channel's breaker, the count of alerts that nobody
accounts for, the day's budget of alerts, and a real clock that was set back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from agents import link_key, secret_files
from agents.deliverer import budget
from agents.deliverer.office import Office
from agents.notices import system_notice
from agents.settings import Settings
from agents.store.account_reads import GRACE, unaccounted
from pipeline.errors import SettingsError
from pipeline.model import Escalation, Millis
from pipeline.notify.breaker import State
from pipeline.rulebook.schema import DAY, RuleBook

log = logging.getLogger("wenxun.deliver")

GAUGES_SECONDS = 2.0
AUDIT_EVERY = 15
"""Rounds of gauges to one of the dearer looks."""
SET_BACK: Millis = 2000
"""Real time that goes back by more than this was set back."""
_SHOWN = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class Watch:
    """tell: is given notices to be sent to ops."""

    def __init__(self, office: Office, tell: Callable[[Iterable[Escalation]], None]) -> None:
        self._office, self._tell = office, tell
        self._told: set[str] = set()
        self._latest: Millis | None = None

    async def run(self) -> None:
        """Until cancelled. A store that cannot be read is somebody else's notice."""
        rounds = 0
        while True:
            try:
                await self.gauges()
                if rounds % AUDIT_EVERY == 0:
                    await self.account()
            except SQLAlchemyError as error:
                log.error("the outbox cannot be read: %s", type(error).__name__)
            rounds += 1
            await asyncio.sleep(GAUGES_SECONDS)

    async def gauges(self) -> None:
        ledger, metrics, now = self._office.ledger, self._office.deps.metrics, self._office.deps.clock.now()
        real, before = self._office.real(), self._latest
        if before is None or real < before - SET_BACK:          # at a start: it may have been while nobody looked
            await self._office.store(ledger.set_back, real)
        if before is not None and real < before - SET_BACK:
            log.warning("the clock was set back by %d s: waits of before that are cut short", (before - real) // 1000)
        self._latest = real
        count, oldest = await self._office.store(ledger.pending)
        metrics["outbox_pending"].set(count)
        metrics["outbox_oldest_seconds"].set(max(0, now - oldest) / 1000 if oldest is not None else 0)
        known = {each.id for each in self._office.deps.rules.book.channels}
        breakers = await self._office.store(ledger.breakers)
        metrics["circuit_state"].clear()
        for channel in sorted(known):
            state = breakers[channel].state(real) if channel in breakers else State.CLOSED
            metrics["circuit_state"].labels(channel).set(_SHOWN[state])

    async def account(self) -> None:
        """Every decided alert of the last day is somewhere, and there are no more than the budget allows."""
        deps, engine = self._office.deps, self._office.ledger.engine
        now = deps.clock.now()
        before = now - int(GRACE * max(1.0, deps.clock.factor))
        deps.metrics["unaccounted_alerts"].set(await self._office.store(_unaccounted, engine, now - DAY, before))
        paged = await self._office.store(budget.today, engine, now, deps.settings.zone)
        self._pages(paged)
        self._from_zero()
        found = await self._office.store(budget.notices, engine, deps.rules.book, now, deps.settings.zone, paged)
        found += await asyncio.to_thread(_no_links, deps.settings, now)
        found += await asyncio.to_thread(_no_secrets, deps.settings, deps.rules.book, now)
        fresh = [each for each in found if each.id not in self._told]
        self._told.update(each.id for each in fresh)
        for each in fresh:
            log.warning("ops is told: %s %s", each.title, each.text)
        if fresh:
            self._tell(fresh)

    def _from_zero(self) -> None:
        """Deliveries of every type of channel there is: the first failure is an increase too."""
        for kind in {channel.type.value for channel in self._office.deps.rules.book.channels}:
            for outcome in ("confirmed", "retry", "dead"):
                self._office.deps.metrics["deliveries_total"].labels(kind, outcome)

    def _pages(self, paged: Mapping[int, int]) -> None:
        """What was paged today, and what the rules expect at most."""
        book, metrics = self._office.deps.rules.book, self._office.deps.metrics
        for name in ("pages_today", "page_budget"):
            metrics[name].clear()
        for rank, level in enumerate(book.levels.ladder, 1):
            metrics["pages_today"].labels(level.name).set(paged.get(rank, 0))
        for name, most in book.budget.items():
            metrics["page_budget"].labels(name).set(most)


def _unaccounted(engine: Engine, since: Millis, before: Millis) -> int:
    with engine.connect() as connection:
        return len(unaccounted(connection, since, before))


def _no_secrets(settings: Settings, book: RuleBook, now: Millis) -> list[Escalation]:
    """A channel without its secret is found out at a start, not by the first page: ops hears so once a day."""
    return [system_notice(
        key=f"deliver:secret:{channel}", episode=budget.midnight(now, settings.zone), at=now,
        title=f"通道 {channel} 没有密钥", text=f"通道 {channel} 发不出消息：{why}。请放好这个文件，不必重启；"
        f"放好后用 `wenxun notify test --channel {channel}` 验证。")
        for channel, why in secret_files.of_channels(book, settings.rules_dir).items()]


def _no_links(settings: Settings, now: Millis) -> list[Escalation]:
    """Messages go out without links while the key cannot be used: ops hears so once a day, or nobody would."""
    if not settings.link_url:
        return []
    try:
        link_key.load(settings)
    except SettingsError as error:
        return [system_notice(
            key="deliver:links", episode=budget.midnight(now, settings.zone), at=now, title="消息里带不了链接",
            text=f"{error}。消息照常发送，只是没有链接，已发出的链接也打不开：收件人要自己登录值班台确认。")]
    return []
