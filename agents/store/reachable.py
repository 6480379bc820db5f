"""Whether the store can be used, as a role sees it: store_reachable{role} after each use."""

from __future__ import annotations

from typing import Any

from prometheus_client import Gauge
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, InterfaceError, ProgrammingError

from agents.deps import Deps
from agents.store.engine import ready_store

_ASKED_WRONGLY = (DataError, IntegrityError, ProgrammingError)
"""The store answered: it was the question."""


async def ready(deps: Deps, role: str) -> Engine:
    """The role's engine, once its tables are of this version; what becomes of each use is noted."""
    gauge: Gauge = deps.metrics["store_reachable"].labels(role)
    gauge.set(0)
    engine = await ready_store(deps.settings.store_url)
    watch(engine, gauge)
    return engine


def watch(engine: Engine, gauge: Gauge) -> None:
    """Note each use from now on; one that worked is assumed: who waits for the store has just used it."""
    gauge.set(1)

    def worked(*_: Any) -> None:
        gauge.set(1)

    def failed(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if isinstance(error, DatabaseError | InterfaceError) and not isinstance(error, _ASKED_WRONGLY):
            gauge.set(0)

    event.listen(engine, "after_cursor_execute", worked)
    event.listen(engine, "handle_error", failed)
