"""PostgreSQL goes away under traffic, by stopping, by hanging and by dying: nothing is lost, nothing is sent twice, and
everybody says so."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from agents import archivist, deliverer, desk
from agents.bus import Bus
from agents.deliverer import courier
from agents.deps import Deps
from agents.embedded import embedded_broker
from agents.store import engine as store
from agents.store.patient import PatientConnection
from pipeline import topics
from pipeline.rulebook.schema import Channel, ChannelType
from tests import postgres_server
from tests.builders import raw_batch, raw_item
from tests.delivery_fakes import Hook, delivery_book, delivery_deps, until
from tests.messages import page
from tests.ports import free_port
from tests.postgres_server import Server

pytestmark = [pytest.mark.postgres, pytest.mark.sqlite]


@pytest.fixture(scope="module")
def away() -> Iterator[Server]:
    """A server of this module alone, that is stopped and started; it keeps what it acknowledged."""
    with postgres_server.running(durable=True) as found:
        yield found


def test_a_server_that_hangs_is_given_up(away: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel goes on answering: neither keepalives nor TCP would ever end the wait."""
    monkeypatch.setattr(PatientConnection, "patience", 0.5)
    away.create("hangs")
    engine = store.open_store(away.url("hangs"))
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.1)")
        away.freeze()
        began = time.monotonic()
        try:
            with pytest.raises(OperationalError, match="silent for 0.5 s"):
                connection.exec_driver_sql("SELECT 1")
            assert time.monotonic() - began < 30 and connection.invalidated
        finally:
            away.thaw()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
        connection.exec_driver_sql("SELECT 1 FROM pg_sleep(0)")
        store.without_limits(connection)
        connection.exec_driver_sql("SELECT pg_sleep(1)")            # lifted: silence is no fault
    with engine.connect() as connection, pytest.raises(OperationalError, match="silent"):
        connection.exec_driver_sql("SELECT pg_sleep(2)")            # and in force again for who comes next
    engine.dispose()


# ---------------------------------------------------------------- roles under traffic


LONG = float(os.environ.get("WENXUN_AWAY_SECONDS", "0"))
"""By hand: so long away, with every limit and pause as it is shipped (WENXUN_AWAY_SECONDS=300)."""
OUTAGES: dict[str, tuple[Callable[[Server], None], Callable[[Server], None]]] = {
    "stopped": (lambda server: server.stop(), lambda server: server.start()),
    "crashed": (lambda server: server.stop(signal.SIGQUIT), lambda server: server.start()),
    "hanging": (lambda server: server.freeze(), lambda server: server.thaw()),
}


class Traffic:
    """Items and pages, each with its own number, at a steady pace until the block ends."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self.sent = 0

    async def __aenter__(self) -> Traffic:
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task

    async def _run(self) -> None:
        deps = self._deps
        async with Bus(deps.settings, deps.clock, "test") as bus:
            while not self._stop.is_set():
                number, now = self.sent, deps.clock.now()
                source = f"s{number % 40}"          # the embedded broker hands out few records a second of a partition
                item = raw_item(f"a{number}", source_id=source)
                await bus.send(topics.ITEMS_RAW, source, raw_batch(item, source_id=source), ident=item.id)
                fresh = page(f"p{number}", at=now, event_id=f"e{number}", alert_id=f"al{number}")
                await bus.send(topics.ESCALATIONS, f"e{number}", fresh, ident=fresh.id)
                self.sent += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 0.2 if LONG else 0.05)


@asynccontextmanager
async def roles(deps: Deps) -> AsyncIterator[None]:
    """archive, deliver and desk in this process; none of them may end by itself."""
    tasks = [asyncio.create_task(each.run(deps)) for each in (archivist, deliverer, desk)]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reached(deps: Deps) -> set[str]:
    return {role for role in ("archive", "deliver", "desk")
            if deps.metrics.registry.get_sample_value("wenxun_store_reachable", {"role": role})}


async def wait_for(condition: Callable[[], object], what: str, seconds: float = 300) -> None:
    try:
        await until(condition, seconds)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


def count_of(engine: Engine, statement: str) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(statement).scalar_one())


def ledger(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(
            "SELECT status, reported, lease_until > 0, attempts, count(*) FROM outbox GROUP BY 1, 2, 3, 4")]


@pytest.mark.parametrize("how", OUTAGES)
async def test_under_traffic_nothing_is_lost_and_nothing_sent_twice(
    away: Server, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is shorter than the outage: what was sent meanwhile is still nobody's to send again."""
    if not LONG:
        monkeypatch.setattr(PatientConnection, "patience", 1.5)
        monkeypatch.setattr(desk, "PATIENCE_SECONDS", 1)
        monkeypatch.setattr(archivist.Archivist.__init__, "__kwdefaults__", {
            **archivist.Archivist.__init__.__kwdefaults__, "retry_seconds": (0.2, 0.5)})
        monkeypatch.setattr(courier, "LEASE_MS", 1500)
        monkeypatch.setattr(courier, "SETTLE_SECONDS", 2.5)
    away.create(how)
    leave, come_back = OUTAGES[how]
    with embedded_broker() as address:
        async with Hook() as hook:
            rules = delivery_book(Channel(id="hook", type=ChannelType.WEBHOOK, url=f"http://127.0.0.1:{hook.port}/",
                                          rate=6000))
            port = free_port()
            deps = delivery_deps(tmp_path, rules, hook, bootstrap=address, embedded=True,
                                 database_url=away.url(how), desk_bind=("127.0.0.1", port))
            async with roles(deps), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as browser:
                await wait_for(lambda: len(reached(deps)) == 3, "all roles have the store")
                async with Traffic(deps) as traffic:
                    await wait_for(lambda: len(hook.got) > 10, "pages arrive")
                    hook.delay = 0.6                    # some are under way when it goes
                    under_way = len(hook.got)
                    await wait_for(lambda: len(hook.got) > under_way, "a page is under way")
                    leave(away)
                    began, before = time.monotonic(), traffic.sent
                    try:
                        await wait_for(lambda: not reached(deps) & {"archive", "deliver"}, "they say that it is away")
                        answer = await browser.get("/login")
                        page_code = (await browser.get("/", headers={"cookie": "wenxun_session=x"})).status_code
                        ready = (await browser.get("/readyz")).status_code
                        await wait_for(lambda: traffic.sent >= before + 60 and time.monotonic() > began + LONG,
                                       "traffic goes on for longer than a lease", LONG + 180)
                    finally:
                        come_back(away)
                    back, missed = time.monotonic(), traffic.sent - before
                    hook.delay = 0.0
                    await wait_for(lambda: len(reached(deps)) >= 2, "they say that it is back")
                engine, wanted = store.open_store(away.url(how)), traffic.sent
                for where in ("items", "outbox WHERE channel = 'hook' AND status = 'confirmed' AND reported"):
                    statement = f"SELECT count(*) FROM {where}"
                    try:
                        await wait_for(lambda said=statement: count_of(engine, said) == wanted, f"{wanted} of {where}")
                    except AssertionError:
                        found = {name: count_of(engine, f"SELECT count(*) FROM {name}") for name in (
                            "items", "dead_letters", "escalations", "outbox")}
                        raise AssertionError(f"{wanted} of {where} wanted: {found} {ledger(engine)}") from None
                    print(f"{how}: away {back - began:.0f} s, {missed} items and pages meanwhile; "
                          f"{where.split()[0]} had all {time.monotonic() - back:.0f} s after it was back")
                assert (await browser.get("/readyz")).status_code == 200
                assert (await browser.get("/login")).status_code == 200
                engine.dispose()
            ids = [got.headers["webhook-id"] for got in hook.got]
    assert len(set(ids)) == wanted and len(ids) == wanted, f"{len(ids) - len(set(ids))} sent twice"
    assert page_code == 503 and ready == 503 and answer.status_code in (200, 503)
