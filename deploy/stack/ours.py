"""Processes of a stack whose supervisor is gone: found by the mark in their environment, ended by pid.

A process handle (pidfd) is opened before the mark is read again, so a signal never reaches somebody else who got the
number meanwhile.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.layout import MARK, MARK_NAME, STAGES, Folder


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    program: str


def processes(folder: Folder) -> list[Process]:
    """Every process that carries this folder's mark and that we may see, but not this one."""
    return [found for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != os.getpid()
            if (found := _marked(int(entry.name), folder)) is not None]


def _marked(pid: int, folder: Folder) -> Process | None:
    with suppress(OSError):
        parts = (part.partition(b"=") for part in Path("/proc", str(pid), "environ").read_bytes().split(b"\0"))
        environ = {name: value for name, _, value in parts}
        if environ.get(MARK.encode()) == os.fsencode(folder.root):
            return Process(pid, environ.get(MARK_NAME.encode(), b"").decode(errors="replace"))
    return None


def end(folder: Folder, grace: float = 40.0) -> list[Process]:
    """End all of them, in the order in which the stack stops; returns what was there."""
    found = processes(folder)
    stages = [set(stage) for stage in reversed(STAGES)]
    others = {each.program for each in found}.difference({"supervisor"}, *stages)
    for names in ({"supervisor"}, *stages, others):     # the supervisor first: it would start again what ends
        _end([each for each in found if each.program in names], folder, 3 * grace if "supervisor" in names else grace)
    return found


def _end(chosen: Sequence[Process], folder: Folder, grace: float) -> None:
    handles = dict(_opened(chosen, folder))
    try:
        for handle, process in handles.items():
            _send(handle, signal.SIGINT if process.program == "postgres" else signal.SIGTERM)
        left = _wait(set(handles), grace)
        for handle in left:
            _send(handle, signal.SIGKILL)
        _wait(left, 10)
    finally:
        for handle in handles:
            os.close(handle)


def _send(handle: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):                  # it has ended by itself
        signal.pidfd_send_signal(handle, number)


def _opened(chosen: Sequence[Process], folder: Folder) -> Iterator[tuple[int, Process]]:
    for process in chosen:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(process.pid)
            if _marked(process.pid, folder) == process:
                yield handle, process
            else:
                os.close(handle)


def _wait(handles: set[int], seconds: float) -> set[int]:
    """Those that have not ended in time."""
    left, until = set(handles), time.monotonic() + seconds
    while left and (remaining := until - time.monotonic()) > 0:
        left -= set(select.select(list(left), [], [], remaining)[0])
    return left
