"""Whether a program of the stack does its work, as the program itself says."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from deploy.stack import database
from deploy.stack.layout import HOST, ROLES, SITES, Folder
from deploy.stack.programs import Choices

ANSWER_SECONDS = 5


def of(name: str, folder: Folder, choices: Choices, *, alive: bool = False) -> str:
    """Empty when it is ready (alive: when it answers at all), else what is missing."""
    ports = choices.ports
    if name in ROLES:
        return asked(ports[name], "/livez" if alive else "/readyz")
    if name in ("prometheus", "alertmanager"):
        return asked(ports[name], "/-/ready")
    if name == "feeds":
        return asked(ports[name] + SITES - 1, "/")
    return database.up(folder, ports[name]) if name == "postgres" else listens(ports[name])


def of_all(names: Iterable[str], folder: Folder, choices: Choices, *, alive: bool = False) -> dict[str, str]:
    """At once: one that hangs costs its own time only."""
    chosen = list(names)
    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        return dict(zip(chosen, pool.map(lambda name: of(name, folder, choices, alive=alive), chosen), strict=True))


def asked(port: int, path: str) -> str:
    """Empty for an answer 200, else its first line or why there is none."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read(2000).decode(errors="replace").strip()
        return "" if answer.status == 200 else "；".join(text.splitlines()) or f"HTTP {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return "还没有应答" if isinstance(error, ConnectionRefusedError) else f"没有应答（{error}）"
    finally:
        connection.close()


def listens(port: int) -> str:
    try:
        socket.create_connection((HOST, port), timeout=ANSWER_SECONDS).close()
    except OSError:
        return "还没有应答"
    return ""
