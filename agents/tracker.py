"""Role `track`: items.scored -> events. The judgement is pipeline/track; here are its table and its topic."""

from __future__ import annotations

import logging
from typing import Any

from agents.deps import Deps
from agents.latency import Latency
from agents.stream import Ahead, Out, consume
from agents.tables import PartitionedTable, PartitionStates
from pipeline import topics
from pipeline.model import Close, CountsBatch, EventHead, Heartbeat, Millis, ScoredBatch, Tick, WarmEvent, Why
from pipeline.track.pair import TrackerPair

log = logging.getLogger("wenxun.tracker")

ROLE = "track"
INPUTS = (ScoredBatch, CountsBatch, Tick, Close, WarmEvent, Heartbeat)


class Track:
    """The agent's body: a record in; its rows into the table, the events it touched out."""

    def __init__(self, deps: Deps, out: Out, table: PartitionedTable, states: PartitionStates[TrackerPair]) -> None:
        self._deps, self._out, self._table, self._states = deps, out, table, states
        self._latency = Latency(deps, ROLE)
        self._said: dict[int, str] = {}
        self._ahead = Ahead(deps, log)
        self._decided: dict[int, tuple[Millis, set[tuple[str, int, int]]]] = {}

    async def __call__(self, record: Any, partition: int) -> None:
        if not isinstance(record, INPUTS):
            raise TypeError(f"{topics.ITEMS_SCORED} holds no {type(record).__name__}")
        if isinstance(record, Heartbeat):
            self._states.of(partition)                          # on, while the partition's state can be had
            await self._out.post(topics.EVENTS, "heartbeat", record, ident=record.id, partition=partition)
            return
        record = self._ahead.cut(record, partition)
        outcome = self._states.of(partition).handle(record, self._deps.rules.book)
        self._table.apply(partition, outcome.puts)
        for head in outcome.heads:
            self._measure(partition, head)
            await self._out.post(topics.EVENTS, head.id, head, ident=f"{head.id}-{head.version}")
        if isinstance(record, Tick):
            self._gauge()

    def _measure(self, partition: int, head: EventHead) -> None:
        """Each decision once: heads of the same instant carry it again. Shadow rules and drills are in no figure."""
        decision = head.decision
        if head.shadow or head.drill or decision.why is Why.BELOW or decision.at != head.changed_at:
            return
        at, known = self._decided.get(partition, (0, set()))
        if at != decision.at:
            known = set()
            self._decided[partition] = decision.at, known
        if (one := (head.id, head.raises, decision.level)) not in known:
            known.add(one)
            self._deps.metrics["level_decisions_total"].labels(str(decision.why)).inc()
            self._latency.raised(head)

    def _gauge(self) -> None:
        for partition, state in self._states.held().items():
            if state.trouble and state.trouble != self._said.get(partition):
                self._deps.metrics["agent_errors_total"].labels(ROLE).inc()
                log.error("events beside the live ones of partition %d stand still (those go on): %s", partition,
                          state.trouble)
            self._said[partition] = state.trouble
        counts = dict.fromkeys((level.name for level in self._deps.rules.book.levels.ladder), 0)
        for state in self._states.held().values():
            for head in state.open_events:
                counts[head.level_name] = counts.get(head.level_name, 0) + 1
        for name, count in counts.items():
            self._deps.metrics["open_events"].labels(name).set(count)


def register(app: Any, deps: Deps) -> None:
    """Bind the body to its topic and table."""
    out = Out(app, deps, ROLE)
    partitions = deps.settings.partitions
    table = PartitionedTable(app, "events")
    states = PartitionStates(table, lambda partition, rows: TrackerPair.restore(partition, partitions, rows),
                             deps.metrics["open_events"].clear)
    body = Track(deps, out, table, states)
    topic = app.topic(topics.ITEMS_SCORED, key_type=bytes, value_type=bytes, partitions=partitions)

    async def track(stream: Any) -> None:
        await consume(stream.events(), body, out=out, deps=deps, role=ROLE, forget=states.forget)

    app.agent(topic, name=ROLE, concurrency=1)(track)
