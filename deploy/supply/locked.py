"""What the lock files hold, and what an installation on this platform has of it."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
RUNTIME = ROOT / "requirements.lock"
DEV = ROOT / "requirements-dev.lock"
PROJECT = ROOT / "pyproject.toml"
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")


@dataclass(frozen=True)
class Locked:
    """One line of a lock file: a distribution, its exact version, and the files that may be installed for it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    here: bool
    """Whether its marker holds on this platform."""


def entries(text: str) -> Iterator[str]:
    """Logical lines: continued ones joined, comments and empty ones left out."""
    for line in text.replace("\\\n", " ").splitlines():
        plain = re.sub(r"(^|\s)#.*", "", line).strip()
        if plain:
            yield plain


def problems(text: str) -> list[str]:
    """What would let an installation take something that nobody locked."""
    return [f"{each}: {line.split(' --')[0]}" for line in entries(text) for each in _wrong(line)]


def _wrong(line: str) -> Iterator[str]:
    if line.startswith("-"):
        yield "an option, not a requirement"
        return
    wanted = HASH.sub("", line).strip()
    try:
        requirement = Requirement(wanted)
    except InvalidRequirement:
        yield "not understood"
        return
    if requirement.url:
        yield "an address, not a version"
    if not re.fullmatch(r"==[^*,]+", str(requirement.specifier)):
        yield "no exact version"
    if not HASH.search(line):
        yield "no hash"


def read(path: Path) -> list[Locked]:
    return [_locked(line) for line in entries(path.read_text("utf-8"))]


def _locked(line: str) -> Locked:
    requirement = Requirement(HASH.sub("", line).strip())
    (exact,) = requirement.specifier
    marker = requirement.marker
    return Locked(canonicalize_name(requirement.name), exact.version, str(marker or ""), tuple(HASH.findall(line)),
                  marker is None or marker.evaluate())


@functools.cache
def installed() -> dict[str, Distribution]:
    return {canonicalize_name(each.metadata["Name"]): each for each in distributions()}


def missing(locked: Iterable[Locked], have: dict[str, Distribution]) -> list[str]:
    """What an installation from the lock would have and this one has not, or has in another version."""
    return [f"{each.name}=={each.version}" for each in locked
            if each.here and (each.name not in have or have[each.name].version != each.version)]


def direct(path: Path = PROJECT) -> list[Requirement]:
    """What the project itself asks for at run time."""
    project = tomllib.loads(path.read_text("utf-8"))["project"]
    return [Requirement(each) for each in project["dependencies"]]


def edges(wanted: Iterable[Requirement], have: dict[str, Distribution]) -> dict[str, set[str]]:
    """Who needs whom on this platform, from the direct requirements down; extras only where somebody asks for them."""
    graph: dict[str, set[str]] = {"": set()}
    todo = [("", each, frozenset[str]()) for each in wanted]
    done: set[tuple[str, str, frozenset[str]]] = set()
    while todo:
        parent, requirement, extras = todo.pop()
        name = canonicalize_name(requirement.name)
        if not _applies(requirement, extras):
            continue
        graph.setdefault(parent, set()).add(name)
        asked = frozenset(requirement.extras)
        if (parent, name, asked) in done or name not in have:
            continue
        done.add((parent, name, asked))
        graph.setdefault(name, set())
        todo += [(name, Requirement(each), asked) for each in have[name].requires or []]
    return graph


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": each}) for each in extras or {""})
