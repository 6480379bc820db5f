"""Servers made to hurt whoever asks them (S1 to S6): rebinding, redirects, odd spellings, bombs, floods, dripping."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents import outbound
from agents.addresses import VARIABLE
from agents.outbound import Fault, Limits, OutboundError
from agents.settings import Settings
from tests.feed_servers import Answer, drip, reply, site

MiB = 1024**2


async def get(url: str, *allow: str, resolver: outbound.Resolver | None = None, timeout: float = 10.0,
              limits: Limits | None = None) -> outbound.Response:
    async with outbound.client(Settings(allow_private=allow), resolver=resolver) as client:
        return await outbound.request(client, "GET", url, timeout=timeout, limits=limits or Limits())


async def fails(url: str, *allow: str, resolver: outbound.Resolver | None = None, timeout: float = 10.0,
                limits: Limits | None = None) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await get(url, *allow, resolver=resolver, timeout=timeout, limits=limits)
    return caught.value


@asynccontextmanager
async def measured() -> AsyncIterator[Callable[[], tuple[float, float]]]:
    """(MiB of memory at most, the loop's longest pause in seconds) of what runs inside.

    A pause is what the loop's thread computes at a stretch: how long others have the processor is not our doing.
    """
    late = 0.0

    async def beat() -> None:
        nonlocal late
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.005)
            late = max(late, time.thread_time() - began)

    beating = asyncio.create_task(beat())
    tracemalloc.start()
    try:
        yield lambda: (tracemalloc.get_traced_memory()[1] / MiB, late)
    finally:
        tracemalloc.stop()
        beating.cancel()


# ---------------------------------------------------------------- spellings of private addresses (S1, S2)


@pytest.mark.parametrize("host", [
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.127.127.127", "0", "0.0.0.0", "0x7f000001", "0X7F000001",
    "0x7f.0x0.0x0.0x1", "0177.0.0.1", "0177.0.0.01", "00000177.0.0.1", "017700000001", "2130706433", "2130706433.",
    "127.0.0.1%2f", "127。0。0。1", "１２７.0.0.1", "①②⑦.⓪.⓪.①", "localhost", "LOCALHOST", "localhost.",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[fec0::1]",
    "[::ffff:0:127.0.0.1]", "[fd00:ec2::254]",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe", "2852039166",
    "168.63.129.16", "198.18.0.1", "224.0.0.1", "255.255.255.255", "127.0.0.1.nip.example",
    "spoofed.burpcollaborator.example",
])
async def test_no_spelling_of_a_private_address_is_dialled(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[str] = []

    async def dial(self: object, host: str, *_: object, **__: object) -> None:
        dialled.append(host)
        raise OSError

    async def loopback(name: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]                            # what a system resolver makes of names and odd numbers

    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", dial)
    for url in (f"http://{host}/", f"https://{host}/"):
        error = await fails(url, resolver=loopback)
        assert error.fault in (Fault.REFUSED, Fault.DNS) and dialled == []


# ---------------------------------------------------------------- rebinding and redirects (S1, S4)


async def test_a_name_that_turns_private_between_hops_is_refused_at_the_hop() -> None:
    answers = [["127.0.0.1"], ["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    async def flips(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    async with site(a=reply(302, b"", "Location: /b"), b=reply(302, b"", "Location: /c")) as here:
        # the endpoint itself may be reached at this address only: a network, not a name
        error = await fails(here.url("/a", "flip.example"), "127.0.0.0/8", resolver=flips)
    assert error.fault is Fault.REFUSED and here.connections <= 2


@pytest.mark.parametrize("hops", range(1, 6))
@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/", "http://10.0.0.1/", "http://inside.example/"])
async def test_the_last_of_several_hops_is_checked_like_the_first(hops: int, target: str) -> None:
    async def inside(host: str, port: int) -> Sequence[str]:
        return ["192.168.1.1"]

    chain: dict[str, Answer] = {f"h{n}": reply(302, b"", f"Location: /h{n + 1}") for n in range(hops - 1)}
    chain[f"h{hops - 1}"] = reply(301, b"", f"Location: {target}")
    async with site(**chain) as here:
        error = await fails(here.url("/h0"), *here.allow, resolver=inside)
        assert error.fault is Fault.REFUSED and VARIABLE in str(error) and len(here.asked) == hops


@pytest.mark.parametrize(("hops", "right"), [(5, True), (6, False)])
async def test_five_hops_are_followed_and_six_are_not(hops: int, right: bool) -> None:
    chain: dict[str, Answer] = {f"h{n}": reply(302, b"", f"Location: h{n + 1}") for n in range(hops)}
    async with site(**chain, **{f"h{hops}": reply(200, b"end")}) as here:
        if right:
            assert (await get(here.url("/h0"), *here.allow)).body == b"end"
        else:
            assert (await fails(here.url("/h0"), *here.allow)).fault is Fault.REFUSED
            assert len(here.asked) == 6


async def test_cookies_and_credentials_of_a_site_are_not_kept() -> None:
    first = reply(302, b"", "Set-Cookie: sid=1; Path=/", "Location: /b")
    async with site(a=first, b=reply(200, b"x", "Set-Cookie: sid=2")) as here:
        async with outbound.client(Settings(allow_private=here.allow)) as client:
            for _ in range(2):
                await outbound.request(client, "GET", here.url("/b"))
            await outbound.request(client, "GET", here.url("/a"))
    assert len(here.asked) == 4 and all(asked.header("cookie") is None for asked in here.asked)


async def test_nothing_of_the_environment_changes_a_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login a password canary\n", "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with site(root=reply(200, b"proxied")) as proxy, site(root=reply(200, b"direct")) as here:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.setenv("NO_PROXY", "")
        assert (await get(here.url(), *here.allow)).body == b"direct"
        assert (await fails("http://127.0.0.1/")).fault is Fault.REFUSED, "NO_PROXY is no allow list either"
        assert proxy.connections == 0 and here.asked[0].header("authorization") is None


# ---------------------------------------------------------------- bombs (S5)


def zeros(wbits: int) -> bytes:
    """A gigabyte of them: after a full flush the same zeros are the same bytes."""
    pack = zlib.compressobj(9, wbits=wbits)
    begin = pack.compress(b"\0" * MiB) + pack.flush(zlib.Z_FULL_FLUSH)
    return begin + (pack.compress(b"\0" * MiB) + pack.flush(zlib.Z_FULL_FLUSH)) * 1023


@pytest.mark.parametrize(("coding", "bomb"), [
    ("gzip", zeros(31)), ("deflate", zeros(15)), ("deflate", zeros(-15)), ("gzip", gzip.compress(b"0" * 40 * MiB) * 9),
], ids=["gzip", "deflate", "raw deflate", "many members"])
async def test_a_bomb_costs_no_more_than_the_cap_and_the_loop_goes_on(coding: str, bomb: bytes) -> None:
    async with site(root=reply(200, bomb, f"Content-Encoding: {coding}")) as here:
        await fails(here.url(), *here.allow, limits=Limits(raw=1))           # whatever is imported late
        async with measured() as cost:
            error = await fails(here.url(), *here.allow)
            memory, late = cost()
    assert error.fault is Fault.TOO_BIG and memory < 48 and late < 0.5


async def test_a_quarter_of_a_million_empty_gzip_members_do_not_stop_the_loop() -> None:
    async with site(root=reply(200, gzip.compress(b"") * 250_000, "Content-Encoding: gzip")) as here:
        async with measured() as cost:
            answer = await get(here.url(), *here.allow)
            memory, late = cost()
    assert answer.body == b"" and memory < 48 and late < 0.5


@pytest.mark.parametrize("headers", [
    ("Content-Encoding: gzip, gzip",), ("Content-Encoding: gzip", "Content-Encoding: gzip"),
    ("Content-Encoding: deflate, gzip",), ("Content-Encoding: br",), ("Content-Encoding: gzip;q=1",)])
async def test_codings_on_codings_are_refused_before_a_byte_is_decoded(headers: tuple[str, ...]) -> None:
    bomb = gzip.compress(gzip.compress(b"0" * 64 * MiB, 9), 9)
    async with site(root=reply(200, bomb, *headers)) as here, measured() as cost:
        error = await fails(here.url(), *here.allow)
        memory, _ = cost()
    assert error.fault is Fault.PROTOCOL and memory < 8


# ---------------------------------------------------------------- floods and dripping (S5, S6)

OPEN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("answer", "faults"), [
    (drip(OPEN, b"4000\r\n" + b"x" * 0x4000 + b"\r\n", 0), {Fault.TOO_BIG}),
    (drip(reply(200, b"", length=False), b"x" * 65536, 0), {Fault.TOO_BIG}),
    (drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000, 0), {Fault.PROTOCOL, Fault.UNREACHABLE}),
    (drip(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536, 0), {Fault.PROTOCOL, Fault.UNREACHABLE}),
    (drip(b"", b"y" * 65536, 0), {Fault.PROTOCOL, Fault.UNREACHABLE}),
    (drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001), {Fault.TIMEOUT, Fault.PROTOCOL}),
    (drip(OPEN, b"1;" + b"x" * 65536, 0), {Fault.PROTOCOL, Fault.UNREACHABLE, Fault.TIMEOUT}),
    (drip(OPEN + b"0\r\n", b"X: y\r\n" * 1000, 0), {Fault.PROTOCOL, Fault.UNREACHABLE}),
    (drip(OPEN, b"1\r\nx\r\n", 0.05), {Fault.TOO_SLOW, Fault.TIMEOUT}),
    (drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05), {Fault.TIMEOUT}),
    (reply(200, b"x" * 100, "Content-Length: 5", "Content-Length: 7"), {Fault.PROTOCOL}),
    (reply(200, b"x", "Content-Length: -1", length=False), {Fault.PROTOCOL}),
    (reply(200, b"x", "Content-Length: 99999999999999999999", length=False), {Fault.TOO_BIG, Fault.PROTOCOL}),
    (reply(200, b"x", "Transfer-Encoding: gzip, chunked", length=False), {Fault.PROTOCOL}),
    (b"HTTP/1.1 200 OK\r\nX: a\r\n b\x00c\r\n\r\n", {Fault.PROTOCOL, Fault.UNREACHABLE}),
    (b"HTTP/1.1 20\r\n\r\n", {Fault.PROTOCOL}),
], ids=["chunks without end", "body without end", "headers without end", "a header without end", "a line without end",
        "100 Continue for ever", "a chunk extension without end", "trailers without end", "dripping chunks",
        "dripping headers", "two lengths", "a negative length", "a huge length", "an odd transfer coding", "a NUL",
        "status 20"])
async def test_a_flood_is_a_named_fault_in_bounded_time_and_memory(answer: Answer, faults: set[Fault]) -> None:
    timeout = 2.0 if faults & {Fault.TIMEOUT, Fault.TOO_SLOW} else 30.0
    async with site(root=answer) as here:
        async with measured() as cost:
            began, worked = time.perf_counter(), time.process_time()
            error = await fails(here.url(), *here.allow, timeout=timeout, limits=Limits(rate_grace=0.5))
            took, worked, (memory, late) = time.perf_counter() - began, time.process_time() - worked, cost()
    assert error.fault in faults and worked < 5 and took < timeout + 20 and memory < 32 and late < 0.5


async def test_fifty_slow_sites_do_not_hold_up_a_quick_one() -> None:
    async with site(root=drip(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.1)) as slow, site(root=reply(200, b"quick")) as quick:
        async with outbound.client(Settings(allow_private=(*slow.allow, *quick.allow))) as client:
            waiting = [asyncio.create_task(outbound.request(client, "GET", slow.url(), timeout=6)) for _ in range(50)]
            while slow.connections < 50:
                await asyncio.sleep(0.01)
            assert (await outbound.request(client, "GET", quick.url(), timeout=6)).body == b"quick"
            assert not any(task.done() for task in waiting)
            found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, OutboundError) and error.fault is Fault.TIMEOUT for error in found)
