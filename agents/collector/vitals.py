"""The health of the sources polled here, as metrics."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from agents.metrics import Metrics
from pipeline.collect.health import DEAF, Health, HealthState


class Vitals:
    """`see` after each poll and when time made a difference, `forget` a source that is polled here no longer."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._states: dict[str, HealthState] = {}
        self._totals: Counter[HealthState] = Counter()
        self._blind: dict[str, str] = {}
        for state in HealthState:
            metrics["sources"].labels(str(state)).set(0)

    def see(self, health: Health) -> None:
        self._count(health.source_id, health.state)
        if health.state in DEAF and health.since is not None:
            if self._blind.get(health.source_id) != health.outcome:
                self._clear(health.source_id)
            self._blind[health.source_id] = health.outcome
            self.polled(health.source_id, 0)
            self._metrics["source_blind_since_timestamp_seconds"].labels(
                health.source_id, health.outcome).set(health.since / 1000)
        else:
            self._clear(health.source_id)

    def polled(self, source_id: str, failures: int) -> None:
        """Failed polls in a row. One series at most says of a source that it fails: thousands may at once."""
        gauge = self._metrics["feed_consecutive_failures"]
        if failures and source_id not in self._blind:
            gauge.labels(source_id).set(failures)
        else:
            with suppress(KeyError):
                gauge.remove(source_id)

    def forget(self, source_id: str) -> None:
        self._count(source_id, None)
        self._clear(source_id)
        self.polled(source_id, 0)

    def _count(self, source_id: str, state: HealthState | None) -> None:
        before = self._states.pop(source_id, None)
        if state is not None:
            self._states[source_id] = state
        if before is state:
            return
        for changed, step in ((before, -1), (state, 1)):
            if changed is not None:
                self._totals[changed] += step
                self._metrics["sources"].labels(str(changed)).set(self._totals[changed])

    def _clear(self, source_id: str) -> None:
        if (outcome := self._blind.pop(source_id, None)) is not None:
            with suppress(KeyError):
                self._metrics["source_blind_since_timestamp_seconds"].remove(source_id, outcome)
