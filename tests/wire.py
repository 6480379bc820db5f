"""What records look like on the wire, version by version: snapshots of the schema, records of releases, who reads whom.

    python -m tests.wire schema          write the snapshot and the records of codec.SCHEMA_VERSION
    python -m tests.wire release REV     keep the records that a revision writes, for ever
    python -m tests.wire reads           let every kept revision read today's records, and note what becomes of them

The last two need the history (`git archive`); the tests need only what these wrote into tests/fixtures/wire.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from pipeline import codec
from pipeline.rulebook.schema import RuleBook
from tests import wire_samples

WIRE = Path(__file__).parent / "fixtures" / "wire"
SCHEMAS, READS = WIRE / "schema", WIRE / "reads"
Schema = dict[str, dict[str, Any]]

WHAT_TO_DO = """\
If workers of that version run anywhere: raise codec.SCHEMA_VERSION by one, then `python -m tests.wire schema`
and `python -m tests.wire reads`, and commit what they write. A version that runs nowhere yet is written anew the same
way. Never change the snapshot of a version that does."""


def schema() -> Schema:
    """The record types, their structs and enums as they are. Rule books are left out: older.py reads their shapes."""
    found: Schema = {"types": {}, "structs": {}, "enums": {}}
    for name, cls in codec.TYPES.items():
        if cls is not RuleBook:
            found["types"][name] = cls.__name__
            _note(inspect.type_info(cls), found)
    return {part: dict(sorted(members.items())) for part, members in found.items()}


def _note(kind: Any, found: Schema) -> None:
    if isinstance(kind, inspect.EnumType):
        found["enums"][kind.cls.__name__] = [each.value for each in kind.cls]
    if isinstance(kind, inspect.StructType) and kind.cls.__name__ not in found["structs"]:
        fields = {each.name: _words(each.type) + ("" if each.required else " = default") for each in kind.fields}
        found["structs"][kind.cls.__name__] = {"array": kind.array_like, "fields": fields}
        for each in kind.fields:
            _note(each.type, found)
    for inner in _inner(kind):
        _note(inner, found)


def _inner(kind: Any) -> list[Any]:
    members = (getattr(kind, "item_type", None), getattr(kind, "value_type", None))
    return [each for each in (*members, *getattr(kind, "types", ()), *getattr(kind, "item_types", ())) if each]


def _words(kind: Any) -> str:
    """`tuple[Span]`, `int | none`: a type as text that does not depend on how it was written."""
    if hasattr(kind, "cls"):
        return str(kind.cls.__name__)
    name = type(kind).__name__.removesuffix("Type").lower()
    inner = [_words(each) for each in _inner(kind)]
    if isinstance(kind, inspect.UnionType):
        return " | ".join(inner)
    return f"{name}[{', '.join(inner)}]" if inner else name


def broken(before: Schema, after: Schema) -> list[str]:
    """Why workers of before and after could not run side by side, or read what the other left on a topic."""
    wrong = [f"record type {name} is gone or is another struct: old records of it would be dead letters"
             for name, struct in before["types"].items() if after["types"].get(name) != struct]
    for name, struct in before["structs"].items():
        if name in after["structs"]:
            wrong += [f"{name}{each}" for each in _differ(struct, after["structs"][name])]
    for name, values in before["enums"].items():
        wrong += [f"{name}: the value {value!r} is gone, and old records have it"
                  for value in values if value not in after["enums"].get(name, values)]
    return wrong


def _differ(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    if old["array"] != new["array"]:
        yield " is an array in one version and an object in the other"
    for field, kind in old["fields"].items():
        if field not in new["fields"]:
            yield f".{field} is gone: keep it, unused, with a default"
        elif new["fields"][field] not in (kind, f"{kind} = default"):
            yield f".{field} was {kind} and is {new['fields'][field]}: add a field instead"
    added = [field for field in new["fields"] if field not in old["fields"]]
    yield from (f".{field} is new and has no default: older records do not have it"
                for field in added if not new["fields"][field].endswith(" = default"))
    if old["array"] and list(new["fields"])[:len(old["fields"])] != list(old["fields"]):
        yield " is an array: new fields go to its end"


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Members of one JSON value that the other does not have, or has otherwise."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [each for name in before for each in lost(before[name], after.get(name), f"{path}.{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        return [each for one, other in zip(before, after, strict=False) for each in lost(one, other, f"{path}[]")]
    return [] if before == after else [path]


@cache
def digest() -> str:
    """Of what today's records look like, rule books too: a note about who reads them is of this."""
    records = [codec.encode(value) for _, _, value in wire_samples.samples()]
    return hashlib.sha256(json.dumps(schema()).encode() + b"".join(records)).hexdigest()[:16]


def write_schema() -> None:
    SCHEMAS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(schema(), ensure_ascii=False, indent=1)
    (SCHEMAS / f"v{codec.SCHEMA_VERSION}.json").write_text(text + "\n", "utf-8")
    wire_samples.write(WIRE / f"v{codec.SCHEMA_VERSION}")


def keep_release(revision: str) -> None:
    with _checked_out(revision) as code:
        version = _run(code, "-c", "from pipeline import codec; print(codec.SCHEMA_VERSION)").strip()
        _run(code, wire_samples.__file__, "write", str(WIRE / f"v{version}-{revision}"))


def note_reads() -> None:
    READS.mkdir(parents=True, exist_ok=True)
    for folder in sorted(WIRE.glob("v*-*")):
        version, _, revision = folder.name.partition("-")
        with _checked_out(revision) as code:
            types = _reads(code, version.removeprefix("v"))
        text = json.dumps({"of": digest(), "types": types}, ensure_ascii=False, indent=1)
        (READS / f"{revision}.json").write_text(text + "\n", "utf-8")


def _reads(code: Path, version: str) -> dict[str, Any]:
    """Type -> what an old worker passes on of it, and which of its values it sets aside."""
    given, passed = code / "given", code / "passed"
    given.mkdir()
    passed.mkdir()
    whole = {(name, turn): value for name, turn, value in wire_samples.samples()}
    for (name, turn), value in whole.items():
        (given / f"{name},{turn}.json").write_bytes(codec.encode(value))
    _run(code, wire_samples.__file__, "read", str(given), str(passed), str(codec.SCHEMA_VERSION))
    found: dict[str, Any] = {}
    for (name, turn), value in whole.items():
        note = found.setdefault(name, {"loses": set(), "sets aside": set()})
        back = passed / f"{name},{turn}.json"
        if back.exists():
            note["loses"] |= set(_lost_on_the_way(name, value, back.read_bytes(), version))
        else:
            note["sets aside"].add(_shorter(back.with_suffix(".refused").read_text("utf-8")))
    return {name: {each: sorted(said) for each, said in note.items() if said} for name, note in found.items()}


def _lost_on_the_way(name: str, value: Any, passed: bytes, version: str) -> list[str]:
    """What today's reader misses of a record that an old worker took in and wrote again."""
    headers = {"ce_type": f"wenxun.{name}".encode(), "ce_schemaversion": version.encode()}
    try:
        again = codec.decode(passed, headers)
    except codec.CodecError as error:
        return [f"everything: {error}"]
    return lost(msgspec.json.decode(codec.encode(value)), msgspec.json.decode(codec.encode(again)))


def _shorter(error: str) -> str:
    return error.partition(": expected one of")[0]


@contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    """A folder with that revision's `pipeline`."""
    packed = subprocess.run(["git", "archive", revision, "pipeline"], check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
        yield Path(folder)


def _run(code: Path, *command: str) -> str:
    """Python with that code, of which it is made sure."""
    environ = {**os.environ, "PYTHONPATH": str(code)}
    sure = subprocess.run([sys.executable, "-c", "import pipeline; print(pipeline.__file__)"], env=environ, cwd=code,
                          check=True, capture_output=True, text=True).stdout
    assert sure.startswith(str(code)), sure
    return subprocess.run([sys.executable, *command], env=environ, cwd=code, check=True, capture_output=True,
                          text=True).stdout


if __name__ == "__main__":
    {"schema": write_schema, "reads": note_reads}.get(sys.argv[1], lambda: keep_release(sys.argv[2]))()
