"""The parts of `make stack` that need no server. The whole of it: tests/stack (`make stack-test`)."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agents.runtime import ALL
from deploy.stack import child, cli, config, control, layout, needs, ours, ports, programs
from deploy.stack.layout import Folder, StackError
from deploy.stack.programs import Choices
from tests import servers
from tests.stack import quicker

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "s")
    layout.make_folders(made)
    return made


@pytest.fixture
def choices() -> Choices:
    return Choices(ports.counted_from(21000))


# ---------------------------------------------------------------- names and ports


def test_its_roles_are_all_roles_and_every_program_has_one_stage() -> None:
    assert set(layout.ROLES) == set(ALL)
    assert sorted(layout.NAMES) == sorted({*ALL, "kafka", "postgres", "prometheus", "alertmanager", "feeds"})
    assert layout.STAGES[-1] == ("collect",) and layout.STAGES[0] == ("kafka", "postgres")


def test_ports_are_the_units_and_none_that_debian_starts_by_itself() -> None:
    found = ports.usual()
    for role in ALL:
        text = (ROOT / f"deploy/systemd/roles/{role}.env").read_text("utf-8")
        assert text.strip().endswith(f":{found[role]}")
    every = [port for _, port in ports.every(found)]
    assert len(every) == len(set(every)) and not set(every) & {5432, 9090, 9093, 9100}


def test_counted_ports_lie_side_by_side_and_a_number_that_leaves_no_room_is_refused() -> None:
    every = [port for _, port in ports.every(ports.counted_from(21000))]
    assert every == list(range(21000, 21000 + len(every)))
    for first in (80, 65530):
        with pytest.raises(StackError, match="--ports-from"):
            ports.counted_from(first)


def test_a_port_that_is_taken_is_named_with_who_has_it_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ports.held() as holder:
        port = server.getsockname()[1]
        with pytest.raises(StackError) as refused:
            ports.require_free(holder, {"kafka": port, "postgres": port}, frozenset({"kafka"}))
        said = str(refused.value)
        assert f"端口 {port}（kafka）" in said and f"进程 {os.getpid()}" in said and "--ports-from" in said
        assert "postgres" not in said


def test_a_row_of_ports_leaves_out_what_is_held() -> None:
    with ports.held() as holder:
        first = holder.row(3)
        holder.take(first + 1, shared=True)
        with pytest.raises(OSError, match="in use"):
            holder.take(first + 2)


def test_held_ports_go_to_nobody_else_and_can_be_listened_on() -> None:
    with ports.held() as one, ports.held() as other:
        found, more = one.free(), other.free()
        mine, theirs = ([port for _, port in ports.every(each)] for each in (found, more))
        assert len(set(mine) | set(theirs)) == 2 * len(mine)
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", found["kafka"]))
            server.listen()


def test_kafka_follows_when_its_port_changes_and_keeps_its_controller(folder: Folder) -> None:
    text = (ROOT / "deploy/kafka/server.properties.in").read_text("utf-8")
    for name, value in (("@PORT@", "9092"), ("@CONTROLLER_PORT@", "20001"), ("@ADVERTISE@", "127.0.0.1:9092")):
        text = text.replace(name, value)
    folder["kafka"].mkdir()
    path = folder["kafka"] / "server.properties"
    path.write_text(text)
    ports.move_kafka(folder, 21009)
    now = path.read_text()
    assert "listeners=PLAINTEXT://127.0.0.1:21009,CONTROLLER://127.0.0.1:20001" in now
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:21009\n" in now and "9092" not in now


# ---------------------------------------------------------------- what is written


def test_supervisor_is_told_how_each_program_ends_and_starts_again(folder: Folder, choices: Choices) -> None:
    made = programs.programs(folder, choices, {"PATH": "/usr/bin"})
    parsed = configparser.RawConfigParser(inline_comment_prefixes=None)
    parsed.read_string(config.supervisord(folder, made))
    assert {name.partition(":")[2] for name in parsed.sections() if name.startswith("program:")} == set(layout.NAMES)
    for name, each in made.items():
        section = parsed[f"program:{name}"]
        again = ("unexpected", "2") if name in (*ALL, "feeds") else ("true", None)
        assert (section["autorestart"], section.get("exitcodes")) == again
        assert section["stopsignal"] == ("INT" if name == "postgres" else "TERM") == each.stop
        settings = each.environ
        assert int(section["stopwaitsecs"]) > float(settings.get("WENXUN_GRACE_SECONDS", 0))
    order = {name: int(parsed[f"program:{name}"]["priority"]) for name in made}
    assert order["kafka"] == order["postgres"] == min(order.values()) and order["collect"] == max(order.values())


def test_a_percent_sign_in_the_path_reaches_supervisor_as_one(tmp_path: Path, choices: Choices) -> None:
    folder = Folder(tmp_path / "100%d")
    text = config.supervisord(folder, programs.programs(folder, choices, {}))
    assert "100%%d" in text and "100%d" not in text.replace("%%", "")


def test_roles_are_told_what_the_units_say_and_a_setting_from_outside_counts(folder: Folder, choices: Choices) -> None:
    outside = {"PATH": "/usr/bin", "WENXUN_TIMEZONE": "Asia/Urumqi", "WENXUN_DATA_DIR": "/elsewhere",
               "WENXUN_EXTERNAL_URL": "https://desk.example.gov.cn", "OTHER": "1"}
    own = Choices(choices.ports, feeds=False, rules="/etc/rules")
    settings = programs.settings(folder, own, outside)
    assert settings["WENXUN_PARTITIONS"] == "4" and settings["WENXUN_TIMEZONE"] == "Asia/Urumqi"
    assert settings["WENXUN_DATA_DIR"] == str(folder["data"]) and settings["WENXUN_RULES_DIR"] == "/etc/rules"
    assert settings["WENXUN_EXTERNAL_URL"] == "https://desk.example.gov.cn" and "WENXUN_BANNER" not in settings
    role = programs.programs(folder, own, outside)["score"].environ
    assert "OTHER" not in role and role[layout.MARK] == str(folder.root) and role[layout.MARK_NAME] == "score"
    assert programs.settings(folder, choices, outside)["WENXUN_BANNER"] == "演示"


@pytest.mark.promtool
@pytest.mark.alertmanager
def test_what_is_written_for_prometheus_and_alertmanager_is_theirs(folder: Folder, choices: Choices) -> None:
    config.prometheus(folder, choices)
    config.alertmanager(folder, choices)
    for program, marker, verb, path in (
            ("promtool", "promtool", ("check", "config"), folder.config / "prometheus" / "prometheus.yml"),
            ("amtool", "alertmanager", ("check-config",), folder.config / "alertmanager.yml")):
        done = subprocess.run([servers.program(program, marker), *verb, path], capture_output=True, text=True)
        assert done.returncode == 0 and "not found" not in done.stdout, done.stdout + done.stderr


def test_only_addresses_and_the_tokens_path_differ_from_what_is_in_deploy(folder: Folder, choices: Choices) -> None:
    config.prometheus(folder, choices)
    config.alertmanager(folder, choices)
    theirs, mine = (yaml.safe_load(path.read_text("utf-8")) for path in (
        ROOT / "deploy/prometheus/prometheus.yml", folder.config / "prometheus/prometheus.yml"))
    assert mine["global"]["external_labels"].pop("desk") == "http://127.0.0.1:21000"
    assert theirs["global"]["external_labels"].pop("desk") == config.DEBIANS_DESK
    assert mine == theirs
    assert (folder.config / "prometheus/rules").resolve() == ROOT / "deploy/prometheus/rules"
    theirs, mine = (yaml.safe_load(path.read_text("utf-8")) for path in (
        ROOT / "deploy/alertmanager/one-machine.yml", folder.config / "alertmanager.yml"))
    hooks = [each["receivers"][0]["webhook_configs"][0] for each in (theirs, mine)]
    assert [hook.pop("url") for hook in hooks] == [f"{config.DEBIANS_DESK}/api/v1/alertmanager",
                                                   "http://127.0.0.1:21000/api/v1/alertmanager"]
    assert [hook["http_config"]["authorization"].pop("credentials_file") for hook in hooks] == [
        config.DEBIANS_TOKEN, str(folder.secret(layout.ALERT_TOKEN))]
    assert mine == theirs


def test_the_targets_name_what_the_ones_for_one_machine_name(folder: Folder) -> None:
    config.prometheus(folder, Choices(ports.usual()))
    here, there = (path / "targets" for path in (folder.config / "prometheus", folder.root))
    shutil.copytree(ROOT / "deploy/prometheus/targets/one-machine", there)
    read = {name: [yaml.safe_load((each / f"{name}.yml").read_text()) for each in (here, there)]
            for name in ("roles", "alertmanager", "monitoring")}
    roles = [{each["labels"]["role"]: each["targets"] for each in found} for found in read["roles"]]
    assert roles[0] == roles[1]
    parts = [{each["labels"]["part"] for each in found} for found in read["monitoring"]]
    assert parts[0] == parts[1]                         # a Grafana is neither's: whoever has one adds its target


def test_stack_json_has_addresses_and_files_and_no_password(folder: Folder, choices: Choices) -> None:
    config.save(folder, choices, programs.programs(folder, choices, {}))
    told = json.loads(folder.state.read_text("utf-8"))
    assert {"kafka", "database_url", "prometheus", "alertmanager", "desk", "roles", "grafana_ro_password_file",
            "supervisor_socket"} <= set(told)
    assert set(told["roles"]) == set(ALL) and told["database_url"].startswith("postgresql://wenxun@127.0.0.1:")
    assert config.load(folder) == choices
    folder.choices.write_text("{")
    with pytest.raises(StackError, match="读不懂"):
        config.load(folder)


# ---------------------------------------------------------------- what must be so


def test_missing_programs_are_named_with_one_line_that_installs_them(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs.shutil, "which", lambda name: None)
    monkeypatch.setattr(programs, "postgres_bin", lambda _: None)
    monkeypatch.setenv("WENXUN_KAFKA_LIBS", str(folder.root))
    with pytest.raises(StackError) as refused:
        needs.programs_are_there(folder)
    said = str(refused.value)
    assert "sudo apt-get install maven openjdk-17-jre-headless postgresql prometheus prometheus-alertmanager" in said


def test_data_of_a_version_that_is_not_installed_name_its_package(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder["postgres"] / "data").mkdir(parents=True)
    (folder["postgres"] / "data" / "PG_VERSION").write_text("9\n")
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    with pytest.raises(StackError, match="postgresql-9"):
        needs.programs_are_there(folder)


@pytest.mark.parametrize(("name", "said"), [("a" * 100, "路径太长"), ("a;b", "不能有"), ("a\"b", "不能有")])
def test_a_path_that_supervisor_cannot_have_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(StackError, match=said):
        needs.folder_fits(Folder(tmp_path / name))


def test_a_folder_with_other_things_in_it_or_of_another_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StackError, match=r"thesis\.tex"):
        needs.folder_fits(Folder(tmp_path))
    (tmp_path / "thesis.tex").unlink()
    needs.folder_fits(Folder(tmp_path))
    monkeypatch.setattr(needs.os, "geteuid", lambda: 54321)
    with pytest.raises(StackError, match="属于用户.*54321"):
        needs.folder_fits(Folder(tmp_path))


def test_a_disk_that_is_nearly_full_is_said_before_anything_is_started(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.room(folder)
    usage = type(shutil.disk_usage("/"))(100, 99, 1)
    monkeypatch.setattr(needs.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StackError, match="磁盘只剩 0 MiB"):
        needs.room(folder)


def test_the_last_words_of_a_program_say_when_the_disk_is_full(folder: Folder) -> None:
    folder.log("kafka").write_text("ERROR java.io.IOException: No space left on device\n\nINFO shut down completed\n")
    said = control.last_words(folder, "kafka")
    assert "INFO shut down completed" in said and "磁盘满了" in said
    assert control.last_words(folder, "score") == ""


# ---------------------------------------------------------------- commands


def run(*words: str | Path) -> int:
    return cli.main([str(word) for word in words])


def test_commands_about_a_stack_that_never_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "s"
    assert run("stop", "--data", folder) == 0 and run("status", "--data", folder) == 2
    assert run("env", "--data", folder) == 2 and run("restart", "score", "--data", folder) == 2
    assert "make stack" in capsys.readouterr().err and not folder.exists()


def test_two_commands_at_once_the_second_says_who_is_at_work(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    with control.alone(folder):
        assert run("start", "--data", folder.root) == 2
    assert f"进程 {os.getpid()}" in capsys.readouterr().err


def test_fresh_asks_before_it_deletes_and_deletes_only_what_is_its_own(
    folder: Folder, choices: Choices, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config.save(folder, choices, programs.programs(folder, choices, {}))
    assert run("start", "--fresh", "--data", folder.root) == 2 and "--yes" in capsys.readouterr().out
    monkeypatch.setattr(cli.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert run("start", "--fresh", "--data", folder.root) == 2 and folder.state.exists()
    (folder.root / "notes.txt").write_text("mine")
    control.delete(folder)
    assert {path.name for path in folder.root.iterdir()} == {"notes.txt", "run"}


def test_rules_that_are_not_there_and_options_that_contradict_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--rules", tmp_path, "--feeds", "--data", tmp_path / "s") == 2
    assert "不能同时用" in capsys.readouterr().err
    with pytest.raises(StackError, match="没有规则文件"):
        needs.rules_are_there(tmp_path)


# ---------------------------------------------------------------- processes


def test_a_program_that_keeps_ending_waits_longer_and_one_that_was_steady_does_not(tmp_path: Path) -> None:
    starts, now, waits = tmp_path / "starts", 1000.0, []
    for _ in range(8):
        waits.append(child.back_off(starts, now))
        now += waits[-1] + 1
    assert waits == [0, 1, 2, 5, 10, 30, 30, 30]
    assert child.back_off(starts, now + child.STEADY_SECONDS) == 0
    assert child.back_off(starts, now - 3600) == 0, "a clock that was set back"


def test_a_program_gets_its_environment_its_folder_and_its_limits_and_nothing_else(tmp_path: Path) -> None:
    told = {"name": "x", "command": ["/bin/sh", "-c", "env; pwd; ulimit -n; ulimit -c; ulimit -d"],
            "environ": {"ONLY": "this"}, "folder": str(tmp_path), "starts": str(tmp_path / "starts"), "user": "",
            "files": 256, "memory": 64 * 1024**2, "oom": 300}
    spec = tmp_path / "x.json"
    spec.write_text(json.dumps(told))
    done = subprocess.run([sys.executable, "-I", child.__file__, spec], capture_output=True, text=True,
                          env={"SECRET": "no", "PATH": "/usr/bin"})
    lines = done.stdout.split()
    assert "ONLY=this" in lines and "SECRET" not in done.stdout
    assert lines[-4:] == [str(tmp_path), "256", "0", str(64 * 1024)], done.stderr


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Ours, ours that does not mind SIGTERM, one of another folder, one of nobody."""
    stubborn = "trap '' TERM; echo; while :; do sleep 0.05; done"
    made = {}
    sleep = "echo; exec sleep 600"
    for name, line, mark in (("kafka", sleep, tmp_path), ("score", stubborn, tmp_path),
                             ("other", sleep, tmp_path / "other"), ("nobody", sleep, "")):
        environ = {"PATH": os.environ["PATH"], layout.MARK: str(mark), layout.MARK_NAME: name}
        made[name] = subprocess.Popen(["/bin/sh", "-c", line], env=environ, stdout=subprocess.PIPE)
    try:
        for each in made.values():
            assert each.stdout is not None and each.stdout.readline() == b"\n"
        yield made
    finally:
        for each in made.values():
            each.kill()
            each.wait()
            assert each.stdout is not None
            each.stdout.close()


def test_what_is_left_of_a_stack_is_ended_and_nothing_else(
    tmp_path: Path, sleepers: dict[str, subprocess.Popen[bytes]]
) -> None:
    folder = Folder(tmp_path)
    found = {each.pid: each.program for each in ours.processes(folder)}
    assert {sleepers["kafka"].pid: "kafka", sleepers["score"].pid: "score"}.items() <= found.items()
    assert set(found.values()) == {"kafka", "score"}
    ours.end(folder, grace=2)
    assert sleepers["kafka"].wait(60) == -signal.SIGTERM and sleepers["score"].wait(60) == -signal.SIGKILL
    assert sleepers["other"].poll() is None and sleepers["nobody"].poll() is None
    until = time.monotonic() + 60                       # the last short sleep of the stubborn one ends by itself
    while ours.processes(folder):
        assert time.monotonic() < until, ours.processes(folder)
        time.sleep(0.05)


# ---------------------------------------------------------------- the copy that tests use


def test_the_quicker_configuration_differs_in_durations_only() -> None:
    assert quicker.divided("2m") == "6000ms" and quicker.divided("1h30m", 10) == "540000ms"
    assert quicker.expression("rate(a[5m]) > 600 and b offset 1h", 20) == "rate(a[15000ms]) > 600 and b offset 180000ms"
    assert quicker.expression("max_over_time(a[1h:1m])", 60) == "max_over_time(a[60000ms:1000ms])"
    made = quicker.quicker({"for": "2m", "annotations": {"description": "2m [5m]"}, "global": {
        "scrape_interval": "15s", "scrape_timeout": "5s"}})
    assert made == {"for": "6000ms", "annotations": {"description": "2m [5m]"}, "global": {
        "scrape_interval": "750ms", "scrape_timeout": "750ms"}}


@pytest.mark.promtool
def test_promtool_takes_the_quicker_rules(tmp_path: Path) -> None:
    quicker.copy(ROOT / "deploy", tmp_path)
    done = subprocess.run([servers.program("promtool", "promtool"), "check", "rules",
                           *(tmp_path / "prometheus" / "rules").glob("*.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
