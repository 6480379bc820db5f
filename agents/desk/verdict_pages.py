"""Verdicts by form: on an event, on the match of an item."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from agents.desk import commands, verdicts
from agents.desk.commands import Order, Refused
from agents.desk.web import Visit
from pipeline.model import VerdictKind

CLOSES = {VerdictKind.NOT_RELEVANT: "不相关", VerdictKind.DUPLICATE: "重复"}
"""Verdicts that may close the event as well, with the reason that keeps it closed."""


def event(visit: Visit) -> Response:
    """A form with `kind`, `note`, and `close` with the `version` that was seen, to close the event too."""
    event_id = str(visit.request.path_params["event_id"])
    order = _order(visit, event_id)
    form, engine = visit.form, visit.desk.engine
    kind, note = form.get("kind", ""), form.get("note", "")
    back = f"/events/{quote(event_id)}"
    try:
        accepted = verdicts.on_event(engine, order, kind, note)
    except Refused as refused:
        return _refused(visit, refused, back)
    if form.get("close") != "yes" or kind not in CLOSES:
        return RedirectResponse(f"{back}?done=verdict{'-again' if accepted.repeated else ''}", 303)
    version = form.get("version", "")
    try:
        commands.close(engine, order, int(version) if version.isdecimal() and len(version) < 10 else 0,
                       CLOSES[VerdictKind(kind)], note)
    except Refused:                               # somebody was first: what was said of it counts all the same
        return RedirectResponse(f"{back}?done=verdict", 303)
    return RedirectResponse(f"{back}?done=verdict-close", 303)


def match(visit: Visit) -> Response:
    """A form with `item`, `kind`, `note`; `from`: where it came from, `item` or else the subject's page."""
    subject, item_id = str(visit.request.path_params["subject"]), visit.form.get("item", "")
    to_item = visit.form.get("from") == "item"
    back = f"/items/{quote(item_id)}" if to_item else f"/rules/subjects/{quote(subject)}"
    try:
        accepted = verdicts.on_match(
            visit.desk.engine, _order(visit, item_id), item_id, subject, visit.form.get("kind", ""),
            visit.form.get("note", ""))
    except Refused as refused:
        return _refused(visit, refused, back)
    place = "" if to_item else f"#match-{quote(item_id)}"
    return RedirectResponse(f"{back}?done=verdict{'-again' if accepted.repeated else ''}{place}", 303)


def _order(visit: Visit, about: str) -> Order:
    return Order(about, visit.session.account, visit.now, visit.desk.real.now())


def _refused(visit: Visit, refused: Refused, back: str) -> Response:
    status = {"not_found": 404, "no_match": 404, "bad_kind": 400}.get(refused.code, 409)
    return visit.message("没有提交", str(refused), status, "/events" if refused.code == "not_found" else back)
