"""Ports for servers in other processes: kept, so that nobody else takes one between the choice and the listening."""

from __future__ import annotations

import atexit
import socket
from collections import deque
from contextlib import suppress
from itertools import count

from agents.demo.web import HOST, port_of, reserve

KEPT = 300
_kept: deque[socket.socket] = deque()
"""Bound, not listening. The oldest ones go: their servers have long been there, or ended."""


def free_port() -> int:
    """A port of the loopback address that only who is told of it will listen on (with SO_REUSEADDR, as servers do)."""
    _keep(reserve(0))
    return port_of(_kept[-1])


def free_ports(number: int) -> int:
    """The first of so many free ports in a row."""
    for first in count(free_port() // 2, number):
        row: list[socket.socket] = []
        with suppress(OSError):
            for place in range(number):
                row.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                row[-1].bind((HOST, first + place))
            for sock in row:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _keep(*row)
            return first
        for sock in row:
            sock.close()
    raise AssertionError("no free ports")


def _keep(*socks: socket.socket) -> None:
    _kept.extend(socks)
    while len(_kept) > KEPT:
        _kept.popleft().close()


@atexit.register
def _close() -> None:
    for sock in _kept:
        sock.close()
