"""The page that a link in a message opens: answered from a phone. Reading never acts; only a form that is sent does.

A link to one person acts as that person's account without a sign-in; one to a group asks for a sign-in, so that every
answer names an account. The token is in no log, audit line or header that leaves.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agents import link_key
from agents.desk import accounts, audit, phone_acts, phone_views, render, web
from agents.desk.accounts import Role
from agents.desk.commands import Order, Refused
from agents.desk.guard import same_origin
from agents.desk.render import Times
from agents.desk.sessions import Session
from agents.desk.web import Desk
from pipeline.errors import SettingsError
from pipeline.model import Millis
from pipeline.notify import said
from pipeline.notify.signed import LIFE, Claim, LinkError, bind, verify

log = logging.getLogger(__name__)

COOKIE = "wenxun_answer"
PATH = "/a/"
_VIA = "link"
_BROKEN = "链接暂时不能使用：链接密钥有问题，已写入日志，请告诉管理员。可以登录值班台处理。"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts. csrf: what the page's forms carry. person: the duty role that the link is for, empty for who signed in.
    cookie: to be set with the page, empty when the phone has it."""

    account: str
    role: Role
    csrf: str
    person: str = ""
    cookie: str = ""

    @property
    def may_act(self) -> bool:
        return self.role.may(Role.DUTY)


@dataclass(frozen=True, slots=True)
class Opened:
    """A link that is ours and in time."""

    desk: Desk
    request: Request
    token: str
    claim: Claim
    key: bytes
    session: Session | None

    @property
    def path(self) -> str:
        return f"{PATH}{self.token}"

    @property
    def now(self) -> Millis:
        return self.desk.deps.clock.now()


class _Stop(Exception):
    """The answer to a link that leads nowhere."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def show(request: Request) -> Response:
    """GET: what the alert is about and how it stands. Link previews come here too: nothing is decided."""
    return await _answer(request, {})


async def act(request: Request) -> Response:
    """POST: one of phone_acts.ACTS, by its form field `do`."""
    form = await web.read_form(request)
    response = await _answer(request, form)
    web.desk_of(request).sender.wake()
    return response


def levels_css(request: Request) -> Response:
    """Colours of the ladder, for who is not signed in."""
    book = web.desk_of(request).book()
    return Response(render.levels_css(book.levels.ladder if book else ()), media_type="text/css",
                    headers={"Cache-Control": "private, max-age=86400"})


async def _answer(request: Request, form: Mapping[str, str]) -> Response:
    session = await web.session_of(request)
    return await asyncio.to_thread(_handled, request, session, form)


def _handled(request: Request, session: Session | None, form: Mapping[str, str]) -> Response:
    try:
        opened = _opened(request, session)
        caller = _caller(opened)
        if request.method != "POST":
            return _page(opened, caller)
        return _acted(opened, caller, form)
    except _Stop as stop:
        return stop.response


# ---------------------------------------------------------------- the link


def _opened(request: Request, session: Session | None) -> Opened:
    """The link, if it is one of ours. Wrong ones are counted by address; a right one is never locked out by them."""
    desk, token = web.desk_of(request), str(request.path_params["token"])
    try:
        key = link_key.load(desk.deps.settings)
        claim = verify(key, token, desk.deps.clock.now())
    except LinkError as error:
        raise _Stop(_refused(request, desk, error)) from None
    except SettingsError as error:
        log.error("links cannot be checked: %s", error)
        raise _Stop(_message(desk, "链接暂时不能使用", _BROKEN, 503)) from None
    return Opened(desk, request, token, claim, key, session)


def _refused(request: Request, desk: Desk, error: LinkError) -> Response:
    if error.code == "expired":
        return _message(desk, "这条链接不能用了", str(error), 410)
    address, now = request.client.host if request.client else "", desk.real.now()
    if desk.link_limiter.locked_for("", address, now):
        return _message(desk, "尝试次数过多", "请过几分钟再试，或登录值班台处理。", 429)
    desk.link_limiter.failed("", address, now)
    if desk.link_limiter.locked_for("", address, now):
        with desk.engine.begin() as connection:
            audit.write(connection, desk.deps.clock.now(), "", "link.locked", address)
    return _message(desk, "链接无效", str(error), 404)


def _caller(opened: Opened) -> Caller:
    """Who signed in on this phone; else the account of the person that the link is for, looked at anew each time."""
    session = opened.session
    if session is not None and session.role.may(Role.VIEWER):
        return Caller(session.account, session.role, session.csrf)
    book, wanted = opened.desk.book(), opened.claim.person
    person = book.roster.person(wanted) if book and wanted else None
    if wanted and book and person is None:
        raise _Stop(_stranger(opened, "这条链接发给的值班人员已不在值班表里。"))
    if person is None or not person.account:
        raise _Stop(_may_not_read(opened, session.account, session.role) if session else
                    RedirectResponse(_login(opened), 303))
    account = accounts.find(opened.desk.engine, person.account)
    if account is None or account.disabled:
        raise _Stop(_stranger(opened, f"{person.name} 的账号 {person.account} 已停用或不存在。"))
    if not account.role.may(Role.VIEWER):
        raise _Stop(_may_not_read(opened, account.name, account.role))
    known = opened.request.cookies.get(COOKIE, "")
    cookie = known if _is_cookie(known) else secrets.token_urlsafe(32)
    csrf = bind(opened.key, cookie, opened.token)
    return Caller(account.name, account.role, csrf, person.name, "" if cookie == known else cookie)


def _is_cookie(text: str) -> bool:
    return len(text) == 43 and text.isascii() and text.isprintable()


def _login(opened: Opened) -> str:
    return f"/login?next={quote(opened.path, safe='/')}"


def _stranger(opened: Opened, why: str) -> Response:
    return _message(opened.desk, "不能用这条链接处理", f"{why}请登录自己的账号处理。", 403, _login(opened))


def _may_not_read(opened: Opened, account: str, role: Role) -> Response:
    return _message(opened.desk, "没有权限", f"账号 {account} 是“{role.label}”，不能查看事件。请联系管理员。", 403, "/")


# ---------------------------------------------------------------- acting


def _acted(opened: Opened, caller: Caller, form: Mapping[str, str]) -> Response:
    if not _from_here(opened.request) or not secrets.compare_digest(
            form.get("csrf", "").encode("utf-8", "replace"), caller.csrf.encode()) or caller.cookie:
        return _page(opened, caller, error="没有提交：页面已过期，或这个浏览器不保存 Cookie。请再试一次，"
                     "仍不行时用手机浏览器打开这条链接。", status=403)
    if not caller.may_act:
        return _page(opened, caller, error=f"没有提交：账号 {caller.account} 是“{caller.role.label}”，"
                     "确认和处理需要“值班”角色。", status=403)
    order = Order(opened.claim.event_id, caller.account, opened.now, opened.desk.real.now(), _VIA)
    try:
        done = phone_acts.run(opened.desk, order, form)
    except Refused as refused:
        return _page(opened, caller, error=f"没有提交：{refused}", status=phone_acts.status_of(refused))
    return RedirectResponse(f"{opened.path}?done={done}", 303)


def _from_here(request: Request) -> bool:
    """As web.from_here, for a page that sends no referrer: browsers then say `Origin: null`."""
    headers = request.headers
    origin = headers.get("origin")
    return same_origin(None if origin == "null" else origin, headers.get("sec-fetch-site"), headers.get("host", ""),
                       web.desk_of(request).deps.settings.external_url)


# ---------------------------------------------------------------- pages


def _page(opened: Opened, caller: Caller, *, error: str = "", status: int = 200) -> Response:
    desk, book = opened.desk, opened.desk.book()
    seen = phone_views.look(desk.engine, opened.claim, desk.real.now())
    if seen is None:
        return _message(desk, "没有这个事件", "这个事件还没有入库，几秒后刷新再试；很久以前的事件可能已清理。", 404)
    _write_read(opened, caller, seen.head.short or seen.head.id)
    done = phone_acts.DONE.get(opened.request.query_params.get("done", ""), "")
    html = desk.render.page(
        "phone.html", book=book, times=Times(opened.now, desk.deps.settings.zone), seen=seen, event=seen.event,
        head=seen.head, alert=seen.event.alert, actor=caller, path=opened.path, done="" if error else done,
        error=error, said=said, reasons=phone_acts.REASONS, wrongs=phone_acts.WRONG, snoozes=phone_acts.SNOOZES)
    response = HTMLResponse(html, status)
    if caller.cookie:
        response.set_cookie(COOKIE, caller.cookie, path=PATH, httponly=True, samesite="lax", secure=desk.secure,
                            max_age=LIFE // 1000)
    return response


def _write_read(opened: Opened, caller: Caller, about: str) -> None:
    """A page that is looked at again and again is one line in a while."""
    if opened.desk.read_anew(f"link {caller.account}", about):
        with opened.desk.engine.begin() as connection:
            audit.write(connection, opened.now, caller.account, "event.read", about, "消息链接")


def _message(desk: Desk, title: str, text: str, status: int, login: str = "/login") -> Response:
    return HTMLResponse(desk.render.page(
        "phone_message.html", book=None, title=title, text=text, login=login), status)
