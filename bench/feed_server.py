"""Ten thousand feeds on loopback, some of them hostile. `python -m bench.feed_server PORT HOSTS` serves until killed.

/f/N answers 304 to its own ETag, but one feed in ten always has a new entry. /h/KIND is hostile.
"""

from __future__ import annotations

import asyncio
import re
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import cache
from xml.sax.saxutils import escape

from bench.texts import items

SHOWN = 20
"""Entries of a feed."""
POOL = 4000
HOUR = 3_600_000
BEGIN = 1_795_000_000_000
MiB = 1024**2


def host_of(number: int) -> str:
    return f"127.1.{number // 250}.{number % 250 + 1}"


def is_lively(feed: int) -> bool:
    return feed % 10 == 0


@cache
def _entries() -> list[str]:
    return [f"<item><title>{escape(each.title)}</title><link>{each.url}</link><guid>{each.id}</guid>"
            f"<description>{escape(f'<p>{each.text}</p>')}</description>"
            "<pubDate>Sun, 22 Nov 2026 10:00:00 +0800</pubDate></item>" for each in items(POOL, BEGIN, 1)]


def document(feed: int, version: int) -> bytes:
    """The feed's newest entries, newest first: one more with each version."""
    pool, at = _entries(), feed * 31 + version
    shown = "".join(pool[(at - n) % POOL] for n in range(SHOWN))
    return f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel>{shown}</channel></rss>'.encode()


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# ---------------------------------------------------------------- the hostile ones


async def _drip(head: bytes, piece: bytes, every: float) -> AsyncIterator[bytes]:
    yield head
    while True:
        await asyncio.sleep(every)
        yield piece


async def _once(whole: bytes) -> AsyncIterator[bytes]:
    yield whole


@cache
def _bomb() -> bytes:
    """A gigabyte of zeros in one megabyte of gzip."""
    pack = zlib.compressobj(9, wbits=31)
    begin = pack.compress(b"\0" * MiB) + pack.flush(zlib.Z_FULL_FLUSH)
    return begin + (pack.compress(b"\0" * MiB) + pack.flush(zlib.Z_FULL_FLUSH)) * 1023


_LOL = '<!DOCTYPE rss [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 11)) + "]><rss version='2.0'><channel><title>&a10;"
_OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nConnection: close\r\n"

HOSTILE: dict[str, Callable[[], AsyncIterator[bytes]]] = {
    "slow-head": lambda: _drip(b"HTTP/1.1 200 OK\r\nX: ", b"x", 1.0),
    "slow-body": lambda: _drip(_OPEN + b"\r\n<rss>", b"x", 1.0),
    "endless": lambda: _drip(_OPEN + b"\r\n<rss>", b"<item>" * 10_000, 0.001),
    "headers": lambda: _drip(_OPEN, b"X: y\r\n" * 2_000, 0.01),
    "bomb": lambda: _once(_answer("200 OK", _bomb(), "Content-Encoding: gzip")),
    "entities": lambda: _once(_answer("200 OK", _LOL.encode())),
    "20-MB": lambda: _once(_answer("200 OK", b"<rss>" + b"x" * 20 * MiB)),
    "deep": lambda: _once(_answer("200 OK", b"<rss version='2.0'><channel><item><title>" + b"<a>" * 300_000)),
}


# ---------------------------------------------------------------- the server


class Feeds:
    def __init__(self) -> None:
        self._versions: dict[int, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(60):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                async for piece in self._pieces(head):
                    writer.write(piece)
                    await writer.drain()
        writer.close()

    def _pieces(self, head: str) -> AsyncIterator[bytes]:
        path = head.split(" ", 2)[1]
        if path.startswith("/f/"):
            return _once(self._feed(int(path[3:]), head))
        kind = HOSTILE.get(path.removeprefix("/h/").partition("?")[0])
        return kind() if kind else _once(_answer("404 Not Found", b""))

    def _feed(self, feed: int, head: str) -> bytes:
        if is_lively(feed):
            self._versions[feed] = self._versions.get(feed, 0) + 1
        version = self._versions.get(feed, 0)
        known = re.search(r"(?i)\r\nif-none-match: (.*)\r\n", head)
        tag = f'ETag: "v{version}"'
        if known and known[1] == f'"v{version}"':
            return _answer("304 Not Modified", b"", tag)
        return _answer("200 OK", document(feed, version), "Content-Type: application/rss+xml; charset=utf-8", tag)


async def main(port: int, hosts: int) -> None:
    _entries(), _bomb()
    server = await asyncio.start_server(
        Feeds().serve, [host_of(number) for number in range(hosts)], port, backlog=100)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
