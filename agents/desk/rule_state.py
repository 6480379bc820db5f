"""Where the rules stand: the book in force, faults in the files, what waits for a person, who runs which book."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, select

from agents.desk.commands import read_command
from agents.desk.rule_commands import answer_key
from agents.store import schema
from pipeline.model import Millis, RulesAnswer, RulesState, Worker
from pipeline.rulebook.schema import RuleBook

MINUTE = 60_000
SILENT_AFTER = 3 * MINUTE
"""Workers speak every minute; one that did not for so long is not said to run anything."""
FORGET_AFTER = 60 * MINUTE
SWAP_TIME = 10_000
"""How long a worker may take to build what it needs from a new book before it is called behind."""

_PLACE = re.compile(r"(?P<place>[^\s:]+:\d+:\d+): (?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem of the rule files. place: `subjects/a.yml:3:5`, empty where the text names none."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Running:
    """A process and the book it runs. tone: good, wait (building, not heard) or bad (behind)."""

    worker: Worker
    word: str
    tone: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A decision about the book that waits, accepted and not in effect yet. sent: the broker has it."""

    answer: RulesAnswer
    sent: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything on top of the page 规则. since: when the book in force was published."""

    book: RuleBook | None
    since: Millis | None
    state: RulesState | None
    faults: tuple[Fault, ...]
    workers: tuple[Running, ...]
    answered: Answered | None = None

    @property
    def in_force(self) -> str:
        return in_force(self.state, self.book)

    @property
    def behind(self) -> int:
        return sum(each.tone == "bad" for each in self.workers)


def in_force(state: RulesState | None, book: RuleBook | None) -> str:
    """Version of the book in force, by who publishes it, else by what this process has."""
    return (state.in_force if state else "") or (book.version if book else "")


def faults(state: RulesState | None) -> tuple[Fault, ...]:
    return tuple(fault(each) for each in state.problems) if state else ()


def fault(problem: str) -> Fault:
    found = _PLACE.fullmatch(problem)
    return Fault(found["place"], found["text"]) if found else Fault("", problem)


def running(workers: Iterable[Worker], state: RulesState | None, book: RuleBook | None, now: Millis,
            pace: float = 1.0) -> tuple[Running, ...]:
    """Workers that run, those in trouble first. pace: how much faster than real time `now` goes."""
    version, changed = in_force(state, book), state.at if state else 0
    alive = [each for each in workers if not each.stopped and now - each.at < FORGET_AFTER * pace]
    found = [Running(each, *_judged(each, version, changed, now, pace)) for each in alive]
    order = {"bad": 0, "wait": 1, "good": 2}
    return tuple(sorted(found, key=lambda one: (order[one.tone], one.worker.name)))


def _judged(worker: Worker, version: str, changed: Millis, now: Millis, pace: float) -> tuple[str, str]:
    if now - worker.at >= SILENT_AFTER * pace:
        return "没有消息", "wait"
    if not worker.book:
        return "还没有规则", "bad"
    late = now - changed >= SWAP_TIME * pace
    if version and worker.book != version:
        return ("落后", "bad") if late else ("正在换上", "wait")
    if worker.scorer and worker.scorer != worker.book:
        return ("打分落后", "bad") if late else ("正在换上", "wait")
    return "一致", "good"


def answered(engine: Engine, state: RulesState | None) -> Answered | None:
    """The last decision about what waits now, while the role rules has not taken it."""
    if state is None or not state.pending:
        return None
    table = schema.commands
    with engine.connect() as connection:
        row = connection.execute(
            select(table).where(table.c.event_id == answer_key(state.pending), table.c.type == "rules.answer")
            .order_by(table.c.accepted_at.desc()).limit(1)).first()
    command = read_command(row.type, row.record) if row else None
    if row is None or not isinstance(command, RulesAnswer) or command.at < state.read_at:
        return None
    return Answered(command, row.sent_at is not None)
