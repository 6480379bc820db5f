"""The levels of all live subjects under one book: who would be told, when. Nobody answers in a backtest, so a route
goes on to its next steps and rounds until the event is calm; what comes first is told apart from that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.backtest.values import PARTITIONS, TICK, Grid, Step
from pipeline.escalate.escalator import Escalator
from pipeline.model import Escalation, EscalationKind, Millis, Tick
from pipeline.rulebook.schema import RuleBook
from pipeline.topics import partition_of


@dataclass(frozen=True, slots=True)
class Page:
    """A message to somebody. first: the first about this level of this event; else the next step or round of one that
    nobody answered. subjects: of the events in it. shadow: nobody would be told, it is of shadow rules."""

    at: Millis
    first: bool
    level: str
    tell: tuple[str, ...]
    subjects: tuple[str, ...]
    shadow: bool = False


def pages(decided: Iterable[Escalation]) -> list[Page]:
    """Those that ask for an answer; that a level fell is only said. What is held back is sent later, and counted then;
    response clocks are stopped by people, of whom there are none here."""
    asks = (EscalationKind.PAGE, EscalationKind.DIGEST)
    return [_page(each) for each in decided if each.kind in asks and not each.suppressed_by]


def _page(each: Escalation) -> Page:
    heads = (each.head,) if each.head is not None else each.digest
    level = max(((head.level, head.level_name) for head in heads), default=(0, each.level_name))[1]
    subjects = tuple(sorted({head.subject for head in heads}))
    first = each.kind is EscalationKind.DIGEST or (not each.step and not each.repeat)
    return Page(each.at, first, level, each.tell, subjects, each.unsendable)


def escalated(steps: Iterable[Step], book: RuleBook, grid: Grid) -> list[Escalation]:
    """Every message of the escalators, in order. steps: in any order."""
    run = _Run(book, grid)
    return list(run.all(sorted(steps, key=_order)))


def _order(step: Step) -> tuple[Millis, bool, int, int, str, int]:
    """Ticks before records of the same time; a tick reaches one partition of trackers after the other, and there the
    events by their ids."""
    by_tick = step.place is None
    partition = partition_of(step.head.key, PARTITIONS) if by_tick else 0
    return step.at, not by_tick, step.place or 0, partition, step.head.id if by_tick else "", step.head.version


class _Run:
    """due: when each alert's next step is, as its state said last."""

    def __init__(self, book: RuleBook, grid: Grid) -> None:
        self._book, self._grid = book, grid
        self._escalators = [Escalator() for _ in range(PARTITIONS)]
        self._due: dict[str, Millis] = {}
        self._ticked = grid.start

    def all(self, steps: list[Step]) -> Iterator[Escalation]:
        place = 0
        while place < len(steps):
            step = steps[place]
            if step.place is None:
                yield from self._let_pass(step.at - 1)
                fallen = [each for each in steps[place:place + self._same(steps, place)]]
                yield from self._tick(step.at, fallen)
                place += len(fallen)
            else:
                yield from self._let_pass(step.at)
                yield from self._handle(partition_of(step.head.id, PARTITIONS), step.head)
                place += 1
        yield from self._let_pass(self._grid.end)

    def _same(self, steps: list[Step], place: int) -> int:
        """How many steps from here on are of the same tick."""
        end = place
        while end < len(steps) and steps[end].place is None and steps[end].at == steps[place].at:
            end += 1
        return end - place

    def _let_pass(self, until: Millis) -> Iterator[Escalation]:
        """The ticks up to `until` at which a step is due."""
        while self._due:
            tick = max(self._ticked + TICK, self._grid.first(min(self._due.values())))
            if tick > until:
                return
            yield from self._tick(tick, [])

    def _tick(self, at: Millis, fallen: list[Step]) -> Iterator[Escalation]:
        self._ticked = at
        for partition in range(PARTITIONS):
            for step in fallen:
                if partition_of(step.head.key, PARTITIONS) == partition:
                    yield from self._handle(partition_of(step.head.id, PARTITIONS), step.head)
            yield from self._handle(partition, Tick(at=at))

    def _handle(self, partition: int, record: object) -> Iterator[Escalation]:
        outcome = self._escalators[partition].handle(record, self._book)  # type: ignore[arg-type]
        for state in outcome.states:
            if state.due_at is None:
                self._due.pop(state.event_id, None)
            else:
                self._due[state.event_id] = state.due_at
        yield from outcome.escalations
