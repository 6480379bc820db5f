"""The people of the demo: accounts on its desk, and the duty clerk who answers the alert after a while."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from agents.clock import Clock
from agents.demo.facts import Facts
from agents.demo.sites import base_url
from agents.demo.story import Story
from agents.outbound import OutboundError, client, request
from agents.settings import Settings
from agents.store.engine import open_store, upgrade
from pipeline.model import AlertState, AlertStatus, Millis
from pipeline.rulebook.schema import MINUTE

ACCOUNT = "duty"
ANSWER_AFTER = 12 * MINUTE
"""Of the demo's time, from when the second person was told: the chain begins again meanwhile, and a visitor at the
desk may be quicker."""
AGAIN_AFTER = 40 * MINUTE
"""When an answer had no effect so far."""


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    password: str
    token: str


def make_accounts(settings: Settings, real: Millis) -> Account:
    """A store with an administrator (password in the data folder) and the account `duty` with a token."""
    from agents.desk import accounts, sessions

    upgrade(settings.store_url)
    engine = open_store(settings.store_url)
    try:
        password = accounts.made_password()
        accounts.add(engine, "admin", accounts.Role.ADMIN, _kept_password(settings.data_dir), now=real, by="demo")
        accounts.add(engine, ACCOUNT, accounts.Role.DUTY, password, now=real, by="demo")
        token = sessions.create_token(
            engine, "demo", ACCOUNT, frozenset({sessions.Scope.READ, sessions.Scope.ACK}), now=real, expires_at=None,
            by="demo")
    finally:
        engine.dispose()
    return Account(ACCOUNT, password, token)


def _kept_password(folder: Path) -> str:
    path = folder / "admin-password"
    password = secrets.token_urlsafe(15)
    path.touch(mode=0o600)
    path.write_text(password + "\n", encoding="utf-8")
    return password


class Clerk:
    """Answers the top alert through the desk's API as a person would, unless somebody did."""

    def __init__(self, settings: Settings, clock: Clock, story: Story, facts: Facts, token: str) -> None:
        port = settings.desk_bind[1]
        self._settings = replace(settings, allow_private=(f"127.0.0.1:{port}",))
        self._base, self._token = base_url(port), token
        self._clock, self._story, self._facts = clock, story, facts
        self._tried: Millis = 0

    async def act(self) -> str:
        """Answer if it is time to; what was done or went wrong, in Chinese, empty if nothing."""
        alert = self._waiting()
        now = self._clock.now()
        if alert is None or now < self._tried + AGAIN_AFTER:
            return ""
        self._tried = now
        return await self._ack(alert)

    def _waiting(self) -> AlertState | None:
        alert = self._facts.alerts.get(self._story.event_id)
        told = self._story.marks.get("top-next")
        if alert is None or told is None or alert.level != 3 or self._clock.now() < told.at + ANSWER_AFTER:
            return None
        return alert if alert.status in (AlertStatus.NOTIFIED, AlertStatus.EXHAUSTED) else None

    async def _ack(self, alert: AlertState) -> str:
        url = f"{self._base}/api/v1/events/{alert.event_id}/ack"
        body = msgspec.json.encode({"alert_id": alert.alert_id, "note": "已联系选举办公室核实，公告栏将发布说明"})
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            async with client(self._settings) as http:
                answer = await request(http, "POST", url, headers=headers, content=body, timeout=10)
        except OutboundError as error:
            return f"值班员没有连上工作台：{error}"
        if answer.status == 202:
            return "值班员在工作台确认了告警（由演示代为操作）"
        return f"工作台没有接受确认：HTTP {answer.status} {answer.body[:200].decode('utf-8', 'replace')}"
