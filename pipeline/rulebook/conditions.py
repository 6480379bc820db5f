"""`match` of a subject: all, any and none, nested, of words, patterns and conditions. This kind holds itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.rulebook import schema
from pipeline.rulebook.kinds import BAD, Many, Reading, Schema, nearest
from pipeline.rulebook.objects import Field, Place, Record, Short
from pipeline.rulebook.yaml_marks import Mapping, Node, Scalar, Sequence

MAX_DEPTH = 8
PARTS = {
    "all": "每一项都要出现",
    "any": "至少出现一项",
    "none": "一项都不能出现",
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """A word, a pattern, or a mapping of PARTS to lists of the same. `name`: of the shared definition in the schema."""

    pattern: Short
    name: str = "condition"
    depth: int = 1

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if isinstance(node, Sequence):
            return reading.problem(node.mark, path, "应为一个词、一个模式或一组条件，现为列表。",
                                   "写明怎样算：all: [...]（都要有）、any: [...]（有一个就行）或 none: [...]（都没有）")
        if isinstance(node, Mapping) and (strange := self._strange(node)):
            known = f"{'、'.join(PARTS)}；{'、'.join(self.pattern.long.fields)}"
            return reading.problem(strange.mark, path, f"条件里没有 {strange.text}。", f"可用的：{known}")
        if isinstance(node, Scalar) or not self._is_group(node):
            found = self.pattern.read(node, path, reading)
            return BAD if found is BAD else schema.Condition(pattern=found)
        mixed = next((key for key, _ in node.entries if key.text in self.pattern.long.fields), None)
        if mixed is not None:
            return reading.problem(mixed.mark, path, f"{mixed.text} 不能和 {'、'.join(PARTS)} 写在同一层。",
                                   f"放进列表，例如 all: [{{{mixed.text}: …}}, …]")
        if self.depth > MAX_DEPTH:
            return reading.problem(node.mark, path, f"条件嵌套超过 {MAX_DEPTH} 层。",
                                   "合并相同的 all 或 any，或拆成两个主题")
        reading.marks[node.mark.file, path] = node.mark
        return self._group().read(node, path, reading)

    def _is_group(self, node: Mapping) -> bool:
        """Any of the three words, right or nearly right, and nothing that is a pattern's own."""
        keys = [key.text for key, _ in node.entries]
        if not keys or any(key in PARTS for key in keys):
            return True
        return not any(key in self.pattern.long.fields for key in keys) and any(nearest(key, PARTS) for key in keys)

    def _strange(self, node: Mapping) -> Scalar | None:
        """The first key, when no key is anything that a condition has, nor nearly."""
        words = [*PARTS, *self.pattern.long.fields]
        if any(key.text in words or nearest(key.text, words) for key, _ in node.entries):
            return None
        return node.entries[0][0] if node.entries else None

    def _group(self) -> Record:
        inner = Many(Conditions(self.pattern, self.name, self.depth + 1), 1, 1_000)
        return Record(schema.Condition, {name: Field(inner, about) for name, about in PARTS.items()}, _written)

    def schema(self) -> Schema:
        return {"$ref": f"#/$defs/{self.name}"}

    def definition(self) -> Schema:
        """What the reference stands for."""
        group = {**self._group().schema(), "minProperties": 1}
        return {"anyOf": [*self.pattern.schema()["anyOf"], group]}


def _written(value: schema.Condition, path: str, place: Place) -> None:
    if not (value.all or value.any or value.none):
        place.problem(path, "条件是空的。", "写 all:、any: 或 none:，后面是列表")


def positive(each: schema.Condition) -> bool:
    """Whether it needs anything to occur; what does not is true of nearly every item."""
    if each.pattern is not None:
        return True
    return any(positive(one) for one in each.all) or bool(each.any) and all(positive(one) for one in each.any)


def required(each: schema.Condition) -> set[schema.Pattern]:
    """Patterns without which it cannot be true."""
    if each.pattern is not None:
        return {each.pattern}
    found: set[schema.Pattern] = set()
    for one in (*each.all, *(each.any if len(each.any) == 1 else ())):
        found |= required(one)
    return found



def forbidden(each: schema.Condition) -> set[schema.Pattern]:
    """Patterns with which it cannot be true."""
    found = {one.pattern for one in each.none if one.pattern is not None}
    for one in each.all:
        found |= forbidden(one)
    return found
