"""Role `escalate`: events -> escalations. The judgement is pipeline/escalate; here are its table and its topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from agents.deps import Deps
from agents.latency import Latency
from agents.stream import Ahead, Out, consume
from agents.tables import PartitionedTable, PartitionStates
from pipeline import topics
from pipeline.escalate.escalator import Escalator, Outcome
from pipeline.escalate.tally import Cases
from pipeline.model import (
    Ack,
    AlertStatus,
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

log = logging.getLogger("wenxun.escalator")

ROLE = "escalate"
INPUTS = (EventHead, Ack, Snooze, HandOver, Comment, Statement, Silence, Tick, Verdict, WarmAlert)
SHOWN = {AlertStatus.PENDING: "new", AlertStatus.NOTIFIED: "notified", AlertStatus.ACKED: "acked",
         AlertStatus.SNOOZED: "snoozed", AlertStatus.EXHAUSTED: "exhausted", AlertStatus.EXPIRED: "expired"}
"""Statuses of alerts whose event is open, as the metric calls them."""


class Escalate:
    """The agent's body: a record in; escalations out and acknowledged, then the rows, then the states that say so."""

    def __init__(self, deps: Deps, out: Out, table: PartitionedTable, states: PartitionStates[Escalator]) -> None:
        self._deps, self._out, self._table, self._states = deps, out, table, states
        self._latency = Latency(deps, ROLE)
        self._ahead = Ahead(deps, log)

    async def __call__(self, record: Any, partition: int) -> None:
        if isinstance(record, Heartbeat):
            self._states.of(partition)                          # on, while the partition's state can be had
            await self._out.send(topics.ESCALATIONS, "heartbeat", record, ident=record.id, partition=partition)
            return
        if not isinstance(record, INPUTS):
            raise TypeError(f"{topics.EVENTS} holds no {type(record).__name__}")
        record = self._ahead.cut(record, partition)
        outcome = self._states.of(partition).handle(record, self._deps.rules.book)
        await asyncio.gather(*(
            self._out.send(topics.ESCALATIONS, each.event_id, each, ident=each.id) for each in outcome.escalations))
        for escalation in outcome.escalations:
            self._count(escalation)
            if isinstance(record, EventHead):
                self._latency.paged(escalation)
        self._table.apply(partition, outcome.puts)
        await self._say(outcome)
        if isinstance(record, Tick):
            show(self._deps, [each.cases for each in self._states.held().values()])

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


def show(deps: Deps, held: Sequence[Cases]) -> None:
    """Alerts and response clocks of the partitions that this worker has."""
    metrics, now = deps.metrics, deps.clock.now()
    for status, name in SHOWN.items():
        metrics["alerts"].labels(name).set(sum(cases.statuses[status] for cases in held))
    metrics["response_clocks"].clear()
    metrics["response_clock_left_seconds"].clear()
    for clock in deps.rules.book.levels.clocks:
        due = [at for cases in held for at in cases.due.get(clock.id, {}).values()]
        overdue = sum(at <= now for at in due)
        metrics["response_clocks"].labels(clock.id, "running").set(len(due) - overdue)
        metrics["response_clocks"].labels(clock.id, "overdue").set(overdue)
        if due:
            metrics["response_clock_left_seconds"].labels(clock.id).set((min(due) - now) / 1000)


def show_nothing(deps: Deps) -> None:
    """Partitions came or went: what they hold is said with the next tick, of those that are still here."""
    for name in ("alerts", "response_clocks", "response_clock_left_seconds"):
        deps.metrics[name].clear()


def register(app: Any, deps: Deps) -> None:
    """Bind the body to its topic and table."""
    out = Out(app, deps, ROLE)
    table = PartitionedTable(app, "alerts")
    states = PartitionStates(table, Escalator.restore, partial(show_nothing, deps))
    body = Escalate(deps, out, table, states)
    topic = app.topic(topics.EVENTS, key_type=bytes, value_type=bytes, partitions=deps.settings.partitions)

    async def escalate(stream: Any) -> None:
        await consume(stream.events(), body, out=out, deps=deps, role=ROLE, forget=states.forget)

    app.agent(topic, name=ROLE, concurrency=1)(escalate)
