"""deploy/kafka/run and its pid file, with a stand-in for java: which process it takes for its broker, and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "deploy" / "kafka" / "run"
JAVA = """#!{python}
import pathlib, signal, socket, sys
if sys.argv[-2] == "kafka.Kafka":
    text = pathlib.Path(sys.argv[-1]).read_text()
    listener = socket.create_server(("127.0.0.1", int(text.partition("listeners=PLAINTEXT://127.0.0.1:")[2].split(",")[0])))
    print("Kafka Server started", flush=True)
    signal.pause()
"""
Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / ".complete").touch()
    (tmp_path / "java").write_text(JAVA.format(python=sys.executable), "utf-8")
    (tmp_path / "java").chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "WENXUN_KAFKA_LIBS": str(tmp_path / "libs"),
               "WENXUN_KAFKA_DATA": str(tmp_path / "data"), "WENXUN_KAFKA_PORT": "0"}

    def done(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["./run", command], cwd=RUN.parent, env=environ, text=True, timeout=100,
                              stdin=subprocess.DEVNULL, capture_output=True)
    return done


def test_its_own_broker_is_started_once_seen_and_ended(run: Run, tmp_path: Path) -> None:
    assert run("status").returncode == 3
    try:
        started = run("start")
        assert started.returncode == 0, started.stderr
        pid = int((tmp_path / "data" / "pid").read_text())
        assert run("start").stdout == f"already running (process {pid})\n"
        assert run("status").returncode == 0 and f"process {pid}" in run("status").stdout
    finally:
        ended = run("stop")
    assert ended.stdout == "stopped\n" and run("status").returncode == 3


def test_a_stranger_who_got_the_number_is_not_taken_for_it_and_lives_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        try:
            (tmp_path / "data" / "pid").write_text(f"{stranger.pid}\n")
            assert run("status").returncode == 3
            assert run("stop").stdout == "not running\n"
            assert stranger.poll() is None
        finally:
            stranger.communicate(b"\n")
    assert stranger.returncode == 0
