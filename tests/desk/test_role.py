"""The role as the process runs it: a real socket, a real server, an end when it is cancelled."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from agents import desk
from agents.clock import Clock
from agents.deps import Deps, RuleStore
from agents.desk import accounts
from agents.metrics import Metrics
from agents.settings import Settings
from agents.store.engine import open_store
from pipeline.errors import SettingsError
from tests.desk import seed
from tests.desk.conftest import PASSWORD, csrf_of
from tests.ports import free_port


def deps(tmp_path: Path, port: int) -> Deps:
    """Nobody listens where its broker should be: the desk serves all the same."""
    settings = Settings(data_dir=tmp_path, desk_bind=("127.0.0.1", port), bootstrap=f"127.0.0.1:{free_port()}")
    return Deps(settings, Clock(), Metrics(), RuleStore(seed.book()))


async def test_the_desk_serves_without_a_broker_and_ends_when_cancelled(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    role = asyncio.create_task(desk.run(deps(tmp_path, port)))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        async with asyncio.timeout(60):
            while True:
                with suppress(httpx.ConnectError):
                    if (await client.get("/livez")).status_code == 200:
                        break
                assert not role.done(), role
                await asyncio.sleep(0.05)
        password = capsys.readouterr().err.partition("口令 ")[2].partition("\n")[0]
        page = await client.get("/login")
        form = {"name": "admin", "password": password, "csrf": csrf_of(page.text)}
        assert (await client.post("/login", data=form)).headers["location"] == "/"
        assert "尚未" in (await client.get("/sources")).text or "等待首次采集" in (await client.get("/sources")).text
        assert (await client.get("/readyz")).json()["broker"] is False
    role.cancel()
    async with asyncio.timeout(60):
        with suppress(asyncio.CancelledError):
            await role
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(SettingsError, match="WENXUN_DESK_BIND=127.0.0.1:"):
            await desk.run(deps(tmp_path, int(taken.getsockname()[1])))


async def test_an_admin_who_exists_is_not_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from agents.store.engine import upgrade

    given = deps(tmp_path, free_port())
    await asyncio.to_thread(upgrade, given.settings.store_url)
    engine = open_store(given.settings.store_url)
    accounts.add(engine, "局长", accounts.Role.ADMIN, PASSWORD, now=seed.NOW)
    await desk._first_admin(engine, given)
    engine.dispose()
    assert "口令" not in capsys.readouterr().err
