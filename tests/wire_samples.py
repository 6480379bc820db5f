"""One full record of every type, made from the types themselves; written and read by this code or by that of a release.

Run as a script with a release's `pipeline` first on the path (tests/wire.py does): `write FOLDER` puts its records
there; `read FROM TO VERSION` reads today's, as a worker of that release would, and writes what it would pass on.
So this module needs msgspec and pipeline.codec only, whichever codec that is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from pipeline import codec

ROUNDS = 12
"""Enum fields take another member in each round: as many as the longest enum that people add to."""


def sample(cls: Any, turn: int = 0) -> Any:
    """A value of a struct with every field set to something else than its default. turn: which member of enums."""
    return _value(inspect.type_info(cls), cls.__name__, turn, ())


def samples() -> Iterator[tuple[str, int, Any]]:
    """`(type name, turn, value)`."""
    for name, cls in codec.TYPES.items():
        for turn in range(ROUNDS):
            yield name, turn, sample(cls, turn)


def _value(kind: Any, path: str, turn: int, inside: tuple[Any, ...], default: Any = None) -> Any:
    makers: dict[type[Any], Callable[[], Any]] = {
        inspect.StructType: lambda: _struct(kind, path, turn, inside),
        inspect.UnionType: lambda: _value(_member(kind), path, turn, inside, default),
        inspect.EnumType: lambda: list(kind.cls)[turn % len(kind.cls)],
        inspect.BoolType: lambda: not default,
        inspect.IntType: lambda: 1 + sum(path.encode()) % 200,
        inspect.FloatType: lambda: 0.5 + sum(path.encode()) % 200,
        inspect.StrType: lambda: path,
        inspect.BytesType: lambda: path.encode(),
        inspect.DictType: lambda: {"a": _value(kind.value_type, f"{path}.a", turn, inside)},
        inspect.VarTupleType: lambda: (_value(kind.item_type, path, turn, inside),),
        inspect.ListType: lambda: [_value(kind.item_type, path, turn, inside)],
        inspect.FrozenSetType: lambda: frozenset({_value(kind.item_type, path, turn, inside)}),
        inspect.TupleType: lambda: tuple(_value(each, path, turn, inside) for each in kind.item_types),
        inspect.LiteralType: lambda: kind.values[turn % len(kind.values)],
    }
    return makers[type(kind)]()


def _member(union: Any) -> Any:
    """What an optional field holds when it holds something."""
    return next(each for each in union.types if not isinstance(each, inspect.NoneType))


def _struct(kind: Any, path: str, turn: int, inside: tuple[Any, ...]) -> Any:
    values: dict[str, Any] = {}
    for field in kind.fields:
        if field.name == "extra" or _repeats(field.type, (*inside, kind.cls)):
            continue
        values[field.name] = _value(
            field.type, f"{path}.{field.name}", turn, (*inside, kind.cls), field.default)
    return kind.cls(**values)


def _repeats(kind: Any, inside: tuple[Any, ...]) -> bool:
    """Whether a field holds one of the structs it is in: a book in a book, a condition in a condition."""
    if isinstance(kind, inspect.StructType):
        return kind.cls in inside
    inner = (getattr(kind, "item_type", None), getattr(kind, "value_type", None), *getattr(kind, "types", ()))
    return any(_repeats(each, inside) for each in inner if each is not None)


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, turn, value in samples():
        if turn == 0:
            loose = msgspec.json.decode(codec.encode(value))
            (folder / f"{name}.json").write_text(json.dumps(loose, ensure_ascii=False, indent=1) + "\n", "utf-8")


def read(source: Path, target: Path, version: str) -> None:
    """What becomes of records of another version: what is passed on, or why it is set aside."""
    for path in sorted(source.glob("*.json")):
        headers = {"ce_type": f"wenxun.{path.name.split(',')[0]}".encode(), "ce_schemaversion": version.encode()}
        try:
            record = codec.decode(path.read_bytes(), headers)
            (target / path.name).write_bytes(codec.encode(record))
        except codec.CodecError as error:
            (target / path.name).with_suffix(".refused").write_text(str(error), "utf-8")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "write":
        write(Path(rest[0]))
    else:
        read(Path(rest[0]), Path(rest[1]), rest[2])
