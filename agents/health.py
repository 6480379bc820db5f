"""/metrics, /livez and /readyz of a process on WENXUN_METRICS_BIND, served by aiohttp (which Faust brings).

Ready means: every role is started, Faust's tables are recovered, and a rule book is in force. A probe's body names
what is missing. Roles may add checks of their own to `Health.checks`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from agents import listening
from agents.metrics import EVERY, Metrics

Check = Callable[[], str]
"""What is missing, in a few words; an empty text when nothing is."""


class Health:
    """What the probes of this process answer. looks: called before each scrape, for gauges that cost little; they raise
    nothing."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}
        self.looks: list[Callable[[], None]] = []

    def ready(self, role: str) -> bool:
        """Whether nothing that this role waits for is missing; checks that name no role are everybody's."""
        shared = (check for name, check in self.checks.items() if name not in EVERY)
        return role in self.checks and not any(check() for check in (self.checks[role], *shared))

    def show(self, metrics: Metrics) -> None:
        for role in metrics.roles:
            metrics["ready"].labels(role).set(self.ready(role))
        for look in self.looks:
            look()

    def missing(self) -> list[str]:
        return [f"{name}: {text}" for name, check in self.checks.items() if (text := check())]


@asynccontextmanager
async def serving(bind: tuple[str, int], metrics: Metrics, health: Health) -> AsyncIterator[int]:
    """Serve the probes while the block runs; yields the port. SettingsError if the address cannot be bound."""
    metrics["build_info"].labels(_version()).set(1)
    for role in metrics.roles:
        metrics["role_info"].labels(role).set(1)
    runner = web.AppRunner(_application(metrics, health), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, *bind)
        try:
            await site.start()
        except OSError as error:
            raise listening.refused("WENXUN_METRICS_BIND", *bind, error) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _application(metrics: Metrics, health: Health) -> web.Application:
    async def scrape(_: web.Request) -> web.Response:
        health.show(metrics)
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        missing = health.missing()
        return web.Response(text="\n".join(missing or ["ok"]) + "\n", status=503 if missing else 200)

    application = web.Application()
    application.add_routes([web.get("/metrics", scrape), web.get("/livez", live), web.get("/readyz", ready)])
    return application


def _version() -> str:
    try:
        return version("wenxun")
    except PackageNotFoundError:
        return "unknown"
