"""Response clocks: how long the office has for its first answer, a briefing, the reply.

A clock counts from the first detection (`opened_at` of the event), however late the event reached the clock's level: it
may be over when it starts. What a person said before that stops it at its start. A statement stops it for good; a clock
that stopped because the event was closed as 不相关 or 重复 starts anew, from then, when the event is raised again.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from pipeline.model import FINAL_REASONS, EventClock, EventClocks, EventHead, EventStatus, Millis, Statement
from pipeline.rulebook.schema import ClockWarning, ResponseClock, RuleBook

OVER = 100
MAX_STATEMENTS = 20
STATEMENT, CLOSED = "statement", "closed"


def follow(known: EventClocks | None, head: EventHead, book: RuleBook) -> EventClocks | None:
    """The clocks as this head and these rules make them: started, stopped, moved. One that runs and that the rules do
    not have any more is gone; it comes back, with its time, when they have it again."""
    before = {clock.id: clock for clock in known.clocks} if known is not None else {}
    found = [clock for rule in book.levels.clocks
             if (clock := _followed(before.pop(rule.id, None), rule, head, book, known)) is not None]
    found += [clock for clock in before.values() if clock.stopped_at is not None]
    if tuple(found) == (known.clocks if known is not None else ()):
        return known
    if known is None or not known.clocks:
        why = "level" if any(_reached(rule, head, book) for rule in book.levels.clocks) else "urgent"
        known = known or EventClocks(event_id=head.id, revision=0, clocks=())
        known = replace(known, started_why=why)
    return replace(known, clocks=tuple(found), revision=known.revision + 1)


def _followed(clock: EventClock | None, rule: ResponseClock, head: EventHead, book: RuleBook,
              known: EventClocks | None) -> EventClock | None:
    final = head.drill or head.closed_reason.startswith(FINAL_REASONS)      # a drill that is over owes no answer
    closed = head.status is EventStatus.CLOSED and final
    if clock is None or (clock.stopped_why == CLOSED and head.status is EventStatus.OPEN):
        if closed or not _wanted(rule, head, book):
            return clock
        clock = _started(rule, head, book, head.opened_at if clock is None else head.decision.at)
        return _answered(clock, known.statements if known is not None else (), book)
    if clock.stopped_at is not None:
        return clock
    if closed:
        return replace(clock, stopped_at=max(clock.started_at, head.changed_at), stopped_by=head.closed_by,
                       stopped_why=CLOSED, ref=head.closed_reason)
    return replace(clock, name=rule.name, due_at=clock.started_at + _length(rule, head, book))


def _started(rule: ResponseClock, head: EventHead, book: RuleBook, at: Millis) -> EventClock:
    return EventClock(id=rule.id, name=rule.name, started_at=at, due_at=at + _length(rule, head, book))


def _wanted(rule: ResponseClock, head: EventHead, book: RuleBook) -> bool:
    if head.status not in (EventStatus.OPEN, EventStatus.WATCHING):
        return False
    return head.urgent_at is not None or _reached(rule, head, book)


def _reached(rule: ResponseClock, head: EventHead, book: RuleBook) -> bool:
    names = [level.name for level in book.levels.ladder]
    return rule.start_level in names and head.level > names.index(rule.start_level)


def _length(rule: ResponseClock, head: EventHead, book: RuleBook) -> Millis:
    """The shortest of all levels that the event had."""
    had = (level.name for level in book.levels.ladder[:max(head.peak, head.level)])
    return min(rule.within, *(rule.levels.get(name, rule.within) for name in had), rule.within)


# ---------------------------------------------------------------- statements


def stated(known: EventClocks | None, statement: Statement, book: RuleBook) -> EventClocks | None:
    """The clocks after what the office said. Of two statements the earlier one stopped the clock, whichever came
    first; one that was rejected, or that is known, changes nothing."""
    if statement.rejected or (known is not None and any(each.id == statement.id for each in known.statements)):
        return known
    known = known or EventClocks(event_id=statement.event_id, revision=0, clocks=())
    statement = replace(statement, clocks=_named(statement, book))
    return replace(
        known, revision=known.revision + 1, statements=(*known.statements, statement)[-MAX_STATEMENTS:],
        clocks=tuple(_answered(clock, (statement,), book) for clock in known.clocks))


def _answered(clock: EventClock, statements: Iterable[Statement], book: RuleBook) -> EventClock:
    for statement in statements:
        at = max(clock.started_at, said_at(statement))
        earlier = clock.stopped_at is None or (clock.stopped_why == STATEMENT and at < clock.stopped_at)
        if clock.id in _named(statement, book) and earlier:
            clock = replace(clock, stopped_at=at, stopped_by=statement.by, stopped_why=STATEMENT, ref=statement.id,
                            registered_at=statement.at)
    return clock


def _named(statement: Statement, book: RuleBook) -> tuple[str, ...]:
    return statement.clocks or tuple(rule.id for rule in book.levels.clocks[:1])


def said_at(statement: Statement) -> Millis:
    """When it was said; when it was attached, if that is not known or would be later."""
    return statement.published_at if 0 < statement.published_at <= statement.at else statement.at


# ---------------------------------------------------------------- warnings


def running(known: EventClocks | None, book: RuleBook) -> list[tuple[EventClock, ResponseClock]]:
    """Clocks that were not stopped, with their rules."""
    rules = {rule.id: rule for rule in book.levels.clocks}
    clocks = known.clocks if known is not None else ()
    return [(clock, rules[clock.id]) for clock in clocks if clock.stopped_at is None and clock.id in rules]


def due_warning(clock: EventClock, rule: ResponseClock, now: Millis) -> ClockWarning | None:
    """The greatest one that is due and was not told: after a stop one message, not one for each."""
    due = [each for each in rule.warnings if each.at > clock.warned and warning_at(clock, each) <= now]
    return max(due, key=lambda each: each.at, default=None)


def next_warning_at(clock: EventClock, rule: ResponseClock, after: int = 0) -> Millis | None:
    """When the next one comes of those that were not told, over `after` per cent."""
    passed = max(clock.warned, after)
    return min((warning_at(clock, each) for each in rule.warnings if each.at > passed), default=None)


def warning_at(clock: EventClock, warning: ClockWarning) -> Millis:
    return clock.started_at + (clock.due_at - clock.started_at) * warning.at // OVER


def warned(known: EventClocks, ident: str, percent: int) -> EventClocks:
    """Told so far of one of them."""
    clocks = tuple(replace(clock, warned=percent) if clock.id == ident else clock for clock in known.clocks)
    return replace(known, clocks=clocks, revision=known.revision + 1)
