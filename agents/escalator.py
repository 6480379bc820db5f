"""Role `escalate`: events -> escalations. The judgement is pipeline/escalate; here are its table and its topic."""

from __future__ import annotations

import asyncio
from typing import Any

from agents.deps import Deps
from agents.stream import Out, consume
from agents.tables import PartitionedTable, PartitionStates
from pipeline import topics
from pipeline.escalate.escalator import Escalator
from pipeline.model import Ack, EventHead, Snooze, Tick, Verdict, WarmAlert

ROLE = "escalate"
INPUTS = (EventHead, Ack, Snooze, Tick, Verdict, WarmAlert)


class Escalate:
    """The agent's body: a record in; escalations out and acknowledged, then the state that says so."""

    def __init__(self, deps: Deps, out: Out, table: PartitionedTable, states: PartitionStates[Escalator]) -> None:
        self._deps, self._out, self._table, self._states = deps, out, table, states

    async def __call__(self, record: Any, partition: int) -> None:
        if not isinstance(record, INPUTS):
            raise TypeError(f"{topics.EVENTS} holds no {type(record).__name__}")
        outcome = self._states.of(partition).handle(record, self._deps.rules.book)
        await asyncio.gather(*(
            self._out.send(topics.ESCALATIONS, each.event_id, each, ident=each.id) for each in outcome.escalations))
        for escalation in outcome.escalations:
            if not escalation.shadow:
                self._deps.metrics["escalations_total"].labels(str(escalation.kind)).inc()
        self._table.apply(partition, outcome.puts)
        for state in outcome.states:
            ident = f"{state.alert_id}-{state.event_version}-{state.revision}"
            await self._out.post(topics.ESCALATIONS, state.event_id, state, ident=ident)


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
