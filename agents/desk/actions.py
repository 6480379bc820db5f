"""What people do: sign in and out, answer, put off, close."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agents.desk import accounts, audit, commands, sessions, web
from agents.desk.commands import Accepted, Order, Refused
from agents.desk.web import COOKIE, LOGIN_COOKIE, Desk, Visit
from pipeline.notify import wording

BAD = ("bad_length", "bad_reason", "no_note", "unknown_receiver", "empty", "too_long", "bad_time", "bad_url",
       "bad_clock")
"""Codes of what was typed in wrong; of the rest, what the form was about has changed meanwhile."""


async def login_page(request: Request) -> Response:
    """The form. Its token is in a cookie too, so that no other site can sign somebody in here."""
    if await web.session_of(request) is not None:
        return RedirectResponse("/", 303)
    return await _login_form(request, web.safe_next(request.query_params.get("next", "/")))


async def login(request: Request) -> Response:
    desk, form = web.desk_of(request), await web.read_form(request)
    name, password = form.get("name", "").strip()[:64], form.get("password", "")
    goal = web.safe_next(form.get("next", "/"))
    known = request.cookies.get(LOGIN_COOKIE, "")
    if not known or not web.from_here(request) or not secrets.compare_digest(
            form.get("csrf", "").encode(), known.encode()):
        return await _login_form(request, goal, name, "页面已过期，请再试一次。", 403)
    address, now = request.client.host if request.client else "", desk.real.now()
    wait = desk.limiter.locked_for(name, address, now)
    if wait:
        return await _login_form(request, goal, name, f"尝试次数过多，请 {wording.duration(wait)}后再试。", 429)
    async with desk.checking:                     # argon2 takes 64 MiB: two at a time
        account = await asyncio.to_thread(accounts.check_password, desk.engine, name, password)
    if account is None:
        desk.limiter.failed(name, address, now)
        locked = bool(desk.limiter.locked_for(name, address, now))
        await asyncio.to_thread(_write, desk, name, "login.locked" if locked else "login.failed", address)
        return await _login_form(request, goal, name, "账号或口令不对。", 401)
    desk.limiter.succeeded(name, address)
    token = await asyncio.to_thread(sessions.open_session, desk.engine, account.name, now)
    await asyncio.to_thread(_write, desk, account.name, "login", address)
    response = RedirectResponse(goal, 303)
    response.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=desk.secure,
                        max_age=sessions.SESSION_LIFE // 1000)
    response.delete_cookie(LOGIN_COOKIE)
    return response


def logout(visit: Visit) -> Response:
    sessions.end_session(visit.desk.engine, visit.session)
    _write(visit.desk, visit.session.account, "logout", "")
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def ack(visit: Visit) -> Response:
    return command(visit, "ack", lambda order: commands.ack(
        visit.desk.engine, order, visit.form.get("alert", ""), visit.form.get("note", "")))


def snooze(visit: Visit) -> Response:
    return command(visit, "snooze", lambda order: commands.snooze(
        visit.desk.engine, order, visit.form.get("alert", ""), _int(visit.form.get("minutes", ""))))


def close(visit: Visit) -> Response:
    return command(visit, "close", lambda order: commands.close(
        visit.desk.engine, order, _int(visit.form.get("version", "")), visit.form.get("reason", ""),
        visit.form.get("note", "")))


def command(visit: Visit, kind: str, accept: Callable[[Order], Accepted]) -> Response:
    """Carry out a form about the event in the path, and say on its page what became of it."""
    event_id = str(visit.request.path_params["event_id"])
    order = Order(event_id, visit.session.account, visit.now, visit.desk.real.now())
    back = "/" if visit.form.get("from") == "duty" else f"/events/{event_id}"
    try:
        accepted = accept(order)
    except Refused as refused:
        status = 404 if refused.code == "not_found" else 400 if refused.code in BAD else 409
        return visit.message("没有提交", str(refused), status, "/events" if status == 404 else f"/events/{event_id}")
    how = "-again" if accepted.repeated else "-also" if accepted.note else ""
    return RedirectResponse(f"{back}?done={kind}{how}", 303)


async def _login_form(request: Request, goal: str, name: str = "", error: str = "", status: int = 200) -> Response:
    desk, token = web.desk_of(request), secrets.token_urlsafe(24)
    html = desk.render.page("login.html", book=None, csrf=token, next=goal, name=name, error=error)
    response = HTMLResponse(html, status)
    response.set_cookie(LOGIN_COOKIE, token, httponly=True, samesite="lax", secure=desk.secure, max_age=3600)
    return response


def _write(desk: Desk, account: str, action: str, detail: str) -> None:
    with desk.engine.begin() as connection:
        audit.write(connection, desk.deps.clock.now(), account, action, account, detail)


def _int(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
