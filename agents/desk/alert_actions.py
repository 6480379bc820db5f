"""What people do about an event by form, beside answering and closing it: hand over, note, say what was answered."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response

from agents.desk import actions, event_commands
from agents.desk.commands import Accepted, Order, Refused
from agents.desk.event_commands import Said
from agents.desk.web import Visit
from pipeline.collect import intake

CLOCK = "clock-"
"""Before a clock's id: the name of its checkbox."""


def hand_over(visit: Visit) -> Response:
    return actions.command(visit, "handover", lambda order: event_commands.hand_over(
        visit.desk.engine, visit.desk.book(), order, visit.form.get("alert", ""), visit.form.get("to", ""),
        visit.form.get("note", "")))


def comment(visit: Visit) -> Response:
    return actions.command(visit, "comment", lambda order: event_commands.comment(
        visit.desk.engine, order, visit.form.get("text", "")))


def statement(visit: Visit) -> Response:
    """A form with `item` and `answer` (yes, no) of a proposal; or with `url`, `title`, `text`, `at` of one by hand."""
    if visit.form.get("item") and visit.form.get("answer") != "yes":
        return actions.command(visit, "reject", lambda order: event_commands.reject(
            visit.desk.engine, order, visit.form["item"]))
    return actions.command(visit, "statement", lambda order: _said(visit, order))


def _said(visit: Visit, order: Order) -> Accepted:
    engine, book, form = visit.desk.engine, visit.desk.book(), visit.form
    clocks = tuple(_clocks(form))
    if form.get("item"):
        return event_commands.confirm(engine, book, order, form["item"], clocks)
    try:
        at = intake.moment(form.get("at", ""), visit.desk.deps.settings.zone)
    except intake.BadReport:
        raise Refused("bad_time", "发布时间无法识别，请按 年-月-日 时:分 填写，或者不填。") from None
    return event_commands.statement(engine, book, order, Said(
        form.get("title", ""), form.get("text", ""), form.get("url", ""), published_at=at, clocks=clocks))


def _clocks(form: Iterable[str]) -> Iterable[str]:
    return (name.removeprefix(CLOCK) for name in form if name.startswith(CLOCK))
