"""What people do about an event, by API: hand over, note, say what the office answered."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from agents.desk import event_commands
from agents.desk.api_call import Call, Problem, accepted_on, endpoint, moment_of, text, texts
from agents.desk.event_commands import Said
from agents.desk.sessions import Scope


def hand_over(call: Call) -> dict[str, Any]:
    """Body: {"alert_id": …, "to": id or name of a team or duty role, "note": …}. `to` is paged and has to answer."""
    return accepted_on(call, lambda order: event_commands.hand_over(
        call.desk.engine, call.desk.book(), order, text(call, "alert_id"), text(call, "to"), text(call, "note", "")))


def comment(call: Call) -> dict[str, Any]:
    """Body: {"text": …}. A line of the event's timeline."""
    return accepted_on(call, lambda order: event_commands.comment(call.desk.engine, order, text(call, "text")))


def statement(call: Call) -> dict[str, Any]:
    """Body: {"url", "title", "text", "source_name", "at": time as 2026-11-22 03:12, "clocks": […]}, one of url, title
    and text is needed; or {"item": id of a proposal, "clocks": […]}. Stops the clocks, by default the first."""
    clocks, item = texts(call, "clocks"), text(call, "item", "")
    engine, book = call.desk.engine, call.desk.book()
    if item:
        return accepted_on(call, lambda order: event_commands.confirm(engine, book, order, item, clocks))
    said = Said(text(call, "title", ""), text(call, "text", ""), text(call, "url", ""), text(call, "source_name", ""),
                moment_of(call, "at"), clocks)
    return accepted_on(call, lambda order: event_commands.statement(engine, book, order, said))


def reject(call: Call) -> dict[str, Any]:
    """Body: {"item": id of a proposal, "note": …}. It is no statement on this event; no clock is stopped."""
    item, note = text(call, "item"), text(call, "note", "")
    if not item:
        raise Problem(400, "bad_field", "item 要是条目的编号")
    return accepted_on(call, lambda order: event_commands.reject(call.desk.engine, order, item, note))


def routes() -> list[Route]:
    """Routes below /api/v1."""
    return [
        Route("/events/{ref}/handover", endpoint(hand_over, Scope.ACK), methods=["POST"]),
        Route("/events/{ref}/comment", endpoint(comment, Scope.ACK), methods=["POST"]),
        Route("/events/{ref}/statements", endpoint(statement, Scope.ACK), methods=["POST"]),
        Route("/events/{ref}/statements/reject", endpoint(reject, Scope.ACK), methods=["POST"]),
    ]
