"""What only shows when all rule files are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.rulebook import schema
from pipeline.rulebook.kinds import Reading


def check_whole(values: Mapping[str, Any], lists: tuple[schema.WordList, ...], reading: Reading) -> None:
    """values: path -> what was read from it. lists: with their included words."""
    _mail(values, reading)
    _routes(values, reading)
    _listed(values, lists, reading)


def _mail(values: Mapping[str, Any], reading: Reading) -> None:
    """Whoever is told by mail needs an address."""
    smtp = {each.id for each in values["channels.yml"].channels if each.type is schema.ChannelType.SMTP}
    for index, person in enumerate(values["roster.yml"].people):
        if not person.mail and smtp.intersection(person.channels):
            path = f"people[{index}]"
            reading.problem(reading.at("roster.yml", path), path, f"{person.name}用邮件通道，但没有邮箱。",
                            "补上 mail: 邮箱地址")


def _routes(values: Mapping[str, Any], reading: Reading) -> None:
    """Each level reaches somebody, whatever the subject."""
    routes = values["routes.yml"].routes
    for level in values["levels.yml"].ladder:
        if not any((not route.levels or level.name in route.levels) and not route.subjects for route in routes):
            reading.problem(reading.at("routes.yml", "routes"), "routes",
                            f"级别“{level.name}”没有对全部主题适用的路由，告警会没有人收。",
                            f"补一条 levels: [{level.name}]、不写 subjects 的路由")


def _listed(values: Mapping[str, Any], lists: tuple[schema.WordList, ...], reading: Reading) -> None:
    """A term whose word is on an excluded list never counts."""
    words = {each.id: frozenset(each.words) for each in lists}
    for file, subject in values.items():
        if not isinstance(subject, schema.Subject):
            continue
        for name in (each.list for each in subject.exclude if each.list):
            for index, term in enumerate(subject.terms):
                if term.text and term.text in words[name]:
                    path = f"terms[{index}]"
                    reading.problem(reading.at(file, path), path,
                                    f"词“{term.text}”也在 exclude 的词表 {name} 里，永远不会匹配。", "只留一处")
