"""Word lists that include each other: the words of each, all told, or the cycle that has none."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping

import msgspec

from pipeline.rulebook.kinds import Reading
from pipeline.rulebook.schema import WordList


def resolved(written: Mapping[str, WordList], reading: Reading) -> tuple[WordList, ...]:
    """Lists by id with the words of what they include, once each; () and a problem for each cycle.

    written: path of the file -> list. References to lists that do not exist are somebody else's problem.
    """
    path_of = {each.id: path for path, each in written.items()}
    graph = {each.id: [name for name in each.include if name in path_of] for each in written.values()}
    order = _order(graph, path_of, reading)
    full: dict[str, WordList] = {}
    for ident in order or ():
        each = written[path_of[ident]]
        words = dict.fromkeys(each.words)
        for name in graph[ident]:
            words.update(dict.fromkeys(full[name].words))
        full[ident] = msgspec.structs.replace(each, words=tuple(words))
    return tuple(full[ident] for ident in sorted(full))


def _order(graph: dict[str, list[str]], path_of: Mapping[str, str], reading: Reading) -> list[str] | None:
    """Included lists before those that include them; None if any include each other."""
    left, good = {name: list(names) for name, names in graph.items()}, True
    while True:
        try:
            order = list(graphlib.TopologicalSorter(left).static_order())
            return order if good else None
        except graphlib.CycleError as error:
            good = False
            ring = _from_smallest(error.args[1][:-1][::-1])
            _report(ring, graph, path_of, reading)
            left[ring[0]].remove(ring[1 % len(ring)])      # so that the next turn finds the next cycle


def _from_smallest(ring: list[str]) -> list[str]:
    """The same cycle, told from its first id on, so that the message does not depend on where it was found."""
    start = ring.index(min(ring))
    return ring[start:] + ring[:start]


def _report(ring: list[str], graph: Mapping[str, list[str]], path_of: Mapping[str, str], reading: Reading) -> None:
    first, following = ring[0], ring[1 % len(ring)]
    file, path = path_of[first], f"include[{graph[first].index(following)}]"
    told = " → ".join((*ring, first))
    reading.problem(reading.at(file, path), path, f"词表互相包含，成了一圈：{told}。",
                    "从其中一个的 include 里删去下一个")
