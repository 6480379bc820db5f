"""What handlers share: the desk's parts, a visit (request, person, form), the wrappers that let a visit through."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agents.clock import Clock
from agents.deps import Deps
from agents.desk import audit, sessions
from agents.desk.accounts import Role
from agents.desk.checks import Checks
from agents.desk.explains import Explains
from agents.desk.guard import same_origin
from agents.desk.limits import LoginLimiter
from agents.desk.render import Render, Times
from agents.desk.rule_figures import FigureCache
from agents.desk.sender import CommandSender
from agents.desk.sessions import Session
from agents.desk.watch import Survey, Watch
from agents.store import readmodel
from pipeline.model import Millis
from pipeline.rulebook.schema import RuleBook

COOKIE = "wenxun_session"
LOGIN_COOKIE = "wenxun_login"
READ_AGAIN = 15 * 60_000
"""A page that stays open polls; its reads are one audit line per this long (real milliseconds)."""


@dataclass(slots=True)
class Desk:
    """Everything a handler needs. real: real time, for sessions and locks (a demo's clock runs fast)."""

    deps: Deps
    engine: Engine
    sender: CommandSender
    real: Clock = field(default_factory=Clock)
    limiter: LoginLimiter = field(default_factory=LoginLimiter)
    link_limiter: LoginLimiter = field(default_factory=lambda: LoginLimiter(per_address=10, per_account=1_000_000))
    """Of links that are not ours: by address alone."""
    checking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    poll: int = 4000
    """How often (ms) an open page asks for news; more often where the clock runs faster."""
    render: Render = field(init=False)
    watch: Watch = field(init=False)
    checks: Checks = field(init=False)
    figures: FigureCache = field(init=False)
    explains: Explains = field(init=False)
    _read: dict[tuple[str, str], Millis] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.render = Render(self.deps.settings)
        self.watch = Watch(self.engine, self.deps.settings, self.real)
        self.checks = Checks(self.deps.settings, self.real)
        self.figures = FigureCache(self.engine, self.real)
        self.explains = Explains(self.real)
        if self.deps.clock.factor > 1:
            self.poll = 1500

    @property
    def secure(self) -> bool:
        return self.deps.settings.external_url.startswith("https://")

    def book(self) -> RuleBook | None:
        """The book in force; before the first arrives, the archive's newest."""
        try:
            return self.deps.rules.book
        except RuntimeError:
            with self.engine.connect() as connection:
                return readmodel.book(connection)

    def read_anew(self, session: str, about: str) -> bool:
        """Whether this read is worth a line: not a poll of a page that was written down a moment ago."""
        now = self.real.now()
        if now - self._read.get((session, about), 0) < READ_AGAIN:
            return False
        if len(self._read) > 10_000:
            self._read = {key: at for key, at in self._read.items() if now - at < READ_AGAIN}
        self._read[session, about] = now
        return True


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of a signed-in person. form: the fields of a POST, checked for its CSRF token."""

    desk: Desk
    request: Request
    session: Session
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def now(self) -> Millis:
        return self.desk.deps.clock.now()

    @property
    def polling(self) -> bool:
        """Asked by live.js to refresh an open page."""
        return self.request.headers.get("x-wenxun-live") == "1"

    @property
    def can_act(self) -> bool:
        """Whether this person decides things: answers, closes, has a source collected."""
        return self.session.role.may(Role.DUTY)

    def survey(self) -> Survey:
        return self.desk.watch.survey(self.desk.book(), self.now)

    def query(self, name: str) -> str:
        return self.request.query_params.get(name, "").strip()[:200]

    def page_number(self) -> int:
        text = self.query("page")
        return int(text) if text.isdecimal() and len(text) < 7 else 1

    def write_read(self, action: str, about: str, detail: str = "") -> None:
        """Audit that this person reads items. A poll writes only if nobody wrote this down a while ago."""
        if self.desk.read_anew(self.session.id, f"{action} {about} {detail}") or not self.polling:
            with self.desk.engine.begin() as connection:
                audit.write(connection, self.now, self.session.account, action, about, detail)

    def page(self, template: str, code: int = 200, **values: Any) -> Response:
        """A rendered page. A poll that would change nothing is answered by 304."""
        desk = self.desk
        book = values.pop("book", None) or desk.book()
        html = desk.render.page(
            template, book=book, times=Times(self.now, desk.deps.settings.zone), session=self.session,
            path=self.request.url.path, poll=desk.poll, **values)
        etag = f'"{sha256(html.encode()).hexdigest()[:24]}"'
        if self.polling and self.request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return HTMLResponse(html, code, headers={"ETag": etag})

    def message(self, title: str, text: str, status: int, back: str = "/") -> Response:
        return self.page("message.html", status, title=title, text=text, back=back)


Handler = Callable[[Visit], Response]
AsyncHandler = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def signed_in(handler: Handler, need: Role | None = Role.VIEWER) -> Endpoint:
    """A page for people of a role (None: of any). The handler is plain and blocks: it runs in a thread."""

    async def endpoint(request: Request) -> Response:
        desk = desk_of(request)
        session = await session_of(request)
        if session is None:
            return _to_login(request)
        visit = Visit(desk, request, session)
        if need is not None and not session.role.may(need):
            return await asyncio.to_thread(_forbidden, visit, need)
        return await asyncio.to_thread(handler, visit)

    return endpoint


def posted(handler: Handler, need: Role | None) -> Endpoint:
    """A form of people of a role (None: any): same origin, the session's CSRF token, then the handler in a thread."""

    async def in_thread(visit: Visit) -> Response:
        return await asyncio.to_thread(handler, visit)

    return posted_async(in_thread, need)


def posted_async(handler: AsyncHandler, need: Role | None) -> Endpoint:
    """As `posted`, for a handler that waits for the network."""

    async def endpoint(request: Request) -> Response:
        desk = desk_of(request)
        session = await session_of(request)
        if session is None:
            return RedirectResponse("/login", 303)
        form = await read_form(request)
        visit = Visit(desk, request, session, form)
        if not from_here(request) or not secrets.compare_digest(
                form.get("csrf", "").encode(), session.csrf.encode()):
            return await asyncio.to_thread(
                visit.message, "请求未通过校验", "请回到页面刷新后再提交一次。", 403)
        if need is not None and not session.role.may(need):
            return await asyncio.to_thread(_forbidden, visit, need)
        response = await handler(visit)
        desk.sender.wake()
        return response

    return endpoint


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def session_of(request: Request) -> Session | None:
    desk, token = desk_of(request), request.cookies.get(COOKIE, "")
    if not token:
        return None
    return await asyncio.to_thread(sessions.find_session, desk.engine, token, desk.real.now())


async def read_form(request: Request) -> dict[str, str]:
    """Text fields of a form; files are not taken."""
    async with request.form(max_files=0, max_fields=20) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def from_here(request: Request) -> bool:
    headers = request.headers
    return same_origin(headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host", ""),
                       desk_of(request).deps.settings.external_url)


def safe_next(path: str) -> str:
    """A path of this desk to go on to, never another site."""
    parts = urlsplit(path)
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return path if inside and path.isprintable() and "\\" not in path else "/"


def _to_login(request: Request) -> Response:
    if request.headers.get("x-wenxun-live") == "1":
        return Response(status_code=401)              # live.js then loads the page anew
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/login" if path == "/" else f"/login?next={quote(path, safe='/')}", 303)


def _forbidden(visit: Visit, need: Role) -> Response:
    text = f"这一步需要“{need.label}”角色，您的账号是“{visit.session.role.label}”。请联系管理员。"
    return visit.message("没有权限", text, 403)
