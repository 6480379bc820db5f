"""静默: what is held back and until when; to begin a silence and to end one."""

from __future__ import annotations

from sqlalchemy import Connection, select
from starlette.responses import RedirectResponse, Response

from agents.desk import pages, silence_commands, silence_views
from agents.desk.commands import Order, Refused
from agents.desk.describe import Names
from agents.desk.paging import Page
from agents.desk.silence_commands import MAX_LENGTH, Wanted
from agents.desk.silence_views import LENGTHS, Typed
from agents.desk.web import Visit
from agents.store import schema
from pipeline import codec
from pipeline.model import EventHead
from pipeline.rulebook.schema import INTAKE, MINUTE, RuleBook

ENDED = 20
"""Ended silences on one page."""


def silences(visit: Visit) -> Response:
    """The list; `event` fills the form in with an event, for every level but the highest."""
    book, event = visit.desk.book(), visit.query("event")
    below = tuple(each.name for each in book.levels.ladder[:-1]) if book and event else ()
    return _page(visit, Typed(event=event, levels=below, owner=visit.session.account))


def add(visit: Visit) -> Response:
    """The form. One that would hold back the highest level comes back with a warning and a box to tick."""
    book, form = visit.desk.book(), visit.form
    typed = Typed.of(form, [each.name for each in book.levels.ladder] if book else [])
    minutes = int(typed.minutes) if typed.minutes.isdecimal() and len(typed.minutes) < 6 else 0
    wanted = Wanted(minutes * MINUTE, typed.reason, typed.owner, typed.event, _one(typed.subject), typed.levels,
                    _one(typed.group), _one(typed.region))
    try:
        accepted = silence_commands.add(
            visit.desk.engine, book, _order(visit), wanted, even_highest=form.get("top") == "yes")
    except Refused as refused:
        if refused.code == "highest_level":
            return _page(visit, typed, warn_top=True, code=409)
        return _page(visit, typed, error=str(refused), code=400)
    return RedirectResponse(f"/silences?done=silence{'-again' if accepted.repeated else ''}", 303)


def expire(visit: Visit) -> Response:
    try:
        accepted = silence_commands.expire(visit.desk.engine, _order(visit), str(visit.request.path_params["ident"]))
    except Refused as refused:
        status = 404 if refused.code == "not_found" else 409
        return visit.message("没有提交", str(refused), status, "/silences")
    return RedirectResponse(f"/silences?done=expire{'-again' if accepted.repeated else ''}", 303)


def _order(visit: Visit) -> Order:
    return Order("", visit.session.account, visit.now, visit.desk.real.now())


def _one(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


def _page(visit: Visit, typed: Typed, *, error: str = "", warn_top: bool = False, code: int = 200) -> Response:
    desk, book = visit.desk, visit.desk.book()
    names = Names(book)
    with desk.engine.connect() as connection:
        found = silence_commands.known(connection, visit.now, ended_since=visit.now - MAX_LENGTH)
        numbers = _numbers(connection, [each.event_id for each in found if each.event_id])
    views = [silence_views.view(each, visit.now, names, numbers) for each in found]
    ended = [each for each in views if not each.active]
    paging = Page.of(len(ended), visit.page_number(), ENDED)
    visit.write_read("silences.read", "silences")
    return visit.page(
        "silences.html", code, book=book, active=[each for each in views if each.active], ended=ended[paging.rows],
        paging=paging, typed=typed, error=error, warn_top=warn_top, lengths=LENGTHS, can_act=visit.can_act,
        done=pages.done(visit), **_choices(book, names))


def _choices(book: RuleBook | None, names: Names) -> dict[str, list[object]]:
    """What the form offers."""
    sources = (*book.sources, INTAKE) if book else ()
    return {"subjects": [(each.id, names.subject(each.id)) for each in book.subjects] if book else [],
            "groups": [*sorted({each.group for each in sources})],
            "regions": [*sorted({each.region for each in sources if each.region})]}


def _numbers(connection: Connection, ids: list[str]) -> dict[str, str]:
    table = schema.events.c
    heads = (codec.decode_as(EventHead, head.encode()) for head in connection.execute(
        select(table.head).where(table.id.in_(ids))).scalars())
    return {head.id: head.short for head in heads}
