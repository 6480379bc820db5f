"""The JSON API under /api/v1: bearer tokens with scopes, the same reads and commands as the pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agents.desk import audit, commands, describe, reads, sessions, web
from agents.desk.accounts import Role
from agents.desk.commands import Accepted, Order, Refused
from agents.desk.sessions import Scope, Token
from agents.desk.web import Desk
from agents.store import readmodel
from pipeline.model import AlertState, DeliveryStatus, EventHead, EventStatus

STATUSES = {"not_found": 404, "bad_length": 400, "bad_reason": 400, "no_note": 400}


class Problem(Exception):
    """An answer that is an error: status, code for programs, Chinese text for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Call:
    """A request with a valid token. body: the JSON object of a POST, else empty."""

    desk: Desk
    request: Request
    token: Token
    body: dict[str, Any]

    def write_read(self, about: str, detail: str = "") -> None:
        action = "event.read" if detail else "events.read"
        with self.desk.engine.begin() as connection:
            audit.write(connection, self.desk.deps.clock.now(), self.token.account, action, detail or about,
                        f"API {self.token.name}")

    def query(self, name: str) -> str:
        return self.request.query_params.get(name, "").strip()[:200]

    def order(self, event_id: str) -> Order:
        desk = self.desk
        return Order(event_id, self.token.account, desk.deps.clock.now(), desk.real.now(), f"API {self.token.name}")


def events(call: Call) -> dict[str, Any]:
    """Query: status, level (rank reached at least), subject, q, page."""
    status, level, page = call.query("status"), call.query("level") or "0", call.query("page") or "1"
    if status and status not in list(EventStatus):
        raise Problem(400, "bad_status", f"status 只能是 {'、'.join(EventStatus)}")
    if not (level.isdecimal() and page.isdecimal() and len(level) < 3 and len(page) < 7):
        raise Problem(400, "bad_number", "level 和 page 要是整数")
    wanted = reads.EventFilter(status, int(level), call.query("subject"), call.query("q"))
    found = reads.list_events(call.desk.engine, wanted, int(page))
    call.write_read("events")
    return {"total": found.total, "page": found.page, "pages": found.pages,
            "events": [_summary(card.head, card.alert) for card in found.cards]}


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
        **_summary(head, found.event.alert),
        "why": describe.why(head, describe.Names(call.desk.book())),
        "decision": _plain(head.decision),
        "statements": _plain(head.statements),
        "timeline": [{"at": line.at, "kind": str(line.kind), "detail": line.detail} for line in found.view.timeline],
        "deliveries": [_plain(row) for row in found.view.deliveries],
        "pending": [{"id": one.command.id, "by": one.command.by, "sent": one.sent} for one in found.event.pending],
        "items": [_plain(one.scored) if one.scored else {"item": {"id": one.item_id}, "expired": one.expired}
                  for one in found.members],
        "page": found.page, "pages": found.pages,
    }


def ack(call: Call) -> dict[str, Any]:
    """Body: {"alert_id": …, "note": …}. alert_id is of the alert that was seen."""
    return _command(call, lambda order: commands.ack(
        call.desk.engine, order, _text(call, "alert_id"), _text(call, "note", "")))


def snooze(call: Call) -> dict[str, Any]:
    """Body: {"alert_id": …, "minutes": …}."""
    minutes = call.body.get("minutes")
    if not isinstance(minutes, int) or isinstance(minutes, bool):
        raise Problem(400, "bad_field", "minutes 要是整数")
    return _command(call, lambda order: commands.snooze(call.desk.engine, order, _text(call, "alert_id"), minutes))


def close(call: Call) -> dict[str, Any]:
    """Body: {"version": …, "reason": …, "note": …}."""
    version = call.body.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise Problem(400, "bad_field", "version 要是整数：事件的 version")
    return _command(call, lambda order: commands.close(
        call.desk.engine, order, version, _text(call, "reason"), _text(call, "note", "")))


def sources(call: Call) -> dict[str, Any]:
    desk, now = call.desk, call.desk.deps.clock.now()
    with desk.engine.connect() as connection:
        rows = {row.id: row for row in readmodel.sources(connection)}
    lines = describe.source_lines(desk.book(), rows, {}, now)
    return {"sources": [
        {"id": one.source.id, "name": one.source.name, "group": one.source.group, "url": one.source.url,
         "official": one.source.official, "state": one.tone, "text": one.state,
         **({"polled_at": one.row.polled_at, "succeeded_at": one.row.succeeded_at, "new_item_at": one.row.new_item_at,
             "failures": one.row.failures, "error": one.row.error, "items": one.row.items} if one.row else {})}
        for one in lines]}


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
    return {"deliveries": [_plain(row) for row in rows]}


def _command(call: Call, accept: Callable[[Order], Accepted]) -> dict[str, Any]:
    event_id = reads.event_id(call.desk.engine, str(call.request.path_params["ref"]))
    if event_id is None:
        raise Problem(404, "not_found", "没有这个事件")
    try:
        accepted = accept(call.order(event_id))
    except Refused as refused:
        raise Problem(STATUSES.get(refused.code, 409), refused.code, str(refused)) from None
    return {"id": accepted.id, "accepted": True, "repeated": accepted.repeated, "note": accepted.note}


# ---------------------------------------------------------------- the way in


def endpoint(handler: Callable[[Call], dict[str, Any]], scope: Scope) -> Callable[[Request], Awaitable[Response]]:
    """A call with a token of this scope. The handler is plain and blocks: it runs in a thread."""

    async def answer(request: Request) -> Response:
        try:
            call = await _call(request, scope)
            result = await asyncio.to_thread(handler, call)
        except Problem as problem:
            return problem_response(problem.status, problem.code, str(problem))
        if request.method == "POST":
            call.desk.sender.wake()
        return _json(result, 202 if request.method == "POST" else 200)

    return answer


def problem_response(status: int, code: str, message: str) -> Response:
    response = _json({"error": {"code": code, "message": message}}, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def _call(request: Request, scope: Scope) -> Call:
    desk = web.desk_of(request)
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    found = None
    if kind.lower() == "bearer" and secret:
        found = await asyncio.to_thread(sessions.find_token, desk.engine, secret.strip(), desk.real.now())
    if found is None:
        raise Problem(401, "unauthorized", "需要有效的令牌：Authorization: Bearer …（用 wenxun token create 创建）")
    if scope not in found.scopes or (scope is not Scope.READ and not found.role.may(Role.DUTY)):
        raise Problem(403, "forbidden", f"这个令牌没有 {scope} 权限")
    return Call(desk, request, found, await _body(request) if request.method == "POST" else {})


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError):
        raise Problem(400, "bad_json", "请求体要是 JSON 对象") from None
    if not isinstance(body, dict):
        raise Problem(400, "bad_json", "请求体要是 JSON 对象")
    return body


def _text(call: Call, name: str, default: str | None = None) -> str:
    value = call.body.get(name, default)
    if not isinstance(value, str):
        raise Problem(400, "bad_field", f"{name} 要是文字")
    return value


def _summary(head: EventHead, alert: AlertState | None) -> dict[str, Any]:
    names = ("id", "subject", "version", "level", "level_name", "peak", "title", "items", "sources", "negative",
             "questions", "first_item_at", "last_item_at", "opened_at", "changed_at", "closed_by", "closed_reason")
    return {"number": head.short, "status": str(head.status), **{name: getattr(head, name) for name in names},
            "alert": _plain(alert) if alert else None}


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _json(value: Any, status: int) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def routes() -> list[Route]:
    """Routes below /api/v1."""
    return [
        Route("/events", endpoint(events, Scope.READ)),
        Route("/events/{ref}", endpoint(event, Scope.READ)),
        Route("/events/{ref}/ack", endpoint(ack, Scope.ACK), methods=["POST"]),
        Route("/events/{ref}/snooze", endpoint(snooze, Scope.ACK), methods=["POST"]),
        Route("/events/{ref}/close", endpoint(close, Scope.CLOSE), methods=["POST"]),
        Route("/sources", endpoint(sources, Scope.READ)),
        Route("/deliveries", endpoint(deliveries, Scope.READ)),
    ]
