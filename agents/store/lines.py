"""The lines of an event's timeline, each derived from one record alone, in any order.

`ref` is made from what happened, so that a head that is sent again adds no line and a real change adds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agents.store.rows import Kind
from pipeline.ids import digest
from pipeline.model import (
    Ack,
    Close,
    Comment,
    Delivery,
    DeliveryStatus,
    Escalation,
    EventClocks,
    EventHead,
    EventStatus,
    HandOver,
    LevelDecision,
    Millis,
    Silence,
    Snooze,
    Statement,
    Verdict,
    Why,
)

Row = dict[str, Any]
_CHANGES = (Why.RAISED, Why.GROWING, Why.REPORTED, Why.LOWERED, Why.CALMED, Why.CLOSED, Why.RULES)


def of_head(head: EventHead) -> Iterator[Row]:
    """A head carries its last decision until the next one, and all statements there were room for."""
    decision = head.decision
    if decision.why in _CHANGES and (head.number or decision.why is Why.CLOSED):
        ref = digest(str(decision.why), decision.previous, decision.level, decision.at)
        if decision.level > decision.previous and head.raises == 1:
            yield _line(head.id, "opened", decision.at, Kind.OPENED, {"number": head.number, "subject": head.subject})
        if decision.level != decision.previous:
            yield _line(head.id, f"level:{ref}", decision.at, Kind.LEVEL, msgspec.to_builtins(decision))
        if (status := _status(head, decision)) is not None:
            yield _line(head.id, f"status:{ref}", decision.at, Kind.STATUS, status)
    for said in head.statements:
        yield _line(head.id, f"statement:{said.item_id}", said.at, Kind.STATEMENT,
                    {"item_id": said.item_id, "source_name": said.source_name})


Command = Ack | Snooze | Close | HandOver | Comment
_KINDS = {Ack: Kind.ACK, Snooze: Kind.SNOOZE, Close: Kind.CLOSE, HandOver: Kind.HAND_OVER, Comment: Kind.COMMENT}


def of_command(command: Command) -> Row:
    kind = _KINDS[type(command)]
    return _line(command.event_id, f"{kind}:{command.id}", command.at, kind, msgspec.to_builtins(command))


def of_statement(said: Statement) -> Row:
    """What came from an item is without its words: these expire, a line never changes."""
    kind = Kind.REJECTED if said.rejected else Kind.ANSWERED
    shown = msgspec.structs.replace(said, title="", text="", url="") if said.item_id else said
    return _line(said.event_id, f"{kind}:{said.id}", said.at, kind, msgspec.to_builtins(shown))


def of_silence(silence: Silence) -> Iterator[Row]:
    """Of one for a single event; the others are in the list of silences."""
    if silence.event_id:
        ref = "" if silence.expired_at is None else ":ended"
        yield _line(silence.event_id, f"silence:{silence.id}{ref}", silence.at, Kind.SILENCE,
                    msgspec.to_builtins(silence))


def of_clocks(state: EventClocks) -> Iterator[Row]:
    """When each clock began and who stopped it. How much of it is over is told by messages, which are lines too."""
    for clock in state.clocks:
        yield _line(state.event_id, f"clock:{clock.id}:started", clock.started_at, Kind.CLOCK_STARTED,
                    {"id": clock.id, "name": clock.name, "why": state.started_why})
        if clock.stopped_at is not None:
            yield _line(state.event_id, f"clock:{clock.id}:stopped", clock.stopped_at, Kind.CLOCK_STOPPED, {
                "id": clock.id, "name": clock.name, "by": clock.stopped_by, "why": clock.stopped_why, "ref": clock.ref,
                "late": max(0, clock.stopped_at - clock.due_at),
                **({"registered_at": clock.registered_at} if clock.registered_later else {})})


def of_verdict(verdict: Verdict) -> Iterator[Row]:
    """Of one on an event; one on a match is no line of any event."""
    if verdict.event_id:
        yield _line(verdict.event_id, f"verdict:{verdict.id}", verdict.at, Kind.VERDICT, msgspec.to_builtins(verdict))


def of_escalation(decided: Escalation) -> Iterator[Row]:
    """A digest is a line of each event in it; a system notice is of none."""
    detail = {"id": decided.id, "kind": str(decided.kind), "why": decided.why, "level": decided.level,
              "level_name": decided.level_name, "step": decided.step, "repeat": decided.repeat,
              "tell": list(decided.tell), **({"shadow": True} if decided.shadow else {}),
              **({"clock": decided.clock, "percent": decided.percent} if decided.clock else {}),
              **({"suppressed_by": decided.suppressed_by} if decided.suppressed_by else {})}
    kind = Kind.SUPPRESSED if decided.suppressed_by else Kind.ESCALATION
    about = {decided.event_id, *(head.id for head in decided.digest)} - {""}
    for event_id in sorted(about):
        yield _line(event_id, f"escalation:{decided.id}", decided.at, kind, detail)


def of_delivery(done: Delivery) -> Iterator[Row]:
    """Only how it ended: the tries before are in the deliveries themselves."""
    if done.status is DeliveryStatus.PENDING or not done.event_id:
        return
    detail = {"id": done.id, "escalation_id": done.escalation_id, "person": done.person, "channel": done.channel,
              "status": str(done.status), "attempts": done.attempts, "error": done.error,
              **({"suppressed_by": done.suppressed_by} if done.suppressed_by else {})}
    yield _line(done.event_id, f"delivery:{done.id}:{done.status}", done.at, Kind.DELIVERY, detail)


def _status(head: EventHead, decision: LevelDecision) -> Row | None:
    """What the decision made of the event; the first opening has a line of its own."""
    if decision.why is Why.CLOSED:
        return {"status": str(EventStatus.CLOSED), "by": head.closed_by, "reason": head.closed_reason}
    if decision.why is Why.CALMED:
        return {"status": str(EventStatus.CALM)}
    if decision.level > decision.previous == 0 and head.raises > 1:
        return {"status": str(EventStatus.OPEN)}
    return None


def _line(event_id: str, ref: str, at: Millis, kind: Kind, detail: Any) -> Row:
    return {"event_id": event_id, "ref": ref, "at": at, "kind": str(kind),
            "detail": msgspec.json.encode(detail).decode()}
