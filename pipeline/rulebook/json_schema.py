"""JSON Schemas (draft-07, what editors' YAML servers read) of the rule files, from the description the parser uses."""

from __future__ import annotations

import json

from pipeline.rulebook.cases import CASES
from pipeline.rulebook.drills import DRILL
from pipeline.rulebook.kinds import Kind, Schema
from pipeline.rulebook.layout import DEFINITIONS, FILES, SUBJECT, WORDS

KINDS: dict[str, Kind] = {
    **{name.removesuffix(".yml"): kind for name, kind in FILES.items()},
    "subject": SUBJECT,
    "words": WORDS,
    "test": CASES,
    "drill": DRILL,
}
"""Schema name -> what it describes: one per file at the top, one for each folder of files."""


def schema_files() -> dict[str, str]:
    """File name (`levels.json`) -> its text, the same at every call."""
    return {f"{name}.json": _text(name, kind) for name, kind in KINDS.items()}


def _text(name: str, kind: Kind) -> str:
    body = kind.schema()
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"wenxun rules: {name}"}
    return json.dumps({**head, **body, **_definitions(body)}, ensure_ascii=False, indent=2) + "\n"


def _definitions(body: Schema) -> Schema:
    """The shared definitions that a schema refers to."""
    written = json.dumps(body)
    used = {name: each.definition() for name, each in DEFINITIONS.items() if f"#/$defs/{name}\"" in written}
    return {"$defs": used} if used else {}
