"""No request leaves except through the pinned client: S1 to S6 of the reliability notes, each against a real socket."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
import tracemalloc
import zlib
from collections.abc import Sequence
from ipaddress import ip_address

import httpx
import pytest

from agents import outbound
from agents.addresses import VARIABLE, Allow, is_odd_number, is_public
from agents.outbound import Fault, Limits, OutboundError, PinnedBackend, dial, exchange, pinned_address
from agents.settings import Settings
from pipeline.errors import SettingsError
from tests.delivery_fakes import CERTIFICATE
from tests.feed_servers import Answer, Site, drip, reply, site

MiB = 1024**2
SHIPPED = Limits()


async def get(url: str, allow: Sequence[str] = (), *, resolver: outbound.Resolver | None = None,
              limits: Limits = SHIPPED, timeout: float = 10.0, **headers: str) -> outbound.Response:
    async with outbound.client(Settings(allow_private=tuple(allow)), resolver=resolver) as client:
        return await outbound.request(client, "GET", url, headers=headers, limits=limits, timeout=timeout)


async def refused(url: str, allow: Sequence[str] = (), *, resolver: outbound.Resolver | None = None,
                  limits: Limits = SHIPPED, timeout: float = 10.0) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await get(url, allow, resolver=resolver, limits=limits, timeout=timeout)
    return caught.value


# ---------------------------------------------------------------- addresses (S2)


@pytest.mark.parametrize(("address", "public"), [
    ("1.1.1.1", True), ("223.5.5.5", True), ("9.255.255.255", True), ("11.0.0.0", True), ("172.15.255.255", True),
    ("172.32.0.1", True), ("192.167.255.255", True), ("100.63.255.255", True), ("100.128.0.1", True),
    ("2400:3200::1", True), ("2606:4700::1111", True), ("::ffff:1.1.1.1", True), ("64:ff9b::101:101", True),
    ("2002:101:101::1", True),
    ("0.0.0.0", False), ("0.1.2.3", False), ("10.0.0.1", False), ("100.64.0.1", False), ("100.100.100.200", False),
    ("127.0.0.1", False), ("127.255.255.254", False), ("168.63.129.16", False), ("169.254.169.254", False),
    ("172.16.0.1", False), ("172.31.255.255", False), ("192.0.0.8", False), ("192.0.2.1", False),
    ("192.88.99.1", False), ("192.168.1.1", False), ("198.18.0.1", False), ("198.51.100.1", False),
    ("203.0.113.9", False), ("224.0.0.1", False), ("239.255.255.250", False), ("240.0.0.1", False),
    ("255.255.255.255", False),
    ("::", False), ("::1", False), ("::7f00:1", False), ("::ffff:127.0.0.1", False), ("::ffff:10.0.0.1", False),
    ("64:ff9b::7f00:1", False), ("64:ff9b::a00:1", False), ("64:ff9b:1::1", False), ("100::1", False),
    ("2001::1", False), ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False), ("2001:db8::1", False),
    ("2002:7f00:1::1", False), ("2002:a00:1::1", False), ("3fff::1", False), ("fc00::1", False),
    ("fd00:ec2::254", False),
    ("fe80::1", False), ("fe80::1%1", False), ("fec0::1", False), ("ff02::1", False), ("4000::1", False),
])
def test_only_publicly_routed_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.1", "1", "0x", "127.0.0.01"])
def test_odd_spellings_of_numbers_are_seen(host: str) -> None:
    assert is_odd_number(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "news.example", "1.example", "0x7f.example", "a1", "163.com"])
def test_ordinary_hosts_are_not_odd(host: str) -> None:
    assert not is_odd_number(host)


def test_the_allow_list_is_networks_and_endpoints() -> None:
    allow = Allow.parse(
        ["10.1.0.0/16", "127.0.0.1:8080", "[::1]:9000", "Intranet.Example.:8443", "fd00::/8", "192.168.7.7"])
    home = ip_address("127.0.0.1")
    assert allow.address("x", 80, ip_address("10.1.2.3")) and not allow.address("x", 80, ip_address("10.2.0.1"))
    assert allow.address("x", 80, ip_address("::ffff:10.1.2.3")) and allow.address("x", 80, ip_address("fd00::1"))
    assert allow.address("127.0.0.1", 8080, home) and not allow.address("127.0.0.1", 80, home)
    assert allow.port("127.0.0.1", 8080) and allow.port("::1", 9000) and not allow.port("127.0.0.1", 8081)
    assert allow.port("intranet.example", 8443) and allow.address("intranet.example", 8443, ip_address("10.9.9.9"))
    assert allow.address("x", 443, ip_address("192.168.7.7")) and allow.port("any.example", 443)


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/33", "host", "host:", ":80", "host:99999", "10.0.0.0/8:80", "host:0", "host:8x"])
def test_an_unusable_entry_of_the_allow_list_is_named(entry: str) -> None:
    with pytest.raises(SettingsError, match=VARIABLE):
        Allow.parse([entry])


# ---------------------------------------------------------------- dialling (S1)


def test_the_backend_is_where_httpcore_looks_for_it() -> None:
    """The attribute is private: when a new httpx moves it, this test fails and not the protection."""
    transport = outbound.PinnedTransport(Allow(), dial.system_resolver)
    assert isinstance(transport._pool._network_backend, PinnedBackend)
    connection = transport._pool.create_connection(dial.httpcore.Origin(b"http", b"a.example", 80))
    assert connection._network_backend is transport._pool._network_backend  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", [
    "http://127.0.0.1/", "http://localhost/", "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://0/",
    "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://169.254.169.254/latest/meta-data/",
    "http://[64:ff9b::7f00:1]/", "http://0177.0.0.1/", "http://127.0.0.1./", "http://１２７.０.０.１/",
])
async def test_private_addresses_are_refused_however_they_are_spelled(url: str) -> None:
    async def loopback(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]                            # what a resolver makes of the odd ones

    assert (await refused(url, resolver=loopback)).fault is Fault.REFUSED


async def test_the_refusal_names_the_variable_that_would_allow_it() -> None:
    error = await refused("http://127.0.0.1/secret?key=abc")
    assert VARIABLE in str(error) and "127.0.0.1:80" in str(error)
    assert "secret" not in str(error) and "abc" not in str(error)


async def test_one_private_answer_among_public_ones_refuses_the_name() -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["1.1.1.1", "192.168.0.1"]

    assert (await refused("http://mixed.example/", resolver=mixed)).fault is Fault.REFUSED


async def test_a_name_that_changes_its_answer_gains_nothing() -> None:
    """DNS rebinding: public at the check, loopback at the connection. There is only one look-up, and it is checked."""
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    async with site(root=reply(200, b"inside")) as inside:
        async with outbound.client(Settings(allow_private=("192.0.2.0/24",)), resolver=rebinding) as client:
            with pytest.raises(OutboundError):          # first: dials 192.0.2.1, where nobody is
                await outbound.request(client, "GET", "http://rebind.example/", timeout=1)
            assert asked == ["rebind.example"]
            with pytest.raises(OutboundError) as caught:
                await outbound.request(client, "GET", "http://rebind.example/", timeout=30)
            assert caught.value.fault is Fault.REFUSED
        assert inside.connections == 0


async def test_the_connection_goes_to_the_checked_address_and_the_host_stays_the_name() -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with site(feed=reply(200, b"hi")) as here:
        answer = await get(here.url("/feed", "news.example"), [f"news.example:{here.port}"], resolver=resolver)
        assert answer.body == b"hi" and asked == ["news.example"]
        assert here.asked[0].header("host") == f"news.example:{here.port}".encode()


async def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["::1", "127.0.0.1"]

    async with site(root=reply(200, b"hi")) as here:
        assert (await get(here.url("/", "two.example"), [f"two.example:{here.port}"], resolver=two)).body == b"hi"


async def test_a_name_without_address_is_said_to_be_unknown() -> None:
    async def nothing(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    assert (await refused("http://gone.example/", resolver=nothing)).fault is Fault.DNS


async def test_unix_sockets_are_refused() -> None:
    with pytest.raises(OutboundError):
        await PinnedBackend(Allow(), dial.system_resolver).connect_unix_socket("/run/docker.sock")


async def test_mail_servers_are_pinned_by_the_same_rules() -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["10.0.0.25"]

    with pytest.raises(OutboundError, match=VARIABLE):
        await pinned_address("mail.example", 587, (), resolver=resolver)
    assert await pinned_address("mail.example", 587, ("mail.example:587",), resolver=resolver) == "10.0.0.25"
    assert await pinned_address("mail.example", 25, ("10.0.0.0/24",), resolver=resolver) == "10.0.0.25"
    assert await pinned_address("1.1.1.1", 25, ()) == "1.1.1.1"


# ---------------------------------------------------------------- environment (S3)


async def test_proxy_variables_and_netrc_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(root=reply(200, b"proxied")) as proxy, site(root=reply(200, b"direct")) as here:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await get(here.url(), here.allow)).body == b"direct"
        assert proxy.connections == 0


# ---------------------------------------------------------------- URLs and redirects (S4)


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "gopher://a.example/", "ftp://a.example/", "http:///x", "news.example/rss", "",
    "http://user:pw@news.example/", "http://news.example:22/", "http://news.example:8080/", "https://news.example:80a/",
    "http://news.example\x00/", "unix:///run/x", "data:text/plain,x",
    "http://" + "a" * 70 + "." + "xn--" + "z" * 80 + "/",
])
async def test_only_plain_web_addresses_are_asked(url: str) -> None:
    async def never(host: str, port: int) -> list[str]:
        raise OSError

    error = await refused(url, resolver=never)
    assert error.fault in (Fault.REFUSED, Fault.DNS)
    assert "pw" not in str(error)


def towards(location: str, status: int = 302) -> bytes:
    return reply(status, b"", f"Location: {location}")


async def test_redirects_are_followed_and_told() -> None:
    async with site(a=towards("/b", 301), b=towards("c", 307), c=reply(200, b"end")) as here:
        answer = await get(here.url("/a"), here.allow)
        assert answer.body == b"end" and answer.url == here.url("/c")
        assert answer.redirects == ((301, here.url("/b")), (307, here.url("/c")))


@pytest.mark.parametrize("location", [
    "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/", "file:///etc/passwd", "gopher://x/", "//[::1]/",
    "http://2130706433/", "http://user:pw@example.com/", "http://127.0.0.1:99999/",
])
async def test_each_hop_is_checked_like_the_first(location: str) -> None:
    async with site(a=towards(location)) as here:
        assert (await refused(here.url("/a"), here.allow)).fault is Fault.REFUSED


async def test_a_loop_of_redirects_ends() -> None:
    async with site(a=towards("/b"), b=towards("/a")) as here:
        assert "跳转超过 5 次" in str(await refused(here.url("/a"), here.allow))
        assert len(here.asked) == 6


def test_https_is_never_left_for_http() -> None:
    answer = httpx.Response(302, headers={"location": "http://news.example/"},
                            request=httpx.Request("GET", "https://news.example/"))
    with pytest.raises(OutboundError, match="https"):
        exchange._onward(answer, "GET")


async def test_secrets_and_cookies_do_not_follow_to_another_host() -> None:
    async with site(root=reply(200, b"x")) as there:
        start = reply(302, b"", f"Location: {there.url()}", "Set-Cookie: sid=1; Path=/")
        async with site(root=start) as here:
            await get(here.url(), [*here.allow, *there.allow], **{
                "Authorization": "Bearer canary", "X-Key": "canary", "If-None-Match": '"v"'})
        assert here.asked[0].header("authorization") == b"Bearer canary"
        assert b"canary" not in there.asked[0].head and there.asked[0].header("cookie") is None
        assert there.asked[0].header("if-none-match") == b'"v"'


async def test_a_redirect_of_a_post_is_the_answer() -> None:
    async with site(hook=towards("/b"), b=reply(200)) as here:
        async with outbound.client(Settings(allow_private=here.allow)) as client:
            answer = await outbound.request(client, "POST", here.url("/hook"), content=b"{}",
                                            headers={"Content-Type": "application/json"})
        assert answer.status == 302 and [asked.path for asked in here.asked] == ["/hook"]
        assert here.asked[0].body == b"{}" and here.asked[0].header("content-type") == b"application/json"


# ---------------------------------------------------------------- bodies (S5)


async def fetch_body(answer: Answer, limits: Limits = SHIPPED) -> bytes:
    async with site(root=answer) as here:
        return (await get(here.url(), here.allow, limits=limits)).body


def packed(body: bytes) -> bytes:
    """Without the time, which would be part of the test's name."""
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize(("coding", "packed"), [
    ("gzip", packed(b"words" * 1000)), ("x-gzip", packed(b"words" * 1000)), ("identity", b"words" * 1000),
    ("deflate", zlib.compress(b"words" * 1000)), ("deflate", zlib.compress(b"words" * 1000)[2:-4]),
    ("GZIP", packed(b"words" * 500) + packed(b"words" * 500)),
    ("gzip", packed(b"words" * 1000) + b"\0" * 9),
])
async def test_one_coding_is_understood(coding: str, packed: bytes) -> None:
    assert await fetch_body(reply(200, packed, f"Content-Encoding: {coding}")) == b"words" * 1000


@pytest.mark.parametrize(("coding", "packed"), [
    ("gzip, gzip", packed(packed(b"x"))), ("br", b"x"), ("zstd", b"x"), ("gzip", b"not gzip"),
    ("gzip", packed(b"words" * 9)[:-9]), ("deflate", b"\xff\xff\xff"),
])
async def test_other_or_broken_codings_are_refused(coding: str, packed: bytes) -> None:
    with pytest.raises(OutboundError) as caught:
        await fetch_body(reply(200, packed, f"Content-Encoding: {coding}"))
    assert caught.value.fault is Fault.PROTOCOL


async def test_fifty_megabytes_are_not_read() -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(reply(200, b"", length=False))
        while sent < 50 * MiB:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    with pytest.raises(OutboundError) as caught:
        await fetch_body(endless)
    assert caught.value.fault is Fault.TOO_BIG and sent < 20 * MiB


async def test_an_announced_fifty_megabytes_are_not_even_begun() -> None:
    with pytest.raises(OutboundError, match="5 MiB"):
        await fetch_body(reply(200, b"x", "Content-Length: 52428800", length=False))


async def test_a_gigabyte_of_zeros_in_gzip_is_refused_quickly_and_cheaply() -> None:
    pack = zlib.compressobj(1, wbits=31)
    part = pack.compress(b"\0" * MiB) + pack.flush(zlib.Z_FULL_FLUSH)
    whole = pack.compress(b"\0" * MiB) + pack.flush(zlib.Z_FULL_FLUSH)
    bomb = part + whole * 1023                          # after a full flush the same zeros are the same bytes
    assert 4 * 1024 < len(bomb) < 5 * MiB
    async with site(root=reply(200, bomb, "Content-Encoding: gzip")) as here:
        tracemalloc.start()
        began = time.process_time()                     # whatever else the machine does
        error = await refused(here.url(), here.allow)
        took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert error.fault is Fault.TOO_BIG and took < 5 and peak < 64 * MiB


# ---------------------------------------------------------------- time (S6)


async def test_a_body_that_drips_is_ended_by_the_minimum_rate() -> None:
    slow = drip(reply(200, b"", length=False), b"x", 0.05)
    async with site(root=slow) as here:
        error = await refused(here.url(), here.allow, limits=Limits(rate_grace=0.3))
    assert error.fault is Fault.TOO_SLOW


@pytest.mark.parametrize("answer", [
    drip(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.05), drip(reply(200, b"", length=False), b"x" * 4096, 0.05),
    drip(b"", b"", 0.05)], ids=["headers", "body", "silence"])
async def test_no_answer_takes_longer_than_the_whole_timeout(answer: Answer) -> None:
    async with site(root=answer) as here:
        began = time.perf_counter()
        error = await refused(here.url(), here.allow, timeout=0.6)
    assert error.fault is Fault.TIMEOUT and time.perf_counter() - began < 30


async def test_a_slow_site_does_not_hold_up_others() -> None:
    async with site(root=drip(b"", b"", 0.05)) as slow, site(root=reply(200, b"quick")) as quick:
        settings = Settings(allow_private=(*slow.allow, *quick.allow))
        async with outbound.client(settings) as client:
            waiting = asyncio.create_task(outbound.request(client, "GET", slow.url(), timeout=4))
            assert (await outbound.request(client, "GET", quick.url())).body == b"quick"
            assert not waiting.done()
            with pytest.raises(OutboundError):
                await waiting


@pytest.mark.parametrize(("answer", "fault"), [
    (b"SSH-2.0-OpenSSH\r\n", Fault.PROTOCOL), (b"", Fault.PROTOCOL),
    (reply(200, b"x", "Content-Length: 10", length=False), Fault.PROTOCOL),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000, Fault.PROTOCOL),
], ids=["ssh", "nothing", "cut-off", "headers-without-end"])
async def test_what_is_not_http_is_an_outcome(answer: bytes, fault: Fault) -> None:
    async with site(root=answer) as here:
        assert (await refused(here.url(), here.allow)).fault in (fault, Fault.UNREACHABLE)


async def test_nobody_listening_is_unreachable() -> None:
    async with site() as here:
        gone = here.url(), here.allow
    assert (await refused(*gone)).fault is Fault.UNREACHABLE


async def test_a_certificate_nobody_vouches_for_is_said_to_be_one() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    async with site(tls, root=reply(200)) as here:
        error = await refused(here.url().replace("http:", "https:"), here.allow)
    assert error.fault is Fault.CERTIFICATE and not here.asked


async def test_header_values_travel_byte_for_byte() -> None:
    odd = 'W/"\u00e9-\u00ff~"'
    async with site(root=reply(200, b"x", f"ETag: {odd}", "X-A: 1", "X-A: 2")) as here:
        answer = await get(here.url(), here.allow, **{"If-None-Match": odd})
    assert answer.headers["etag"] == odd and answer.headers["x-a"] == "1, 2"
    assert here.asked[0].header("if-none-match") == odd.encode("latin-1")
    assert here.asked[0].header("accept-encoding") == b"gzip"
    assert (here.asked[0].header("user-agent") or b"").startswith(b"wenxun/")


async def test_a_client_used_directly_is_pinned_too() -> None:
    async with outbound.client(Settings()) as client:
        with pytest.raises(OutboundError):
            await client.get("http://127.0.0.1:9/")
        with pytest.raises(OutboundError):
            await client.get("http://127.0.0.1/")


def test_a_site_is_what_the_tests_think_it_is() -> None:
    assert Site({}).allow == ("127.0.0.1:0",)
