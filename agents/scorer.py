"""Role `score`: items.raw -> items.scored. One bad item goes to the dead letters alone, its neighbours go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from agents.deadletter import Reason, dead_letter, describe
from agents.deps import Deps
from agents.latency import Latency
from agents.stream import Out, consume
from pipeline import codec, topics
from pipeline.ids import digest
from pipeline.model import OPEN_SUBJECT, CountsBatch, Heartbeat, RawBatch, RawItem, ScoredBatch, ScoredItem
from pipeline.rulebook.schema import RuleBook
from pipeline.score.pair import ScorerPair

log = logging.getLogger("wenxun.scorer")

ROLE = "score"


class ScorerOfBook:
    """The scorer of the rule book in force. A new one is built as soon as a book comes, off the loop; until it is ready
    the old one works on."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._scorer: ScorerPair | None = None
        self._version = self._wanted = self._failed = ""
        self._building: asyncio.Task[tuple[ScorerPair, str]] | None = None
        deps.rules.subscribe(self._begin)

    async def get(self) -> ScorerPair:
        """A scorer of the newest book that one could be built of. Waits only when there is none yet."""
        self._begin()
        if self._scorer is None and self._building is not None:
            await asyncio.shield(self._building)        # its waiter may run out of time
        if self._scorer is None:
            raise RuntimeError(f"no scorer of rule book {self._wanted}, and none of an earlier one")
        return self._scorer

    def _begin(self) -> None:
        rules = self._deps.rules
        if rules.loaded and self._building is None and rules.version not in (self._version, self._failed):
            self._wanted = rules.version
            self._building = asyncio.create_task(_build(rules.book))
            self._building.add_done_callback(self._take)

    def _take(self, building: asyncio.Task[tuple[ScorerPair, str]]) -> None:
        """The scorer that is built. One that cannot be built leaves the one before it at work."""
        self._building = None
        if building.cancelled():
            return
        error = building.exception()
        if error is None:
            self._scorer, self._version = building.result()
            self._deps.rules.built(self._version)
        else:
            self._deps.metrics["agent_errors_total"].labels(ROLE).inc()
            goes_on = f"scoring goes on with {self._version}" if self._scorer else "there is none of an earlier one"
            log.error("no scorer of rule book %s: %s", self._wanted, goes_on, exc_info=error)
            if self._scorer is not None:                # the first one is tried again with every record
                self._failed = self._wanted
        if self._scorer is not None:
            self._begin()                               # a newer book may have come meanwhile


async def _build(book: RuleBook) -> tuple[ScorerPair, str]:
    return await asyncio.to_thread(ScorerPair, book), book.version


class Score:
    """The agent's body: a raw batch in, a scored batch per key out; counts and heartbeats go on as they are."""

    def __init__(self, deps: Deps, out: Out) -> None:
        self._deps, self._out = deps, out
        self._scorers = ScorerOfBook(deps)
        self._latency = Latency(deps, ROLE)
        self._said = ""

    async def __call__(self, record: RawBatch | CountsBatch | Heartbeat, partition: int) -> None:
        if isinstance(record, CountsBatch):
            return await self._pass_on(record)
        if isinstance(record, Heartbeat):
            return await self._beat(record, partition)
        if not isinstance(record, RawBatch):
            raise TypeError(f"{topics.ITEMS_RAW} holds no {type(record).__name__}")
        scorer = await self._scorers.get()
        groups = topics.Groups(self._deps.settings.partitions)
        for item in record.items:
            groups.add(await self._score(scorer, item, partition))
        self._latency.batch(record.items)
        self._mind(scorer)
        for key, subject, items in groups:
            book = scorer.book_of(subject)
            for batch in split(subject, book, items):
                ident = digest(key, book, *(f"{one.item.id}{one.item.revision}" for one in batch.items))
                await self._out.post(topics.ITEMS_SCORED, key, batch, ident=ident)

    async def _pass_on(self, counts: CountsBatch) -> None:
        """To every partition of items.scored: nobody knows here which tracker holds the items."""
        ident = digest("counts", counts.source_id, counts.at, counts.items[0].item_id if counts.items else "")
        for each in range(topics.partitions_of(topics.ITEMS_SCORED, self._deps.settings.partitions)):
            await self._out.post(topics.ITEMS_SCORED, counts.source_id, counts, ident=ident, partition=each)

    async def _beat(self, beat: Heartbeat, partition: int) -> None:
        """On, while there is a scorer to score with."""
        await self._scorers.get()
        await self._out.post(topics.ITEMS_SCORED, "heartbeat", beat, ident=beat.id, partition=partition)

    def _mind(self, scorer: ScorerPair) -> None:
        """An error of the shadow side stops nothing; it is said when it is another one."""
        if scorer.trouble and scorer.trouble != self._said:
            self._deps.metrics["agent_errors_total"].labels(ROLE).inc()
            log.error("the shadow rules of book %s do not score: %s (the live rules go on)", scorer.book.version,
                      scorer.trouble)
        self._said = scorer.trouble

    async def _score(self, scorer: ScorerPair, item: RawItem, partition: int) -> dict[str, ScoredItem]:
        try:
            scored = scorer.score(item)
        except Exception as error:
            await self._set_aside(item, partition, describe(error))
            return {}
        self._deps.metrics["items_scored_total"].labels("no" if OPEN_SUBJECT in scored else "yes").inc()
        return scored

    async def _set_aside(self, item: RawItem, partition: int, error: str) -> None:
        """The item alone, as a batch of one, so that it can be replayed."""
        alone = RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,))
        at = self._deps.clock.now()
        headers = codec.encode_headers(alone, source=ROLE, at=at, ident=item.id)
        letter = dead_letter(topics.ITEMS_RAW, partition, -1, key=item.source_id.encode(), value=codec.encode(alone),
                             headers=headers, reason=Reason.FAILED, error=error, at=at, part=item.id + item.revision)
        log.warning("item %s of %s set aside: %s", item.id, item.source_id, error)
        self._deps.metrics["dead_letters_total"].labels(ROLE, str(Reason.FAILED)).inc()
        await self._out.send(topics.DEAD_LETTERS, topics.ITEMS_RAW, letter, ident=letter.id)


def split(subject: str, book: str, items: Sequence[ScoredItem]) -> Iterator[ScoredBatch]:
    """Records of at most MAX_RECORD_BYTES and MAX_BATCH_ITEMS: split, never truncated."""
    batch = ScoredBatch(subject=subject, book=book, items=tuple(items))
    too_many = len(items) > topics.MAX_BATCH_ITEMS
    if len(items) > 1 and (too_many or (_may_be_large(items) and len(codec.encode(batch)) > topics.MAX_RECORD_BYTES)):
        middle = len(items) // 2
        yield from split(subject, book, items[:middle])
        yield from split(subject, book, items[middle:])
    else:
        yield batch


def _may_be_large(items: Sequence[ScoredItem]) -> bool:
    """Whether it is worth encoding them to know: a character takes at most 6 bytes, the rest of an item under 8 KiB."""
    characters = sum(len(one.item.title) + len(one.item.text) + len(one.item.url) for one in items)
    return 6 * characters + 8192 * len(items) > topics.MAX_RECORD_BYTES


def register(app: Any, deps: Deps) -> None:
    """Bind the body to its topic."""
    out = Out(app, deps, ROLE)
    body = Score(deps, out)
    topic = app.topic(topics.ITEMS_RAW, key_type=bytes, value_type=bytes, partitions=deps.settings.partitions)

    async def score(stream: Any) -> None:
        await consume(stream.events(), body, out=out, deps=deps, role=ROLE)

    app.agent(topic, name=ROLE, concurrency=1)(score)
