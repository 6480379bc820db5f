"""Names, places and ports of the stack: the tables that its other modules read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
HOST = "127.0.0.1"
ROLES = ("collect", "score", "track", "escalate", "deliver", "rules", "desk", "archive")
STAGES: tuple[tuple[str, ...], ...] = (
    ("kafka", "postgres"), ("archive",), ("feeds",), ("rules", "desk"), ("deliver", "escalate", "track", "score"),
    ("alertmanager", "prometheus"), ("collect",))
"""Started in this order and stopped in the other: collect first, what stores last. A stage goes at once."""
NAMES = tuple(name for stage in STAGES for name in stage)
SITES = 11
"""Ports of the demo's feeds: ten sites and the page that receives messages, one after the other."""
MARK, MARK_NAME = "WENXUN_STACK", "WENXUN_STACK_PROGRAM"
"""In the environment of every process of the stack: its folder, and which program it is."""
ALERT_TOKEN, DATABASE = "alertmanager_token", "wenxun"
SECRETS = ("admin_password", "postgres_password", "postgres_superuser_password", "grafana_ro_password")


class StackError(Exception):
    """What a person has to mend; the text says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The stack's folder, absolute. Everything that it writes is in here."""

    root: Path

    def __getitem__(self, name: str) -> Path:
        return self.root / name

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def state(self) -> Path:
        return self.root / "stack.json"

    @property
    def choices(self) -> Path:
        return self.config / "choices.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def secret(self, name: str) -> Path:
        return self.root / "secrets" / name

    def spec(self, name: str) -> Path:
        return self.config / "programs" / f"{name}.json"


PARTS = ("run", "logs", "config", "secrets", "kafka", "postgres", "data", "prometheus", "alertmanager", "rules",
         "demo-rules", "stack.json")
"""What `--fresh` deletes: names in the folder that this program makes, and nothing else."""


def make_folders(folder: Folder) -> None:
    """The folder and its parts, closed to others. Root's is open to pass through: PostgreSQL runs as somebody else."""
    if not folder.root.exists():
        folder.root.mkdir(parents=True)
        folder.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
    for name in ("run", "logs", "config", "config/programs", "secrets", "data", "prometheus", "alertmanager"):
        path = folder[name]
        path.mkdir(exist_ok=True, mode=0o700)
        if stat.S_IMODE(path.stat().st_mode) != 0o700:
            path.chmod(0o700)


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Whole or not at all, never readable by others while it is written."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def env_file(path: Path) -> dict[str, str]:
    """NAME=value lines, as systemd reads them."""
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def rows(path: Path, count: int, reach: int = 64 * 1024) -> list[str]:
    """The last lines of a log, without empty ones."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - reach))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
