"""Becomes one program of the stack: `python -I child.py SPEC`. Only the standard library: it starts every process.

Waits before a program that keeps ending (supervisor restarts at once), sets its limits, its user and its whole
environment, and is then replaced by it, so that the process which supervisor knows is the program itself.
"""

from __future__ import annotations

import json
import os
import pwd
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

BACKOFF_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0
"""A program that ran this long begins the back-off afresh."""


def main(spec: Path) -> None:
    """Does not return unless the program cannot be run."""
    told = json.loads(spec.read_text("utf-8"))
    wait = back_off(Path(told["starts"]), time.time())
    if wait:
        print(f"stack: {told['name']} ended soon after its start; again in {wait:g} s", flush=True)
        time.sleep(wait)
    _limit(told)
    os.chdir(told["folder"])
    if told["user"]:
        _become(told["user"])
    os.umask(0o077)
    os.execve(told["command"][0], told["command"], told["environ"])  # noqa: S606 (our own command)


def back_off(starts: Path, now: float) -> float:
    """Seconds to wait before this start; notes it. `stack start` and `stack restart` remove the note."""
    last, count = 0.0, -1
    with suppress(OSError, ValueError):
        first, second = starts.read_text("ascii").split()
        last, count = float(first), int(second)
    count = count + 1 if 0 <= now - last < STEADY_SECONDS else 0
    wait = BACKOFF_SECONDS[min(count, len(BACKOFF_SECONDS) - 1)]
    with suppress(OSError):                             # a full disk must not keep it from starting
        starts.write_text(f"{now + wait} {count}", "ascii")
    return wait


def _limit(told: dict[str, object]) -> None:
    """Open files and private memory, as far as the hard limit allows; whom the kernel ends first when memory is out."""
    for name, wanted in ((resource.RLIMIT_NOFILE, told["files"]), (resource.RLIMIT_DATA, told["memory"])):
        _, hard = resource.getrlimit(name)
        if isinstance(wanted, int):
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(name, (value, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))    # a core would hold secrets
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(told["oom"]))


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
