"""Whom an alert tells next, and when: routes and steps as pure functions of the alert's state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from pipeline.ids import digest
from pipeline.model import AlertState, AlertStatus, Escalation, EscalationKind, EventHead, Millis, WarmAlert
from pipeline.rulebook.schema import Route, RouteMode, RuleBook
from pipeline.rulebook.shadow import live_name


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


def route_of(alert: WarmAlert, book: RuleBook) -> Route | None:
    """The route the alert is on; the fitting one if a newer rule book has that no more, or brought the first."""
    known = next((each for each in book.routes if each.id == alert.state.route), None)
    return known or route_for(book.routes, alert.head.level_name, alert.head.subject)


def run_step(alert: WarmAlert, book: RuleBook, now: Millis) -> tuple[AlertState, Escalation]:
    """Run the step that is due: who is told, and the state with the next step's due time.

    Several steps overdue at once (a stopped system) run one after the other at their distances, not in a burst.
    """
    state, head, route = alert.state, alert.head, route_of(alert, book)
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
        due_at=None if wait is None else now + wait, told=told, route=route.id if route else "",
        escalation_id=escalation.id, snoozed_until=None,
        revision=state.revision + 1, book=book.hash), escalation


def last_message(alert: WarmAlert, book: RuleBook) -> Escalation | None:
    """What the alert sent last, with its id: for a restart that lost it in flight. A digest is sent for this event."""
    state, route = alert.state, route_of(alert, book)
    if route is not None and route.mode is RouteMode.DIGEST:
        before = replace(state, repeat=max(0, state.repeat - 1))
        return digest_of(route, [replace(alert, state=before)], book, state.raised_at)
    if state.step:
        before = replace(state, step=state.step - 1)
    elif state.repeat:
        before = replace(state, step=max(0, len(route.steps) - 1 if route else 0), repeat=state.repeat - 1)
    else:
        return None
    return run_step(replace(alert, state=before), book, state.raised_at)[1]


def inform(state: AlertState, head: EventHead, book: RuleBook, now: Millis) -> Escalation:
    """The level fell or the event ended: those who were told hear it; no answer is needed."""
    return Escalation(
        id=digest("inform", head.id, head.version), kind=EscalationKind.INFORM, at=now,
        why=head.decision.why.value, tell=state.told, event_id=head.id, alert_id=state.alert_id, level=head.level,
        level_name=head.level_name, head=replace(head, joined=()), book=book.hash)


def in_shadow(head: EventHead, book: RuleBook) -> Escalation:
    """What a raise of a shadow rule would have sent first: recorded once, and nobody is asked again.

    A route that collects makes it a digest of its own, so that it is not counted as a page.
    """
    chosen = book.shadow or book
    route = route_for(chosen.routes, head.level_name, live_name(head.subject))
    steps, collected = route.steps if route else (), route is not None and route.mode is RouteMode.DIGEST
    told = [step.tell for step in (steps if collected else steps[:1])] or [(chosen.roster.fallback,)]
    bare, alert = replace(head, joined=()), digest("alert", head.id, head.level, head.raises)
    return Escalation(
        id=digest("step", alert, 0, 0), kind=EscalationKind.DIGEST if collected else EscalationKind.PAGE,
        at=head.changed_at, why="raised", tell=tuple(who for tell in told for who in tell), event_id=head.id,
        alert_id=alert, level=head.level, level_name=head.level_name, head=None if collected else bare,
        digest=(bare,) if collected else (), book=head.book, shadow=True)


def digest_of(route: Route, alerts: list[WarmAlert], book: RuleBook, now: Millis) -> Escalation:
    """One message for all events that waited for this digest. An event that a snooze brings back makes it another."""
    alerts = sorted(alerts, key=lambda alert: alert.head.id)
    events = tuple(replace(alert.head, joined=()) for alert in alerts)
    waited = (f"{each.head.id}:{each.head.raises}" + (f":{each.state.repeat}" if each.state.repeat else "")
              for each in alerts)
    top = max(events, key=lambda head: head.level)
    return Escalation(
        id=digest("digest", route.id, *waited), kind=EscalationKind.DIGEST,
        at=now, why="digest", tell=tuple(who for step in route.steps for who in step.tell), event_id=events[0].id,
        level=top.level, level_name=top.level_name, digest=events, book=book.hash)


def next_digest(now: Millis, route: Route, zone: ZoneInfo) -> Millis:
    """The next time a digest of this route goes out: a multiple of `every` past midnight, within `hours`."""
    moment = datetime.fromtimestamp(now / 1000, zone)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    passed = int((moment - midnight).total_seconds() * 1000)
    candidate = midnight + timedelta(milliseconds=(passed // route.every + 1) * route.every)
    if route.hours:
        begin, end = (_minutes(part) for part in route.hours.split("-"))
        day = candidate.replace(hour=0, minute=0, second=0)
        opens, closes = day + timedelta(minutes=begin), day + timedelta(minutes=end)
        if begin > end:                               # over midnight
            candidate = opens if closes < candidate < opens else candidate
        elif candidate > closes:
            candidate = opens + timedelta(days=1)
        else:
            candidate = max(candidate, opens)
    return int(candidate.timestamp() * 1000)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _why(state: AlertState) -> str:
    if state.repeat:
        return "unanswered"
    return "raised" if state.step == 0 else "next"
