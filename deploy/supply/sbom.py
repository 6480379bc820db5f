#!/usr/bin/env python3
"""The software bill of materials of an installation: CycloneDX 1.6 as JSON, of what requirements.lock installs here.

    python -m deploy.supply.sbom dist/wenxun.cdx.json      # `make sbom`

The same lock, platform and Python give the same bytes: no time (but SOURCE_DATE_EPOCH's), and a serial number that is a
hash of the contents. It is held against CycloneDX's schema before it is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from deploy.supply import licences, locked

INDEX = "https://pypi.org/project/{name}/{version}/"
LICENCES = LicenseFactory()


def component(entry: locked.Locked, have: Distribution) -> Component:
    """A locked distribution: its hashes are those of every file that the lock lets pip take for it."""
    found = licences.of(entry.name, have)
    files = [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in entry.hashes]
    return Component(
        name=entry.name, version=entry.version, type=ComponentType.LIBRARY, bom_ref=f"{entry.name}=={entry.version}",
        description=have.metadata["Summary"], purl=PackageURL("pypi", None, entry.name, entry.version),
        licenses=[LICENCES.make_from_string(found.spdx)],
        external_references=[ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION, hashes=files, comment="every file that the lock allows",
            url=XsUri(INDEX.format(name=entry.name, version=entry.version)))])


def product() -> Component:
    project = tomllib.loads(locked.PROJECT.read_text("utf-8"))["project"]
    return Component(name=project["name"], version=project["version"], type=ComponentType.APPLICATION,
                     bom_ref=f"{project['name']}=={project['version']}", description=project["description"],
                     licenses=[LICENCES.make_from_string(project["license"])])


def bom() -> Bom:
    """Everything that the lock installs on this platform, and who needs whom."""
    have = locked.installed()
    entries = [each for each in locked.read(locked.RUNTIME) if each.here]
    lost = locked.missing(entries, have)
    if lost:
        raise SystemExit(f"sbom: not installed as locked: {', '.join(lost)}; run: make .venv/.run")
    parts = {each.name: component(each, have[each.name]) for each in entries}
    made = Bom(components=parts.values())
    made.metadata.component = product()
    made.metadata.properties.add(Property(name="wenxun:platform", value=sys.platform))
    version = ".".join(map(str, sys.version_info[:2]))
    made.metadata.properties.add(Property(name="wenxun:python", value=version))
    for name, needs in locked.edges(locked.direct(), have).items():
        made.register_dependency(parts.get(name, made.metadata.component), [parts[each] for each in sorted(needs)])
    return made


def document(made: Bom) -> str:
    """As JSON, in one order and without the moment it was made."""
    plain: dict[str, Any] = json.loads(JsonV1Dot6(made).output_as_string())
    del plain["serialNumber"], plain["metadata"]["timestamp"]
    body = json.dumps(plain, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(body.encode()).digest()[:16]
    plain["serialNumber"] = uuid.UUID(bytes=digest, version=5).urn
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        plain["metadata"]["timestamp"] = datetime.fromtimestamp(int(epoch), UTC).isoformat()
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, indent=1) + "\n"


def invalid(text: str) -> str:
    """What CycloneDX's own schema says against it, empty if nothing."""
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return "" if wrong is None else str(wrong.data)[:2000]


def main(path: Path) -> int:
    text = document(bom())
    wrong = invalid(text)
    if wrong:
        print(f"sbom: not valid: {wrong}", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    print(f"{path}: {len(json.loads(text)['components'])} components, CycloneDX 1.6, valid")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
