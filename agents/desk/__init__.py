"""The role `desk`: the web pages and the JSON API. Reads SQL, writes commands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Iterator

import uvicorn
from sqlalchemy import Engine

from agents import link_key, listening
from agents.bus import Bus
from agents.deps import Deps
from agents.desk.accounts import ensure_admin
from agents.desk.app import create_app
from agents.desk.sender import CommandSender
from agents.desk.web import Desk
from agents.store import reachable
from agents.store.engine import hasten
from pipeline import topics
from pipeline.errors import SettingsError

log = logging.getLogger(__name__)


PATIENCE_SECONDS = 15
"""A page that takes longer is an error page."""


class _Server(uvicorn.Server):
    """Signals belong to the process that runs all roles, not to one of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(deps: Deps) -> None:
    """Serve until cancelled. SettingsError when the address cannot be bound."""
    settings = deps.settings
    engine = await reachable.ready(deps, "desk")
    hasten(engine, PATIENCE_SECONDS)
    try:
        with _bind(*settings.desk_bind) as listening:
            await _first_admin(engine, deps)
            await asyncio.to_thread(_look_at_key, deps)
            sender = CommandSender(engine, lambda: Bus(settings, deps.clock, "desk"),
                                   poll_partition=lambda source_id: _poll_partition(deps, source_id))
            await _serve(Desk(deps, engine, sender), listening)
    finally:
        engine.dispose()


async def _serve(desk: Desk, listening: socket.socket) -> None:
    server = _Server(uvicorn.Config(
        create_app(desk), log_config=None, log_level="warning", access_log=False, lifespan="off", ws="none",
        server_header=False, proxy_headers=False, limit_concurrency=200, timeout_graceful_shutdown=3))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    sending = asyncio.create_task(desk.sender.run())
    log.info("desk on http://%s:%s", *listening.getsockname()[:2])
    try:
        ended, _ = await asyncio.wait((serving, sending), return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()                         # neither ends by itself: say why, the supervisor starts again
    finally:
        server.should_exit = True
        sending.cancel()
        await asyncio.gather(serving, sending, return_exceptions=True)


def _poll_partition(deps: Deps, source_id: str) -> int | None:
    """Where the collector of this source listens; None when the book has no such source (any more)."""
    source = deps.rules.book.source(source_id) if deps.rules.loaded else None
    partitions = topics.partitions_of(topics.POLLS, deps.settings.partitions)
    return topics.partition_of_host(source.url, partitions) if source else None


async def _first_admin(engine: Engine, deps: Deps) -> None:
    """Whoever starts the desk without an admin reads the password here, once; it is in no log."""
    password = await asyncio.to_thread(ensure_admin, engine, deps.settings, deps.clock.now())
    if password is not None:
        print(f"\n值班台的第一个管理员：账号 admin，口令 {password}\n"
              "（只显示这一次；用 `wenxun user passwd admin` 修改）\n", file=sys.stderr, flush=True)


def _look_at_key(deps: Deps) -> None:
    """A key that cannot be used is said at start; without it the desk works, links of messages do not."""
    if deps.settings.link_url:
        try:
            link_key.load(deps.settings)
        except SettingsError as error:
            log.error("links in messages cannot be opened: %s", error)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=128)
    except OSError as error:
        raise listening.refused("WENXUN_DESK_BIND", host, port, error) from None
