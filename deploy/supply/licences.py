#!/usr/bin/env python3
"""docs/licences.md: under which licence everything is that the lock files install, from its own metadata.

    python -m deploy.supply.licences          # writes docs/licences.md

A licence that is not on the list below stops the tests: somebody has to read it first.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from deploy.supply import locked

PAGE = locked.ROOT / "docs" / "licences.md"
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "ISC", "LicenseRef-Public-Domain",
    "LicenseRef-Repoze", "MIT", "MIT-0", "PSF-2.0",
}
"""Ask for their text and notices to be kept, and nothing of Wenxun's own code."""
RECIPROCAL = {
    "LGPL-3.0-only": "used as a library, unchanged, and replaceable by whoever installs it (pip, the image's layer). "
                     "Who passes Wenxun on passes on the library's licence and where its source is; a changed "
                     "library has to be passed on with its source. Wenxun itself stays under Apache-2.0.",
    "MPL-2.0": "by file: a changed file of it stays under MPL-2.0 with its source; nothing else is touched.",
    "MPL-1.1": "one of three licences to choose from; by file, as MPL-2.0.",
}
"""Ask for the source of changes to themselves, and what that means here. GPL and AGPL are not on this list: a library
under them would put the whole of Wenxun under them."""
STRICT = {"GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "AGPL-3.0-only", "AGPL-3.0-or-later",
          "LGPL-2.1-or-later", "LGPL-2.1-only", "LGPL-3.0-or-later"}
"""Understood, and permitted only where there is another licence to choose."""
SAID = {
    "apache 2": "Apache-2.0", "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0", "apache software license": "Apache-2.0",
    "mit license": "MIT", "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0", "psfl": "PSF-2.0",
    "isc license (iscl)": "ISC", "the bsd 2-clause license": "BSD-2-Clause",
    "bsd-3-clause and public-domain": "BSD-3-Clause AND LicenseRef-Public-Domain",
}
"""What metadata says in words (lower case), as SPDX says it."""
READ = {
    "faust-streaming": "BSD-3-Clause", "google-re2": "BSD-3-Clause", "jinja2": "BSD-3-Clause",
    "mode-streaming": "BSD-3-Clause", "venusian": "LicenseRef-Repoze", "supervisor": "LicenseRef-Repoze",
}
"""Whose metadata says less than a licence; found by reading the licence file that comes with the distribution."""


@dataclass(frozen=True)
class Licence:
    spdx: str
    """An SPDX expression, or what the metadata says where that is none."""
    known: bool


@functools.cache
def of(name: str, have: Distribution) -> Licence:
    """Its SPDX expression if it gives one, else its words, its classifier, or what its licence file was read as."""
    for text in _told(have):
        spdx = SAID.get(text.lower(), text)
        if set(_names(spdx)) <= PERMISSIVE | set(RECIPROCAL) | STRICT:
            return Licence(spdx, True)
    if name in READ:
        return Licence(READ[name], True)
    return Licence(next(iter(_told(have)), "says nothing")[:80], False)


def _told(have: Distribution) -> list[str]:
    words = [each for field in ("License-Expression", "License") for each in have.metadata.get_all(field) or []]
    words += [each.rpartition(" :: ")[2] for each in have.metadata.get_all("Classifier") or []
              if each.startswith("License")]
    return [each.strip() for each in words if each.strip() and "\n" not in each.strip()]


def _names(expression: str) -> list[str]:
    return [each for each in expression.split(" ") if each not in ("AND", "OR")]


def permitted(expression: str) -> bool:
    """Whether one of its alternatives consists of permitted licences alone. AND binds more than OR; no brackets."""
    return any(all(each in PERMISSIVE or each in RECIPROCAL for each in choice.split(" AND "))
               for choice in expression.split(" OR "))


def reciprocal(expression: str) -> list[str]:
    """The licences that ask for something, empty if one alternative asks for nothing."""
    if any(all(each in PERMISSIVE for each in choice.split(" AND ")) for choice in expression.split(" OR ")):
        return []
    return [each for each in _names(expression) if each in RECIPROCAL]


def problems(entries: list[locked.Locked], have: dict[str, Distribution]) -> list[str]:
    """What is installed from a lock and under a licence that nobody has agreed to."""
    found = {each.name: of(each.name, have[each.name]) for each in entries if each.here and each.name in have}
    return [f"{name}: {licence.spdx}" for name, licence in found.items()
            if not (licence.known and permitted(licence.spdx))]


def page() -> str:
    have = locked.installed()
    runtime = locked.read(locked.RUNTIME)
    names = {each.name for each in runtime}
    tools = [each for each in locked.read(locked.DEV) if each.name not in names]
    asking = sorted({one for each in runtime if each.here for one in reciprocal(of(each.name, have[each.name]).spdx)})
    lines = ["# Licences", "",
             "Made by `python -m deploy.supply.licences` from the metadata of what the lock files install on Linux; "
             "a test holds it current. Wenxun itself is under Apache-2.0 ([LICENSE](../LICENSE)).", "",
             "## What is passed on with Wenxun", "",
             "`requirements.lock`: in every installation, and in the image.", "", *_table(runtime, have)]
    if away := ", ".join(f"`{each.name}`" for each in runtime if not each.here):
        lines += ["", f"Not on Linux, and so not listed: {away}."]
    lines += ["", "## What asks for more than keeping a notice", ""]
    lines += [f"- **{each}** ({_who(each, runtime, have)}): {RECIPROCAL[each]}" for each in asking]
    lines += ["", OTHERS, "", "## Tools of those who develop", "",
              "`requirements-dev.lock`: they test and build, and are in no installation.", "", *_table(tools, have)]
    return "\n".join(lines) + "\n"


OTHERS = """Wheels bring shared libraries along, which their metadata does not name: `psycopg-binary` libpq, OpenSSL,
Kerberos, LDAP and SASL; `confluent-kafka` librdkafka. The licence files of a distribution are in its `*.dist-info`
folder.

## Programs beside Wenxun

Kafka, PostgreSQL, Prometheus, Alertmanager and Grafana run as programs of their own, unchanged, and are reached over
the network; `docker-compose.yml` names their images and versions, and their licences come with them. Grafana's is
AGPL-3.0: it asks whoever changes Grafana and lets others use it over a network to offer them the changed source. The
dashboards in `deploy/grafana` are data of ours, under Apache-2.0."""


def _who(licence: str, entries: list[locked.Locked], have: dict[str, Distribution]) -> str:
    return ", ".join(f"`{each.name}`" for each in entries
                     if each.here and licence in reciprocal(of(each.name, have[each.name]).spdx))


def _table(entries: list[locked.Locked], have: dict[str, Distribution]) -> list[str]:
    rows = [f"| {each.name} | {each.version} | {of(each.name, have[each.name]).spdx} |"
            for each in entries if each.here]
    return ["| distribution | version | licence (SPDX) |", "|---|---|---|", *rows]


def main(path: Path = PAGE) -> int:
    have = locked.installed()
    lost = locked.missing(locked.read(locked.DEV), have)
    if lost:
        print(f"licences: not installed as locked: {', '.join(lost)}; run: make .venv/.dev", file=sys.stderr)
        return 1
    path.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
