"""docs/runbooks: a page for each alert, Chinese first; every command in it exists, every series is exported."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agents.cli import parser
from agents.runtime import ALL
from deploy.stack.cli import parser as stack_parser
from tests.deploy.test_alert_rules import CONTRACT, FOREIGN, RECORDED, RUNBOOKS, exported, named

ROOT = Path(__file__).parent.parent.parent
PAGES = {path.stem: path.read_text("utf-8") for path in sorted(RUNBOOKS.glob("*.md"))}
SECTIONS = ["这是什么意思", "人们少了什么", "先看", "怎么修", "怎样算好了", "还不行",
            "What it means", "What people lose", "Look", "Mend", "Is it over", "If not"]
SYSTEM = {"journalctl", "curl", "df", "du", "free", "dmesg", "grep", "tail", "sort", "psql", "timedatectl", "chronyc"}
"""Programs of the system, whose options are not checked here."""
UNITS = {"postgresql", "prometheus", "prometheus-alertmanager", "chrony", "wenxun-kafka", "wenxun@*", "wenxun@$ROLE",
         *(f"wenxun@{role}" for role in ALL)}
SERVICES = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"])


def commands(page: str) -> Iterator[list[str]]:
    """The simple commands of the lines of a page that are to be pasted."""
    for line in re.findall(r"^    (\S.*)$", PAGES[page], re.M):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|;"):
                command = command[3:] if command[:2] == ["sudo", "-u"] else command[command[:1] == ["sudo"]:]
                if command and not re.fullmatch(r"[A-Z]+=\w+", command[0]):
                    yield command
                command = []
            else:
                command.append(word)


ALL_COMMANDS = [(page, words) for page in PAGES for words in commands(page)]


def of_program(*name: str) -> list[tuple[str, list[str]]]:
    return [(page, words[len(name):]) for page, words in ALL_COMMANDS if words[:len(name)] == list(name)]


def takes(top: argparse.ArgumentParser, words: list[str]) -> bool:
    try:
        top.parse_args(words)
    except SystemExit:
        return False
    return True


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert set(PAGES) - {"README"} == set(CONTRACT)
    listed = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| \S", PAGES["README"], re.M)
    assert listed == sorted(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_page_has_all_its_parts_chinese_first(name: str) -> None:
    page = PAGES[name]
    assert re.findall(r"^## (.*)$", page, re.M) == SECTIONS
    assert re.findall(r"^# (\w+)", page, re.M) == [name, name]
    parts = re.split(r"^#+ .*$", page, flags=re.M)[1:]
    assert all(part.strip() for part in parts)
    first, second = page.split("\n---\n")
    assert len(re.findall(r"[\u4e00-\u9fff]", first)) > 150 and len(re.findall(r"[A-Za-z]{3,}", second)) > 50
    for heading in ("先看", "怎么修", "怎样算好了"):
        part = first.split(f"## {heading}\n")[1].split("\n## ")[0]
        assert re.search(r"^    \S", part, re.M), f"{heading}: a command to paste"


def test_every_program_is_known() -> None:
    ours = {"wenxun", "promtool", "amtool", "docker", "kubectl", "systemctl", "deploy/stack/run"}
    assert len(ALL_COMMANDS) > 250
    assert [(page, words) for page, words in ALL_COMMANDS if words[0] not in SYSTEM | ours] == []


def test_every_command_of_wenxun_is_taken_by_its_parser() -> None:
    told = of_program("wenxun")
    assert len(told) > 50 and [each for each in told if not takes(parser(), each[1])] == []
    assert not takes(parser(), ["dlq", "mend"])
    inline = {found for page in PAGES.values() for found in re.findall(r"`wenxun ([a-z]+ [a-z]+)", page)}
    known = {" ".join(words[:2]) for _, words in told} | {"event comment", "deliveries audit"}
    assert inline <= known | {"db expire"}


def test_every_command_of_the_stack_is_taken_by_its_parser() -> None:
    told = of_program("deploy/stack/run")
    assert len(told) > 30
    for page, words in told:
        assert takes(stack_parser(), ["score" if word == "$ROLE" else word for word in words]), (page, words)


def test_every_series_that_is_asked_for_exists() -> None:
    asked = of_program("promtool", "query", "instant", "http://127.0.0.1:9090")
    assert len(asked) > 80 and all(len(words) == 1 for _, words in asked)
    known = exported() | RECORDED | FOREIGN
    assert [(page, name) for page, (text,) in asked for name in named(text) if name not in known] == []
    inline = [(page, name) for page, text in PAGES.items() for name in re.findall(r"`(wenxun_[a-z_]+)", text)]
    assert inline and [each for each in inline if each[1] not in known] == []


def test_services_workloads_and_units_are_ours() -> None:
    for page, words in of_program("docker", "compose"):
        plain = [word for word in words[1:] if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
        assert words[0] in ("ps", "logs", "restart", "up", "exec"), page
        assert words[0] == "exec" or set(plain) <= SERVICES, page
    for page, words in of_program("kubectl"):
        labels = [words[place + 1] for place, word in enumerate(words) if word == "-l"]
        assert words[:2] == ["-n", "wenxun"], page
        assert all(re.fullmatch(rf"app\.kubernetes\.io/component=(\$ROLE|{'|'.join(ALL)})|strimzi\.io/kind=Kafka", each)
                   for each in labels), page
    for page, words in of_program("systemctl"):
        units = [word for word in words[1:] if not word.startswith("--")]
        assert words[0] in ("status", "restart", "enable", "list-units") and set(units) <= UNITS, (page, words)
    units = ROOT / "deploy" / "systemd"
    assert (units / "wenxun@.service").exists() and (units / "wenxun-kafka.service").exists()


def test_links_lead_to_pages_that_are_there() -> None:
    links = [(page, target) for page, text in PAGES.items() for target in re.findall(r"\]\(([^)]+)\)", text)]
    assert len(links) > 60
    there = {target: (RUNBOOKS / target.partition("#")[0]).resolve().exists() for _, target in links}
    assert [(page, target) for page, target in links if not there[target]] == []


def test_no_page_has_an_address_or_a_key_of_anybody() -> None:
    """They are served without a sign-in."""
    for page, text in PAGES.items():
        hosts = set(re.findall(r"https?://([^/\s`'\"）,]+)", text))
        assert {host.partition(":")[0] for host in hosts} <= {"127.0.0.1", "localhost", "example.gov.cn"}, page
