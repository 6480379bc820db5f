"""The stack's supervisord, and what it is asked over its socket."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from deploy.stack import programs
from deploy.stack.layout import Folder, StackError

START_SECONDS = 20
ALREADY_STARTED, NOT_RUNNING, BAD_NAME = 60, 70, 10
UP = frozenset({"STARTING", "RUNNING", "BACKOFF"})


@dataclass(frozen=True, slots=True)
class State:
    """What supervisor knows of a process. name of the state; since: when it began (epoch seconds, 0: never)."""

    name: str
    pid: int
    since: int
    status: int

    @property
    def up(self) -> bool:
        return self.name in UP

    @property
    def gone(self) -> bool:
        return self.name in ("STOPPED", "EXITED", "FATAL", "UNKNOWN")


class Supervisor:
    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def _call(self, method: str, *arguments: object) -> Any:
        """A connection for each call: the socket may be another supervisor's by the next."""
        transport = SupervisorTransport(None, None, f"unix://{self._folder.socket}")
        try:
            return getattr(xmlrpc.client.ServerProxy("http://127.0.0.1", transport).supervisor, method)(*arguments)
        finally:
            transport.close()

    def alive(self) -> bool:
        """Whether one answers; a socket file that was left behind does not."""
        try:
            return bool(self._call("getState")["statecode"] == 1)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def start(self) -> None:
        """Begin one in the background, from its configuration in the folder."""
        environ = programs.marked(self._folder, "supervisor", programs.base_environ(os.environ))
        user = ["-u", "root"] if os.geteuid() == 0 else []     # else it warns that nobody was named
        file = str(self._folder.config / "supervisord.conf")
        done = subprocess.run(  # noqa: S603 (our own command)
            [sys.executable, "-m", "supervisor.supervisord", "-c", file, *user],
            env=environ, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        until = time.monotonic() + START_SECONDS
        while not done.returncode and time.monotonic() < until:
            if self.alive():
                return
            time.sleep(0.1)
        said = (done.stderr or done.stdout).strip()[-500:]
        raise StackError(f"监督进程没有启动：{said or '没有应答'}；日志在 {self._folder.log('supervisord')}")

    def states(self) -> dict[str, State]:
        return {each["name"]: State(each["statename"], each["pid"], each["start"], each["exitstatus"])
                for each in self._call("getAllProcessInfo")}

    def begin(self, name: str) -> None:
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != ALREADY_STARTED:
                raise StackError(f"{name} 没有启动：{fault.faultString}；日志在 {self._folder.log(name)}") from None

    def end(self, names: Collection[str], seconds: float) -> None:
        """Ask these to stop, all at once, and wait; supervisor kills what does not in its own time."""
        for name in names:
            try:
                self._call("stopProcess", name, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode not in (NOT_RUNNING, BAD_NAME):
                    raise
        until = time.monotonic() + seconds
        while any(not state.gone for name, state in self.states().items() if name in names):
            if time.monotonic() > until:
                raise StackError(f"{'、'.join(names)} 没有在 {seconds:g} 秒内停下")
            time.sleep(0.1)

    def shutdown(self) -> None:
        self._call("shutdown")

