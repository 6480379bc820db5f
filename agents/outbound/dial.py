"""Dialling: a name is resolved once per connection, checked, and the connection goes to that literal address."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache

import httpcore
import httpx

from agents.addresses import VARIABLE, Allow, is_odd_number, literal
from agents.outbound.faults import Fault, OutboundError

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""host, port -> addresses, as text; OSError when there are none."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


async def pinned_address(
    host: str, port: int, allow: Allow | Iterable[str], *, resolver: Resolver | None = None
) -> str:
    """An address of the host to connect to, checked; OutboundError when one of its addresses is not allowed."""
    rules = allow if isinstance(allow, Allow) else Allow.parse(allow)
    return (await resolve(host, port, rules, resolver or system_resolver))[0]


async def resolve(host: str, port: int, allow: Allow, resolver: Resolver) -> list[str]:
    """All addresses of a host, each of them allowed; OutboundError otherwise."""
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
        if not self.permits(host, port):
            raise OutboundError(Fault.REFUSED, f"拒绝连接 {host}:{port}")
        addresses = await resolve(host, port, self._allow, self._resolver)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    def permits(self, host: str, port: int) -> bool:
        """Whether this backend may be asked for that endpoint at all; its addresses are checked besides."""
        return True

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise OutboundError(Fault.REFUSED, "拒绝连接本机套接字")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@cache
def tls() -> ssl.SSLContext:
    """Reading the certificate bundle takes longer than most requests: once per process is enough."""
    return httpx.create_ssl_context(trust_env=False)


class PinnedTransport(httpx.AsyncHTTPTransport):
    """Checks scheme, port and user info of each request, and dials through PinnedBackend."""

    def __init__(self, allow: Allow, resolver: Resolver) -> None:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=20)
        super().__init__(verify=tls(), trust_env=False, limits=limits)
        self._allow = allow
        # httpx has no public way to give a network backend; a test fails when this attribute goes away.
        self._pool._network_backend = PinnedBackend(allow, resolver)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check_url(request.url, self._allow)
        return await super().handle_async_request(request)


def check_url(url: httpx.URL, allow: Allow) -> None:
    if url.scheme not in ("http", "https"):
        raise OutboundError(Fault.REFUSED, f"只支持 http 和 https，不支持 {url.scheme or '没有协议的'} 网址")
    host = url.raw_host.decode("ascii")
    if not host:
        raise OutboundError(Fault.REFUSED, "网址里没有主机名")
    if url.userinfo:
        raise OutboundError(Fault.REFUSED, f"网址里不能带用户名和密码：{host}")
    port = port_of(url)
    if not allow.port(host, port):
        raise OutboundError(
            Fault.REFUSED, f"拒绝访问 {host}:{port}：只允许 80 和 443 端口。"
            f"确需访问时，请在 {VARIABLE} 中加入 {host}:{port}")


def port_of(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
