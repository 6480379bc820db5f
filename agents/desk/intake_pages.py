"""上报: the form on which a department or a hotline clerk files a report, and what became of one's own."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from agents.desk import pages, reports
from agents.desk.accounts import Role
from agents.desk.commands import Order
from agents.desk.web import Visit
from pipeline.collect import intake

FIELDS = ("source", "title", "text", "ref", "url", "at", "urgent")


def intake_page(visit: Visit) -> Response:
    return _page(visit)


def file_report(visit: Visit) -> Response:
    """Nothing that was typed is written before it is masked; a form that is refused goes back to the browser only."""
    desk, form = visit.desk, visit.form
    order = Order("", visit.session.account, visit.now, desk.real.now())
    try:
        draft = intake.Draft(
            title=form.get("title", ""), text=form.get("text", ""), ref=form.get("ref", ""), url=form.get("url", ""),
            at=intake.moment(form.get("at", ""), desk.deps.settings.zone), urgent=form.get("urgent") == "yes")
        filed = reports.file(desk.engine, desk.book(), order, form.get("source", ""), draft)
    except intake.BadReport as bad:
        return _page(visit, str(bad), 400)
    if not filed.repeated:
        desk.deps.metrics["intake_reports_total"].labels("form").inc()
    code = "filed-again" if filed.repeated else "filed-masked" if filed.ref_masked else "filed"
    return RedirectResponse(f"/intake?done={code}", 303)


def _page(visit: Visit, error: str = "", code: int = 200) -> Response:
    book = visit.desk.book()
    own = reports.own(visit.desk.engine, visit.session.account)
    if own:
        visit.write_read("intake.read", "intake")
    return visit.page(
        "intake.html", code, book=book, own=own, error=error, typed={each: visit.form.get(each, "") for each in FIELDS},
        desks=intake.desks(book), limits=intake, may_read=visit.session.role.may(Role.VIEWER), done=pages.done(visit))
