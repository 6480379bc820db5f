"""Alertmanager's API v2: an alert is posted when a message about it goes out, and again every `resend` until it ends.

What stands is read from the store at each round, so a restart changes nothing, and several processes that do the same
do no harm: an alert is its labels. An alert that nobody sends any more resolves there by itself.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable

import httpx
import msgspec
from sqlalchemy.exc import SQLAlchemyError

from agents.deliverer import post
from agents.deliverer.letter import Letter, Outcome, Retry, Sent
from agents.deliverer.secrets import Secrets
from agents.deliverer.standing import Standing
from agents.deps import Deps
from pipeline.model import Millis
from pipeline.notify import alertmanager
from pipeline.rulebook.schema import Channel, ChannelType

log = logging.getLogger("wenxun.deliver")

BATCH = 100
"""Alerts of one request."""
PAUSE_SECONDS = 1.0
PATIENCE = 3
"""Rounds in a row that fail before ops is told."""

Trouble = Callable[[str, Millis | None, str], None]
"""Channel, since when it fails (None: it works again), error."""


class Alertmanager:
    """standing: reads what stands; without it nothing is sent again (a test message)."""

    def __init__(
        self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis], standing: Standing | None = None,
    ) -> None:
        self._client, self._secrets, self._real, self._standing = client, secrets, real, standing

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        """The first page of an alert is posted alone; what follows about an event by all that stands, or its labels
        would change with the event's level."""
        escalation = letter.escalation
        if self._standing is not None and (letter.bundle or (escalation.head is not None and not escalation.first)):
            return await self.again(channel)
        found = alertmanager.alerts(letter.escalation, letter.message, self._real())
        return await post.carried(channel, self._post(channel, found))

    async def again(self, channel: Channel) -> Outcome:
        """Post all that stands, and what ended lately with its end."""
        assert self._standing is not None
        try:
            found = await asyncio.to_thread(self._standing.read, channel.id, self._real())
        except SQLAlchemyError as error:
            return Retry(f"账本暂时读不了（{type(error).__name__}）")
        return await post.carried(channel, self._post(channel, found))

    async def run(self, deps: Deps, trouble: Trouble) -> None:
        """The rounds of all channels of the rule book in force, until cancelled. ops hears of a channel whose rounds
        keep failing: without messages nobody else would notice."""
        last: dict[str, float] = {}
        failed: dict[str, int] = {}
        clock = asyncio.get_running_loop().time
        while True:
            for channel in deps.rules.book.channels:
                if channel.type is ChannelType.ALERTMANAGER and (
                        clock() >= last.get(channel.id, -1e9) + channel.resend / 1000):
                    last[channel.id] = clock()
                    outcome = await self._round(deps, channel)
                    deps.metrics["alertmanager_rounds_total"].labels("ok" if outcome == Sent() else "failed").inc()
                    failed[channel.id] = _streak(channel, outcome, failed.get(channel.id, 0), deps.clock.now(), trouble)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _round(self, deps: Deps, channel: Channel) -> Outcome:
        """Nothing but a cancellation gets out: one row that cannot be read must not end the role."""
        try:
            return await self.again(channel)
        except Exception as error:
            deps.metrics["agent_errors_total"].labels("deliver").inc()
            return Retry(f"内部错误（{type(error).__name__}）")

    async def _post(self, channel: Channel, found: list[alertmanager.Alert]) -> Outcome:
        url, headers = await asyncio.to_thread(self._address, channel)
        for at in range(0, len(found), BATCH):
            body = msgspec.json.encode(found[at:at + BATCH])
            answer = await post.send(self._client, url, body, headers)
            outcome = post.judge(answer.status, answer.headers.get("retry-after", ""), self._real())
            if not isinstance(outcome, Sent):
                return outcome
        return Sent()

    def _address(self, channel: Channel) -> tuple[str, dict[str, str]]:
        base, token = self._secrets.address(channel)
        headers = dict(post.JSON)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif channel.username:
            pair = f"{channel.username}:{self._secrets.read(channel.id, channel.password_file)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return base.rstrip("/") + "/api/v2/alerts", headers


def _streak(channel: Channel, outcome: Outcome, failed: int, now: Millis, trouble: Trouble) -> int:
    """How many rounds in a row have failed by now; the first is logged, the third and the recovery told."""
    if isinstance(outcome, Sent):
        if failed:
            log.info("channel %s: alerts that stand are sent again", channel.id)
        if failed >= PATIENCE:
            trouble(channel.id, None, "")
        return 0
    if not failed:
        log.warning("channel %s: alerts that stand cannot be sent again: %s", channel.id, outcome.error)
    if failed + 1 == PATIENCE:
        trouble(channel.id, now, outcome.error)
    return failed + 1
