"""What only shows when all rule files are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.rulebook import schema
from pipeline.rulebook.checks_told import check_told
from pipeline.rulebook.kinds import Reading


def check_whole(values: Mapping[str, Any], lists: tuple[schema.WordList, ...], reading: Reading) -> None:
    """values: path -> what was read from it. lists: with their included words."""
    check_told(values, reading)
    _listed(values, lists, reading)


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
