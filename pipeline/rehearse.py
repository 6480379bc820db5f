"""Items at times, played through the whole flow as if nobody answered: levels that are reached, messages that are sent.

For rule tests and for comparing two rule books; backtest.py is for long histories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline import topics
from pipeline.model import (
    AlertState,
    CountsBatch,
    Escalation,
    EscalationKind,
    EventHead,
    Millis,
    RawBatch,
    RawItem,
    Tick,
)
from pipeline.replay import Decision, Input, Replay
from pipeline.rulebook.case_run import Played, Told
from pipeline.rulebook.schema import MINUTE, RuleBook
from pipeline.score.score import Scorer

TICK = 5 * MINUTE
PARTITIONS = 4


class Rehearsal:
    """One play. events: by id, each as it stood at its highest level, the last such head."""

    def __init__(self, book: RuleBook, scorer: Scorer | None = None) -> None:
        build: Callable[[RuleBook], Scorer] = Scorer if scorer is None else lambda _: scorer
        self._flow = Replay(book, PARTITIONS, build=build)
        self._due: dict[str, Millis] = {}
        self.events: dict[str, EventHead] = {}
        self.told: list[Told] = []

    def play(self, items: Iterable[RawItem], counts: Iterable[CountsBatch], until: Millis) -> None:
        """In order of time; time passes in ticks, and one at each moment at which somebody is due to be told."""
        records: list[tuple[Millis, RawBatch | CountsBatch]] = [(item.first_seen_at, _batch(item)) for item in items]
        records += [(each.at, each) for each in counts]
        records.sort(key=lambda pair: pair[0])
        if not records:
            return
        now = records[0][0]
        for at, record in records:
            now = self._pass(now, at)
            self._feed(Input(topics.ITEMS_RAW, record))
        self._pass(now, until + 1)

    def _pass(self, now: Millis, until: Millis) -> Millis:
        """Ticks after `now` and before `until`; the time of the last."""
        while True:
            following = min((now // TICK + 1) * TICK, *(due for due in self._due.values() if due > now), until)
            if following >= until:
                return now
            now = following
            self._feed(Input(topics.ITEMS_SCORED, Tick(at=now)))

    def _feed(self, each: Input) -> None:
        for decision in self._flow.feed(each):
            self._note(decision)

    def _note(self, decision: Decision) -> None:
        match decision:
            case EventHead() as head:
                known = self.events.get(head.id)
                if known is None or head.level >= known.level:
                    self.events[head.id] = head
            case AlertState() as state:
                self._due.pop(state.event_id, None)
                if state.due_at is not None:
                    self._due[state.event_id] = state.due_at
            case Escalation() as sent:
                heads = (sent.head,) if sent.head is not None else sent.digest
                if sent.suppressed_by or sent.kind is EscalationKind.CLOCK or all(head.shadow for head in heads):
                    return                              # recorded, never sent; or not about a level
                self.told.append(Told(
                    at=sent.at, kind=sent.kind, tell=sent.tell, event_id=sent.event_id,
                    level=sent.level_name or max(heads, key=lambda head: head.level).level_name,
                    subjects=tuple(dict.fromkeys(head.subject for head in heads))))

    @property
    def peaks(self) -> dict[str, int]:
        """Subject -> the highest rank that one of its events reached."""
        ranks: dict[str, int] = {}
        for head in self.events.values():
            ranks[head.subject] = max(ranks.get(head.subject, 0), head.peak, head.level)
        return ranks


def _batch(item: RawItem) -> RawBatch:
    return RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,))


def played(
    book: RuleBook, scorer: Scorer, items: Sequence[RawItem], counts: Sequence[CountsBatch], until: Millis
) -> Played:
    """What these items come to under a book: case_run.Play, once book and scorer are given."""
    rehearsal = Rehearsal(book, scorer)
    rehearsal.play(items, counts, until)
    return Played(rehearsal.peaks, tuple(rehearsal.told))
