"""The feed proxy of WENXUN_FEED_PROXY: an HTTP proxy that feed requests leave through.

What cannot be held here: behind a proxy it is the proxy that resolves names and dials. Spellings, literal addresses,
ports, redirects and names that resolve here are checked as without one; a name that resolves only at the proxy, or
differently there, is the proxy's to refuse. Hosts on addresses that the allow list names are reached directly.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import httpx

from agents import secret_files
from agents.addresses import Allow, is_public, literal
from agents.outbound.dial import PinnedBackend, PinnedTransport, Resolver, check_url, port_of, resolve, tls
from agents.outbound.faults import Fault, OutboundError
from agents.settings import PROXY, PROXY_AUTH
from pipeline.errors import SettingsError

LOOKUP_SECONDS = 3.0
"""Real seconds for a look-up whose only use is to refuse: behind a proxy there may be no DNS at all."""
_CREDENTIALS = re.compile(r"[^\s:]+:\S+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where the proxy is, and how to sign in there."""

    host: str
    port: int
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, address: tuple[str, int], auth_file: Path | None) -> Proxy:
        """SettingsError names the file that cannot be read or holds no user:password."""
        if auth_file is None:
            return cls(*address)
        text = secret_files.read(PROXY_AUTH, auth_file)
        if not _CREDENTIALS.fullmatch(text):
            raise SettingsError(f"{PROXY_AUTH}={auth_file}: expected one line, user:password")
        user, _, password = text.partition(":")
        return cls(*address, credentials=(user, password))

    @property
    def place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ProxiedTransport(httpx.AsyncBaseTransport):
    """Checks each request, then sends it through the proxy, or directly to a host that the allow list names."""

    def __init__(self, proxy: Proxy, allow: Allow, resolver: Resolver) -> None:
        self._proxy, self._allow, self._resolver = proxy, allow, resolver
        self._direct = PinnedTransport(allow, resolver)
        self._through = httpx.AsyncHTTPTransport(
            verify=tls(), trust_env=False, proxy=httpx.Proxy(f"http://{proxy.place}", auth=proxy.credentials),
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=20))
        # whatever happens above, this pool can dial the proxy and nothing else
        only = Allow(endpoints=frozenset(((proxy.host.lower(), proxy.port),)))
        self._through._pool._network_backend = _OnlyProxy(proxy, only, resolver)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check_url(request.url, self._allow)
        if await self._is_near(request.url):
            return await self._direct.handle_async_request(request)
        try:
            answer = await self._through.handle_async_request(request)
        except (httpx.ProxyError, httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._refused(error)
        if answer.status_code == 407:
            await answer.aclose()
            raise OutboundError(Fault.UNREACHABLE, f"代理 {self._proxy.place} 要求登录。请检查 {PROXY_AUTH}")
        return answer

    async def _is_near(self, url: httpx.URL) -> bool:
        """Whether this host is one of the allow list, to be reached without the proxy; OutboundError when forbidden."""
        host, port = url.raw_host.decode("ascii"), port_of(url)
        if self._allow.endpoint(host, port):
            return True
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                answers: Sequence[str] = await resolve(host, port, self._allow, self._resolver)
        except TimeoutError:
            return False
        except OutboundError as error:
            if error.fault is Fault.DNS:
                return False
            raise
        addresses = [literal(answer) for answer in answers]
        return not all(address is not None and is_public(address) for address in addresses)

    def _refused(self, error: Exception) -> NoReturn:
        """The proxy's own refusals, said as such; a certificate that fails inside the tunnel is the site's."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                raise error
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, httpx.ProxyError):
            status = str(error)[:3]
            text = (f"代理 {self._proxy.place} 要求登录。请检查 {PROXY_AUTH}" if status == "407" else
                    f"代理 {self._proxy.place} 拒绝转接（{status}）。请检查代理的规则，或这个网址是否还在")
        else:
            text = f"无法连接代理 {self._proxy.place}。请检查 {PROXY} 和代理本身"
        raise OutboundError(Fault.UNREACHABLE, text) from None

    async def aclose(self) -> None:
        await self._through.aclose()
        await self._direct.aclose()


class _OnlyProxy(PinnedBackend):
    """A backend that knows one endpoint."""

    def __init__(self, proxy: Proxy, allow: Allow, resolver: Resolver) -> None:
        super().__init__(allow, resolver)
        self._endpoint = (proxy.host.lower(), proxy.port)

    def permits(self, host: str, port: int) -> bool:
        return (host.strip("[]").lower(), port) == self._endpoint
