"""A role that cannot use its store is not ready, and says why."""

from __future__ import annotations

from pathlib import Path

from agents.clock import Clock
from agents.deps import Deps
from agents.metrics import Metrics
from agents.runtime import KEEPING, Process
from agents.settings import Settings


def test_readiness_goes_by_the_last_use_of_the_store(tmp_path: Path) -> None:
    deps = Deps(Settings(data_dir=tmp_path), Clock(), Metrics())
    process = Process(deps, KEEPING)
    for role in KEEPING:
        process.health.checks[role] = lambda role=role: process._store_of(role)     # type: ignore[misc]
        for reached, said in ((0, "the store does not answer"), (1, "")):
            deps.metrics["store_reachable"].labels(role).set(reached)
            assert process._store_of(role) == said
            assert (f"{role}: the store does not answer" in process.health.missing()) == (reached == 0)
