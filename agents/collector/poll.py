"""One poll of one source, from request to stored state."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from agents.collector.backpressure import Gate
from agents.collector.hosts import Hosts
from agents.collector.publish import Publisher
from agents.deps import Deps
from agents.feeds.fetch import Fetched, Fetcher, user_agent
from agents.feeds.parsing import ParsePool
from agents.feeds.worker import Job
from pipeline.collect import identity
from pipeline.collect.schedule import Outcome, Poll, next_state
from pipeline.model import Millis, RawItem, SourceState
from pipeline.rulebook.schema import Source

log = logging.getLogger("wenxun.collect")


class Poller:
    """Fetch, send what is new, then remember: a kill at any point repeats items and loses none."""

    def __init__(
        self, deps: Deps, fetcher: Fetcher, parser: ParsePool, publisher: Publisher, gate: Gate,
        hosts: Hosts | None = None,
    ) -> None:
        self._deps, self._fetcher, self._parser, self._publisher = deps, fetcher, parser, publisher
        self._gate, self._hosts = gate, hosts or Hosts()
        self._ids: dict[str, set[str]] = {}
        self.sending: set[str] = set()
        """Sources whose items or state are on their way to the broker: such a poll is not broken off."""

    async def poll(self, source: Source, before: SourceState | None, sources: int, due: Millis) -> SourceState:
        """The source's new state, acknowledged by the broker. before: of this URL, None if there is none.

        sources: how many this installation polls, for the User-Agent. due: when this poll should have begun.
        Raises only KafkaErrors that no waiting mends.
        """
        try:
            await self._gate.open()
            poll, fresh, ids = await self._read(source, before, sources, due)
            self.sending.add(source.id)
            now = self._deps.clock.now()
            if fresh:
                await self._publisher.items(source.id, now, fresh)
            state = next_state(source, before, poll, now)
            await self._publisher.state(state)
        except KafkaError:
            raise
        except Exception as error:
            log.exception("source %s: poll failed", source.id)
            self._deps.metrics["agent_errors_total"].labels("collect").inc()
            state = next_state(source, before, Poll(
                Outcome.NO_ANSWER, error=f"程序内部错误（{type(error).__name__}），详见日志"), self._deps.clock.now())
            await self._publisher.state(state)
        else:
            self._count(source, poll, fresh, ids)
        finally:
            self.sending.discard(source.id)
        return state

    def forget(self, source_id: str) -> None:
        """The source is polled here no longer."""
        self._ids.pop(source_id, None)

    async def _read(
        self, source: Source, before: SourceState | None, sources: int, due: Millis
    ) -> tuple[Poll, Sequence[RawItem], set[str]]:
        """How the poll ended, the items not seen before (oldest first), and the ids of all."""
        now = self._deps.clock.now()
        async with self._hosts.turn(source.url):
            late = max(0, self._deps.clock.now() - due) / 1000
            self._deps.metrics["feed_lateness_seconds"].observe(late)
            fetched = await self._fetcher.fetch(source, before, now, user_agent(self._deps.settings.contact, sources))
        if isinstance(fetched, Poll):
            return fetched, (), set()
        done = await self._parser.parse(self._job(source, fetched, before))
        if done.error:
            return Poll(Outcome.NOT_A_FEED, error=done.error), (), set()
        sifted = identity.sift(done.items, before.seen if before else b"", bool(before and before.by_link))
        asked = max(done.ttl or 0, fetched.fresh_for or 0) or None
        return Poll(
            Outcome.OK, asked=asked, etag=fetched.etag, last_modified=fetched.last_modified,
            fresh=bool(sifted.fresh), seen=sifted.seen, by_link=sifted.by_link, asked_all=fetched.asked_all
        ), sifted.fresh, {item.id for item in done.items}

    def _job(self, source: Source, fetched: Fetched, before: SourceState | None) -> Job:
        book = self._deps.rules.book
        return Job(
            body=fetched.body, content_type=fetched.content_type, form=str(source.format), source_id=source.id,
            url=fetched.url, zone=source.timezone or book.timezone, now=self._deps.clock.now(),
            backfill=before is None or not before.backfilled, by_link=before is not None and before.by_link)

    def _count(self, source: Source, poll: Poll, fresh: Sequence[RawItem], ids: set[str]) -> None:
        known = self._ids.get(source.id, set())
        for item in fresh:
            kind = "backfill" if item.backfill else "revision" if item.id in known else "new"
            self._deps.metrics["items_collected_total"].labels(kind).inc()
        if poll.outcome is Outcome.OK:
            self._ids[source.id] = ids
