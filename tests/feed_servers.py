"""Loopback HTTP servers that behave, and misbehave, as a test says. No HTTP library: every byte is the test's."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """A request as it came. head: the raw bytes of its first line and headers; at: milliseconds of real time."""

    head: bytes
    body: bytes
    at: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    def header(self, name: str) -> bytes | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b": ")
            if key.lower() == name.lower().encode():
                return value
        return None


Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Bytes to send whole, or a function that writes as it likes; then the connection is closed."""


@dataclass
class Site:
    """A running server. answers: path -> answers in turn, the last one for ever after. asked: what came, in order,
    but for requests of /robots.txt: those are in `robots`."""

    answers: dict[str, list[Answer]]
    asked: list[Asked] = field(default_factory=list)
    robots: list[Asked] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    busiest: int = 0
    _busy: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    @property
    def allow(self) -> tuple[str, ...]:
        return (f"127.0.0.1:{self.port}",)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._talk(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        asked = Asked(head, b"")
        length = int(asked.header("content-length") or b"0")
        asked = Asked(head, await reader.readexactly(length))
        (self.robots if asked.path == "/robots.txt" else self.asked).append(asked)
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            turns = self.answers.get(asked.path, [reply(404)])
            answer = turns.pop(0) if len(turns) > 1 else turns[0]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        finally:
            self._busy -= 1

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


_PATHS = {"root": "/", "robots": "/robots.txt"}


@asynccontextmanager
async def site(tls: ssl.SSLContext | None = None, **paths: Answer | list[Answer]) -> AsyncIterator[Site]:
    """A server on 127.0.0.1; `feed=...` answers at /feed, `root=...` at /, `robots=...` at /robots.txt."""
    answers = {_PATHS.get(name, "/" + name): turns if isinstance(turns, list) else [turns]
               for name, turns in paths.items()}
    running = Site(answers)
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0, limit=2**20, ssl=tls)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await running.stop()
        await server.wait_closed()


def reply(status: int = 200, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    """An HTTP answer; headers as `Name: value`, Latin-1."""
    size = [f"Content-Length: {len(body)}"] if length else []
    lines = [f"HTTP/1.1 {status} X", *headers, *size, "Connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def drip(head: bytes, piece: bytes, every: float, times: int = 10_000) -> Answer:
    """The head at once, then a piece every so many seconds."""
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _ in range(times):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every)
    return write
