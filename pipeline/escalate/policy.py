"""Whom an alert tells next, and when: routes and steps as pure functions of the alert's state."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from msgspec.structs import replace

from pipeline.escalate.cases import Case
from pipeline.escalate.digests import digest_of, next_digest
from pipeline.ids import digest
from pipeline.model import AlertState, AlertStatus, Escalation, EscalationKind, EventHead, HandOver, Millis
from pipeline.rulebook.routing import route_for
from pipeline.rulebook.schema import MINUTE, Route, RouteMode, RuleBook

PATIENCE = 15 * MINUTE
"""How long whoever was told last has to answer where the route has no distance between steps."""


def raise_alert(head: EventHead, book: RuleBook, revision: int, now: Millis) -> AlertState:
    """A new alert for a level that rose; it needs a new ack. Without a fitting route the fallback is paged at once."""
    route = _fitting(head, book)
    if route is not None and route.mode is RouteMode.DIGEST:
        due = next_digest(now, route, ZoneInfo(book.timezone))
    else:
        due = now + (route.steps[0].after if route else 0)
    return AlertState(
        event_id=head.id, alert_id=digest("alert", head.id, head.level, head.raises), event_version=head.version,
        revision=revision, level=head.level, status=AlertStatus.PENDING, raised_at=now, due_at=due,
        route=route.id if route else "", book=book.hash)


def route_of(state: AlertState, head: EventHead, book: RuleBook) -> Route | None:
    """The route the alert is on; the fitting one if a newer rule book has that no more, or brought the first."""
    known = next((each for each in book.routes if each.id == state.route), None)
    return known or _fitting(head, book)


def _fitting(head: EventHead, book: RuleBook) -> Route | None:
    return route_for(book, head.level_name, head.subject, head.groups, head.regions)


def patience(route: Route | None) -> Millis:
    """How long to wait for an answer of whoever was told last: the distance of the last two steps."""
    if route is None or len(route.steps) < 2:
        return (route.repeat if route else 0) or PATIENCE
    return (route.steps[-1].after - route.steps[-2].after) or route.repeat or PATIENCE


# ---------------------------------------------------------------- the step that is due


def run_step(case: Case, book: RuleBook, now: Millis) -> tuple[AlertState, Escalation]:
    """Run the step that is due: who is told, and the state with the next step's due time.

    Several steps overdue at once (a stopped system) run one after the other at their distances, not in a burst.
    """
    state, head = _known(case)
    route = route_of(state, head, book)
    unanswered = state.repeat > 0 and state.step == 0
    if unanswered and route is not None and 0 < route.until <= now - state.raised_at:
        return _expire(case, route, book, now)
    over = unanswered and not waits_for_handed(state)               # everybody was told, nobody answered
    tell, channels = _whom(state, route, book, over)
    page = _page(case, route, book, now, digest("step", state.alert_id, state.step, state.repeat), _why(state, route),
                 tell, channels=channels, step=state.step, repeat=state.repeat)
    step, repeat, due = _following(state, route, now)
    exhausted = over or (state.repeat > 0 and state.status is AlertStatus.EXHAUSTED)
    return _went(state, page, route, status=AlertStatus.EXHAUSTED if exhausted else AlertStatus.NOTIFIED, step=step,
                 repeat=repeat, due_at=due), page


def _whom(state: AlertState, route: Route | None, book: RuleBook, over: bool) -> tuple[tuple[str, ...],
                                                                                    tuple[str, ...]]:
    """Who is told by the step, by which channels. When a whole round went unanswered the fallback is told too; alone
    where the route has no further round."""
    fallback = book.roster.fallback
    if route is None or state.step >= len(route.steps) or (over and not route.repeat):
        return (fallback,), ()
    step = route.steps[state.step]
    return tuple(dict.fromkeys((*step.tell, fallback) if over else step.tell)), step.channels


def _following(state: AlertState, route: Route | None, now: Millis) -> tuple[int, int, Millis | None]:
    """The next step, its round and when. After the last one comes the next round, or the end of the alert."""
    steps = route.steps if route else ()
    said_unanswered = state.repeat > 0 and state.step == 0 and not waits_for_handed(state)
    if state.step + 1 < len(steps) and not (said_unanswered and route and not route.repeat):
        return state.step + 1, state.repeat, now + max(0, steps[state.step + 1].after - steps[state.step].after)
    due: Millis | None
    if route is not None and route.repeat:
        due = now + route.repeat
    else:
        due = None if said_unanswered else now + patience(route)
    if route is not None and route.until:
        end = state.raised_at + route.until
        if due is None or due >= end:
            due = max(end, now + patience(route))                   # who was told last has time to answer
    return 0, state.repeat + 1, due


def _expire(case: Case, route: Route, book: RuleBook, now: Millis) -> tuple[AlertState, Escalation]:
    """The route's `until` is over: the fallback hears that nobody answered, and that is all."""
    state, _ = _known(case)
    page = _page(case, route, book, now, digest("expired", state.alert_id), "expired", (book.roster.fallback,),
                 step=state.step, repeat=state.repeat)
    return _went(state, page, route, status=AlertStatus.EXPIRED, due_at=None), page


def _why(state: AlertState, route: Route | None) -> str:
    if waits_for_handed(state):
        return "next"
    if state.repeat and state.step == 0 and (route is None or not route.repeat):
        return "exhausted"
    if state.repeat:
        return "unanswered"
    return "raised" if state.step == 0 else "next"


# ---------------------------------------------------------------- hand-over


def hand_over(case: Case, record: HandOver, book: RuleBook, now: Millis) -> tuple[AlertState, Escalation]:
    """Whoever it is handed to is paged at once, a person asked for that: no quiet hours, no silence. Without an ack
    the chain goes on from its first step, in a round of its own so that its messages are new ones. The page is as of
    the hand-over: ticks lag behind, so else it could look older than the ack it follows; at a start there was none."""
    state, head = _known(case)
    route = route_of(state, head, book)
    state = replace(state, step=0, repeat=state.repeat + 1, handed_to=record.to, acked_by="", acked_at=None)
    page = _page(case, route, book, max(now, record.at), _handed_id(state), "handed", (record.to,))
    due = (now or record.at) + patience(route)
    if route is not None and route.mode is RouteMode.DIGEST:
        due = next_digest(due - 1, route, ZoneInfo(book.timezone))
    return _went(state, page, route, status=AlertStatus.NOTIFIED, due_at=due), page


def waits_for_handed(state: AlertState) -> bool:
    """Whether the last that was sent went to whom it was handed to."""
    return bool(state.handed_to) and state.escalation_id == _handed_id(state)


def _handed_id(state: AlertState) -> str:
    return digest("handed", state.alert_id, state.handed_to, state.repeat)


# ---------------------------------------------------------------- messages


def inform(case: Case, book: RuleBook, now: Millis) -> Escalation:
    """The level fell or the event ended: those who were told hear it; no answer is needed."""
    state, head = _known(case)
    route = route_of(state, head, book)
    return _about(case, route, book, now, id=digest("inform", head.id, head.version), kind=EscalationKind.INFORM,
                  why=head.decision.why.value, tell=state.told)


def clock_warning(case: Case, book: RuleBook, now: Millis, clock: str, started_at: Millis, percent: int,
                  tell: tuple[str, ...]) -> Escalation:
    """So much of a response clock is over. tell: of the warning; else those told so far, else whom the route begins
    with."""
    assert case.head is not None
    route = route_of(case.state, case.head, book) if case.state is not None else _fitting(case.head, book)
    told = case.state.told if case.state is not None else ()
    first = route.steps[0].tell if route is not None and route.steps else (book.roster.fallback,)
    return _about(case, route, book, now, id=digest("clock", case.event_id, clock, started_at, percent),
                  kind=EscalationKind.CLOCK, why="clock", tell=tell or told or first, clock=clock, percent=percent)


def held_back(escalation: Escalation, by: str) -> Escalation:
    """The record that says so. It has an id of its own, for the message may be sent later."""
    return replace(escalation, id=digest("held", escalation.id, by), suppressed_by=by)


def last_message(case: Case, book: RuleBook) -> Escalation | None:
    """What the alert sent last, with its id: for a restart that lost it in flight. A digest is sent for this event."""
    state, head = _known(case)
    route = route_of(state, head, book)
    if route is not None and route.mode is RouteMode.DIGEST and not waits_for_handed(state):
        before = replace(state, repeat=max(0, state.repeat - 1))
        return digest_of(route, [(before, head)], book, state.raised_at)
    if waits_for_handed(state):
        return _page(case, route, book, state.raised_at, state.escalation_id, "handed", (state.handed_to,))
    if state.status is AlertStatus.EXPIRED and route is not None:
        return _expire(case, route, book, state.raised_at)[1]
    last = max(0, len(route.steps) - 1 if route else 0)
    for step, repeat in ((state.step - 1, state.repeat), (last, state.repeat - 1), (0, state.repeat - 1)):
        if digest("step", state.alert_id, step, repeat) == state.escalation_id:
            before = replace(state, step=step, repeat=repeat)
            return run_step(replace(case, state=before), book, state.raised_at)[1]
    return None


def in_shadow(head: EventHead, book: RuleBook) -> Escalation:
    """What a raise of a shadow rule would have sent first: recorded once, and nobody is asked again.

    A route that collects makes it a digest of its own, so that it is not counted as a page.
    """
    chosen = book.shadow or book
    route = _fitting(head, chosen)
    steps, collected = route.steps if route else (), route is not None and route.mode is RouteMode.DIGEST
    told = [step.tell for step in (steps if collected else steps[:1])] or [(chosen.roster.fallback,)]
    bare, alert = replace(head, joined=()), digest("alert", head.id, head.level, head.raises)
    return Escalation(
        id=digest("step", alert, 0, 0), kind=EscalationKind.DIGEST if collected else EscalationKind.PAGE,
        at=head.changed_at, why="raised", tell=tuple(who for tell in told for who in tell), event_id=head.id,
        alert_id=alert, level=head.level, level_name=head.level_name, head=None if collected else bare,
        digest=(bare,) if collected else (), book=head.book, shadow=True)


def _known(case: Case) -> tuple[AlertState, EventHead]:
    assert case.state is not None and case.head is not None, "only an event that reached a level has an alert"
    return case.state, case.head


def _page(case: Case, route: Route | None, book: RuleBook, now: Millis, ident: str, why: str, tell: tuple[str, ...],
          **more: object) -> Escalation:
    return _about(case, route, book, now, id=ident, kind=EscalationKind.PAGE, why=why, tell=tell, **more)


def _about(case: Case, route: Route | None, book: RuleBook, now: Millis, **more: object) -> Escalation:
    """A message about the event as it stands, with what its clocks say and what others did."""
    head, state = case.head, case.state
    assert head is not None
    return Escalation(
        at=now, event_id=head.id, alert_id=state.alert_id if state is not None else "", level=head.level,
        level_name=head.level_name, head=replace(head, joined=()), book=book.hash, lead=route.lead if route else "",
        clocks=case.clocks.clocks if case.clocks is not None else (), acts=case.acts, **more)  # type: ignore[arg-type]


def _went(state: AlertState, page: Escalation, route: Route | None, **more: object) -> AlertState:
    """The state after a message of it went out."""
    told = (*state.told, *(each for each in page.tell if each not in state.told))
    return replace(
        state, told=told, route=route.id if route else "", escalation_id=page.id, snoozed_until=None, held_by="",
        revision=state.revision + 1, book=page.book, **more)
