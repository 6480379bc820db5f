"""The systemd units: read by systemd's own checkers where they are, and as data."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from agents.runtime import ALL
from agents.settings import TABLE, Settings
from tests import servers

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "systemd"
ROLE = (FOLDER / "wenxun@.service").read_text("utf-8")
KAFKA = (FOLDER / "wenxun-kafka.service").read_text("utf-8")
EXPOSURE = 25
"""Of 100, by `systemd-analyze security`; under 40 it calls a unit OK."""


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.M)


def env(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text("utf-8").splitlines() if line and line[0] != "#")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with programs that exist here, the template once per role."""
    for path in FOLDER.glob("wenxun*.*"):
        text = re.sub(r"^(Exec\w+)=\S+", r"\1=/bin/true", path.read_text("utf-8"), flags=re.M)
        (tmp_path / path.name).write_text(text, "utf-8")
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = servers.program("systemd-analyze", "systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)


def test_systemd_finds_nothing_wrong_with_them(units: Path) -> None:
    for role in ALL:
        (units / f"wenxun@{role}.service").write_text(ROLE.replace("/opt/wenxun/bin/wenxun", "/bin/true"), "utf-8")
    names = [units / f"wenxun@{role}.service" for role in ALL]
    done = analyze("verify", "--man=no", "--recursive-errors=no", *names,
                   units / "wenxun-kafka.service", units / "wenxun.target")
    ours = [line for line in done.stderr.splitlines() if "wenxun" in line]
    assert (done.returncode, ours) == (0, [])


def test_systemd_would_find_a_misspelt_option(units: Path) -> None:
    (units / "wenxun-kafka.service").write_text(KAFKA.replace("NoNewPrivileges=yes", "NoNewPrivilege=yes"), "utf-8")
    assert "NoNewPrivilege" in analyze("verify", "--man=no", units / "wenxun-kafka.service").stderr


def test_the_roles_are_confined(units: Path) -> None:
    (units / "wenxun@collect.service").write_text(ROLE, "utf-8")
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", units / "wenxun@collect.service")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert analyze("security", "--offline=yes", "--threshold=1", units / "wenxun@collect.service").returncode != 0


def test_the_target_starts_every_role_and_each_has_a_port() -> None:
    target = (FOLDER / "wenxun.target").read_text("utf-8")
    wanted = {name for line in values(target, "Wants") for name in line.split()}
    assert wanted == {f"wenxun@{role}.service" for role in ALL}
    files = {path.stem: env(path) for path in (FOLDER / "roles").glob("*.env")}
    assert set(files) == set(ALL) and all(set(each) == {"WENXUN_METRICS_BIND"} for each in files.values())
    ports = {Settings.from_env(each).metrics_bind for each in files.values()}
    assert len(ports) == len(ALL) and {host for host, _ in ports} == {"127.0.0.1"}
    assert Settings.from_env(env(FOLDER / "wenxun.env")).desk_bind not in ports


@pytest.mark.parametrize("role", ALL)
def test_the_settings_of_every_role_are_known_and_taken(role: str) -> None:
    environ = {**env(FOLDER / "wenxun.env"), **env(FOLDER / "roles" / f"{role}.env")}
    assert set(environ) <= {each.name for each in TABLE}
    settings = Settings.from_env(environ)
    assert settings.grace_seconds < int(values(ROLE, "TimeoutStopSec")[0])
    assert str(settings.data_dir) == f"/var/lib/{values(ROLE, 'StateDirectory')[0]}"
    assert not [key for key in environ if "PASSWORD" in key and not key.endswith("_FILE")]


def test_a_role_that_a_person_must_mend_is_not_started_for_ever_and_any_other_is() -> None:
    assert values(ROLE, "Restart") == ["always"] and values(ROLE, "RestartPreventExitStatus") == ["2"]
    assert values(ROLE, "StartLimitIntervalSec") == ["0"]
    for unit in (ROLE, KAFKA):
        assert values(unit, "User") == ["wenxun"] and values(unit, "MemoryMax") and values(unit, "NoNewPrivileges")


def test_a_role_may_read_what_its_process_series_are_made_of(tmp_path: Path) -> None:
    """ProcSubset=pid hides /proc/stat and /proc/meminfo: no process_start_time_seconds, which alerts ask for."""
    assert values(ROLE, "ProcSubset") in ([], ["all"])
    rules = "".join(path.read_text("utf-8") for path in (ROOT / "deploy/prometheus/rules").glob("*.yml"))
    assert "process_start_time_seconds" in rules
    for name, seen in (("hidden", False), ("whole", True)):
        process = tmp_path / name / "self"
        process.mkdir(parents=True)
        for file in ("stat", "limits"):
            (process / file).write_bytes(Path("/proc/self", file).read_bytes())
        if seen:
            (process.parent / "stat").write_bytes(Path("/proc/stat").read_bytes())
        registry = CollectorRegistry()
        ProcessCollector(proc=str(process.parent), registry=registry)
        assert (b"process_start_time_seconds" in generate_latest(registry)) is seen


def test_what_kafkas_unit_runs_is_the_script_with_its_own_words() -> None:
    script = (ROOT / "deploy/kafka/run").read_text("utf-8")
    assert values(KAFKA, "ExecStart") == ["/opt/wenxun/deploy/kafka/run start"]
    assert all(name in script for name in re.findall(r"WENXUN_KAFKA_\w+", KAFKA))
    assert values(KAFKA, "PIDFile") == ["/var/lib/wenxun-kafka/pid"] and '"$data/pid"' in script
