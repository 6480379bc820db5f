"""One poll of one source, from request to stored state."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import msgspec
from aiokafka.errors import KafkaError

from agents.collector.backpressure import Gate
from agents.collector.fulltext import FullText
from agents.collector.publish import Publisher
from agents.deps import Deps
from agents.feeds.fetch import Fetched, Fetcher, user_agent
from agents.feeds.hosts import Hosts
from agents.feeds.parsing import ParsePool
from agents.feeds.worker import Done, Job
from pipeline.collect import counts, identity
from pipeline.collect.schedule import Outcome, Poll, address, next_state, postponed
from pipeline.model import Counts, Millis, RawItem, SourceState
from pipeline.rulebook.schema import Source

log = logging.getLogger("wenxun.collect")

HELD = "同一网站要求放慢，推迟采集。到时间会自动再试"


@dataclass(frozen=True, slots=True)
class _Read:
    """What a poll brought. fresh: items not seen before, oldest first; done: the whole document, None without one.
    since: as in CountsBatch.
    """

    poll: Poll
    fresh: tuple[RawItem, ...] = ()
    done: Done | None = None
    since: Millis | None = None


@dataclass(slots=True)
class _Memory:
    """What is known of a source's last document, in memory only. ids: since when each is known. odd: (future,
    unreadable) dates."""

    ids: dict[str, Millis] = field(default_factory=dict)
    told: dict[str, Counts] | None = None
    odd: tuple[int, int] = (0, 0)


class Poller:
    """Fetch, send what is new, then remember: a kill at any point repeats items and loses none."""

    def __init__(
        self, deps: Deps, fetcher: Fetcher, parser: ParsePool, publisher: Publisher, gate: Gate,
        hosts: Hosts | None = None,
    ) -> None:
        self._deps, self._fetcher, self._parser, self._publisher = deps, fetcher, parser, publisher
        self._gate, self._hosts = gate, hosts or Hosts()
        self._full_text = FullText(deps, fetcher, parser, self._hosts)
        self._memory: dict[str, _Memory] = {}
        self.sending: set[str] = set()
        """Sources whose items or state are on their way to the broker: such a poll is not broken off."""

    async def poll(self, source: Source, before: SourceState | None, sources: int, due: Millis) -> SourceState:
        """The source's new state, acknowledged by the broker. before: of this URL, None if there is none.

        sources: how many this installation polls, for the User-Agent. due: when this poll should have begun.
        Raises only KafkaErrors that no waiting mends.
        """
        try:
            await self._gate.open()
            read = await self._read(source, before, user_agent(self._deps.settings.contact, sources), due)
            self.sending.add(source.id)
            state = await self._send(source, before, read)
        except KafkaError:
            raise
        except Exception as error:
            log.exception("source %s: poll failed", source.id)
            self._deps.metrics["agent_errors_total"].labels("collect").inc()
            state = next_state(source, before, Poll(
                Outcome.NO_ANSWER, error=f"程序内部错误（{type(error).__name__}），详见日志"), self._deps.clock.now())
            await self._publisher.state(state)
        finally:
            self.sending.discard(source.id)
        return state

    def forget(self, source_id: str) -> None:
        """The source is polled here no longer."""
        self._memory.pop(source_id, None)

    def pause(self, source: Source) -> float:
        """Real seconds that the source's host wants before its next request."""
        return self._hosts.pause(source.url)

    # ------------------------------------------------------------ reading

    async def _read(self, source: Source, before: SourceState | None, agent: str, due: Millis) -> _Read | Millis:
        """What the source says, or until when its host wants nobody to ask."""
        url = address(source, before)
        if (until := self._held_until(source, url)) is not None:
            return until                                # without waiting for the host's turn
        async with self._hosts.turn(url):
            if (until := self._held_until(source, url)) is not None:
                return until
            now = self._deps.clock.now()
            self._deps.metrics["feed_lateness_seconds"].observe(max(0, now - due) / 1000)
            fetched = await self._fetcher.fetch(source, before, now, agent)
            self._hosts.pace(url, self._fetcher.robots.delay(url) if source.respect_robots else 0.0)
            if isinstance(fetched, Poll) and fetched.outcome is Outcome.RATE_LIMITED and fetched.retry_after:
                self._hosts.hold(fetched.url, self._deps.clock.now(), fetched.retry_after, alone=bool(source.route))
        if isinstance(fetched, Poll):
            return _Read(fetched)
        done = await self._parser.parse(self._job(source, fetched, before))
        if done.error:
            return _Read(Poll(Outcome.NOT_A_FEED, error=done.error, url=fetched.url))
        sifted = identity.sift(done.items, before.seen if before else b"", bool(before and before.by_link))
        poll = Poll(
            Outcome.OK, asked=max(done.ttl or 0, fetched.fresh_for or 0) or None, etag=fetched.etag,
            last_modified=fetched.last_modified, fresh=bool(sifted.fresh), seen=sifted.seen, by_link=sifted.by_link,
            asked_all=fetched.asked_all, kind=done.kind, url=fetched.url, moved_to=fetched.moved_to)
        fresh = await self._full_text.fill(sifted.fresh, agent) if source.full_text else sifted.fresh
        since = counts.unread_since(before.succeeded_at if before else None, self._deps.clock.now())
        return _Read(poll, tuple(_grown_since(self._aged(item), since) for item in fresh), done, since)

    def _aged(self, item: RawItem) -> RawItem:
        """An edit of an undated entry raises no level once it is known for longer than others may be old."""
        memory = self._memory.get(item.source_id)
        since = memory.ids.get(item.id) if memory is not None and item.published_at is None else None
        if since is None or item.first_seen_at - since <= self._deps.rules.book.levels.events.page_max_age:
            return item
        return msgspec.structs.replace(item, backfill=True)

    def _held_until(self, source: Source, url: str) -> Millis | None:
        return self._hosts.held_until(url, self._deps.clock.now(), alone=bool(source.route))

    def _job(self, source: Source, fetched: Fetched, before: SourceState | None) -> Job:
        book = self._deps.rules.book
        return Job(
            body=fetched.body, content_type=fetched.content_type, form=str(source.format), source_id=source.id,
            url=fetched.url, zone=source.timezone or book.timezone, now=self._deps.clock.now(),
            backfill=before is None or not before.backfilled, rules=source.list,
            by_link=before is not None and before.by_link)

    # ------------------------------------------------------------ sending

    async def _send(self, source: Source, before: SourceState | None, read: _Read | Millis) -> SourceState:
        """Items, then counts, then the state that speaks of them."""
        now = self._deps.clock.now()
        if not isinstance(read, _Read):
            state = postponed(source, before, read, HELD, now)
            await self._publisher.state(state)
            return state
        if read.fresh:
            await self._publisher.items(source.id, now, read.fresh)
        memory = self._memory.get(source.id) or _Memory()
        if read.done is not None:
            rows, told = counts.changed(read.done.items, memory.told or {}, frozenset(e.id for e in read.fresh), now)
            if rows:
                await self._publisher.counts(source.id, now, rows, read.since)
                self._deps.metrics["counts_changed_total"].inc(len(rows))
            memory.told = told or None
        state = next_state(source, before, read.poll, now)
        await self._publisher.state(state)
        self._deps.metrics["feed_fetches_total"].labels(state.outcome).inc()
        if read.done is not None:
            self._memory[source.id] = memory
            self._count(memory, read.fresh, read.done)
        return state

    def _count(self, memory: _Memory, fresh: tuple[RawItem, ...], done: Done) -> None:
        for item in fresh:
            kind = "revision" if item.id in memory.ids else "backfill" if item.backfill else "new"
            self._deps.metrics["items_collected_total"].labels(kind).inc()
            if kind == "new" and item.published_at is not None:
                self._deps.metrics["item_age_seconds"].observe(max(0, item.first_seen_at - item.published_at) / 1000)
        memory.ids = {item.id: memory.ids.get(item.id, item.first_seen_at) for item in done.items}
        odd = (done.clamped, done.undated)              # the same entry is odd at every poll: what is more is counted
        for kind, number, known in zip(("future", "unreadable"), odd, memory.odd, strict=True):
            self._deps.metrics["feed_dates_odd_total"].labels(kind).inc(max(0, number - known))
        memory.odd = odd


def _grown_since(item: RawItem, since: Millis | None) -> RawItem:
    """The item, which may be an edit of one whose counts grew while nobody looked."""
    if since is None or item.counts is None:
        return item
    return msgspec.structs.replace(item, counts_since=since)
