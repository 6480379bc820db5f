"""The parent of `wenxun up`: one instance, a child that is started again, and that never outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import supervisor
from agents.supervisor import Supervisor, only_instance
from pipeline.errors import SettingsError

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_SECONDS", (0.01, 0.01))


def child(tmp_path: Path, text: str) -> list[str]:
    script = tmp_path / "child.py"
    script.write_text(text)
    return [sys.executable, str(script)]


def run(made: Supervisor) -> tuple[threading.Thread, list[int]]:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(made.run()))
    thread.start()
    return thread, codes


def test_a_child_that_dies_is_started_again_until_it_stays(tmp_path: Path) -> None:
    log = tmp_path / "starts"
    made = Supervisor(child(tmp_path, f"""
import os, signal, time
with open({str(log)!r}, "a") as file: file.write("x")
starts = os.path.getsize({str(log)!r})
if starts == 1: os.kill(os.getpid(), signal.SIGKILL)
if starts == 2: raise SystemExit(1)
time.sleep(60)
"""), os.environ, 5)
    thread, codes = run(made)
    until(lambda: made.starts == 3 and log.exists() and log.stat().st_size == 3, "a third start")
    made.stop()
    thread.join(60)
    assert codes == [0]


def test_a_child_that_says_it_cannot_be_mended_by_a_restart_is_not_restarted(tmp_path: Path) -> None:
    made = Supervisor(child(tmp_path, "raise SystemExit(2)"), os.environ, 5)
    assert made.run() == 2
    assert made.starts == 1


def test_a_child_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    made = Supervisor(child(tmp_path, f"""
import signal, time, pathlib
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(ready)!r}).touch()
time.sleep(60)
"""), os.environ, -1.9)
    thread, codes = run(made)
    until(ready.exists, "the child runs")
    made.stop()
    thread.join(60)
    assert codes == [1]


def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    text = f"""
import os, sys, time, pathlib
from agents.supervisor import follow_parent
follow_parent(os.environ, 5)
pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))
time.sleep(60)
"""
    script = tmp_path / "child.py"
    script.write_text(text)
    parent = subprocess.Popen([sys.executable, "-c", f"""
import os, sys
from agents.supervisor import Supervisor
Supervisor([sys.executable, {str(script)!r}], {{**os.environ, "PYTHONPATH": {str(ROOT)!r}}}, 5).run()
"""], cwd=ROOT)
    try:
        until(lambda: pid_file.exists() and bool(pid_file.read_text()), "the child runs")
        pid = int(pid_file.read_text())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: _gone(pid), "the child ended")
    finally:
        parent.kill()
        parent.wait()


def test_a_second_instance_on_the_same_data_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    with only_instance(tmp_path / "data"):
        other = subprocess.run([sys.executable, "-c", f"""
from pathlib import Path
from agents.supervisor import only_instance
with only_instance(Path({str(tmp_path / "data")!r})): pass
"""], cwd=ROOT, capture_output=True, text=True)
        assert f"in use by another Wenxun (process {os.getpid()})" in other.stderr
        with pytest.raises(SettingsError, match="--data"), only_instance(tmp_path / "data"):
            pass
    with only_instance(tmp_path / "data"):
        pass


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
