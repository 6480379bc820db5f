"""Small HTTP servers inside the demo's own process, on loopback ports that the system chooses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the command, not to this server."""
        yield


def listen(port: int = 0, host: str = HOST) -> socket.socket:
    """A listening socket; port 0: any free one. OSError if the port is taken, or the address cannot be had."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def reserve(preferred: int) -> socket.socket:
    """A bound socket that does not listen, on the preferred port if it is free, else on one the system chooses.

    For a server in another process: while it is held that process can listen on the port, and no other reserve gets it.
    """
    for port in (preferred, 0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.bind((HOST, port))
        except OSError:
            sock.close()
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)   # now the server may bind it too
        return sock
    raise OSError("no free loopback port")


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Answer on the sockets until the block is left; open event streams are cut then."""
    config = uvicorn.Config(
        app, lifespan="off", log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=1,
        timeout_keep_alive=60)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=list(sockets)), name="demo-web")
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task
        for sock in sockets:
            sock.close()
