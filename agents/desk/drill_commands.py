"""A drill begins, its items go to the stream one by one, it ends: everything with an account and an audit line."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from sqlalchemy import Connection, Engine, select, update

from agents.desk import audit, commands
from agents.desk.commands import Accepted, Order, Refused
from agents.store import drill_reads, schema
from agents.store.drill_reads import Run
from agents.store.upsert import chunks
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
    """One item of the run, made now. The same number again is the same item. Refused when the run is over: somebody
    else ended it."""
    item = drill.item(turn, run.id, number, order.at)
    record = RawBatch(source_id=drill.SOURCE, polled_at=order.at, items=(item,))
    with engine.begin() as connection:
        if _ended(connection, run):
            raise Refused("ended", "演练已经结束，不再发出条目。")
        return commands.accept(connection, replace(order, event_id=item.id), record, _command(item.id),
                               "drill.item", turn.source.name, shown=run.id)


def ended(engine: Engine, run: Run) -> bool:
    with engine.connect() as connection:
        return _ended(connection, run)


def end(engine: Engine, order: Order, run: Run) -> int:
    """Say that it is over, take back what the stream does not have yet (it would page people hours later), close its
    events. How many were closed."""
    with engine.begin() as connection:
        done = connection.execute(update(schema.drills).where(
            schema.drills.c.run == run.id, schema.drills.c.ended_at.is_(None)).values(ended_at=order.at))
        back = _take_back(connection, order, run)
        if done.rowcount or back:
            detail = f"{run.drill.title}；{back} 条没有发出的条目作废" if back else run.drill.title
            audit.write(connection, order.at, order.by, "drill.end", run.id, detail)
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
    return closed


def _take_back(connection: Connection, order: Order, run: Run) -> int:
    table, count = schema.commands, 0
    for some in chunks([_command(drill.item_id(run.id, number)) for number in range(len(drill.turns(run.drill)))]):
        count += connection.execute(update(table).where(table.c.id.in_(some), table.c.sent_at.is_(None)).values(
            record="", sent_at=order.real)).rowcount
    return count


def _ended(connection: Connection, run: Run) -> bool:
    table = schema.drills.c
    return connection.execute(select(table.ended_at).where(table.run == run.id)).scalar() is not None


def _command(item: str) -> str:
    return digest("drill", item)
