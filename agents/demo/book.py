"""The demo's rule directory: the files of deploy/demo/rules, with this run's ports and secrets written in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from agents.demo.scenario import FOLDER, Format, Scenario
from agents.demo.sites import base_url, feed_path
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import RuleBook

RULES = FOLDER / "rules"


def write_rules(
    folder: Path, scenario: Scenario, ports: Mapping[str, int], phone_port: int, key: str, minutes: int
) -> RuleBook:
    """Make a complete rule directory; returns the book it holds. RuleBookError if the shipped files are wrong.

    minutes: the sources' interval, of the demo's time. key: signs the messages.
    """
    shutil.copytree(RULES, folder)
    sources = yaml.safe_dump({"sources": source_rules(scenario, ports, minutes)}, allow_unicode=True, sort_keys=False)
    (folder / "sources.yml").write_text(f"# 演示启动时写出：每个站点一个端口。\n{sources}", encoding="utf-8")
    book = read_book(folder)
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    for person in book.roster.people:
        (secrets / f"{person.id}.url").write_text(f"{base_url(phone_port)}/inbox/{person.id}\n", encoding="utf-8")
    (secrets / "signing.key").write_text(key + "\n", encoding="utf-8")
    return book


def source_rules(scenario: Scenario, ports: Mapping[str, int], minutes: int) -> list[dict[str, object]]:
    interval = {"interval": f"{minutes}m", "min_interval": f"{minutes}m", "max_interval": f"{2 * minutes}m"}
    return [{
        "id": site.id, "name": site.name, "url": base_url(ports[site.id]) + feed_path(site),
        **({"format": "discourse"} if site.format is Format.DISCOURSE else {}),
        "group": site.group, "origin": site.origin, **({"official": True} if site.official else {}), **interval,
    } for site in scenario.sites]


def read_book(folder: Path) -> RuleBook:
    files = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.yml")}
    return parse_book(files, "Asia/Shanghai")
