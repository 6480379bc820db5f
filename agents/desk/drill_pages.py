"""演练: which were played, and how each went against its targets."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from agents.desk import drill_commands, pages
from agents.desk.commands import Order
from agents.desk.web import Visit
from agents.store import drill_reads
from agents.store.drill_reads import Run
from pipeline.drill import Line, over, sheet
from pipeline.model import EventHead, Millis


@dataclass(frozen=True, slots=True)
class Score:
    """A run with a line for each of its targets and the events that its items made."""

    run: Run
    lines: list[Line]
    events: list[EventHead]

    @property
    def met(self) -> int:
        return sum(bool(line.met) for line in self.lines)

    @property
    def missed(self) -> int:
        return sum(line.met is False for line in self.lines)

    @property
    def over(self) -> bool:
        """It was ended, or nothing is left to wait for."""
        return self.run.ended_at is not None or over(self.lines)


def drills(visit: Visit) -> Response:
    """Every run, the newest first."""
    with visit.desk.engine.connect() as connection:
        found = [_score(connection, each, visit.now) for each in drill_reads.runs(connection)]
    visit.write_read("drills.read", "drills")
    return visit.page("drills.html", scores=found, can_act=visit.can_act, done=pages.done(visit))


def drill(visit: Visit) -> Response:
    """One run with its score sheet."""
    ident = str(visit.request.path_params["run"])
    with visit.desk.engine.connect() as connection:
        run = drill_reads.run(connection, ident)
        score = _score(connection, run, visit.now) if run else None
    if score is None:
        return _missing(visit)
    visit.write_read("drills.read", score.run.id)
    return visit.page("drill.html", score=score, can_act=visit.can_act, done=pages.done(visit))


def end(visit: Visit) -> Response:
    """Close the events of a run that was broken off or kept."""
    with visit.desk.engine.connect() as connection:
        run = drill_reads.run(connection, str(visit.request.path_params["run"]))
    if run is None:
        return _missing(visit)
    drill_commands.end(visit.desk.engine, Order("", visit.session.account, visit.now, visit.desk.real.now()), run)
    return RedirectResponse(f"/drills/{run.id}?done=drill-end", 303)


def _missing(visit: Visit) -> Response:
    return visit.message("没有这次演练", "编号可能有误，可以在演练列表里查找。", 404, "/drills")


def _score(connection: Connection, run: Run, now: Millis) -> Score:
    return Score(run, sheet(run.drill, drill_reads.facts(connection, run), now), drill_reads.events(connection, run))
