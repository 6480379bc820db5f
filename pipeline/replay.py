"""The whole flow as one plain function: the executable specification of what the stream decides.

Inputs are records in partition order, as they were recorded or as a file of items gives them. Records of a topic in
`recorded` are taken as they come; what a stage would have written there itself is then left out, so that stream and
replay see exactly the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pipeline import topics
from pipeline.codec import Value
from pipeline.escalate.escalator import Escalator
from pipeline.model import (
    AlertState,
    CountsBatch,
    Escalation,
    EventClocks,
    EventHead,
    Heartbeat,
    RawBatch,
    ScoredBatch,
    Silence,
    Tick,
    WarmAlert,
)
from pipeline.rulebook.schema import RuleBook
from pipeline.score.pair import ScorerPair
from pipeline.score.score import Scorer
from pipeline.track.pair import TrackerPair

Decision = EventHead | Escalation | AlertState | EventClocks


@dataclass(frozen=True, slots=True)
class Input:
    """A record and its place. partition None: by the record's key, for a tick every partition."""

    topic: str
    record: Value
    partition: int | None = None


class Replay:
    """State of all partitions of all stages. `feed` gives the decisions of one input, in order."""

    def __init__(
        self, book: RuleBook, partitions: int, recorded: frozenset[str] = frozenset(),
        build: Callable[[RuleBook], Scorer] = Scorer,
    ) -> None:
        self._book, self._partitions, self._recorded, self._build = book, partitions, recorded, build
        self._scorer: ScorerPair | None = None
        self._trackers = [TrackerPair(partition, partitions) for partition in range(partitions)]
        self._escalators = [Escalator(wary=True) for _ in range(partitions)]

    def feed(self, each: Input) -> Iterator[Decision]:
        match each.topic, each.record:
            case _, Heartbeat():                        # it is about processes; it decides nothing
                return
            case topics.RULES, RuleBook() as book:
                self._book, self._scorer = book, None
            case topics.ITEMS_RAW, RawBatch() as batch:
                if topics.ITEMS_SCORED not in self._recorded:
                    for key, scored in self.score(batch):
                        yield from self._track(topics.partition_of(key, self._partitions), scored)
            case topics.ITEMS_RAW, CountsBatch() as counts:
                if topics.ITEMS_SCORED not in self._recorded:
                    for partition in range(self._partitions):
                        yield from self._track(partition, counts)
            case topics.ITEMS_SCORED, record:
                for partition in self._places(each):
                    yield from self._track(partition, record)
            case topics.EVENTS, record:
                for partition in self._places(each):
                    yield from self._escalate(partition, record)

    def score(self, batch: RawBatch) -> list[tuple[str, ScoredBatch]]:
        """Key and record of each part of a raw batch."""
        self._scorer = self._scorer or ScorerPair(self._book, self._build)
        groups = topics.Groups(self._partitions)
        for item in batch.items:
            groups.add(self._scorer.score(item))
        return [(key, ScoredBatch(subject=subject, book=self._scorer.book_of(subject), items=tuple(items)))
                for key, subject, items in groups]

    def _places(self, each: Input) -> Iterable[int]:
        if each.partition is not None:
            return (each.partition,)
        key = _event_of(each.record) if each.topic == topics.EVENTS else ""
        return (topics.partition_of(key, self._partitions),) if key else range(self._partitions)

    def _track(self, partition: int, record: object) -> Iterator[Decision]:
        for head in self._trackers[partition].handle(record, self._book).heads:  # type: ignore[arg-type]
            yield head
            if topics.EVENTS not in self._recorded:
                yield from self._escalate(topics.partition_of(head.id, self._partitions), head)
        if isinstance(record, Tick) and topics.EVENTS not in self._recorded:
            yield from self._escalate(partition, record)

    def _escalate(self, partition: int, record: object) -> Iterator[Decision]:
        outcome = self._escalators[partition].handle(record, self._book)  # type: ignore[arg-type]
        yield from outcome.escalations
        yield from outcome.states
        yield from outcome.clocks


def _event_of(record: Value) -> str:
    """The event whose partition it goes to; empty of what goes to all, as a silence does whatever it matches."""
    if isinstance(record, Silence):
        return ""
    if isinstance(record, WarmAlert):
        return record.head.id
    return record.id if isinstance(record, EventHead) else getattr(record, "event_id", "")


def replay(
    inputs: Iterable[Input], book: RuleBook, partitions: int = 4, recorded: frozenset[str] = frozenset()
) -> Iterator[Decision]:
    """Every decision that these inputs lead to, in order."""
    flow = Replay(book, partitions, recorded)
    for each in inputs:
        yield from flow.feed(each)
