"""What the stack runs: each program's command, environment, limits, and how it is asked to stop."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agents.settings import TABLE, Settings
from deploy.stack.layout import DATABASE, DEPLOY, HOST, MARK, MARK_NAME, ROLES, ROOT, SITES, Folder, env_file

GIB = 1024**3
DEMO_CONTACT = "demo@yunxi.example"


@dataclass(frozen=True, slots=True)
class Choices:
    """What an operator chose; kept in the folder, so that the next start needs no options.

    rules: the rule directory, None for the demo's (feeds) or for the starter's. monitoring: the folder with
    prometheus/ and alertmanager/.
    """

    ports: dict[str, int]
    feeds: bool = True
    rules: str | None = None
    monitoring: str = str(DEPLOY)
    speed: float = 30.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Program:
    """grace: seconds to end in before it is killed. files: open ones. memory: private bytes. user: whose process."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    stop: str = "TERM"
    grace: int = 45
    files: int = 65536
    memory: int | None = None
    oom: int = 0
    user: str = ""
    mends_itself: bool = True
    """False: exit code 2 says that a person must mend something, and it is not started again."""


def settings(folder: Folder, choices: Choices, outside: Mapping[str, str]) -> dict[str, str]:
    """What every role, and every `wenxun` command about this stack, is told.

    The defaults are the systemd units'. outside: the environment of `make stack`; settings in it count, except
    for what is the stack's own.
    """
    ports, desk = choices.ports, f"{HOST}:{choices.ports['desk_page']}"
    asked = {each.name: outside[each.name] for each in TABLE if outside.get(each.name)}
    demo = {
        "WENXUN_CONTACT": DEMO_CONTACT, "WENXUN_BANNER": "演示", "WENXUN_EXTERNAL_URL": f"http://{desk}",
        "WENXUN_LINK_LOOPBACK": "true",
        "WENXUN_FEED_ALLOW_PRIVATE_CIDRS": ",".join(f"{HOST}:{ports['feeds'] + place}" for place in range(SITES)),
    } if choices.feeds else {}
    return {
        **env_file(DEPLOY / "systemd" / "wenxun.env"), **asked, **demo,
        "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{ports['kafka']}",
        "WENXUN_DATA_DIR": str(folder["data"]), "WENXUN_RULES_DIR": str(rules_of(folder, choices)),
        "WENXUN_DATABASE_URL": f"postgresql://{DATABASE}@{HOST}:{ports['postgres']}/{DATABASE}",
        "WENXUN_DATABASE_PASSWORD_FILE": str(folder.secret("postgres_password")),
        "WENXUN_ADMIN_PASSWORD_FILE": str(folder.secret("admin_password")),
        "WENXUN_DESK_BIND": desk,
    }


def rules_of(folder: Folder, choices: Choices) -> Path:
    return folder["demo-rules"] if choices.feeds else Path(choices.rules) if choices.rules else folder["rules"]


def programs(folder: Folder, choices: Choices, outside: Mapping[str, str]) -> dict[str, Program]:
    """Every program of these choices, by name."""
    common = base_environ(outside)
    made = [_kafka(folder, choices, common), _postgres(folder, choices), _prometheus(folder, choices, common),
            _alertmanager(folder, choices, common),
            *(_role(role, folder, choices, outside) for role in ROLES)]
    if choices.feeds:
        made.append(_feeds(folder, choices, common))
    return {each.name: each for each in made}


def base_environ(outside: Mapping[str, str]) -> dict[str, str]:
    names = ("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "JAVA_HOME")
    kept = {name: outside[name] for name in names if name in outside}
    return {"PATH": os.defpath, **kept, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def marked(folder: Folder, name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """By this a process is known as the stack's, also when nobody is left who started it."""
    return {**environ, MARK: str(folder.root), MARK_NAME: name}


def postgres_bin(folder: Folder) -> Path | None:
    """The programs of the version that the data are of, else the newest here; None if there is none."""
    version = folder["postgres"] / "data" / "PG_VERSION"
    if version.exists():
        named = Path("/usr/lib/postgresql", version.read_text("ascii").strip(), "bin")
        if (named / "postgres").exists():
            return named
        plain = shutil.which("postgres")
        return Path(plain).parent if plain else None
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    plain = shutil.which("initdb")
    return found[-1].parent if found else Path(plain).parent if plain else None


def postgres_user() -> str:
    """PostgreSQL refuses to run as root: then it runs as the user that Debian's package makes."""
    return "postgres" if os.geteuid() == 0 else ""


def _kafka(folder: Folder, choices: Choices, common: Mapping[str, str]) -> Program:
    command = (_found("bash"), str(DEPLOY / "kafka" / "run"), "serve", "--data", str(folder["kafka"]),
               "--port", str(choices.ports["kafka"]))
    kept = {name: os.environ[name] for name in ("WENXUN_KAFKA_LIBS", "WENXUN_KAFKA_HEAP") if name in os.environ}
    return Program("kafka", command, marked(folder, "kafka", {**common, **kept}))


def _postgres(folder: Folder, choices: Choices) -> Program:
    options = (f"port={choices.ports['postgres']}", f"listen_addresses={HOST}", "unix_socket_directories=",
               "max_connections=100", "password_encryption=scram-sha-256")
    command = (str((postgres_bin(folder) or Path("/")) / "postgres"), "-D", str(folder["postgres"] / "data"),
               *(part for option in options for part in ("-c", option)))
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    # SIGINT cuts connections and leaves the data whole; SIGTERM would wait for every client.
    return Program("postgres", command, marked(folder, "postgres", environ), stop="INT", user=postgres_user())


def _prometheus(folder: Folder, choices: Choices, common: Mapping[str, str]) -> Program:
    command = (_found("prometheus"), f"--config.file={folder.config / 'prometheus' / 'prometheus.yml'}",
               f"--storage.tsdb.path={folder['prometheus']}", "--storage.tsdb.retention.time=30d",
               f"--web.listen-address={HOST}:{choices.ports['prometheus']}")
    return Program("prometheus", command, marked(folder, "prometheus", {**common, "GOMEMLIMIT": "900MiB"}), oom=200)


def _alertmanager(folder: Folder, choices: Choices, common: Mapping[str, str]) -> Program:
    command = (_found(alertmanager()), f"--config.file={folder.config / 'alertmanager.yml'}",
               f"--storage.path={folder['alertmanager']}", "--cluster.listen-address=",
               f"--web.listen-address={HOST}:{choices.ports['alertmanager']}")
    return Program("alertmanager", command, marked(folder, "alertmanager", {**common, "GOMEMLIMIT": "200MiB"}), oom=200)


def alertmanager() -> str:
    """Debian calls it prometheus-alertmanager, its makers alertmanager."""
    return "prometheus-alertmanager" if shutil.which("prometheus-alertmanager") else "alertmanager"


def _role(role: str, folder: Folder, choices: Choices, outside: Mapping[str, str]) -> Program:
    environ = {**base_environ(outside), **settings(folder, choices, outside),
               "WENXUN_METRICS_BIND": f"{HOST}:{choices.ports[role]}"}
    command = (sys.executable, "-m", "agents", "run", "--roles", role)
    grace = math.ceil(Settings.from_env(environ).grace_seconds) + 15
    return Program(role, command, marked(folder, role, environ), grace=grace, memory=2 * GIB, oom=300,
                   mends_itself=False)


def _feeds(folder: Folder, choices: Choices, common: Mapping[str, str]) -> Program:
    command = (sys.executable, "-m", "agents.demo.feeds", "--port", str(choices.ports["feeds"]),
               "--rules", str(folder["demo-rules"]), "--speed", f"{choices.speed:g}")
    return Program("feeds", command, marked(folder, "feeds", common), memory=GIB, oom=400, mends_itself=False)


def _found(name: str) -> str:
    return shutil.which(name) or name


CWD = ROOT
"""Roles run in the source tree: `python -m agents` finds it there, installed or not."""
