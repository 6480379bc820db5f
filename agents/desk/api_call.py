"""How a call of the JSON API gets in: bearer token, scope, body; and how its answers and errors look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from agents.desk import audit, reads, sessions, web
from agents.desk.commands import Accepted, Order, Refused
from agents.desk.sessions import Scope, Token
from agents.desk.web import Desk
from pipeline.collect import intake
from pipeline.model import Millis

STATUSES = {"not_found": 404, "no_item": 404, **dict.fromkeys((
    "bad_length", "bad_reason", "bad_kind", "bad_url", "bad_time", "bad_clock", "bad_matcher", "bad_since", "empty",
    "no_matcher", "no_note", "no_owner", "no_reason", "too_long", "unknown_receiver"), 400)}
"""Of what is refused; 409 where the request is right and the event, alert or silence stands otherwise."""
WRITES = ("POST", "DELETE")


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
        self.write("event.read" if detail else "events.read", detail or about)

    def write(self, action: str, about: str, detail: str = "") -> None:
        """An audit line in the name of the token's account."""
        with self.desk.engine.begin() as connection:
            audit.write(connection, self.desk.deps.clock.now(), self.token.account, action, about,
                        f"API {self.token.name} {detail}".rstrip())

    def query(self, name: str) -> str:
        return self.request.query_params.get(name, "").strip()[:200]

    def order(self, event_id: str = "") -> Order:
        desk = self.desk
        return Order(event_id, self.token.account, desk.deps.clock.now(), desk.real.now(), f"API {self.token.name}")


def endpoint(handler: Callable[[Call], dict[str, Any]], scope: Scope, *,
             status: int = 0) -> Callable[[Request], Awaitable[Response]]:
    """A call with a token of this scope. The handler is plain and blocks: it runs in a thread.

    status: of a good answer, by default 202 (accepted) for a POST or DELETE.
    """

    async def answer(request: Request) -> Response:
        try:
            call = await _call(request, scope)
            result = await asyncio.to_thread(handler, call)
        except Problem as problem:
            return problem_response(problem.status, problem.code, str(problem))
        if request.method in WRITES:
            call.desk.sender.wake()
        return _json(result, status or (202 if request.method in WRITES else 200))

    answer.__doc__, answer.scope = handler.__doc__, scope          # type: ignore[attr-defined]  # for the reference
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
    if scope not in found.scopes or not found.role.may(scope.needs):
        raise Problem(403, "forbidden", f"这个令牌没有 {scope} 权限")
    return Call(desk, request, found, await _body(request) if request.method == "POST" else {})


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(await request.body() or b"{}")       # which takes no half of a character
    except (ValueError, RecursionError):
        raise Problem(400, "bad_json", "请求体要是 JSON 对象") from None
    if not isinstance(body, dict):
        raise Problem(400, "bad_json", "请求体要是 JSON 对象")
    return body


def accepted(accept: Callable[[], Accepted]) -> dict[str, Any]:
    """The answer to a command; Problem when it was refused."""
    try:
        done = accept()
    except Refused as refused:
        raise Problem(STATUSES.get(refused.code, 409), refused.code, str(refused)) from None
    return {"id": done.id, "accepted": True, "repeated": done.repeated, "note": done.note}


def accepted_on(call: Call, accept: Callable[[Order], Accepted]) -> dict[str, Any]:
    """The answer to a command about the event that the path names."""
    event_id = reads.event_id(call.desk.engine, str(call.request.path_params["ref"]))
    if event_id is None:
        raise Problem(404, "not_found", "没有这个事件")
    return accepted(lambda: accept(call.order(event_id)))


def text(call: Call, name: str, default: str | None = None) -> str:
    """A member of the body that is a text; Problem when it is none."""
    value = call.body.get(name, default)
    if not isinstance(value, str):
        raise Problem(400, "bad_field", f"{name} 要是文字")
    return value


def texts(call: Call, name: str) -> tuple[str, ...]:
    """A member of the body that is a list of texts, by default empty."""
    value = call.body.get(name, [])
    if not isinstance(value, list) or len(value) > 100 or not all(isinstance(each, str) for each in value):
        raise Problem(400, "bad_field", f"{name} 要是文字的列表")
    return tuple(value)


def moment_of(call: Call, name: str) -> Millis | None:
    """A member of the body that is a time, None without one."""
    try:
        return intake.moment(text(call, name, ""), call.desk.deps.settings.zone)
    except intake.BadReport:
        raise Problem(400, "bad_time", f"{name} 写作 2026-11-22 03:12") from None


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _json(value: Any, status: int) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
