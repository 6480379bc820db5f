"""docs/install.md: files, units, services and names in it are there. Its commands: test_docs_commands.py."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from deploy.stack import cli, layout
from deploy.stack.ports import usual
from tests.deploy import doc_kit
from tests.deploy.doc_kit import ROOT
from tests.deploy.test_kubernetes import OVERLAYS, generate, of, overlay, pods, settings_of

INSTALL = doc_kit.page(ROOT / "docs" / "install.md")
TEXT = INSTALL.text
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
PLAIN = {"cp", "chmod", "chown", "curl", "install", "journalctl", "printf", "cat", "createuser", "createdb", "psql",
         "eval", "tee", "useradd", "set", ".", "apt-get", "pip", "python", "python3"}
"""Programs of the system whose options are not checked here."""
DEBIANS = {"prometheus.service", "prometheus-alertmanager.service"}
COMMANDS = list(doc_kit.commands(INSTALL))


def of_program(name: str) -> list[list[str]]:
    return doc_kit.of_program(INSTALL, name)


def option(words: list[str], name: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == name]


def test_every_line_is_understood_and_its_program_known() -> None:
    known = {*PLAIN, "wenxun", "docker", "kubectl", "make", "systemctl", "secrets.sh", "run"}
    assert len(COMMANDS) > 50
    assert [line for line, command in COMMANDS if command[0].rpartition("/")[2] not in known] == []


def test_every_file_and_target_of_ours_is_there() -> None:
    named = {word for _, command in COMMANDS for word in command
             if word.startswith(("deploy/", "requirements", ".env.example", "rules/")) and "secrets/" not in word}
    assert len(named) > 10
    for word in named - {"rules/secrets"}:
        assert list(ROOT.glob(word)), word
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert {words[0] for words in of_program("make")} == {"compose-check", "stack", "stack-down"}
    assert all(re.search(rf"^{words[0]}:", makefile, re.M) for words in of_program("make"))
    script = (ROOT / "deploy/kafka/run").read_text("utf-8")
    assert [words for words in of_program("run") if words == ["jars"]] and "jars) fetch" in script


def test_every_command_about_the_stack_is_taken_by_its_parser_and_ports_and_parts_are_its_own() -> None:
    told = [words for words in of_program("run") if words != ["jars"]]
    told += [shlex.split(words[1].partition("=")[2]) for words in of_program("make") if len(words) > 1]
    assert len(told) >= 8
    for words in told:
        assert cli.parser().parse_args(cli.with_verb(words))
    ports = usual()
    section = TEXT.partition("## One machine in one command")[2].partition("\n## ")[0]
    for number in (*ports.values(), ports["feeds"] + layout.SITES - 1):
        assert str(number) in section or 8101 <= number <= 8108
    named = {name.rstrip("/") for name in re.findall(r"`([a-z-]+(?:/|\.json))`", section.partition("\n| in")[2])}
    assert named - {"targets", "wenxun-stack"} == set(layout.PARTS) - {"run", "logs"}
    assert all((ROOT / path).exists() for path in re.findall(r"`(overlays/[\w./-]+|base/[\w./-]+)`", TEXT)
               for path in [f"deploy/kubernetes/{path}"])


def test_units_and_packages_are_those_that_are_used() -> None:
    units = {word for words in of_program("systemctl") for word in words if "." in word}
    ours = {path.name for path in (ROOT / "deploy/systemd").iterdir()}
    assert units == DEBIANS | {"wenxun-kafka.service", "wenxun.target"} and units - DEBIANS <= ours
    copied = {Path(word).name for words in of_program("cp") for word in words if "systemd/wenxun" in word}
    assert {name for name in ours if name.startswith("wenxun")} == copied
    unit = (ROOT / "deploy/systemd/wenxun@.service").read_text("utf-8")
    for folder in ("/etc/wenxun/wenxun.env", "/etc/wenxun/roles/", "/opt/wenxun/bin/wenxun", "User=wenxun"):
        assert folder in unit and folder.removeprefix("User=") in TEXT


def test_ports_are_the_ones_that_are_set() -> None:
    desk = (ROOT / "deploy/systemd/roles/desk.env").read_text("utf-8")
    assert [words[-1] for words in of_program("curl")] == [f"http://{desk.strip().partition('=')[2]}/readyz"]
    published = " ".join(port for service in COMPOSE["services"].values() for port in service.get("ports", []))
    for port in ("8000", "9090", "9093", "3000", "9110"):
        assert port in TEXT and port in published


def test_docker_names_services_profiles_and_files_that_are_there() -> None:
    told = [words[1:] for words in of_program("docker") if words[0] == "compose"]
    assert len(told) >= 7
    for words in told:
        assert set(option(words, "--profile")) <= {"demo"}
        assert all(path == ".env" or (ROOT / path).exists() for path in option(words, "--env-file"))
        assert {scale.partition("=")[0] for scale in option(words, "--scale")} <= set(COMPOSE["services"])
        if words[0] == "exec":
            assert words[2] in COMPOSE["services"]
        if words[0] == "logs":
            assert words[-1] in COMPOSE["services"]


def test_the_secrets_that_one_is_told_to_make_are_the_ones_that_pods_mount() -> None:
    told = {words[5]: [each.partition("=")[2] for each in words if each.startswith("--from-file=")]
            for words in of_program("kubectl") if "secret" in words}
    typed = {Path(word).name for words in of_program("kubectl") for word in words if "=/secrets/" in word}
    for name in OVERLAYS:
        mounted = {volume["secret"]["secretName"] for _, pod, _ in pods(overlay(name)) for volume in pod["volumes"]
                   if "secret" in volume}
        assert mounted == set(told)
        files = {Path(value).name for key, value in settings_of(overlay(name)).items() if value.startswith("/secrets/")}
        assert files | typed == {each.partition("=")[0] for values in told.values() for each in values if "=" in each}


def test_kubectl_is_told_of_overlays_and_workloads_that_are_there() -> None:
    names = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in overlay("demo")}
    space = of(overlay("demo"), "Namespace")[0]["metadata"]["name"]
    for words in of_program("kubectl"):
        assert {word for word in words if re.fullmatch(r"(statefulset|service|deployment)/\w+", word)} <= names
        assert set(option(words, "-n")) <= {space}
        assert all((ROOT / path / "kustomization.yaml").exists() for path in option(words, "-k"))
    made = [words for words in of_program("python") if words[0].endswith("generate.py")]
    assert made and all(words[1:] == ["--rules", "my-rules"] for words in made) and "--rules" in generate.__doc__


def test_it_says_what_was_not_run() -> None:
    assert "they were not run" in TEXT and "## What was not seen" in TEXT
    strimzi = {each["apiVersion"] for each in overlay("demo") if "strimzi" in each["apiVersion"]}
    assert strimzi == {"kafka.strimzi.io/v1"} and "Strimzi 1.0 or newer" in TEXT
