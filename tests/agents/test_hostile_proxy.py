"""WENXUN_FEED_PROXY (S3): used for feeds only, and no way around the address checks that can be made here."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agents import outbound
from agents.outbound import Fault, OutboundError
from agents.outbound.proxy import LOOKUP_SECONDS, Proxy
from agents.settings import Settings
from pipeline.errors import SettingsError
from tests.delivery_fakes import CERTIFICATE
from tests.feed_servers import reply, site

CANARY = "canary-4711"


@dataclass
class LocalProxy:
    """An HTTP proxy that notes what it was asked for and answers itself, or joins CONNECT to `behind`."""

    answer: bytes = reply(200, b"through the proxy")
    behind: int = 0
    asked: list[bytes] = field(default_factory=list)
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def settings(self, *allow: str, auth: Path | None = None) -> Settings:
        return Settings(allow_private=allow, feed_proxy=("127.0.0.1", self.port), feed_proxy_auth_file=auth)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._talk(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if head.startswith(b"CONNECT ") and self.behind:
            await self._join(reader, writer)
        else:
            writer.write(self.answer)
            await writer.drain()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self.behind)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            await asyncio.gather(_pump(reader, onward), _pump(there, writer))
        finally:
            onward.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def proxy(answer: bytes = LocalProxy.answer, behind: int = 0) -> AsyncIterator[LocalProxy]:
    running = LocalProxy(answer, behind)
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await running.stop()


async def nowhere(host: str, port: int) -> Sequence[str]:
    raise OSError("no DNS here")


async def public(host: str, port: int) -> Sequence[str]:
    return ["1.1.1.1"]


async def get(settings: Settings, url: str, resolver: outbound.Resolver = nowhere) -> outbound.Response:
    async with outbound.feed_client(settings, resolver=resolver) as client:
        return await outbound.request(client, "GET", url, timeout=10)


async def fails(settings: Settings, url: str, resolver: outbound.Resolver = nowhere) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await get(settings, url, resolver)
    return caught.value


@pytest.mark.parametrize("resolver", [nowhere, public])
async def test_a_feed_is_asked_of_the_proxy_by_its_name(resolver: outbound.Resolver) -> None:
    async with proxy() as there:
        answer = await get(there.settings(), "http://news.example/rss?a=1", resolver)
    assert answer.body == b"through the proxy" and answer.url == "http://news.example/rss?a=1"
    assert there.asked[0].startswith(b"GET http://news.example/rss?a=1 HTTP/1.1\r\n")
    assert b"\r\nHost: news.example\r\n" in there.asked[0]


async def test_https_goes_through_a_tunnel_and_the_certificate_is_still_the_sites() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    async with site(tls, root=reply(200)) as here, proxy(behind=here.port) as there:
        error = await fails(there.settings(), "https://news.example/")
    assert there.asked[0].startswith(b"CONNECT news.example:443 HTTP/1.1\r\n")
    assert error.fault is Fault.CERTIFICATE and not here.asked


async def test_webhooks_and_an_unset_proxy_go_directly() -> None:
    async with site(root=reply(200, b"direct")) as here, proxy() as there:
        async with outbound.client(there.settings(*here.allow)) as client:
            assert (await outbound.request(client, "POST", here.url(), content=b"{}")).body == b"direct"
        assert (await get(Settings(allow_private=here.allow), here.url())).body == b"direct"
    assert there.asked == []


@pytest.mark.parametrize("url", [
    "http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/",
    "http://news.example:22/", "http://user:pw@news.example/", "file:///etc/passwd", "http://10.0.0.1/",
])
async def test_what_is_refused_directly_is_not_asked_of_the_proxy_either(url: str) -> None:
    async with proxy() as there:
        assert (await fails(there.settings(), url)).fault is Fault.REFUSED
    assert there.asked == []


async def test_a_name_that_resolves_here_to_a_private_address_is_refused() -> None:
    async def inside(host: str, port: int) -> Sequence[str]:
        return ["1.1.1.1", "192.168.1.10"]

    async with proxy() as there:
        error = await fails(there.settings(), "http://wiki.example/", inside)
    assert error.fault is Fault.REFUSED and "WENXUN_FEED_ALLOW_PRIVATE_CIDRS" in str(error) and there.asked == []


@pytest.mark.parametrize("location", ["http://127.0.0.1/", "http://[::1]/", "file:///etc/passwd", "http://2130706433/"])
async def test_a_redirect_seen_through_the_proxy_is_checked(location: str) -> None:
    async with proxy(reply(302, b"", f"Location: {location}")) as there:
        assert (await fails(there.settings(), "http://news.example/")).fault is Fault.REFUSED
    assert len(there.asked) == 1


async def test_what_the_allow_list_names_is_reached_directly() -> None:
    async def inside(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with site(root=reply(200, b"direct")) as here, proxy() as there:
        allow = f"rsshub.example:{here.port}"
        assert (await get(there.settings(allow), here.url("/", "rsshub.example"), inside)).body == b"direct"
    assert there.asked == []


async def test_a_look_up_that_never_ends_does_not_hold_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr("agents.outbound.proxy.LOOKUP_SECONDS", LOOKUP_SECONDS / 100)
    async with proxy() as there:
        assert (await get(there.settings(), "http://news.example/", hangs)).body == b"through the proxy"


@pytest.mark.parametrize("url", ["http://news.example/", "https://news.example/"])
@pytest.mark.parametrize(("answer", "says"), [
    (reply(407, b"", "Proxy-Authenticate: Basic"), "WENXUN_FEED_PROXY_AUTH_FILE"), (b"", "")])
async def test_a_proxy_that_refuses_is_said_to_be_the_proxy(answer: bytes, says: str, url: str) -> None:
    async with proxy(answer) as there:
        error = await fails(there.settings(), url)
    assert says in str(error) and error.fault in (Fault.UNREACHABLE, Fault.PROTOCOL)


async def test_a_proxy_that_forbids_a_tunnel_and_one_that_is_away_are_named() -> None:
    async with proxy(reply(403)) as there:
        assert f"代理 127.0.0.1:{there.port} 拒绝转接（403）" in str(await fails(there.settings(), "https://a.example/"))
        gone = there.settings()
    await asyncio.sleep(0)
    assert "无法连接代理" in str(await fails(gone, "http://a.example/"))


async def test_credentials_come_from_a_file_and_go_to_the_proxy_only(tmp_path: Path) -> None:
    secret = tmp_path / "auth"
    secret.write_text(f"county:{CANARY}\n", "utf-8")
    async with site(root=reply(200, b"direct")) as here, proxy() as there:
        settings = there.settings(*here.allow, auth=secret)
        await get(settings, "http://news.example/")
        await get(settings, here.url())
        assert CANARY not in repr(Proxy.of(("p", 1), secret)) + repr(settings)
    assert b"\r\nProxy-Authorization: Basic " in there.asked[0]
    assert b"proxy-authorization" not in here.asked[0].head.lower()


@pytest.mark.parametrize("text", [None, "", "nocolon", "two words:x", "a:b\nc:d", f" :{CANARY}"])
def test_a_credentials_file_that_cannot_be_used_is_named_without_its_content(text: str | None, tmp_path: Path) -> None:
    secret = tmp_path / "auth"
    if text is not None:
        secret.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match="WENXUN_FEED_PROXY_AUTH_FILE") as caught:
        Proxy.of(("p", 1), secret)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("url", [
    "proxy:3128", "https://proxy:3128", "socks5://proxy:1080", "http://proxy", "http://:3128", "http://proxy:99999",
    "http://proxy:3128/path", "http://proxy:3128?x", f"http://user:{CANARY}@proxy:3128", "http://[::1", "http://proxy:x",
])
def test_an_unusable_proxy_is_named_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="WENXUN_FEED_PROXY") as caught:
        Settings.from_env({"WENXUN_FEED_PROXY": url})
    assert CANARY not in str(caught.value)


def test_a_proxy_is_host_and_port() -> None:
    assert Settings.from_env({"WENXUN_FEED_PROXY": "http://Proxy.example:3128/"}).feed_proxy == ("proxy.example", 3128)
    assert Settings.from_env({"WENXUN_FEED_PROXY": "http://[::1]:3128"}).feed_proxy == ("::1", 3128)
    assert Settings.from_env({}).feed_proxy is None
