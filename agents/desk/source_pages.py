"""来源: what is heard and what is not, each source with its items, a poll now."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from agents.desk import commands, pages, reads, watch
from agents.desk.commands import Order, Refused
from agents.desk.watch import Wanted
from agents.desk.web import Visit
from pipeline.collect.health import HealthState
from pipeline.rulebook.schema import DAY

NAMED = 12
"""Sources in trouble that stand on top of the page; the filter shows the rest."""


def sources(visit: Visit) -> Response:
    """来源: first what cannot be heard, then all of them."""
    survey = visit.survey()
    state = visit.query("state")
    wanted = Wanted(state if state in list(HealthState) else "", visit.query("group"), visit.query("q"))
    listed = watch.listed(survey, wanted, visit.page_number())
    fresh = reads.new_items(visit.desk.engine, visit.now - DAY, [each.source.id for each in listed.views])
    trouble = [*survey.coverage.blind, *survey.coverage.silent]
    return visit.page(
        "sources.html", survey=survey, wanted=wanted, listed=listed, fresh=fresh, trouble=trouble[:NAMED],
        more_trouble=len(trouble) - NAMED, health_states=list(HealthState), groups=survey.groups(),
        filtered=wanted != Wanted(), can_act=visit.can_act, rules_dir=str(visit.desk.deps.settings.rules_dir))


def source(visit: Visit) -> Response:
    """One source: how it stands and why, its last items."""
    source_id = str(visit.request.path_params["source_id"])
    engine = visit.desk.engine
    view = watch.view(engine, visit.desk.book(), source_id, visit.now)
    if view is None:
        text = f"规则书里没有来源“{source_id[:64]}”。它可能改了名，或者从 sources.yml 里删去了。"
        return visit.message("没有这个来源", text, 404, "/sources")
    items = reads.source_items(engine, source_id)
    visit.write_read("source.read", source_id)
    return visit.page(
        "source.html", view=view, source=view.source, state=view.state, health=view.health, items=items,
        kept=reads.source_item_count(engine, source_id),
        asked=reads.poll_asked(engine, source_id, view.state.polled_at if view.state else 0),
        fresh=reads.new_items(engine, visit.now - DAY, [source_id]).get(source_id, 0), can_act=visit.can_act,
        done=pages.done(visit))


def poll(visit: Visit) -> Response:
    """Ask the collector that has this source to poll it now."""
    source_id = str(visit.request.path_params["source_id"])
    order = Order("", visit.session.account, visit.now, visit.desk.real.now())
    try:
        accepted = commands.poll(visit.desk.engine, visit.desk.book(), order, source_id)
    except Refused as refused:
        status = 404 if refused.code == "not_found" else 409
        return visit.message("没有提交", str(refused), status, "/sources")
    return RedirectResponse(f"/sources/{source_id}?done=poll{'-again' if accepted.repeated else ''}", 303)
