"""Kinds made of fields: a mapping with known names becomes a frozen rule."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any

import msgspec

from pipeline.rulebook.kinds import BAD, SECRETS, Kind, Reading, Schema, nearest, shown
from pipeline.rulebook.yaml_marks import Mapping, Mark, Node, Scalar

Check = Callable[[Any, str, "Place"], None]
"""Looks at a whole object: (value, path, place) -> problems noted in place.reading."""


@dataclass(frozen=True, slots=True)
class Field:
    """kind of the value, what it means (shown by editors), and whether it must be written."""

    kind: Kind
    about: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object was read, for its check."""

    mark: Mark
    reading: Reading

    def problem(self, path: str, message: str, hint: str = "") -> None:
        self.reading.problem(self.reading.at(self.mark.file, path), path, message, hint)


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with exactly these fields, made into `make`. Of `one_of`, exactly one is written;
    of `any_of` at least one."""

    make: type[msgspec.Struct]
    fields: MappingOf[str, Field]
    check: Check | None = None
    one_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if not isinstance(node, Mapping):
            names = "、".join(name for name, each in self.fields.items() if each.required) or next(iter(self.fields))
            reading.lose(node, self)
            message = f"应为若干字段（{names} 等），现为{shown(node)}。"
            return reading.problem(node.mark, path, message, "每个字段一行，写成 字段名: 值")
        reading.marks[node.mark.file, path] = node.mark
        values = {key.text: self._read_field(key, value, path, reading) for key, value in node.entries}
        missing = self._missing(node, values, path, reading)
        if self._not_one(node, values, path, reading) or missing or BAD in values.values():
            return BAD
        made = self.make(**{name: value for name, value in values.items() if value is not None})
        if self.check:
            self.check(made, path, Place(node.mark, reading))
        return made

    def _read_field(self, key: Scalar, value: Node, path: str, reading: Reading) -> Any:
        place = f"{path}.{key.text}" if path else key.text
        known = self.fields.get(key.text)
        if known is None:
            return self._unknown(key, place, reading)
        reading.marks[key.mark.file, place] = value.mark
        if isinstance(value, Scalar) and value.empty and not known.required:
            return None
        return known.kind.read(value, place, reading)

    def _unknown(self, key: Scalar, place: str, reading: Reading) -> Any:
        instead = SECRETS.get(key.text.lower())
        if instead:
            return reading.problem(key.mark, place, "规则文件里不放明文密钥。",
                                   f"把它存进单独的文件，改写 {instead}: 文件名")
        reading.lose(key, self)
        meant = nearest(key.text, self.fields)
        hint = f"是不是 {meant}？" if meant else f"可用的字段：{'、'.join(self.fields)}"
        return reading.problem(key.mark, place, f"没有名为 {key.text} 的字段。", hint)

    def _missing(self, node: Mapping, values: MappingOf[str, Any], path: str, reading: Reading) -> bool:
        absent = [name for name, each in self.fields.items() if each.required and name not in values]
        mistyped = {nearest(name, self.fields) for name in values if name not in self.fields}
        for name in (name for name in absent if name not in mistyped):
            reading.problem(node.mark, path, f"缺少字段 {name}（{self.fields[name].about}）。", f"补上 {name}:")
        for name in absent:
            reading.lose(node, self.fields[name].kind)
        return bool(absent)

    def _not_one(self, node: Mapping, values: MappingOf[str, Any], path: str, reading: Reading) -> bool:
        options = self.one_of or self.any_of
        found = [name for name in options if values.get(name) is not None]
        if not options or len(found) == 1 or found and self.any_of:
            return False
        if found:
            reading.problem(node.mark, path, f"{' 和 '.join(found)} 不能一起写。", f"{'、'.join(options)} 中只写一个")
        elif values.keys() <= self.fields.keys():                # else one of them may be meant
            about = "或 ".join(f"{name}（{self.fields[name].about.partition('：')[0]}）" for name in options)
            reading.problem(node.mark, path, f"缺少 {about}。", f"补上 {options[0]}:")
        return True

    def schema(self) -> Schema:
        defaults = {each.encode_name: each.default for each in msgspec.structs.fields(self.make)}
        properties = {name: _described(each, defaults.get(name)) for name, each in self.fields.items()}
        required = [name for name, each in self.fields.items() if each.required]
        shape: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
        if self.one_of:
            shape["oneOf"] = [{"required": [name]} for name in self.one_of]
        if self.any_of:
            shape["anyOf"] = [{"required": [name]} for name in self.any_of]
        return {**shape, "required": required} if required else shape


def _described(each: Field, default: object) -> Schema:
    schema = {**each.kind.schema(), "description": each.about}
    plain = isinstance(default, (str, bool, float)) and default not in ("",) and type(default) in (str, bool, float)
    return {**schema, "default": default} if plain and not each.required else schema


@dataclass(frozen=True, slots=True)
class Short:
    """A value that may be written as one word for the commonest case: `short` makes it from the word."""

    word: Kind
    short: Callable[[Any], Any]
    long: Record
    check: Check | None = None

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if not isinstance(node, Scalar):
            return self.long.read(node, path, reading)
        value = self.word.read(node, path, reading)
        if value is BAD:
            return BAD
        made = self.short(value)
        if self.check:
            self.check(made, path, Place(node.mark, reading))
        return made

    def schema(self) -> Schema:
        return {"anyOf": [self.word.schema(), self.long.schema()]}
