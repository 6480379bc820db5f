"""All roles of one process in one event loop: started in order, watched, stopped within the grace period.

Order: probes, topics, the rule feed; archive, desk and rules; then (the first rule book is there) with the embedded
broker the warm-up; deliver, escalate, track and score; collect last. A role that ends or fails ends the process with
1: whatever supervises it starts it again.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from agents import health, host, lag_watch, rewind, ticker, topics_admin
from agents.app import FAUST, App, create_app
from agents.bus import Bus
from agents.deadletter import describe
from agents.deps import Deps
from pipeline.errors import SettingsError, WenxunError

log = logging.getLogger("wenxun.runtime")

PLAIN = {"collect": "agents.collector", "deliver": "agents.deliverer", "archive": "agents.archivist",
         "desk": "agents.desk", "rules": "agents.rule_watch"}
START_ORDER = ("archive", "desk", "rules", "deliver", "escalate", "track", "score", "collect")
NEED_BOOK = ("deliver", "escalate", "track", "score", "collect")
KEEPING = ("archive", "deliver", "desk")
"""Roles that are of no use without the store."""
ALL = START_ORDER


def parse_roles(text: str) -> tuple[str, ...]:
    """`all` or names separated by commas, in starting order; SettingsError names an unknown one."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return ALL
    unknown = [name for name in names if name not in START_ORDER]
    if unknown or not names:
        what = f"unknown {', '.join(unknown)}" if unknown else "none given"
        raise SettingsError(f"--roles: {what}; expected `all` or some of {', '.join(START_ORDER)}")
    return tuple(role for role in START_ORDER if role in names)


async def run_roles(deps: Deps, roles: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT (0) or until a role fails (1). A second signal, or a stop that takes longer than
    settings.grace_seconds, ends the process at once. Errors an operator can mend are raised as WenxunError."""
    process = Process(deps, tuple(roles))
    process.listen()
    try:
        return await process.run()
    finally:
        process.deadline.cancel() if process.deadline else None


class Process:
    """The roles of this process as tasks."""

    def __init__(self, deps: Deps, roles: tuple[str, ...]) -> None:
        self.deps, self.roles = deps, roles
        self.health = health.Health()
        self.health.looks.append(lambda: host.show_disk(deps.metrics, deps.settings.data_dir))
        host.show_memory(deps.metrics)
        self.deadline: asyncio.TimerHandle | None = None
        self._stop = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def listen(self) -> None:
        """SIGTERM and SIGINT ask to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError, ValueError):     # no signals outside the main thread
                loop.add_signal_handler(number, self.ask_to_stop)

    def ask_to_stop(self) -> None:
        if self._stop.is_set():
            log.warning("asked a second time: ending at once")
            _end(1)
        self._stop.set()
        self._limit()

    async def run(self) -> int:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                health.serving(self.deps.settings.metrics_bind, self.deps.metrics, self.health))
            starting = asyncio.create_task(self._start())
            try:
                return await self._watch(starting)
            finally:
                self._limit()
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                await self._shut_down()

    async def _watch(self, starting: asyncio.Task[None]) -> int:
        """Wait for a request to stop (0), for a role's end or for a start that fails (1, WenxunError)."""
        stop = asyncio.create_task(self._stop.wait())
        try:
            while True:
                watched = {stop, *self._tasks.values(), *(() if starting.done() else (starting,))}
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED, timeout=0.5)
                if stop.done():
                    return 0
                if starting.done():
                    starting.result()
                for name, task in self._tasks.items():
                    if task.done():
                        return _ended(name, task)
        finally:
            stop.cancel()

    async def _start(self) -> None:
        apps = {role: bound_app(self.deps, role) for role in self.roles if role in FAUST}
        self.health.checks["rule book"] = lambda: "" if self.deps.rules.loaded else "no rule book yet"
        for role in self.roles:
            self.health.checks[role] = lambda: "not started"
        if not self.deps.settings.embedded:
            await topics_admin.ensure(
                self.deps.settings, [name for app in apps.values() for name in app.changelogs()])
        workers = importlib.import_module("agents.rule_workers")
        heard = workers.Skew(self.deps).heard
        self._spawn("rule feed", importlib.import_module("agents.rule_feed").follow(self.deps, heard))
        self._spawn("rule workers", workers.announce(self.deps, self.roles))
        if "rules" in self.roles:                       # there is one of it
            self._spawn("lag watch", lag_watch.watch(self.deps))
        for role in (role for role in self.roles if role not in NEED_BOOK):
            self._plain(role)
        await self._first_book()
        if self.deps.settings.embedded:
            await self._warm_up()
        if "deliver" in self.roles:
            self._plain("deliver")
        await asyncio.gather(*(self._faust(app) for app in apps.values()))
        if "collect" in self.roles:
            self._plain("collect")
        log.info("running: %s", ", ".join(self.roles))

    async def _first_book(self) -> None:
        while not self.deps.rules.loaded:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.deps.rules.ready(), 30)
                return
            log.warning("still waiting for the first rule book (role `rules` publishes it on topic `rules`)")

    async def _warm_up(self) -> None:
        """The embedded broker cannot be trusted to hold tables whole: they come from the archive."""
        async with Bus(self.deps.settings, self.deps.clock, "warmup") as bus:
            await rewind.warm_up(self.deps, bus, [role for role in ticker.TICKED if role in self.roles])

    def _plain(self, role: str) -> None:
        self._spawn(role, importlib.import_module(PLAIN[role]).run(self.deps))
        self.health.checks[role] = (lambda: self._store_of(role)) if role in KEEPING else lambda: ""

    def _store_of(self, role: str) -> str:
        """By the role's last use of it; each uses it every few seconds, or has nothing to write."""
        reached = {sample.labels["role"]: sample.value for family in self.deps.metrics["store_reachable"].collect()
                   for sample in family.samples}        # not of the registry: that collects every series there is
        return "the store does not answer" if reached.get(role) == 0 else ""

    async def _faust(self, app: App) -> None:
        started = asyncio.Event()
        self.health.checks[app.role] = lambda: "" if ready(app) else "tables are being recovered"
        self._spawn(app.role, run_app(app, self.deps, started))
        task = self._tasks[app.role]
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def _shut_down(self) -> None:
        """Collect first, so that what it sent is still handled; the rest together."""
        for group in ({"collect"}, set(FAUST), set(self._tasks)):
            tasks = [task for name, task in self._tasks.items() if name in group and not task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _limit(self) -> None:
        if self.deadline is None:
            grace = self.deps.settings.grace_seconds
            self.deadline = asyncio.get_running_loop().call_later(grace, _overdue, grace)


def bound_app(deps: Deps, role: str) -> App:
    """The app of a role with its agent, not started."""
    app = create_app(deps, role)
    importlib.import_module(FAUST[role]).register(app, deps)
    return app


async def run_app(app: App, deps: Deps, started: asyncio.Event) -> None:
    """A Faust app with its ticker and self-check, until cancelled; raises what it crashed of."""
    helpers: list[asyncio.Task[Any]] = []
    try:
        starting = asyncio.create_task(app.start())
        crash = asyncio.create_task(app._crashed.wait())
        helpers += [starting, crash]
        await asyncio.wait({starting, crash}, return_when=asyncio.FIRST_COMPLETED)
        if not crash.done():
            starting.result()
            started.set()
            helpers.append(asyncio.create_task(ticker.check_commits(app, deps, app.role)))
            if app.role in ticker.TICKED:
                helpers.append(asyncio.create_task(ticker.tick(app, deps, app.role)))
            done, _ = await asyncio.wait({crash, *helpers[2:]}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {crash}:
                task.result()
        raise app.crash_reason or RuntimeError(f"{app.role}: the Faust app ended")
    finally:
        for task in helpers:
            task.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await app.stop()


def ready(app: App) -> bool:
    """Its tables are recovered and it is not rebalancing."""
    return bool(app.tables.recovery.completed.is_set() and not app.rebalancing)


def _ended(name: str, task: asyncio.Task[None]) -> int:
    error = task.exception() if not task.cancelled() else None
    if isinstance(error, WenxunError):
        raise error
    log.error("%s ended: %s", name, describe(error) if error else "it should run for ever", exc_info=error)
    return 1


def _overdue(seconds: float) -> None:
    log.error("not stopped after %g s (WENXUN_GRACE_SECONDS): ending at once", seconds)
    _end(1)


def _end(code: int) -> None:
    logging.shutdown()
    os._exit(code)
