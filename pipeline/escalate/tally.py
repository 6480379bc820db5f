"""The cases of a partition, and figures of them that are kept while they change: asking costs by what is open."""

from __future__ import annotations

from collections import Counter

from pipeline.escalate.cases import Case
from pipeline.model import AlertStatus, Millis


class Cases(dict[str, Case]):
    """By event id. Drills are in no figure.

    statuses: of alerts. due: clock id -> event id -> when it is over, of clocks that are not stopped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.statuses: Counter[AlertStatus] = Counter()
        self.due: dict[str, dict[str, Millis]] = {}

    def __setitem__(self, event_id: str, case: Case) -> None:
        known = self.get(event_id)
        super().__setitem__(event_id, case)
        if known is None or known.state is not case.state or known.clocks is not case.clocks or not known.head:
            self._forget(known)
            self._count(case)

    def __delitem__(self, event_id: str) -> None:
        self._forget(self[event_id])
        super().__delitem__(event_id)

    def _count(self, case: Case) -> None:
        if case.head is None or case.head.drill:
            return
        if case.state is not None:
            self.statuses[case.state.status] += 1
        for clock in case.clocks.clocks if case.clocks is not None else ():
            if clock.stopped_at is None:
                self.due.setdefault(clock.id, {})[case.event_id] = clock.due_at

    def _forget(self, case: Case | None) -> None:
        if case is None or case.head is None or case.head.drill:
            return
        if case.state is not None:
            self.statuses[case.state.status] -= 1
        for running in self.due.values():
            running.pop(case.event_id, None)
