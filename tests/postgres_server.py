"""A PostgreSQL of its own for tests: Debian's programs, a temp folder, loopback, no Unix socket, a password."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from tests.ports import free_port
from tests.servers import missing

USER = "wenxun"
START_SECONDS = 60
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


def programs() -> Path:
    """The folder with initdb and postgres of the newest version here, or a named skip."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    named = shutil.which("initdb")
    if not found and not named:
        missing("postgres", "PostgreSQL is not installed (apt-get install postgresql)")
    return found[-1].parent if found else Path(str(named)).parent


@dataclass
class Server:
    """A running server; stop() and start() as an operator would, with the data kept."""

    folder: Path
    port: int
    password: str
    bin: Path
    durable: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    def url(self, database: str, *, user: str = USER) -> str:
        return (f"postgresql://{user}@127.0.0.1:{self.port}/{database}?password_file={self.password_file}"
                "&sslmode=disable")

    def connect(self, database: str = "postgres", *, user: str = USER) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=self.password, dbname=database, autocommit=True,
            connect_timeout=10, sslmode="disable")

    def start(self) -> None:
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100",
                   *([] if self.durable else _QUICK)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*as_nobody(), str(self.bin / "postgres"), "-D", str(self.folder / "data"),
                 *(part for option in options for part in ("-c", option))],
                stdout=log, stderr=log, cwd=self.folder, env=plain_environment())
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: connections are cut, the data is whole ("fast"); SIGQUIT: as if it crashed ("immediate")."""
        if self.process is not None:
            os.kill(self.process.pid, how)
            self.process.wait(timeout=60)
            self.process = None

    def freeze(self) -> None:
        """It hangs, every process of it: its kernel goes on answering."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, what: signal.Signals) -> None:
        assert self.process is not None
        top = self.process.pid
        children = Path(f"/proc/{top}/task/{top}/children").read_text().split()
        for pid in (top, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, what)

    def create(self, database: str, template: str = "template0") -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(
                sql.Identifier(database), sql.Identifier(template), sql.Identifier("wal_log")))

    def drop(self, database: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


@contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    """A new server, gone with its data afterwards. durable: it minds power cuts, as an installation's does."""
    found = programs()
    folder = Path(tempfile.mkdtemp(prefix="wenxun-postgres-"))
    server = Server(folder, free_port(), secrets.token_urlsafe(24), found, durable)
    try:
        _initdb(server)
        server.start()
        yield server
    finally:
        try:
            server.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _initdb(server: Server) -> None:
    server.password_file.write_text(server.password + "\n")
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("postgres")
        for path in (server.folder, server.password_file):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    server.password_file.chmod(0o600)
    # ICU's order of words is not the order of bytes: what relies on that fails here, as it would at somebody's.
    subprocess.run(
        [*as_nobody(), str(server.bin / "initdb"), "-D", str(server.folder / "data"), "-U", USER, "-E", "UTF8",
         "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US", "-A", "scram-sha-256",
         f"--pwfile={server.password_file}", "--no-sync"],
        check=True, capture_output=True, cwd=server.folder, env=plain_environment(), timeout=120)


def as_nobody() -> list[str]:
    """What to put before a command of PostgreSQL, which refuses to run as root."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def plain_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
