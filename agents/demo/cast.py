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
from pipeline.model import AlertState, AlertStatus, Excerpt, Millis
from pipeline.rulebook.schema import MINUTE

ACCOUNT = "duty"
ANSWER_AFTER = 12 * MINUTE
"""Of the demo's time, from when the second person was told: the chain begins again meanwhile, and a visitor at the
desk may be quicker."""
AGAIN_AFTER = 40 * MINUTE
"""When an answer had no effect so far."""
SOON_AFTER = 10 * MINUTE
"""When the desk does not know yet what was published."""
READ_AFTER = 5 * MINUTE
"""From when the notice board's correction was seen until it is confirmed as the office's answer."""


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
    """Answers the top alert and confirms the office's answer by the desk's API, unless somebody was quicker."""

    def __init__(self, settings: Settings, clock: Clock, story: Story, facts: Facts, token: str) -> None:
        port = settings.desk_bind[1]
        self._settings = replace(settings, allow_private=(f"127.0.0.1:{port}",))
        self._base, self._token = base_url(port), token
        self._clock, self._story, self._facts = clock, story, facts
        self._tried: dict[str, Millis] = {}

    async def act(self) -> str:
        """Do what it is time for; what was done or went wrong, in Chinese, empty if nothing."""
        alert, said = self._waiting(), self._unconfirmed()
        if alert is not None and self._again("ack"):
            return await self._ack(alert)
        if said is not None and self._again("statement", SOON_AFTER):
            return await self._confirm(said)
        return ""

    def _again(self, what: str, after: Millis = AGAIN_AFTER) -> bool:
        now = self._clock.now()
        if now < self._tried.get(what, 0) + after:
            return False
        self._tried[what] = now
        return True

    def _waiting(self) -> AlertState | None:
        alert = self._facts.alerts.get(self._story.event_id)
        told = self._story.marks.get("top-next")
        if alert is None or told is None or alert.level != 3 or self._clock.now() < told.at + ANSWER_AFTER:
            return None
        return alert if alert.status in (AlertStatus.NOTIFIED, AlertStatus.EXHAUSTED) else None

    def _unconfirmed(self) -> Excerpt | None:
        """The notice board's correction, while no one has said that it is the answer."""
        told = self._story.marks.get("correction")
        if told is None or "answered" in self._story.marks or self._clock.now() < told.at + READ_AFTER:
            return None
        head = self._facts.heads[self._story.event_id]
        return next((one for one in head.statements if one.title == self._story.correction), None)

    async def _ack(self, alert: AlertState) -> str:
        return await self._post("ack", {
            "alert_id": alert.alert_id, "note": "已联系选举办公室核实，公告栏将发布说明"}, "确认了告警")

    async def _confirm(self, said: Excerpt) -> str:
        return await self._post("statements", {"item": said.item_id}, "把公告登记为官方回应")

    async def _post(self, path: str, values: dict[str, str], what: str) -> str:
        url = f"{self._base}/api/v1/events/{self._story.event_id}/{path}"
        body = msgspec.json.encode(values)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            async with client(self._settings) as http:
                answer = await request(http, "POST", url, headers=headers, content=body, timeout=10)
        except OutboundError as error:
            return f"值班员没有连上工作台：{error}"
        if answer.status == 202:
            return f"值班员在工作台{what}（由演示代为操作）"
        if answer.status == 404:                # the desk reads the archive, which does not have it yet
            return ""
        return f"工作台没有接受：HTTP {answer.status} {answer.body[:200].decode('utf-8', 'replace')}"
