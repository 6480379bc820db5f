"""What every request passes before a handler sees it: host name, body size; and the headers every answer carries."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.settings import Settings

MAX_BODY = 64 * 1024
LARGER = {"/api/v1/alertmanager": 1024 * 1024}
"""An Alertmanager gives up what was refused as too large, and forty alerts with annotations are more than a form."""
PROBES = ("/livez", "/readyz")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s/@]+)(?::\d{1,5})?")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  (compared with, not bound to)

CONTENT_SECURITY_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
    "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"))
# same-origin, not no-referrer: with that one browsers send `Origin: null` along with our own forms.
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
LINK_PATH = "/a/"
LINK_HEADERS = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
"""Of pages whose address is a key (phone_pages.py): it goes to nobody else, our own other pages included."""


class Hosts:
    """Names this desk answers to. A page of another site that points its own name here (DNS rebinding) gets nothing."""

    def __init__(self, settings: Settings) -> None:
        bound = settings.desk_bind[0].strip("[]").lower()
        external = urlsplit(settings.external_url).hostname if settings.external_url else None
        self._names = {*_LOOPBACK, bound, *settings.desk_hosts, *([external.lower()] if external else [])}
        self._any_address = bound in _WILDCARDS

    def allows(self, header: str) -> bool:
        match = _HOST.fullmatch(header)
        if match is None:
            return False
        name = match[1].strip("[]").lower().rstrip(".")
        # Bound to every address, it is reached by any of them; an address cannot be rebound, only a name can.
        return name in self._names or (self._any_address and _is_address(name))


def same_origin(origin: str | None, fetch_site: str | None, host: str, external_url: str) -> bool:
    """Whether a POST comes from a page of this desk. Browsers that send neither header are left to the CSRF token."""
    if origin is None:
        return fetch_site in (None, "same-origin", "none")
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https"):
        return False
    return parts.netloc.lower() == host.lower() or bool(external_url and parts.netloc == urlsplit(external_url).netloc)


class Guard:
    """ASGI middleware. Probes are answered under any name: an orchestrator asks by address."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._hosts = app, Hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        send = _with_headers(send, scope["path"])
        if scope["path"] not in PROBES and not self._hosts.allows(headers.get("host", "")):
            await _refuse("不认识的主机名：请用 WENXUN_EXTERNAL_URL 中的地址访问。", 421)(scope, receive, send)
        elif _length(headers) > (most := LARGER.get(scope["path"], MAX_BODY)):
            await _refuse("请求太大。", 413)(scope, receive, send)
        else:
            await self._app(scope, _capped(receive, most), send)


class BodyTooLarge(Exception):
    """A body without a length that passed its limit while it was read."""


def _capped(receive: Receive, most: int) -> Receive:
    read = 0

    async def capped() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise BodyTooLarge
        return message

    return capped


def _with_headers(send: Send, path: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, **(LINK_HEADERS if path.startswith(LINK_PATH) else {})}.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "public, max-age=3600" if path.startswith("/static/") else "no-store")
        await send(message)

    return sending


def shown_path(path: str) -> str:
    """A path as a log may have it: without the token of a link."""
    return f"{LINK_PATH}…" if path.startswith(LINK_PATH) else path


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text[:12]) if text.isascii() and text.isdigit() else max(LARGER.values()) + 1


def _refuse(text: str, status: int) -> PlainTextResponse:
    return PlainTextResponse(text + "\n", status)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
