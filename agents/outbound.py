"""The only way an HTTP request leaves this system, for feeds and for webhooks (and `pinned_address` for SMTP).

A name is resolved once per connection, refused when ANY answer is not allowed, and the connection goes to that literal
address, so a name that changes its answer gains nothing; SNI, certificate and Host stay the name. Proxy variables,
netrc and cookies are ignored. Redirects are followed by hand, each hop checked. Bodies are capped raw and decoded.
Errors never contain a URL's path or query: webhook URLs carry keys.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version

import httpcore
import httpx

from agents.addresses import VARIABLE, Allow, is_odd_number, literal
from agents.settings import Settings
from pipeline.errors import WenxunError

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""host, port -> addresses, as text; OSError when there are none."""

USER_AGENT = f"wenxun/{version('wenxun')}"
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CARRIED = frozenset(("user-agent", "accept", "accept-language", "if-none-match", "if-modified-since"))
"""Headers that follow a redirect to another host. Everything else stays with the host it was meant for."""


class Fault(StrEnum):
    """Why a request brought no response. Stable: a metric label and part of stored outcomes."""

    REFUSED = "refused"                  # address, port, scheme or redirect not allowed
    DNS = "dns"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    TIMEOUT = "timeout"
    TOO_SLOW = "too_slow"
    TOO_BIG = "too_big"
    PROTOCOL = "protocol"                # an answer that is not HTTP, or a body that cannot be decoded


class OutboundError(WenxunError):
    """A request that brought no response. The text is Chinese, for the desk, and free of secrets."""

    def __init__(self, fault: Fault, text: str) -> None:
        self.fault = fault
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and real seconds. `min_rate` is bytes per second, checked once a body took longer than `rate_grace`."""

    raw: int = 5 * 1024**2
    decoded: int = 15 * 1024**2
    redirects: int = 5
    rate_grace: float = 5.0
    min_rate: float = 1024.0


@dataclass(frozen=True, slots=True)
class Response:
    """status, headers (names in lower case, values byte for byte as Latin-1), the decoded body, the final URL."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    redirects: tuple[tuple[int, str], ...] = field(default=())


async def _system_resolver(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


async def pinned_address(
    host: str, port: int, allow: Allow | Iterable[str], *, resolver: Resolver | None = None
) -> str:
    """An address of the host to connect to, checked; OutboundError when one of its addresses is not allowed."""
    rules = allow if isinstance(allow, Allow) else Allow.parse(allow)
    return (await _pinned(host, port, rules, resolver or _system_resolver))[0]


async def _pinned(host: str, port: int, allow: Allow, resolver: Resolver) -> list[str]:
    if is_odd_number(host):
        raise OutboundError(Fault.REFUSED, f"地址写法不规范：{host}。请写域名或完整的 IP 地址")
    spelled = literal(host)
    if spelled is not None:
        answers: Sequence[str] = [str(spelled)]
    else:
        try:
            answers = await resolver(host, port)
        except (OSError, UnicodeError):
            answers = []
    if not answers:
        raise OutboundError(Fault.DNS, f"域名无法解析：{host}。请检查网址和本机的 DNS")
    for answer in answers:
        address = literal(answer)
        if address is None or not allow.address(host, port, address):
            raise OutboundError(
                Fault.REFUSED, f"拒绝访问 {host}:{port}：它指向内网或保留地址 {answer}。"
                f"确需访问时，请在 {VARIABLE} 中加入 {host}:{port} 或所在网段")
    return list(dict.fromkeys(answers))


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Dials only addresses that were resolved and checked here, by their number."""

    def __init__(self, allow: Allow, resolver: Resolver) -> None:
        self._allow, self._resolver = allow, resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await _pinned(host, port, self._allow, self._resolver)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise OutboundError(Fault.REFUSED, "拒绝连接本机套接字")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificate bundle takes longer than most requests: once per process is enough."""
    return httpx.create_ssl_context(trust_env=False)


class PinnedTransport(httpx.AsyncHTTPTransport):
    """Checks scheme, port and user info of each request, and dials through PinnedBackend."""

    def __init__(self, allow: Allow, resolver: Resolver) -> None:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=20)
        super().__init__(verify=_tls(), trust_env=False, limits=limits)
        self._allow = allow
        # httpx has no public way to give a network backend; a test fails when this attribute goes away.
        self._pool._network_backend = PinnedBackend(allow, resolver)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        _check_url(request.url, self._allow)
        return await super().handle_async_request(request)


def _check_url(url: httpx.URL, allow: Allow) -> None:
    if url.scheme not in ("http", "https"):
        raise OutboundError(Fault.REFUSED, f"只支持 http 和 https，不支持 {url.scheme or '没有协议的'} 网址")
    host = url.raw_host.decode("ascii")
    if not host:
        raise OutboundError(Fault.REFUSED, "网址里没有主机名")
    if url.userinfo:
        raise OutboundError(Fault.REFUSED, f"网址里不能带用户名和密码：{host}")
    port = url.port or (443 if url.scheme == "https" else 80)
    if not allow.port(host, port):
        raise OutboundError(
            Fault.REFUSED, f"拒绝访问 {host}:{port}：只允许 80 和 443 端口。"
            f"确需访问时，请在 {VARIABLE} 中加入 {host}:{port}")


def client(settings: Settings, *, resolver: Resolver | None = None) -> httpx.AsyncClient:
    """The client for `request`. Close it (`async with`). One per role is enough."""
    return httpx.AsyncClient(
        transport=PinnedTransport(Allow.parse(settings.allow_private), resolver or _system_resolver),
        trust_env=False, follow_redirects=False, cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"})


async def request(
    client: httpx.AsyncClient, method: str, url: str, *, headers: Mapping[str, str] | None = None,
    content: bytes | None = None, timeout: float = 30.0, limits: Limits = Limits(),
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
                body = await _body(answer, limits)
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


async def _body(answer: httpx.Response, limits: Limits) -> bytes:
    host = answer.request.url.host
    length = answer.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.raw:
        raise _too_big(host, limits.raw)
    inflate = _decoder(answer.headers.get("content-encoding", ""), host, limits)
    body = bytearray()
    async for chunk in _metered(answer, host, limits):
        body += inflate(chunk, limits.decoded - len(body))
        if len(body) > limits.decoded:
            raise _too_big(host, limits.decoded)
    body += inflate(b"", 0)
    return bytes(body)


def _too_big(host: str, cap: int) -> OutboundError:
    return OutboundError(Fault.TOO_BIG, f"{host} 的应答超过 {cap / 1024**2:g} MiB，已停止读取")


async def _metered(answer: httpx.Response, host: str, limits: Limits) -> AsyncIterator[bytes]:
    """The raw chunks, as long as they stay under the raw cap and over the minimum rate."""
    clock = asyncio.get_running_loop().time
    began, total = clock(), 0
    async for chunk in answer.aiter_raw():
        total += len(chunk)
        if total > limits.raw:
            raise _too_big(host, limits.raw)
        took = clock() - began
        if took > limits.rate_grace and total < limits.min_rate * took:
            raise OutboundError(Fault.TOO_SLOW, f"{host} 答得太慢（每秒不到 {limits.min_rate:g} 字节）")
        yield chunk


Inflate = Callable[[bytes, int], bytes]
"""(chunk, room) -> decoded bytes, at most room + 1 of them; an empty chunk says that the body is over."""


def _decoder(coding: str, host: str, limits: Limits) -> Inflate:
    """One coding at most: two of them make a gigabyte out of two kilobytes before anyone can look."""
    codings = [part.strip().lower() for part in coding.split(",") if part.strip().lower() not in ("", "identity")]
    if not codings:
        return lambda chunk, room: chunk
    if len(codings) > 1 or codings[0] not in ("gzip", "x-gzip", "deflate"):
        raise OutboundError(Fault.PROTOCOL, f"{host} 用了不支持的压缩方式：{coding[:40]}")
    return _Inflater(codings[0] == "deflate", host)


class _Inflater:
    def __init__(self, deflate: bool, host: str) -> None:
        self._deflate, self._host = deflate, host
        self._stream: zlib._Decompress | None = None

    def __call__(self, chunk: bytes, room: int) -> bytes:
        if not chunk:
            return self._end()
        try:
            return self._decoded(chunk, room + 1)
        except zlib.error:
            raise self._broken() from None

    def _decoded(self, chunk: bytes, room: int) -> bytes:
        out = bytearray()
        while chunk and len(out) < room:
            if self._stream is None:
                self._stream = self._begin(chunk)
            elif self._stream.eof:
                if self._deflate or chunk[0] != 0x1F:   # padding after the end; a further gzip member goes on
                    break
                self._stream = self._begin(chunk)
            out += self._stream.decompress(chunk, room - len(out))
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
        return bytes(out)

    def _begin(self, chunk: bytes) -> zlib._Decompress:
        if not self._deflate:
            return zlib.decompressobj(31)
        raw = chunk[0] & 0x0F != 8                  # servers send `deflate` with and without the zlib header
        return zlib.decompressobj(-15 if raw else 15)

    def _end(self) -> bytes:
        if self._stream is not None and not self._stream.eof:
            raise self._broken()
        return b""

    def _broken(self) -> OutboundError:
        return OutboundError(Fault.PROTOCOL, f"{self._host} 的压缩内容损坏或不完整")
