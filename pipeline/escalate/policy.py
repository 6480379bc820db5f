"""Whom an alert tells next, and when: routes and steps as pure functions of the alert's state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from pipeline.ids import digest
from pipeline.model import AlertState, AlertStatus, Escalation, EscalationKind, EventHead, Millis
from pipeline.rulebook.schema import Route, RouteMode, RuleBook


def route_for(routes: Iterable[Route], level_name: str, subject: str) -> Route | None:
    """The first route whose matchers fit."""
    for route in routes:
        if (not route.levels or level_name in route.levels) and (not route.subjects or subject in route.subjects):
            return route
    return None


def raise_alert(head: EventHead, book: RuleBook, revision: int, now: Millis) -> AlertState:
    """A new alert for a level that rose; it needs a new ack. Without a fitting route the fallback is paged at once."""
    route = route_for(book.routes, head.level_name, head.subject)
    digesting = route is not None and route.mode is RouteMode.DIGEST
    if route is not None and digesting:
        due = next_digest(now, route, ZoneInfo(book.timezone))
    else:
        due = now + (route.steps[0].after if route else 0)
    return AlertState(
        event_id=head.id, alert_id=digest("alert", head.id, head.level, head.raises), event_version=head.version,
        revision=revision, level=head.level, status=AlertStatus.PENDING, raised_at=now, due_at=due,
        route=route.id if route else "", book=book.hash)


def run_step(state: AlertState, head: EventHead, book: RuleBook, now: Millis) -> tuple[AlertState, Escalation]:
    """Run the step that is due: who is told, and the state with the next step's due time.

    Several steps overdue at once (a stopped system) run one after the other at their distances, not in a burst.
    """
    route = next((each for each in book.routes if each.id == state.route), None)
    steps = route.steps if route else ()
    tell = steps[state.step].tell if state.step < len(steps) else (book.roster.fallback,)
    if state.repeat and state.step == 0:
        tell = (*tell, book.roster.fallback)      # nobody answered a whole round
    escalation = Escalation(
        id=digest("step", state.alert_id, state.step, state.repeat), kind=EscalationKind.PAGE, at=now,
        why=_why(state), tell=tell, event_id=head.id, alert_id=state.alert_id, level=head.level,
        level_name=head.level_name, step=state.step, repeat=state.repeat, head=replace(head, joined=()),
        book=book.hash)
    told = (*state.told, *(each for each in tell if each not in state.told))
    following, repeat = state.step + 1, state.repeat
    wait: Millis | None
    if following < len(steps):
        wait = max(0, steps[following].after - steps[state.step].after)
    else:
        wait, following, repeat = (route.repeat if route else 0) or None, 0, repeat + 1
    return replace(
        state, status=AlertStatus.EXHAUSTED if state.repeat else AlertStatus.NOTIFIED, step=following, repeat=repeat,
        due_at=None if wait is None else now + wait, told=told, escalation_id=escalation.id, snoozed_until=None,
        revision=state.revision + 1, book=book.hash), escalation


def last_message(state: AlertState, head: EventHead, book: RuleBook) -> Escalation | None:
    """What the alert sent last, with its id: for a restart that lost it in flight. A digest is sent for this event."""
    route = next((each for each in book.routes if each.id == state.route), None)
    if route is not None and route.mode is RouteMode.DIGEST:
        return digest_of(route, [head], book, state.raised_at)
    if state.step:
        before = replace(state, step=state.step - 1)
    elif state.repeat:
        before = replace(state, step=max(0, len(route.steps) - 1 if route else 0), repeat=state.repeat - 1)
    else:
        return None
    return run_step(before, head, book, state.raised_at)[1]


def inform(state: AlertState, head: EventHead, book: RuleBook, now: Millis) -> Escalation:
    """The level fell or the event ended: those who were told hear it; no answer is needed."""
    return Escalation(
        id=digest("inform", head.id, head.version), kind=EscalationKind.INFORM, at=now,
        why=head.decision.why.value, tell=state.told, event_id=head.id, alert_id=state.alert_id, level=head.level,
        level_name=head.level_name, head=replace(head, joined=()), book=book.hash)


def digest_of(route: Route, heads: list[EventHead], book: RuleBook, now: Millis) -> Escalation:
    """One message for all events that waited for this digest."""
    events = tuple(replace(head, joined=()) for head in sorted(heads, key=lambda head: head.id))
    return Escalation(
        id=digest("digest", route.id, *(f"{head.id}:{head.raises}" for head in events)), kind=EscalationKind.DIGEST,
        at=now, why="digest", tell=tuple(who for step in route.steps for who in step.tell), event_id=events[0].id,
        level=max(head.level for head in events), level_name=events[0].level_name, digest=events, book=book.hash)


def next_digest(now: Millis, route: Route, zone: ZoneInfo) -> Millis:
    """The next time a digest of this route goes out: a multiple of `every` past midnight, within `hours`."""
    moment = datetime.fromtimestamp(now / 1000, zone)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    passed = int((moment - midnight).total_seconds() * 1000)
    candidate = midnight + timedelta(milliseconds=(passed // route.every + 1) * route.every)
    if route.hours:
        begin, end = (_minutes(part) for part in route.hours.split("-"))
        minutes = (candidate - midnight).total_seconds() / 60
        if minutes > end:
            candidate = midnight + timedelta(days=1, minutes=begin)
        elif minutes < begin:
            candidate = midnight + timedelta(minutes=begin)
    return int(candidate.timestamp() * 1000)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _why(state: AlertState) -> str:
    if state.repeat:
        return "unanswered"
    return "raised" if state.step == 0 else "next"
