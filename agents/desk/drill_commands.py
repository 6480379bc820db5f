"""A drill begins, its items go to the stream one by one, it ends: everything with an account and an audit line."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from sqlalchemy import Engine, update

from agents.desk import audit, commands
from agents.desk.commands import Accepted, Order, Refused
from agents.store import drill_reads, schema
from agents.store.drill_reads import Run
from pipeline import drill
from pipeline.drill import Turn
from pipeline.ids import digest
from pipeline.model import EventStatus, RawBatch
from pipeline.rulebook.drills import Drill

END_NOTE = "演练结束"


def begin(engine: Engine, order: Order, script: Drill) -> Run:
    """A new run, from now on."""
    found = Run(digest("drill", script.id, order.by, order.at, order.real), script, order.by, order.at, None)
    row = {"run": found.id, "drill": script.id, "title": script.title, "by": order.by, "began_at": order.at,
           "ended_at": None, "script": msgspec.json.encode(script).decode()}
    with engine.begin() as connection:
        connection.execute(schema.drills.insert().values(row))
        audit.write(connection, order.at, order.by, "drill.begin", found.id, script.title)
    return found


def send(engine: Engine, order: Order, run: Run, number: int, turn: Turn) -> Accepted:
    """One item of the run, made now. The same number again is the same item."""
    item = drill.item(turn, run.id, number, order.at)
    record = RawBatch(source_id=drill.SOURCE, polled_at=order.at, items=(item,))
    with engine.begin() as connection:
        return commands.accept(connection, replace(order, event_id=item.id), record, digest("drill", item.id),
                               "drill.item", turn.source.name, shown=run.id)


def end(engine: Engine, order: Order, run: Run) -> int:
    """Close its events and say that it is over. How many were closed."""
    with engine.connect() as connection:
        events = drill_reads.events(connection, run)
    closed = 0
    for head in events:
        if head.status is not EventStatus.CLOSED:
            try:
                commands.close(engine, replace(order, event_id=head.id), head.version, "其他", END_NOTE)
                closed += 1
            except Refused:                                     # closed by somebody meanwhile
                continue
    with engine.begin() as connection:
        done = connection.execute(update(schema.drills).where(
            schema.drills.c.run == run.id, schema.drills.c.ended_at.is_(None)).values(ended_at=order.at))
        if done.rowcount:
            audit.write(connection, order.at, order.by, "drill.end", run.id, run.drill.title)
    return closed
