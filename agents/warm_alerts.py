"""What an escalator that starts with empty tables is told: alerts, response clocks, what people did."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace
from sqlalchemy import Connection

from agents.store import people_reads, warm
from pipeline.model import AlertState, AlertStatus, EventHead, Millis, WarmAlert
from pipeline.rulebook.schema import DAY, EventRules


def alerts_and_heads(
    connection: Connection, now: Millis, rules: EventRules
) -> tuple[list[WarmAlert], list[EventHead]]:
    """Alerts as they stood, and after them the events that went on since: a raise nobody was told of is told now.

    Events without an alert are there too, where a clock of theirs runs or may run again, or where people said
    something: with a state that names no alert, and as if their level were not known, so that it is news.
    """
    held, since = {head.id: head for head in warm.events(connection, now, rules)}, now - warm.OWED
    known = {head.id: (state, head) for state, head in warm.alerts(connection, since)}
    clocks = people_reads.clocks_of(connection, sorted(held)) | warm.clocks(connection, since)
    lone = [ident for ident in clocks if ident not in held and ident not in known]
    heads = {head.id: head for _, head in known.values()} | warm.heads(connection, lone) | held
    acts = warm.acts(connection, sorted(heads))
    owed = warm.owed(connection, since)
    ledgered = warm.ledgered(connection, now - 2 * DAY)
    ledgered |= {each.id for each in warm.unledgered(connection, now - DAY)}            # sent anyway
    warmed = []
    for ident in sorted(heads):
        if ident in known:
            state, head = known[ident]
            lost = state.escalation_id not in ledgered
            head = warm.as_of(head, state)
        elif ident in clocks or ident in acts:
            state, head, lost = _no_alert(ident), replace(heads[ident], version=0, level=0, raises=0, joined=()), False
        else:
            continue
        warmed.append(WarmAlert(state=state, head=head, lost=lost, acts=acts.get(ident, ()), clocks=clocks.get(ident),
                                owed_by=owed.get(ident, "")))
    return warmed, _newer(warmed, heads.values())


def _no_alert(event_id: str) -> AlertState:
    return AlertState(event_id=event_id, alert_id="", event_version=0, revision=0, level=0, status=AlertStatus.ENDED,
                      raised_at=0)


def _newer(warmed: Iterable[WarmAlert], heads: Iterable[EventHead]) -> list[EventHead]:
    """Heads that the alerts have not seen; of events without a level nobody has to hear that had no alert."""
    versions = {each.head.id: each.state.event_version for each in warmed if each.state.alert_id}
    return [head for head in heads if (head.id in versions or head.level) and head.version > versions.get(head.id, 0)]
