"""The parent of `wenxun up`: keeps the broker and starts the process with the roles again when it dies.

The child's standard input is a pipe from the parent. When the parent dies, however it dies, the pipe closes and the
child stops (see `follow_parent`), so that no half of an installation runs on.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.errors import SettingsError

log = logging.getLogger("wenxun.supervisor")

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0
"""A child that ran this long starts the backoff afresh."""

PARENT_PIPE = "WENXUN_PARENT_PIPE"
USAGE_ERROR = 2
"""The child's exit code for what a restart cannot mend."""


@contextmanager
def only_instance(data_dir: Path) -> Iterator[None]:
    """Hold the data folder's lock; SettingsError if another process has it. The kernel frees it when we die."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with locked(data_dir / "lock", lambda holder: SettingsError(
            f"{data_dir}: in use by another Wenxun (process {holder or 'unknown'}); "
            "stop it, or choose another folder with --data")):
        yield


@contextmanager
def locked(path: Path, refusal: Callable[[str], Exception]) -> Iterator[None]:
    """Hold a lock file with our process id in it. refusal: what to raise, given the holder's id or nothing."""
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise refusal(file.read().strip()) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Supervisor:
    """Runs one child at a time until it ends by itself with 0 or 2, or until `stop`.

    output: a file descriptor for what the child writes, None for the parent's own. The child has a process group of
    its own: Ctrl-C reaches the parent alone, so that the child is asked to stop once.
    """

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], grace_seconds: float, output: int | None = None
    ) -> None:
        self._command, self._grace, self._output = list(command), grace_seconds, output
        self._environ = {**environ, PARENT_PIPE: "1"}
        self._stopping = threading.Event()
        self._asked = 0
        self.child: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def run(self) -> int:
        """Exit code for the parent: 0 after a stop in time, else the child's."""
        failures = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            code = self._once()
            if self._stopping.is_set():
                return 0 if code in (0, -signal.SIGTERM) else 1
            if code in (0, USAGE_ERROR):
                return code
            failures = 0 if time.monotonic() - started > STEADY_SECONDS else failures + 1
            wait = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            log.error("the roles ended with %s; starting them again in %g s", _said(code), wait)
            self._stopping.wait(wait)
        return 0

    def _once(self) -> int:
        self.child = subprocess.Popen(  # noqa: S603 (our own command)
            self._command, stdin=subprocess.PIPE, stdout=self._output, stderr=self._output, env=self._environ,
            process_group=0)
        self.starts += 1
        if self._stopping.is_set():                     # asked between two children
            self.child.terminate()
        try:
            return self._wait()
        finally:
            if self.child.stdin is not None:
                self.child.stdin.close()

    def _wait(self) -> int:
        """The child's exit code; a child that does not stop in time is killed."""
        assert self.child is not None
        deadline: float | None = None
        while True:
            with suppress(subprocess.TimeoutExpired):
                return self.child.wait(0.2)
            if self._stopping.is_set() and deadline is None:
                deadline = time.monotonic() + self._grace + 2
            if deadline is not None and time.monotonic() > deadline:
                self.child.kill()

    def stop(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """Pass a request to stop on; asked twice, the child ends at once."""
        self._stopping.set()
        self._asked += 1
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL if self._asked > 2 else signal.SIGTERM)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop it, for the main thread."""
        before: dict[int, Any] = {each: signal.signal(each, self.stop) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def follow_parent(environ: Mapping[str, str], grace_seconds: float) -> None:
    """In the child: stop when the parent is gone. Does nothing in a process that was not started by a Supervisor."""
    if environ.get(PARENT_PIPE):
        threading.Thread(target=_wait_for_end, args=(grace_seconds,), daemon=True, name="parent").start()


def _wait_for_end(grace_seconds: float) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds + 2)
    os._exit(1)


def _said(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
