"""Sources by API: how they stand, what is not heard, a poll now; and reports that are filed."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from agents.desk import commands, reports
from agents.desk.api_call import Call, Problem, accepted, endpoint, text
from agents.desk.sessions import Scope
from agents.desk.watch import PAGE, View, Wanted, listed
from pipeline.collect import intake
from pipeline.collect.health import Health, HealthState
from pipeline.collect.redact import shown


def sources(call: Call) -> dict[str, Any]:
    """Query: health, group, q; page, else all at once."""
    desk, page = call.desk, call.query("page")
    if page and not (page.isdecimal() and len(page) < 7):
        raise Problem(400, "bad_number", "page 要是整数")
    wanted = Wanted(_health_state(call), call.query("group"), call.query("q"))
    survey = desk.watch.survey(desk.book(), desk.deps.clock.now())
    if not page:
        found = [each for each in survey.views if wanted.fits(each)]
        return {"total": len(found), "sources": [_source(each) for each in found]}
    some = listed(survey, wanted, int(page))
    return {"total": some.paging.total, "page": some.paging.page, "pages": some.paging.pages, "page_size": PAGE,
            "sources": [_source(each) for each in some.views]}


def coverage(call: Call) -> dict[str, Any]:
    """Which sources are heard, which are not and since when, and the sentence that says so."""
    desk = call.desk
    found = desk.watch.survey(desk.book(), desk.deps.clock.now()).coverage
    return {"at": found.at, "statement": found.statement, "watched": found.watched,
            "totals": {str(each): found.totals.get(each, 0) for each in HealthState},
            "blind": [_health(each) for each in found.blind], "silent": [_health(each) for each in found.silent]}


def poll(call: Call) -> dict[str, Any]:
    """Have a source collected now."""
    desk, source_id = call.desk, str(call.request.path_params["source_id"])
    return accepted(lambda: commands.poll(desk.engine, desk.book(), call.order(), source_id))


def file_report(call: Call) -> dict[str, Any]:
    """Body: {"source", "title", "text", "ref", "url", "at", "urgent"}; title or text is needed.

    The same ref with the same words again is the same report; with other words, a revision of it.
    """
    desk, urgent = call.desk, call.body.get("urgent", False)
    if not isinstance(urgent, bool):
        raise Problem(400, "bad_field", "urgent 要是 true 或 false")
    words = {name: text(call, name, "") for name in ("title", "text", "ref", "url")}
    try:
        draft = intake.Draft(**words, at=intake.moment(text(call, "at", ""), desk.deps.settings.zone), urgent=urgent)
        filed = reports.file(desk.engine, desk.book(), call.order(), text(call, "source", ""), draft)
    except intake.BadReport as bad:
        raise Problem(400, bad.code, str(bad)) from None
    if not filed.repeated:
        desk.deps.metrics["intake_reports_total"].labels("api").inc()
    return {"id": filed.id, "item_id": filed.item.id, "accepted": True, "repeated": filed.repeated,
            "ref_masked": filed.ref_masked}


def _health_state(call: Call) -> str:
    wanted = call.query("health")
    if wanted and wanted not in list(HealthState):
        raise Problem(400, "bad_health", f"health 只能是 {'、'.join(HealthState)}")
    return wanted


def _source(view: View) -> dict[str, Any]:
    source, state, health = view.source, view.state, view.health
    polls = {"polled_at": state.polled_at, "next_poll_at": state.next_poll_at, "succeeded_at": state.succeeded_at,
             "new_item_at": state.new_item_at, "failures": state.failures, "error": state.error,
             "document": state.kind} if state else {}
    return {"id": source.id, "name": source.name, "group": source.group, "kind": str(source.kind),
            "format": str(source.format), "url": shown(source.url), "route": shown(source.route),
            "official": source.official,
            "state": "off" if view.tone == "quiet" else view.tone, "text": health.word, **_health(health), **polls}


def _health(health: Health) -> dict[str, Any]:
    return {"id": health.source_id, "name": health.name, "health": str(health.state), "since": health.since,
            "why": health.why, "advice": health.advice, "outcome": health.outcome, "rhythm": health.rhythm,
            "moved_to": health.moved_to}


def routes() -> list[Route]:
    """Routes below /api/v1."""
    return [
        Route("/sources", endpoint(sources, Scope.READ)),
        Route("/sources/{source_id}/poll", endpoint(poll, Scope.POLL), methods=["POST"]),
        Route("/coverage", endpoint(coverage, Scope.READ)),
        Route("/intake", endpoint(file_report, Scope.INTAKE), methods=["POST"]),
    ]
