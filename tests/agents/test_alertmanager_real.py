"""A real Alertmanager: an alert stands there while it goes on, with its labels, and is resolved when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from agents import outbound
from agents.deliverer.alertmanager import Alertmanager
from agents.deliverer.letter import Letter, Sent
from agents.deliverer.secrets import Secrets
from agents.deliverer.standing import Standing
from agents.desk.api_alertmanager import Payload
from agents.settings import Settings
from pipeline.model import AlertStatus, Escalation, EscalationKind
from pipeline.notify.alertmanager import OWN
from pipeline.notify.render import Setting, render
from pipeline.rulebook.schema import Channel, ChannelType, Person
from tests.agents.alert_rows import Rows
from tests.builders import book
from tests.delivery_fakes import Hook
from tests.messages import head, page, system
from tests.ports import free_port
from tests.servers import missing

pytestmark = pytest.mark.alertmanager


def binary() -> str:
    """Debian's name, then the one of other systems."""
    found = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    return found or missing("alertmanager", "prometheus-alertmanager is not installed")


@contextlib.asynccontextmanager
async def alertmanager(path: Path, hook: int = 0) -> AsyncIterator[str]:
    """A server of its own on this machine alone; its base URL. hook: the port where it sends what it is told."""
    to = f", webhook_configs: [{{url: 'http://127.0.0.1:{hook}/', send_resolved: true}}]" if hook else ""
    config = path / "alertmanager.yml"
    config.write_text("route: {receiver: us, group_wait: 0s, group_interval: 1s, group_by: ['...']}\n"
                      f"receivers: [{{name: us{to}}}]\n", "utf-8")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        binary(), f"--config.file={config}", f"--storage.path={path / 'data'}", "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
    try:
        base = f"http://127.0.0.1:{port}"
        await until(lambda: ready(base), process)
        yield base
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def ready(base: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        with contextlib.suppress(httpx.HTTPError):
            return (await client.get(f"{base}/-/ready")).status_code == 200
    return False


async def until(true: Any, process: asyncio.subprocess.Process | None = None, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            assert process is None or process.returncode is None, "alertmanager ended"
            await asyncio.sleep(0.1)


async def known(base: str) -> list[dict[str, Any]]:
    """What its API has: alerts that are resolved are not among them."""
    async with httpx.AsyncClient(trust_env=False) as client:
        found = (await client.get(f"{base}/api/v2/alerts")).raise_for_status().json()
    return sorted(found, key=lambda each: str(each["labels"]))


async def amtool(base: str, *words: str) -> str:
    tool = shutil.which("amtool") or missing("alertmanager", "amtool is not installed")
    process = await asyncio.create_subprocess_exec(
        tool, f"--alertmanager.url={base}", *words, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def letter(escalation: Escalation) -> Letter:
    setting = Setting(book(), Settings().zone, desk_url="https://desk.office.example")
    return Letter("d1", Person(id="duty-a", name="甲", channels=("am",)), escalation, render(escalation, setting))


def channel(base: str) -> Channel:
    return Channel(id="am", type=ChannelType.ALERTMANAGER, url=base, resend=5_000)


async def test_an_alert_stands_with_its_labels_and_is_resolved_when_its_event_is_closed(tmp_path: Path) -> None:
    rows = Rows(tmp_path)
    started = int(time.time() * 1000) - 60_000
    told = page("p1", at=started, head=head(last_item_at=started))
    async with alertmanager(tmp_path) as base, outbound.client(
            Settings(allow_private=(base.removeprefix("http://"),))) as client:
        standing = Standing(rows.deps, rows.engine)
        real = Alertmanager(client, Secrets(tmp_path), lambda: int(time.time() * 1000), standing)
        rows.sent("am", told)
        rows.alert(told, AlertStatus.NOTIFIED, raised_at=started)
        assert await real(channel(base), letter(told)) == Sent()
        alert, = await known(base)
        assert alert["labels"] == {"alertname": "WenxunEvent", "event": "E-0317", "event_id": "e1", "level": "较大",
                                   "subject": "polling", "drill": "false"}
        assert alert["status"]["state"] == "active" and "投票站三点关门的说法" in alert["annotations"]["summary"]
        assert alert["generatorURL"] == "https://desk.office.example/events/e1"
        first = alert["updatedAt"]
        assert "E-0317" in await amtool(base, "alert", "query", "alertname=WenxunEvent", "-o", "extended")

        assert await real.again(channel(base)) == Sent()
        again, = await known(base)
        assert again["updatedAt"] > first and again["fingerprint"] == alert["fingerprint"]

        raised = page("p2", alert_id="al2", at=started + 30_000, level=3, level_name="重大")
        rows.sent("am", raised)
        rows.alert(raised, AlertStatus.NOTIFIED, raised_at=started + 30_000)
        assert await real.again(channel(base)) == Sent()
        assert [each["labels"]["level"] for each in await known(base)] == ["重大"], "the lower one is resolved"

        rows.alert(raised, AlertStatus.ENDED, raised_at=started + 30_000, changed_at=int(time.time() * 1000))
        assert await real.again(channel(base)) == Sent()
        assert await known(base) == []


async def test_what_is_wrong_is_refused_and_a_test_message_arrives(tmp_path: Path) -> None:
    async with alertmanager(tmp_path) as base, outbound.client(
            Settings(allow_private=(base.removeprefix("http://"),))) as client:
        real = Alertmanager(client, Secrets(tmp_path), lambda: int(time.time() * 1000))
        assert await real(channel(base), letter(system("t1", kind=EscalationKind.TEST))) == Sent()
        test, = await known(base)
        assert test["labels"]["alertname"] == "WenxunTest"
        assert not isinstance(await real(channel(f"{base}/elsewhere"), letter(page())), Sent)


async def test_what_it_sends_us_is_read_and_our_own_alert_that_comes_back_is_known(tmp_path: Path) -> None:
    async with Hook() as hook, alertmanager(tmp_path, hook.port) as base, outbound.client(
            Settings(allow_private=(base.removeprefix("http://"),))) as client:
        real = Alertmanager(client, Secrets(tmp_path), lambda: int(time.time() * 1000))
        assert await real(channel(base), letter(page())) == Sent()
        other = [{"labels": {"alertname": "DiskFull", "instance": "db-1"}, "annotations": {"summary": "磁盘快满了"}}]
        async with httpx.AsyncClient(trust_env=False) as plain:
            (await plain.post(f"{base}/api/v2/alerts", json=other)).raise_for_status()

        async def both() -> bool:
            return len(hook.got) >= 2

        await until(both)
    payloads = [msgspec.json.decode(got.body, type=Payload) for got in hook.got]
    assert {payload.version for payload in payloads} == {"4"}
    told = {each.labels["alertname"]: each for payload in payloads for each in payload.alerts}
    assert set(told) == {"DiskFull", "WenxunEvent"} and told["WenxunEvent"].labels["alertname"] in OWN
    assert all(each.fingerprint and each.startsAt and each.status == "firing" for each in told.values())
