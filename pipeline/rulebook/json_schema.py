"""JSON Schemas (draft-07, what editors' YAML servers read) of the rule files, from the description the parser uses."""

from __future__ import annotations

import json

from pipeline.rulebook.cases import CASES
from pipeline.rulebook.kinds import Kind
from pipeline.rulebook.layout import FILES, SUBJECT

KINDS: dict[str, Kind] = {
    **{name.removesuffix(".yml"): kind for name, kind in FILES.items()},
    "subject": SUBJECT,
    "test": CASES,
}
"""Schema name -> what it describes: one per file at the top, one for subjects/*.yml, one for tests/*.test.yml."""


def schema_files() -> dict[str, str]:
    """File name (`levels.json`) -> its text, the same at every call."""
    return {f"{name}.json": _text(name, kind) for name, kind in KINDS.items()}


def _text(name: str, kind: Kind) -> str:
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"wenxun rules: {name}"}
    return json.dumps({**head, **kind.schema()}, ensure_ascii=False, indent=2) + "\n"
