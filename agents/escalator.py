"""Role `escalate`: events -> escalations. The judgement is pipeline/escalate; here are its table and its topic."""

from __future__ import annotations

import asyncio
from typing import Any

from agents.deps import Deps
from agents.stream import Out, consume
from agents.tables import PartitionedTable, PartitionStates
from pipeline import topics
from pipeline.escalate.escalator import Escalator, Outcome
from pipeline.model import (
    Ack,
    Comment,
    Escalation,
    EventHead,
    HandOver,
    Heartbeat,
    Silence,
    Snooze,
    Statement,
    Tick,
    Verdict,
    WarmAlert,
)

ROLE = "escalate"
INPUTS = (EventHead, Ack, Snooze, HandOver, Comment, Statement, Silence, Tick, Verdict, WarmAlert)


class Escalate:
    """The agent's body: a record in; escalations out and acknowledged, then the rows, then the states that say so."""

    def __init__(self, deps: Deps, out: Out, table: PartitionedTable, states: PartitionStates[Escalator]) -> None:
        self._deps, self._out, self._table, self._states = deps, out, table, states

    async def __call__(self, record: Any, partition: int) -> None:
        if isinstance(record, Heartbeat):
            self._states.of(partition)                          # on, while the partition's state can be had
            await self._out.send(topics.ESCALATIONS, "heartbeat", record, ident=record.id, partition=partition)
            return
        if not isinstance(record, INPUTS):
            raise TypeError(f"{topics.EVENTS} holds no {type(record).__name__}")
        outcome = self._states.of(partition).handle(record, self._deps.rules.book)
        await asyncio.gather(*(
            self._out.send(topics.ESCALATIONS, each.event_id, each, ident=each.id) for each in outcome.escalations))
        for escalation in outcome.escalations:
            self._count(escalation)
        self._table.apply(partition, outcome.puts)
        await self._say(outcome)

    async def _say(self, outcome: Outcome) -> None:
        for state in outcome.states:
            ident = f"{state.alert_id}-{state.event_version}-{state.revision}"
            await self._out.post(topics.ESCALATIONS, state.event_id, state, ident=ident)
        for clocks in outcome.clocks:
            ident = f"{clocks.event_id}-clocks-{clocks.revision}"
            await self._out.post(topics.ESCALATIONS, clocks.event_id, clocks, ident=ident)

    def _count(self, escalation: Escalation) -> None:
        """What is only recorded is no escalation of any figure; of what is held back, what holds it. Drills are in no
        figure at all."""
        if escalation.shadow or escalation.drill:
            return
        if escalation.suppressed_by:
            by = escalation.suppressed_by.partition(":")[0]
            self._deps.metrics["escalations_suppressed_total"].labels(by).inc()
        else:
            self._deps.metrics["escalations_total"].labels(str(escalation.kind)).inc()


def register(app: Any, deps: Deps) -> None:
    """Bind the body to its topic and table."""
    out = Out(app, deps, ROLE)
    table = PartitionedTable(app, "alerts")
    states = PartitionStates(table, Escalator.restore)
    body = Escalate(deps, out, table, states)
    topic = app.topic(topics.EVENTS, key_type=bytes, value_type=bytes, partitions=deps.settings.partitions)

    async def escalate(stream: Any) -> None:
        await consume(stream.events(), body, out=out, deps=deps, role=ROLE, forget=states.forget)

    app.agent(topic, name=ROLE, concurrency=1)(escalate)
