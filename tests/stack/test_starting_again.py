"""The supervisor is killed, the stack is stopped and started: data stay, and nothing of it is ever left behind.

Last of this folder, as it ends what the other tests use.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.stack import ours
from tests.stack.installation import Installation

pytestmark = pytest.mark.stack


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like one of ours by its command, and is somebody else's."""
    found = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(3600)", "agents", "run", "--roles", "score"])
    try:
        yield found
    finally:
        found.kill()
        found.wait()


def kill_the_supervisor(stack: Installation) -> None:
    pid = int((stack.folder.run / "supervisord.pid").read_text())
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    os.close(handle)
    stack.until(lambda: all(each.program != "supervisor" for each in ours.processes(stack.folder)), "it is gone")


def kept(stack: Installation) -> tuple[str, set[str]]:
    """The password file of the desk's admin, and the numbers of all events."""
    numbers = {word for line in stack.wenxun("event", "list", "--all").splitlines() for word in line.split()
               if word.startswith("E-")}
    return stack.folder.secret("admin_password").read_text(), numbers


def test_a_killed_supervisor_leaves_processes_that_the_next_start_ends_and_data_stay(
    told: Installation, stranger: subprocess.Popen[bytes]
) -> None:
    stack, before = told, kept(told)
    old = {each["pid"] for each in stack.processes().values()}
    assert before[1]
    kill_the_supervisor(stack)
    left = {each.pid for each in ours.processes(stack.folder)}
    assert old <= left and stack.folder.socket.exists(), "they run on, and the socket is stale"
    assert "监督进程不在了" in stack.run("status", code=3)
    assert "先结束它留下的" in stack.start()
    now = {each["pid"] for each in stack.processes().values()}
    assert not old & {each.pid for each in ours.processes(stack.folder)} and len(now) == len(old)
    after = kept(stack)
    assert after[0] == before[0] and after[1] >= before[1]
    assert stranger.poll() is None


def test_stopped_everything_is_gone_in_order_and_a_killed_supervisor_changes_nothing(
    told: Installation, stranger: subprocess.Popen[bytes]
) -> None:
    stack, before = told, kept(told)
    said = [line for line in stack.run("stop").splitlines() if line.startswith("停止")]
    assert said[0] == "停止 collect" and set(said[-1].removeprefix("停止 ").split("、")) == {"kafka", "postgres"}
    assert ours.processes(stack.folder) == [] and not stack.folder.socket.exists()
    assert "没有在运行" in stack.run("stop") and "没有在运行" in stack.run("status", code=3)
    stack.start()
    after = kept(stack)
    assert after[0] == before[0] and after[1] >= before[1] and before[1], "started again it has its data"
    kill_the_supervisor(stack)
    stack.run("stop")
    assert ours.processes(stack.folder) == [] and stranger.poll() is None
