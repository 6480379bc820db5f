"""One stack of `deploy/stack/run` for tests, with free ports, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.stack import cli, config, ours
from deploy.stack.layout import Folder
from tests import servers
from tests.kafka.broker import absent
from tests.postgres_server import programs
from tests.stack import quicker

ROOT = Path(__file__).parents[2]
RUN = ROOT / "deploy" / "stack" / "run"
SPEED = 600
"""The demo's day, 14.5 hours, in 87 seconds, once every source has been polled for the first time."""
PATIENCE = 300


class Installation:
    """state: stack.json, as after the last start."""

    def __init__(self) -> None:
        # /tmp itself, not pytest's folder: as root PostgreSQL runs as somebody who may not pass through that one.
        self.base = Path(tempfile.mkdtemp(prefix="wenxun-stack-"))
        self.base.chmod(0o711)
        self.folder = Folder(self.base / "s")
        self.state: dict[str, Any] = {}

    def run(self, *words: str, code: int | None = 0, seconds: float = 600, **more: str) -> str:
        """What a command prints; AssertionError with all of it when it ends with another code."""
        verb, *rest = words or ("start",)
        done = subprocess.run([RUN, verb, "--data", self.folder.root, *rest], capture_output=True, text=True,
                              timeout=seconds, env={**os.environ, "WENXUN_KAFKA_HEAP": "384m", **more})
        said = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{words}: {done.returncode}\n{said}\n{self.logs()}"
        return said

    def start(self, *options: str) -> str:
        said = self.run("start", *options)
        self.state = json.loads(self.folder.state.read_text("utf-8"))
        return said

    def processes(self) -> dict[str, dict[str, Any]]:
        """As `status --json` says."""
        choices = config.load(self.folder)
        assert choices is not None
        return cli.looked(self.folder, choices)

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-2500:]}"
                         for path in sorted(self.folder.logs.glob("*.log")))

    def close(self) -> None:
        """Nothing of it is left, whatever happened."""
        try:
            if self.folder.choices.exists():
                self.run("stop", code=None, seconds=300)
        finally:
            for _ in range(5):
                for each in ours.processes(self.folder):
                    os.kill(each.pid, signal.SIGKILL)
            shutil.rmtree(self.base, ignore_errors=True)

    # ------------------------------------------------------------ what its parts say

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        answer = get(f"{self.state['prometheus']}/api/v1/query", query=expression).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def firing(self, name: str, since: float | None = None, **labels: str) -> list[dict[str, Any]]:
        """The alert as it fires now, or as it fired at any time since then (epoch seconds)."""
        chosen = ", ".join(f'{key}="{value}"' for key, value in
                           {"alertname": name, "alertstate": "firing", **labels}.items())
        series = f"ALERTS{{{chosen}}}"
        return self.query(series if since is None else f"count_over_time({series}[{int(time.time() - since) + 1}s])")

    def held(self) -> list[dict[str, Any]]:
        """What Alertmanager holds."""
        return list(get(f"{self.state['alertmanager']}/api/v2/alerts").json())

    def messages(self) -> list[dict[str, Any]]:
        """What the demo's phones received."""
        return list(get(f"{self.state['phone']}messages").json()["messages"])

    def wenxun(self, *words: str) -> str:
        """A command in a shell that was set as install.md says."""
        script = f'eval "$({RUN} env --data {self.folder.root})"; exec wenxun "$@"'
        done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tell_the_day(self) -> None:
        """The demo's day again, quicker: what the first poll of a source finds counts for no level."""
        sources = len(yaml.safe_load((self.folder["demo-rules"] / "sources.yml").read_text("utf-8"))["sources"])
        self.until(lambda: self.query(f"count(wenxun_feed_last_success_timestamp_seconds) >= {sources}"),
                   "a first poll of every source")
        path = self.folder.spec("feeds")
        spec = json.loads(path.read_text("utf-8"))
        spec["command"][spec["command"].index("--speed") + 1] = str(SPEED)
        path.write_text(json.dumps(spec), "utf-8")
        self.run("restart", "feeds")

    def until(self, holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Wait until it holds; AssertionError with the ends of all logs if it does not."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except httpx.HTTPError:
                pass                                    # a server that is just being started again
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{self.logs()}"
            time.sleep(0.5)


def get(url: str, **params: str) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.get(url, params=params).raise_for_status()


def require_programs() -> None:
    """A named skip, or a failure where everything must be tested, when a server is not installed."""
    if reason := absent():
        servers.missing("stack", reason)
    programs()
    for name in ("prometheus", "promtool", "prometheus-alertmanager", "psql"):
        servers.program(name, "stack")


def started() -> Installation:
    """Running, every process ready, the demo's day being told."""
    made = Installation()
    try:
        quicker.copy(ROOT / "deploy", made.base / "deploy")
        made.start("--free-ports", "--monitoring", str(made.base / "deploy"))
        made.tell_the_day()
    except BaseException:
        made.close()
        raise
    return made
