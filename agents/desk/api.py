"""The JSON API under /api/v1: bearer tokens with scopes, the same reads and commands as the pages."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from agents.desk import (
    api_acts,
    api_alertmanager,
    api_rules,
    api_shift,
    api_sources,
    commands,
    describe,
    event_json,
    reads,
    verdicts,
)
from agents.desk.api_call import Call, Problem, accepted, accepted_on, endpoint, plain, text
from agents.desk.sessions import Scope
from agents.store import readmodel
from pipeline.model import DeliveryStatus, EventStatus


def events(call: Call) -> dict[str, Any]:
    """Query: status, level (rank reached at least), subject, q, page; shadow=1 for those of shadow rules, drill=1 for
    those of drills."""
    status, level, page = call.query("status"), call.query("level") or "0", call.query("page") or "1"
    if status and status not in list(EventStatus):
        raise Problem(400, "bad_status", f"status 只能是 {'、'.join(EventStatus)}")
    if not (level.isdecimal() and page.isdecimal() and len(level) < 3 and len(page) < 7):
        raise Problem(400, "bad_number", "level 和 page 要是整数")
    shadow, drill = (call.query(each) in ("1", "true") for each in ("shadow", "drill"))
    wanted = reads.EventFilter(status, int(level), call.query("subject"), call.query("q"), shadow=shadow, drill=drill)
    found = reads.list_events(call.desk.engine, wanted, int(page))
    with call.desk.engine.connect() as connection:
        clocks = readmodel.clocks_of(connection, [card.head.id for card in found.cards])
    call.write_read("events")
    return {"total": found.paging.total, "page": found.paging.page, "pages": found.paging.pages,
            "events": [event_json.summary(card.head, card.alert, clocks.get(card.head.id)) for card in found.cards]}


def event(call: Call) -> dict[str, Any]:
    """One event by number or id, with a page of its items (query: page)."""
    ref, page = str(call.request.path_params["ref"]), call.query("page")
    number = int(page) if page.isdecimal() and len(page) < 7 else 1
    found = reads.event_page(call.desk.engine, ref, call.desk.real.now(), number)
    if found is None:
        raise Problem(404, "not_found", "没有这个事件")
    head = found.event.head
    call.write_read("event", head.short or head.id)
    return {
        **event_json.whole(found.view, describe.why(head, describe.Names(call.desk.book()))),
        "pending": [{"id": one.command.id, "by": one.command.by, "sent": one.sent} for one in found.event.pending],
        "items": [plain(one.scored) if one.scored else {"item": {"id": one.item_id}, "expired": one.expired}
                  for one in found.members],
        "page": found.paging.page, "pages": found.paging.pages,
    }


def ack(call: Call) -> dict[str, Any]:
    """Body: {"alert_id": …, "note": …}. alert_id is of the alert that was seen."""
    return accepted_on(call, lambda order: commands.ack(
        call.desk.engine, order, text(call, "alert_id"), text(call, "note", "")))


def snooze(call: Call) -> dict[str, Any]:
    """Body: {"alert_id": …, "minutes": …}."""
    minutes = call.body.get("minutes")
    if not isinstance(minutes, int) or isinstance(minutes, bool):
        raise Problem(400, "bad_field", "minutes 要是整数")
    return accepted_on(call, lambda order: commands.snooze(call.desk.engine, order, text(call, "alert_id"), minutes))


def close(call: Call) -> dict[str, Any]:
    """Body: {"version": …, "reason": …, "note": …}."""
    version = call.body.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise Problem(400, "bad_field", "version 要是整数：事件的 version")
    return accepted_on(call, lambda order: commands.close(
        call.desk.engine, order, version, text(call, "reason"), text(call, "note", "")))


def verdict(call: Call) -> dict[str, Any]:
    """Body: {"event": number or id, "kind": …, "note": …}, or {"item": id, "subject": …, "kind": …, "note": …}."""
    ref, kind, note = text(call, "event", ""), text(call, "kind"), text(call, "note", "")
    if not ref:
        item, subject = text(call, "item"), text(call, "subject")
        return accepted(lambda: verdicts.on_match(call.desk.engine, call.order(item), item, subject, kind, note))
    event_id = reads.event_id(call.desk.engine, ref)
    if event_id is None:
        raise Problem(404, "not_found", "没有这个事件")
    return accepted(lambda: verdicts.on_event(call.desk.engine, call.order(event_id), kind, note))


def deliveries(call: Call) -> dict[str, Any]:
    """Query: status, event (number or id)."""
    status = call.query("status")
    if status and status not in list(DeliveryStatus):
        raise Problem(400, "bad_status", f"status 只能是 {'、'.join(DeliveryStatus)}")
    with call.desk.engine.connect() as connection:
        event_id = readmodel.event_id(connection, call.query("event")) if call.query("event") else ""
        if event_id is None:
            raise Problem(404, "not_found", "没有这个事件")
        rows = readmodel.deliveries(
            connection, event=event_id, status=DeliveryStatus(status) if status else None, limit=200)
    return {"deliveries": [plain(row) for row in rows]}


def routes() -> list[Route]:
    """Routes below /api/v1."""
    return [
        Route("/events", endpoint(events, Scope.READ)),
        Route("/events/{ref}", endpoint(event, Scope.READ)),
        Route("/events/{ref}/ack", endpoint(ack, Scope.ACK), methods=["POST"]),
        Route("/events/{ref}/snooze", endpoint(snooze, Scope.ACK), methods=["POST"]),
        Route("/events/{ref}/close", endpoint(close, Scope.CLOSE), methods=["POST"]),
        Route("/verdicts", endpoint(verdict, Scope.ACK), methods=["POST"]),
        Route("/deliveries", endpoint(deliveries, Scope.READ)),
        *api_acts.routes(), *api_shift.routes(), *api_sources.routes(), *api_rules.routes(),
        *api_alertmanager.routes(),
    ]
