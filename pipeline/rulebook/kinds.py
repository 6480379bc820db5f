"""What may stand in a rule file: each kind reads a node into a value, and says the same as JSON Schema.

A kind never raises: it notes a Problem in the Reading and returns BAD, so that one run finds everything that is wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from pipeline.errors import Problem
from pipeline.rulebook.yaml_marks import Mapping, Mark, Node, Scalar, Sequence

Schema = dict[str, Any]
BAD: Final = object()
"""Read, but not usable; a Problem says why."""

UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SECRETS = {
    "password": "password_file", "passwd": "password_file", "pwd": "password_file", "secret": "secret_file",
    "token": "url_file", "key": "url_file", "access_token": "url_file", "api_key": "url_file", "apikey": "url_file",
}
"""Fields that somebody may write in good faith, and what to write in their place."""


@dataclass(frozen=True, slots=True)
class Reference:
    name: str
    spaces: tuple[str, ...]
    mark: Mark
    path: str


@dataclass
class Reading:
    """What reading all files has found so far."""

    problems: list[Problem] = field(default_factory=list)
    names: dict[str, dict[str, Mark]] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    marks: dict[tuple[str, str], Mark] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)

    lost: set[str] = field(default_factory=set)
    """Files in which a name may have been overlooked: references to what they define are not judged."""

    def problem(self, mark: Mark, path: str, message: str, hint: str = "") -> Any:
        self.problems.append(Problem(mark.file, mark.line, mark.column, path, message, hint))
        return BAD

    def lose(self, node: Node, kind: Kind) -> None:
        """Note that what should have been of this kind was not read; it may have held names, unless it is one word."""
        if not isinstance(kind, Word | Choice | Ref):
            self.lost.add(node.mark.file)

    def define(self, spaces: Iterable[str], name: str, mark: Mark, path: str) -> bool:
        """Note a name; False (and a problem) if its space has it already."""
        for space in spaces:
            known = self.names.setdefault(space, {})
            if name in known:
                where = known[name]
                self.problem(mark, path, f"“{name}”重复，{where.file} 第 {where.line} 行已经用了。",
                             "换一个没用过的名字")
                return False
            known[name] = mark
        return True

    def at(self, file: str, path: str) -> Mark:
        """Where a value was written; the nearest place above it if it was left out."""
        while path and (file, path) not in self.marks:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.marks.get((file, path), Mark(file, 1, 1))


class Kind(Protocol):
    def read(self, node: Node, path: str, reading: Reading) -> Any: ...
    def schema(self) -> Schema: ...


def nearest(word: str, words: Iterable[str]) -> str:
    """The known word that was probably meant, or an empty text."""
    cutoff = 0.5 if len(word) <= 3 else 0.6               # one wrong character of two: 其它 is 其他
    close = difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=cutoff)
    return close[0] if close else ""


def written(path: str, example: str) -> str:
    """`写成 items: 10`, or for an entry of a list `写成 - 10`."""
    last = path.rpartition(".")[2]
    return f"写成 - {example}" if last.endswith("]") else f"写成 {last}: {example}"


def shown(node: Node) -> str:
    """What stands there, for a message. Of an address only scheme and host: the rest may be a secret."""
    if isinstance(node, Scalar):
        text = re.sub(r"(://)(?:[^/?#@]*@)?([^/?#]*).*", r"\1\2/…", node.text, flags=re.DOTALL)
        text = text if len(text) <= 40 else text[:40] + "…"
        return "空" if node.empty else f"“{text}”"
    return "列表" if isinstance(node, Sequence) else "映射"


@dataclass(frozen=True, slots=True)
class Word:
    """A scalar that `convert` turns into a value, or None if it cannot be one. `what` ends 应为…."""

    what: str
    example: str
    convert: Callable[[str], Any]
    json: MappingOf[str, Any]

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        value = self.convert(node.text.strip()) if isinstance(node, Scalar) and not node.empty else None
        if value is None:
            space = " " if self.what[0].isascii() else ""
            message = f"应为{space}{self.what}，现为{shown(node)}。"
            return reading.problem(node.mark, path, message, written(path, self.example))
        return value

    def schema(self) -> Schema:
        return dict(self.json)


def text(example: str, longest: int = 200) -> Word:
    return Word(f"一段文字（最多 {longest} 字）", example, lambda raw: raw if 0 < len(raw) <= longest else None,
                {"type": "string", "minLength": 1, "maxLength": longest})


def pattern(what: str, example: str, regex: str) -> Word:
    compiled = re.compile(regex)
    return Word(what, example, lambda raw: raw if compiled.fullmatch(raw) else None,
                {"type": "string", "pattern": f"^(?:{regex})$"})


def whole(low: int, high: int, example: int) -> Word:
    def convert(raw: str) -> int | None:
        return int(raw) if re.fullmatch(r"[+-]?[0-9]{1,12}", raw) and low <= int(raw) <= high else None
    what = "正整数" if low == 1 and high >= 10_000 else f"{low} 到 {high} 的整数"
    return Word(what, str(example), convert, {"type": "integer", "minimum": low, "maximum": high})


def number(low: float, high: float, example: float) -> Word:
    def convert(raw: str) -> float | None:
        plain = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", raw) is not None and len(raw) <= 20
        return float(raw) if plain and low <= float(raw) <= high else None
    return Word(f"{low:g} 到 {high:g} 的数", f"{example:g}", convert,
                {"type": "number", "minimum": low, "maximum": high})


def length(low: str, high: str, example: str) -> Word:
    """A length of time: 30s 5m 2h 7d -> milliseconds."""
    lowest, highest = _millis(low) or 0, _millis(high) or 0

    def convert(raw: str) -> int | None:
        value = _millis(raw)
        return value if value is not None and lowest <= value <= highest else None
    json: Schema = {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$"}
    return Word(f"时长（数字加 s、m、h 或 d，{low} 到 {high}）", example, convert,
                {"anyOf": [json, {"const": 0}]} if lowest == 0 else json)


def _millis(raw: str) -> int | None:
    if raw == "0":
        return 0
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", raw)
    return int(found[1]) * UNITS[found[2]] if found else None


def _flag(raw: str) -> bool | None:
    return {"true": True, "false": False}.get(raw.lower())


FLAG = Word("true 或 false", "true", _flag, {"type": "boolean"})


@dataclass(frozen=True, slots=True)
class Choice:
    """One of an enumeration's values."""

    options: tuple[str, ...]
    make: Callable[[str], Any] = str

    @classmethod
    def of(cls, enum: type[StrEnum]) -> Choice:
        return cls(tuple(member.value for member in enum), enum)

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if isinstance(node, Scalar) and node.text in self.options:
            return self.make(node.text)
        meant = nearest(node.text, self.options) if isinstance(node, Scalar) else ""
        return reading.problem(node.mark, path, f"应为 {' / '.join(self.options)} 之一，现为{shown(node)}。",
                               written(path, meant or self.options[0]))

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.options)}


@dataclass(frozen=True, slots=True)
class Name:
    """A word that names its entry; unique in each of its spaces."""

    spaces: tuple[str, ...]
    word: Word

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        name = self.word.read(node, path, reading)
        if name is BAD:
            reading.lose(node, self)
        return name if name is BAD or reading.define(self.spaces, name, node.mark, path) else BAD

    def schema(self) -> Schema:
        return self.word.schema()


ID = pattern("编号（小写字母、数字、- 和 _，最多 64 个）", "city-hall", "[a-z0-9_-]{1,64}")


def ident(*spaces: str) -> Name:
    return Name(spaces, ID)


@dataclass(frozen=True, slots=True)
class Ref:
    """The name of an entry that another place defines; looked up when all files are read. `also`: free words."""

    spaces: tuple[str, ...]
    also: tuple[str, ...] = ()

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if not isinstance(node, Scalar) or node.empty:
            return reading.problem(node.mark, path, f"应为一个名字，现为{shown(node)}。", "写已有的名字")
        if node.text not in self.also:
            reading.references.append(Reference(node.text, self.spaces, node.mark, path))
        return node.text

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    kind: Kind
    least: int = 0
    most: int = 10_000

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if isinstance(node, Scalar) and node.empty and not self.least:
            return ()
        if not isinstance(node, Sequence):
            reading.lose(node, self.kind)
            return reading.problem(node.mark, path, f"应为列表，现为{shown(node)}。", "每项一行，以“- ”开头")
        if not self.least <= len(node.items) <= self.most:
            reading.lose(node, self.kind)
            wanted = f"至少有 {self.least} 项" if len(node.items) < self.least else f"最多有 {self.most} 项"
            return reading.problem(node.mark, path, f"列表应{wanted}，现有 {len(node.items)} 项。", "补上或删去几项")
        values = []
        for index, item in enumerate(node.items):
            reading.marks[item.mark.file, f"{path}[{index}]"] = item.mark
            values.append(self.kind.read(item, f"{path}[{index}]", reading))
        return BAD if BAD in values else tuple(values)

    def schema(self) -> Schema:
        array: Schema = {"type": "array", "items": self.kind.schema()}
        if self.least:
            return {**array, "minItems": self.least}
        return {**array, "type": ["array", "null"]}


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping whose keys are data."""

    key: Kind
    value: Kind
    least: int = 0

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if isinstance(node, Scalar) and node.empty and not self.least:
            return {}
        if not isinstance(node, Mapping) or len(node.entries) < self.least:
            return reading.problem(node.mark, path, f"应为映射（词: 值），现为{shown(node)}。", "每项一行，写成 词: 值")
        made = {}
        for key, value in node.entries:
            place = f"{path}.{key.text}"
            reading.marks[key.mark.file, place] = key.mark
            made[self.key.read(key, place, reading)] = self.value.read(value, place, reading)
        return BAD if BAD in made or BAD in made.values() else made

    def schema(self) -> Schema:
        return {"type": "object" if self.least else ["object", "null"], "additionalProperties": self.value.schema()}
