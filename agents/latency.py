"""How long it took from an item's first sight to each stage, as one histogram: event_e2e_latency_seconds{stage}.

What waited by rule is not measured: a page after the first step, one that a silence, quiet hours or a digest held back,
and one whose step has a delay of over a minute. Neither are drills, shadow rules and what new rules raised.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.deps import Deps
from pipeline.model import Escalation, EventHead, Millis, RawItem
from pipeline.rulebook.schema import MINUTE

AT_ONCE = MINUTE


class Latency:
    """Of one stage: score, track, escalate or deliver. Times are by the installation's clock."""

    def __init__(self, deps: Deps, stage: str) -> None:
        self._now = deps.clock.now
        self._observe = deps.metrics["event_e2e_latency_seconds"].labels(stage).observe

    def batch(self, items: Sequence[RawItem]) -> None:
        """Items of one record that were handled just now: one poll saw them, so it is measured once. Not what lay there
        at a source's first poll."""
        seen = min((item.first_seen_at for item in items if not item.backfill and item.drill is None), default=None)
        if seen is not None:
            self._observe(max(0, self._now() - seen) / 1000)

    def raised(self, head: EventHead) -> None:
        """A head that goes out just now: measured if it says that its level rose."""
        decision = head.decision
        fresh = decision.level > decision.previous and decision.at == head.changed_at
        if fresh and head.seen_at and not (head.shadow or head.drill):
            self._observe(max(0, self._now() - head.seen_at) / 1000)

    def paged(self, escalation: Escalation) -> None:
        """A page that was decided, or confirmed, just now: measured if it is the first of its alert, sent at once."""
        if (seen := _seen_at(escalation)) is not None:
            self._observe(max(0, self._now() - seen) / 1000)


def _seen_at(escalation: Escalation) -> Millis | None:
    head = escalation.head
    if head is None or not escalation.first or escalation.drill or escalation.unsendable:
        return None
    at_once = escalation.at - head.level_since <= AT_ONCE
    return head.seen_at or None if at_once else None
