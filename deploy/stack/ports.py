"""Which ports the stack listens on, that they are free, and who has the ones that are not."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.stack.layout import DEPLOY, HOST, ROLES, SITES, Folder, StackError, env_file

NAMES = ("desk_page", *ROLES, "kafka", "postgres", "prometheus", "alertmanager", "feeds")
"""`desk` is the desk's port for probes, like the other roles'; `desk_page` is the desk. feeds: the first of SITES."""
BESIDE_DEBIANS = {"postgres": 15432, "prometheus": 19090, "alertmanager": 19093, "feeds": 19100}
"""Debian's packages start servers of their own on 5432, 9090, 9093 and 9100 when they are installed."""


def usual() -> dict[str, int]:
    """The ports that the systemd units have, except for what would meet Debian's own services."""
    units = DEPLOY / "systemd"
    common = env_file(units / "wenxun.env")
    found = {"desk_page": _port(common["WENXUN_DESK_BIND"]), "kafka": _port(common["KAFKA_BOOTSTRAP_SERVERS"])}
    found |= {role: _port(env_file(units / "roles" / f"{role}.env")["WENXUN_METRICS_BIND"]) for role in ROLES}
    return {name: {**found, **BESIDE_DEBIANS}[name] for name in NAMES}


def counted_from(first: int) -> dict[str, int]:
    """One after the other, in the order of NAMES; the feeds have the last SITES."""
    last = first + len(NAMES) - 1 + SITES - 1
    if not 1024 <= first <= last <= 65535:
        raise StackError(f"--ports-from {first}：需要从 1024 到 {65535 - len(NAMES) - SITES + 2} 之间的一个数，"
                         f"共占用 {len(NAMES) + SITES - 1} 个连续端口")
    return {name: first + place for place, name in enumerate(NAMES)}


def every(ports: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """(name, port) of every port, those of the feeds' sites too."""
    for name, port in ports.items():
        for place in range(SITES if name == "feeds" else 1):
            yield name, port + place


class Held:
    """Ports that nobody else gets: bound, not listened on, so that the programs which are started can take them."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def take(self, port: int, *, shared: bool = False) -> int:
        """A given port, or with 0 one that the system chooses. OSError if somebody has it.

        shared: one that is held already, here or by another, may be held again; only a listener is in the way.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((HOST, port))
        except OSError:
            sock.close()
            raise
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sockets.append(sock)
        return int(sock.getsockname()[1])

    def row(self, length: int) -> int:
        """The first of so many free ports in a row."""
        for _ in range(200):
            first = self.take(0)
            with suppress(OSError, OverflowError):
                for place in range(1, length):
                    self.take(first + place)
                return first
        raise StackError(f"找不到 {length} 个连续的空闲端口；请用 --ports-from N 指定")

    def free(self) -> dict[str, int]:
        return {name: self.row(SITES) if name == "feeds" else self.take(0) for name in NAMES}

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()


@contextmanager
def held() -> Iterator[Held]:
    found = Held()
    try:
        yield found
    finally:
        found.close()


def require_free(holder: Held, ports: Mapping[str, int], wanted: frozenset[str]) -> None:
    """Hold the ports of what is to be started. StackError names every one that is taken, and by whom."""
    taken = []
    for name, port in every({name: port for name, port in ports.items() if name in wanted}):
        try:
            holder.take(port, shared=True)
        except OSError as error:
            who = listener(port)
            by = f"被 {who} 占用" if who else f"被别的程序占用（{error.strerror}；以 root 运行可看到是哪个）"
            taken.append(f"  端口 {port}（{name}）{by}")
    if taken:
        raise StackError("\n".join([
            "有端口被占用：", *taken,
            "请停掉占用它的程序，或换一段端口：make stack ARGS='--ports-from 21000'（或 --free-ports）"]))


def listener(port: int) -> str:
    """「prometheus（进程 123）」 of whoever listens on a loopback port here, empty if that cannot be seen."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(table, port)}
    for folder in Path("/proc").glob("[0-9]*/fd") if inodes else ():
        with suppress(OSError):
            if any(os.readlink(each) in inodes for each in folder.iterdir()):
                return f"{(folder.parent / 'comm').read_text().strip()}（进程 {folder.parent.name}）"
    return ""


def _listening(table: str, port: int) -> Iterator[str]:
    with suppress(OSError):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]


def move_kafka(folder: Folder, port: int) -> None:
    """The broker's own file holds its port since the first start: it follows."""
    path = folder["kafka"] / "server.properties"
    if path.exists():
        text = path.read_text("utf-8")
        moved = re.sub(rf"(listeners=PLAINTEXT://{re.escape(HOST)}:)\d+", rf"\g<1>{port}", text)
        if moved != text:
            path.write_text(moved, "utf-8")


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
