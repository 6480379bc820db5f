"""The heartbeat's end: the dead-man URL is called while a fresh beat came on every partition, here and in the archive.

Its absence is the alarm: whoever owns the URL alarms when the calls stop. A stage that stops anywhere on the way is
missed on its partitions, so the calls stop within two intervals. Several processes of this role share what they saw
through the store, and each calls: more calls than one harm nobody. Times are real.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import httpx
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from agents.deliverer.secrets import SecretError, Secrets
from agents.deliverer.senders import real_now
from agents.deps import Deps
from agents.outbound import OutboundError
from agents.store import heartbeats
from agents.store.heartbeats import DELIVER, STAGES, Seen
from pipeline.model import Heartbeat, Millis
from pipeline.rulebook import schema

log = logging.getLogger("wenxun.deliver")

FRESH = 1.5
"""Intervals: a beat that is older is missing."""
LOOK_SECONDS = 5.0
"""How often a rule book that got a heartbeat, or another interval, is noticed."""
TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class Pulse:
    def __init__(
        self, deps: Deps, engine: Engine, client: httpx.AsyncClient, real: Callable[[], Millis] = real_now
    ) -> None:
        self._deps, self._engine, self._client, self._real = deps, engine, client, real
        self._secrets = Secrets(deps.settings.rules_dir)
        self._said = ""
        self._born = real()

    async def note(self, beats: list[Heartbeat]) -> None:
        """Beats that came on topic escalations. A store that takes none is no reason to stop: then none is fresh."""
        now = self._real()
        seen = [Seen(DELIVER, one.partition, one.at, now) for one in beats]
        for one in beats:
            self._deps.metrics["heartbeat_latency_seconds"].set(max(0, now - one.at) / 1000)
        try:
            await asyncio.to_thread(heartbeats.note, self._engine, seen)
        except SQLAlchemyError as error:
            log.warning("a heartbeat cannot be noted: %s", type(error).__name__)

    async def run(self) -> None:
        """Until cancelled."""
        due = self._real()
        while True:
            every = self._every()
            now = self._real()
            if now >= due:
                await self.look(every)
                due = max(due + every, now)
            await asyncio.sleep(min(LOOK_SECONDS, max(0.05, (due - self._real()) / 1000)))

    async def look(self, every: Millis) -> bool:
        """Call if all is well; whether it was."""
        try:
            beats = await asyncio.to_thread(heartbeats.read, self._engine)
        except SQLAlchemyError as error:
            return self._say(f"the heartbeats cannot be read: {type(error).__name__}")
        now, partitions = self._real(), self._deps.settings.partitions
        ages = {(one.stage, one.partition): now - min(one.at, one.seen_at) for one in beats}
        never = now - self._born                                # what never came is as old as we are
        oldest = max(ages.get((stage, each), never) for stage in STAGES for each in range(partitions))
        self._deps.metrics["heartbeat_age_seconds"].set(max(0, oldest) / 1000)
        self._deps.metrics["heartbeat_interval_seconds"].set(every / 1000)
        gone = heartbeats.missing(beats, partitions, now, int(every * FRESH))
        if gone and now - self._born < every * FRESH:
            return False                                        # a start takes a while until the first beat is through
        if gone:
            return self._say("no heartbeat: " + ", ".join(
                f"{STAGES[stage]}[{partition}] {'never' if age is None else f'for {age // 1000} s'}"
                for stage, partition, age in gone))
        heartbeat = self._deps.rules.book.heartbeat
        return self._say(await self._call(heartbeat) if heartbeat is not None else "")

    async def _call(self, heartbeat: schema.Heartbeat) -> str:
        """What went wrong, without the URL: it is a secret."""
        try:
            url = heartbeat.url or await asyncio.to_thread(self._secrets.read, "heartbeat", heartbeat.url_file)
            request = self._client.build_request("GET", url, timeout=TIMEOUT)
            answer = await self._client.send(request, stream=True, follow_redirects=False)
            await answer.aclose()                               # the body says nothing, and may be endless
            error = "" if answer.is_success else f"the dead-man URL answers HTTP {answer.status_code}"
        except (SecretError, OutboundError) as failure:
            error = str(failure)
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            error = f"the dead-man URL cannot be reached ({type(failure).__name__})"
        self._deps.metrics["heartbeat_calls_total"].labels("failed" if error else "ok").inc()
        return error

    def _every(self) -> Millis:
        heartbeat = self._deps.rules.book.heartbeat
        return heartbeat.every if heartbeat is not None else schema.MINUTE

    def _say(self, trouble: str) -> bool:
        """Into the log when it is something else than before."""
        kind = trouble.partition(":")[0]
        if kind != self._said:
            log.log(logging.ERROR if trouble else logging.INFO, "heartbeat: %s", trouble or "all stages beat")
        self._said = kind
        return not trouble
