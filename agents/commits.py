"""What a reader of topics has and when it last committed, as metrics: of Faust's roles and of plain consumers alike."""

from __future__ import annotations

from contextlib import suppress

from agents.metrics import Metrics


def holds(metrics: Metrics, role: str, partitions: int) -> None:
    """So many partitions are this worker's now. One without any has nothing to commit: it is not late."""
    metrics["assigned_partitions"].labels(role).set(partitions)
    if not partitions:
        with suppress(KeyError):
            metrics["last_commit_timestamp_seconds"].remove(role)


def committed(metrics: Metrics, role: str) -> None:
    """Offsets were committed just now; real time, as Prometheus has it."""
    metrics["last_commit_timestamp_seconds"].labels(role).set_to_current_time()
