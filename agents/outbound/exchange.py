"""The clients, and one request with its redirects."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version

import httpx

from agents.addresses import Allow
from agents.outbound.body import read_body
from agents.outbound.dial import PinnedTransport, Resolver, system_resolver
from agents.outbound.faults import SHIPPED, Fault, Limits, OutboundError, Response
from agents.outbound.proxy import ProxiedTransport, Proxy
from agents.settings import Settings

USER_AGENT = f"wenxun/{version('wenxun')}"
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CARRIED = frozenset(("user-agent", "accept", "accept-language", "if-none-match", "if-modified-since"))
"""Headers that follow a redirect to another host. Everything else stays with the host it was meant for."""


def client(settings: Settings, *, resolver: Resolver | None = None) -> httpx.AsyncClient:
    """The client for `request`. Close it (`async with`). One per role is enough."""
    return _client(PinnedTransport(Allow.parse(settings.allow_private), resolver or system_resolver))


def feed_client(settings: Settings, *, resolver: Resolver | None = None) -> httpx.AsyncClient:
    """The client for requests to sources: through WENXUN_FEED_PROXY when that is set, else as `client`."""
    if settings.feed_proxy is None:
        return client(settings, resolver=resolver)
    proxy = Proxy.of(settings.feed_proxy, settings.feed_proxy_auth_file)
    return _client(ProxiedTransport(proxy, Allow.parse(settings.allow_private), resolver or system_resolver))


def _client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)       # at INFO they log URLs, and these carry keys
    return httpx.AsyncClient(
        transport=transport, trust_env=False, follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"})


async def request(
    client: httpx.AsyncClient, method: str, url: str, *, headers: Mapping[str, str] | None = None,
    content: bytes | None = None, timeout: float = 30.0, limits: Limits = SHIPPED,
) -> Response:
    """One request with its redirects (GET and HEAD only), within `timeout` real seconds in all; OutboundError if none.

    Any status is a response, errors too; so is the redirect that answers a POST.
    """
    host = ""
    try:
        host = httpx.URL(url).host
        async with asyncio.timeout(timeout):
            return await _follow(client, method, httpx.URL(url), _encoded(headers), content, timeout, limits)
    except (httpx.InvalidURL, UnicodeError):
        raise OutboundError(Fault.REFUSED, "网址无法识别，请检查写法") from None
    except (TimeoutError, httpx.TimeoutException):
        raise OutboundError(Fault.TIMEOUT, f"{host} 在 {timeout:g} 秒内没有答完") from None
    except httpx.ConnectError as error:
        raise _connect_error(host, error) from None
    except (httpx.ReadError, httpx.WriteError, httpx.CloseError):
        raise OutboundError(Fault.UNREACHABLE, f"与 {host} 的连接中断") from None
    except httpx.HTTPError:
        raise OutboundError(Fault.PROTOCOL, f"{host} 的应答不符合 HTTP 协议，或在中途断开") from None


def _encoded(headers: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    """Latin-1 keeps validators byte for byte; what does not fit in it goes out as UTF-8."""
    pairs = []
    for name, value in (headers or {}).items():
        try:
            pairs.append((name.encode("ascii"), value.encode("latin-1")))
        except UnicodeEncodeError:
            pairs.append((name.encode("ascii"), value.encode("utf-8")))
    return pairs


def _connect_error(host: str, error: httpx.ConnectError) -> OutboundError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) or "CERTIFICATE_VERIFY" in str(cause):
            return OutboundError(Fault.CERTIFICATE, f"{host} 的证书不可信或已过期")
        cause = cause.__cause__ or cause.__context__
    return OutboundError(Fault.UNREACHABLE, f"无法连接 {host}")


async def _follow(
    client: httpx.AsyncClient, method: str, url: httpx.URL, headers: list[tuple[bytes, bytes]], content: bytes | None,
    timeout: float, limits: Limits,
) -> Response:
    each = httpx.Timeout(timeout, connect=min(5.0, timeout), read=min(10.0, timeout))
    hops: list[tuple[int, str]] = []
    while True:
        outgoing = client.build_request(method, url, headers=headers, content=content, timeout=each)
        answer = await client.send(outgoing, stream=True)
        try:
            onward = _onward(answer, method)
            if onward is None:
                body = await read_body(answer, limits)
                return Response(answer.status_code, _headers(answer), body, str(url), tuple(hops))
        finally:
            await answer.aclose()
        hops.append((answer.status_code, str(onward)))
        if len(hops) > limits.redirects:
            raise OutboundError(Fault.REFUSED, f"{url.host} 跳转超过 {limits.redirects} 次")
        if (onward.scheme, onward.host, onward.port) != (url.scheme, url.host, url.port):
            headers = [pair for pair in headers if pair[0].decode().lower() in _CARRIED]
        url = onward


def _onward(answer: httpx.Response, method: str) -> httpx.URL | None:
    """Where a redirect leads, None when this is the answer itself. A POST is never sent on."""
    if answer.status_code not in _REDIRECTS or method not in ("GET", "HEAD") or "location" not in answer.headers:
        return None
    here = answer.request.url
    try:
        onward = here.join(answer.headers["location"])
    except httpx.InvalidURL:
        raise OutboundError(Fault.REFUSED, f"{here.host} 跳转到无法识别的网址") from None
    if here.scheme == "https" and onward.scheme != "https":
        raise OutboundError(Fault.REFUSED, f"拒绝 {here.host} 从 https 跳转到 {onward.scheme}")
    return onward


def _headers(answer: httpx.Response) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in answer.headers.raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
