"""What is due of a case at a time: its alert's step, its clocks' warnings, news of a fall that was held back.

Each is sent, or held back by a silence or by quiet hours: then the record of it says so, the case waits, and it is
looked at again when that ends. So whatever was decided is sent, held, or overtaken by an answer, a raise or the end.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

from msgspec.structs import replace

from pipeline.escalate import clocks, policy
from pipeline.escalate.cases import Case, Held
from pipeline.escalate.digests import digest_of, next_digest
from pipeline.escalate.silences import Hold, Silences, hold_of
from pipeline.model import AlertState, AlertStatus, Escalation, EventClock, Millis
from pipeline.rulebook.schema import DAY, ResponseClock, Route, RouteMode, RuleBook

KEPT_RUNNING = 30 * DAY
"""How long an event that is over is kept while a clock of it runs: a late statement still finds it."""

Sent = tuple[Case, list[Escalation]]


def next_at(case: Case, book: RuleBook) -> Millis | None:
    """When the case is to be looked at next; None: only when a record comes."""
    moments = [case.owed.until if case.owed is not None else None, past_at(case, book)]
    if case.state is not None:
        moments.append(case.state.due_at)
    held = {each.clock: each for each in case.held}
    for clock, rule in clocks.running(case.clocks, book):
        waits = held.get(clock.id)
        moments.append(waits.until if waits else None)
        moments.append(clocks.next_warning_at(clock, rule, after=waits.percent if waits else 0))
    return min((each for each in moments if each is not None), default=None)


def past_at(case: Case, book: RuleBook) -> Millis | None:
    """When it may be forgotten: the tracker has forgotten the event by then. Never while there is an alert or something
    is held back."""
    if case.waits or (case.state is not None and case.state.status is not AlertStatus.ENDED):
        return None
    wait = 2 * max(book.levels.events.calm_after, book.levels.events.join_within)
    return case.last_at + (max(wait, KEPT_RUNNING) if clocks.running(case.clocks, book) else wait) + 1


def route_due(case: Case, book: RuleBook, now: Millis, *, again: bool = False) -> tuple[bool, Route | None]:
    """Whether the alert's step is due, and its route. again: look at one that is held back before its time."""
    state = case.state
    if state is None or case.head is None or state.due_at is None:
        return False, None
    due = state.due_at <= now or (again and bool(state.held_by))
    return due, policy.route_of(state, case.head, book) if due else None


def step(case: Case, book: RuleBook, silences: Silences, now: Millis) -> Sent:
    """Run the alert's step, or hold it back."""
    assert case.state is not None and case.head is not None
    state, page = policy.run_step(case, book, now)
    hold = hold_of(case.head, book, silences, now)
    if hold is None:
        return replace(case, state=state), [page]
    return _hold(case, hold, hold.until, page)


def _hold(case: Case, hold: Hold, until: Millis, page: Escalation) -> Sent:
    """It waits. The record is sent when what holds it changes, not when its end moves."""
    state = case.state
    assert state is not None
    if (state.held_by, state.due_at) == (hold.by, until):
        return case, []
    status = state.status
    if status is AlertStatus.SNOOZED:
        status = AlertStatus.NOTIFIED if state.told else AlertStatus.PENDING
    held = replace(state, status=status, snoozed_until=None, held_by=hold.by, due_at=until, revision=state.revision + 1)
    return replace(case, state=held), [] if state.held_by == hold.by else [policy.held_back(page, hold.by)]


# ---------------------------------------------------------------- digests


def collected(route: Route, waiting: list[Case], book: RuleBook, silences: Silences, now: Millis) -> tuple[
        list[Case], list[Escalation]]:
    """All cases that wait for the route's digest: in one message. Those silenced are left out and come into the first
    digest after that; a case that was looked at before its time waits for the next one. Quiet hours are of pages: a
    digest has hours of its own."""
    zone, cases, sent = ZoneInfo(book.timezone), [], []
    ready: list[tuple[Case, AlertState]] = []
    for case in waiting:
        assert case.state is not None and case.head is not None and case.state.due_at is not None
        hold = hold_of(case.head, book, silences, now, quiet=False)
        if hold is not None:
            alone = replace(digest_of(route, [(case.state, case.head)], book, now), alert_id=case.state.alert_id)
            held, said = _hold(case, hold, next_digest(hold.until - 1, route, zone), alone)
            cases.append(held)
            sent += said
        elif case.state.due_at > now:
            cases.append(replace(case, state=replace(
                case.state, held_by="", due_at=next_digest(now, route, zone), revision=case.state.revision + 1)))
        else:
            ready.append((case, case.state))
    if ready:
        message = digest_of(route, [(state, case.head) for case, state in ready if case.head], book, now)
        sent.append(message)
        cases += [replace(case, state=_told(state, message, route, book)) for case, state in ready]
    return cases, sent


def _told(state: AlertState, message: Escalation, route: Route, book: RuleBook) -> AlertState:
    return replace(
        state, status=AlertStatus.NOTIFIED, due_at=None, told=message.tell, route=route.id, held_by="",
        escalation_id=message.id, snoozed_until=None, repeat=state.repeat + 1, revision=state.revision + 1,
        book=book.hash)


def digests(route: Route | None) -> bool:
    return route is not None and route.mode is RouteMode.DIGEST


# ---------------------------------------------------------------- clocks


def warnings(case: Case, book: RuleBook, silences: Silences, now: Millis, *, again: bool = False) -> Sent:
    """Tell how much of the response clocks is over. Quiet hours do not hold back that one is over."""
    sent: list[Escalation] = []
    for clock, rule in clocks.running(case.clocks, book):
        case, said = _warning(case, clock, rule, book, silences, now, again)
        sent += said
    return _only_held(case, {clock.id for clock, rule in clocks.running(case.clocks, book)
                             if clocks.due_warning(clock, rule, now)}), sent


def tidied(case: Case, book: RuleBook) -> Case:
    """Nothing is held back of a clock that does not run."""
    return _only_held(case, {clock.id for clock, _ in clocks.running(case.clocks, book)}) if case.held else case


def _only_held(case: Case, wanted: set[str]) -> Case:
    held = tuple(each for each in case.held if each.clock in wanted)
    return case if held == case.held else replace(case, held=held)


def _warning(case: Case, clock: EventClock, rule: ResponseClock, book: RuleBook, silences: Silences, now: Millis,
             again: bool) -> Sent:
    warning, head = clocks.due_warning(clock, rule, now), case.head
    if warning is None or head is None or case.clocks is None:
        return case, []
    waits = next((each for each in case.held if each.clock == clock.id), None)
    if waits is not None and waits.percent == warning.at and waits.until > now and not again:
        return case, []
    message = policy.clock_warning(case, book, now, clock.id, clock.started_at, warning.at, warning.tell)
    others = tuple(each for each in case.held if each.clock != clock.id)
    hold = hold_of(head, book, silences, now, quiet=warning.at < clocks.OVER)
    if hold is None:
        return replace(case, held=others, clocks=clocks.warned(case.clocks, clock.id, warning.at)), [message]
    held = Held(clock.id, warning.at, hold.by, hold.until)
    known = waits is not None and (waits.percent, waits.by) == (held.percent, held.by)
    return replace(case, held=(*others, held)), [] if known else [policy.held_back(message, hold.by)]


# ---------------------------------------------------------------- news of a fall


def news(case: Case, book: RuleBook, silences: Silences, now: Millis, *, again: bool = False) -> Sent:
    """Those who were told of the level hear that it fell: now, or as it stands when nothing holds it back any more.
    again: it is held back already; the record of that is sent when another holds it."""
    if case.state is None or case.head is None or not case.state.told:
        return replace(case, owed=None), []
    message = policy.inform(case, book, now)
    hold = hold_of(case.head, book, silences, now)
    if hold is None:
        return replace(case, owed=None), [message]
    known = again and case.owed is not None and case.owed.by == hold.by
    return replace(case, owed=Held("", 0, hold.by, hold.until)), [] if known else [policy.held_back(message, hold.by)]
