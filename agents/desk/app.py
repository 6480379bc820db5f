"""The desk as an ASGI app: routes, middleware, answers to errors."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from agents.desk import (
    actions,
    alert_actions,
    api,
    api_call,
    checkup_pages,
    delivery_pages,
    drill_pages,
    explain_pages,
    handover_pages,
    intake_pages,
    item_pages,
    pages,
    phone_pages,
    reads,
    rule_pages,
    runbooks,
    silence_pages,
    source_pages,
    subject_pages,
    verdict_pages,
    web,
)
from agents.desk.accounts import Role
from agents.desk.guard import BodyTooLarge, Guard, shown_path
from agents.desk.measure import Measure
from agents.desk.render import STATIC
from agents.desk.web import Desk, posted, posted_async, signed_in

log = logging.getLogger(__name__)

WAITING_TOO_LONG = 50
"""More commands than this without the broker's ack: the desk says it is not ready."""


_NO_RIGHT = "42501"
"""PostgreSQL's code: the role may not."""
_STORE_AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError, InternalError, NoConnection)
"""Away, full, read-only, going down, or all connections wait for it."""


def create_app(desk: Desk) -> Starlette:
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Measure, metrics=desk.deps.metrics), Middleware(Guard, settings=desk.deps.settings)],
        exception_handlers={HTTPException: _http_error, BodyTooLarge: _too_large, Exception: _server_error,
                            **dict.fromkeys(_STORE_AWAY, _store_error), ProgrammingError: _asked_wrongly})
    app.state.desk = desk
    return app


def _routes() -> list[BaseRoute]:
    return [
        Route("/", signed_in(pages.duty, None)),
        Route("/events", signed_in(pages.events)),
        Route("/events/{ref}", signed_in(pages.event)),
        Route("/events/{event_id}/ack", posted(actions.ack, Role.DUTY), methods=["POST"]),
        Route("/events/{event_id}/snooze", posted(actions.snooze, Role.DUTY), methods=["POST"]),
        Route("/events/{event_id}/handover", posted(alert_actions.hand_over, Role.DUTY), methods=["POST"]),
        Route("/events/{event_id}/comment", posted(alert_actions.comment, Role.DUTY), methods=["POST"]),
        Route("/events/{event_id}/statement", posted(alert_actions.statement, Role.DUTY), methods=["POST"]),
        Route("/events/{event_id}/close", posted(actions.close, Role.DUTY), methods=["POST"]),
        Route("/events/{event_id}/verdict", posted(verdict_pages.event, Role.DUTY), methods=["POST"]),
        Route("/items/{item_id}", signed_in(item_pages.item)),
        Route("/sources", signed_in(source_pages.sources)),
        Route("/sources/test", posted_async(checkup_pages.test_url, Role.DUTY), methods=["POST"]),
        Route("/sources/{source_id}", signed_in(source_pages.source)),
        Route("/sources/{source_id}/poll", posted(source_pages.poll, Role.DUTY), methods=["POST"]),
        Route("/intake", signed_in(intake_pages.intake_page, Role.REPORTER), methods=["GET"]),
        Route("/intake", posted(intake_pages.file_report, Role.REPORTER), methods=["POST"]),
        Route("/rules", signed_in(rule_pages.rules)),
        Route("/rules/explain", signed_in(explain_pages.page), methods=["GET"]),
        Route("/rules/explain", posted(explain_pages.text, Role.VIEWER), methods=["POST"]),
        Route("/rules/diff", signed_in(rule_pages.diff)),
        Route("/rules/shadow", signed_in(subject_pages.shadow)),
        Route("/rules/subjects/{subject}", signed_in(subject_pages.subject)),
        Route("/rules/subjects/{subject}/verdict", posted(verdict_pages.match, Role.DUTY), methods=["POST"]),
        Route("/rules/confirm", posted(rule_pages.confirm, Role.ADMIN), methods=["POST"]),
        Route("/silences", signed_in(silence_pages.silences), methods=["GET"]),
        Route("/silences", posted(silence_pages.add, Role.DUTY), methods=["POST"]),
        Route("/silences/{ident}/expire", posted(silence_pages.expire, Role.DUTY), methods=["POST"]),
        Route("/deliveries", signed_in(delivery_pages.deliveries)),
        Route("/drills", signed_in(drill_pages.drills)),
        Route("/drills/{run}", signed_in(drill_pages.drill)),
        Route("/drills/{run}/end", posted(drill_pages.end, Role.DUTY), methods=["POST"]),
        Route("/handover", signed_in(handover_pages.handover_page)),
        Route("/audit", signed_in(pages.audit_page, Role.ADMIN)),
        Route("/levels.css", signed_in(pages.levels_css, None)),
        Route("/a/levels.css", phone_pages.levels_css),
        Route("/a/{token}", phone_pages.show, methods=["GET"]),
        Route("/a/{token}", phone_pages.act, methods=["POST"]),
        Route("/runbooks", runbooks.index),
        Route("/runbooks/", runbooks.index),
        Route("/runbooks/{name}", runbooks.show),
        Route("/login", actions.login_page, methods=["GET"]),
        Route("/login", actions.login, methods=["POST"]),
        Route("/logout", posted(actions.logout, None), methods=["POST"]),
        Route("/livez", livez),
        Route("/readyz", readyz),
        Mount("/static", StaticFiles(directory=STATIC)),
        Mount("/api/v1", routes=api.routes()),
    ]


async def livez(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Ready when the store answers and commands leave. Without the broker the desk still reads and accepts."""
    desk = web.desk_of(request)
    try:
        async with asyncio.timeout(5):
            waiting = await asyncio.to_thread(_check_store, desk)
    except Exception as error:
        log.warning("not ready: store: %s", type(error).__name__)
        return JSONResponse({"ready": False, "store": False}, 503)
    ready = waiting <= WAITING_TOO_LONG
    answer = {"ready": ready, "store": True, "broker": desk.sender.connected, "commands_waiting": waiting}
    return JSONResponse(answer, 200 if ready else 503)


def _check_store(desk: Desk) -> int:
    with desk.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return reads.unsent_count(desk.engine)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: "没有这个页面", 405: "不支持这种请求", 400: "请求有误"}.get(status, "请求没有成功")
    return await _answer(request, status, words, "地址可能有误，可以从上方导航重新进入。")


async def _too_large(request: Request, error: Exception) -> Response:
    return await _answer(request, 413, "请求太大", "请缩短内容后再提交。")


async def _store_error(request: Request, error: Exception) -> Response:
    """Disk full, file read-only, server away. A reading that cannot be audited is not shown."""
    desk = web.desk_of(request)
    desk.deps.metrics["agent_errors_total"].labels("desk").inc()
    log.error("desk: store: %s %s: %s", request.method, shown_path(request.url.path), getattr(error, "orig", error))
    what = "没有提交：" if request.method == "POST" else ""
    words = f"{what}数据库暂时不能读写。请检查磁盘空间和 WENXUN_DATA_DIR、WENXUN_DATABASE_URL，恢复后刷新即可。"
    if request.url.path.startswith("/api/"):
        return api_call.problem_response(503, "store_unavailable", words)
    return PlainTextResponse(words + "\n", 503, headers={"Retry-After": "10"})


async def _asked_wrongly(request: Request, error: Exception) -> Response:
    """A mistake of ours, or a role of the database that may not write."""
    refused = getattr(getattr(error, "orig", None), "sqlstate", "") == _NO_RIGHT
    return await (_store_error if refused else _server_error)(request, error)


async def _server_error(request: Request, error: Exception) -> Response:
    log.error("desk: %s %s failed", request.method, shown_path(request.url.path), exc_info=error)
    desk = web.desk_of(request)
    desk.deps.metrics["agent_errors_total"].labels("desk").inc()
    if request.url.path.startswith("/api/"):
        return api_call.problem_response(500, "internal", "服务器出错，已写入日志")
    what = "没有提交成功" if request.method == "POST" else "页面出错了"
    return PlainTextResponse(f"{what}，错误已写入日志。请刷新重试；仍不行时请联系管理员。\n", 500)


async def _answer(request: Request, status: int, title: str, words: str) -> Response:
    if request.url.path.startswith("/api/"):
        code = {404: "not_found", 405: "bad_method"}.get(status, "bad_request")
        return api_call.problem_response(status, code, title)
    session = await web.session_of(request)
    if session is None:
        return PlainTextResponse(title + "\n", status)
    visit = web.Visit(web.desk_of(request), request, session)
    return await asyncio.to_thread(visit.message, title, words, status)
