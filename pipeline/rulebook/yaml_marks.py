"""YAML text -> nodes that know where they stand.

Built from the parser's events with a composer of our own: PyYAML's C composer recurses without a limit (a few hundred
kilobytes of `[` end the process), keeps the last of two equal keys without a word, and expands aliases.
Refused here: more than 1 MiB, more than one document, anchors, aliases, tags, duplicate keys, deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from pipeline.errors import Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 24

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What is no character of a YAML file; a byte order mark inside it neither."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
"""What an escape in double quotes would bring in; a terminal that shows the rule would obey it."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Mark(msgspec.Struct, frozen=True):
    """A place in a file, counted from 1."""

    file: str
    line: int
    column: int


class Scalar(msgspec.Struct, frozen=True):
    """One written value. `plain` is false for quoted and block text; `text` is what was written, never converted."""

    mark: Mark
    text: str
    plain: bool

    @property
    def empty(self) -> bool:
        return self.plain and self.text in ("", "~", "null")


class Sequence(msgspec.Struct, frozen=True):
    mark: Mark
    items: list[Node] = msgspec.field(default_factory=list)


class Mapping(msgspec.Struct, frozen=True):
    mark: Mark
    entries: list[tuple[Scalar, Node]] = msgspec.field(default_factory=list)


Node = Scalar | Sequence | Mapping


class _Stop(Exception):
    """Reading the file cannot go on."""


def compose(file: str, text: str) -> tuple[Node | None, list[Problem]]:
    """The file's one document (None if it is empty or cannot be read), and what is wrong with its YAML."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return None, [Problem(file, 1, 1, "", "文件超过 1 MiB。", "把内容拆成几个文件，或删去用不到的条目")]
    reader = _Composer(file)
    try:
        node = reader.document(iter(_LOADER(text).get_event, None))
    except _Stop:
        node = None
    except UnicodeEncodeError:
        reader.problems.append(_unreadable(file, text))
        node = None
    except yaml.YAMLError as error:
        reader.problems.append(_explain(file, text, error))
        node = None
    if isinstance(node, Scalar) and (found := slip(text.split("\n"), node.mark.line - 1)):
        return None, [Problem(file, *found)]
    return node, reader.problems


class _Composer:
    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def document(self, events: Iterator[Any]) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(event, "文件里有不止一个 YAML 文档。", "删去多余的 --- 行")
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, 1)
        return None if isinstance(root, Scalar) and root.empty else root

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        kind = type(event)
        if kind is yaml.AliasEvent or event.anchor or event.tag or depth > MAX_DEPTH:
            self._refuse(event, depth)
        place = event.start_mark
        mark = Mark(self.file, place.line + 1, place.column + 1)
        if kind is yaml.ScalarEvent:
            if event.style == '"' and (found := _CONTROL.search(event.value)):
                self._problem(mark, f"引号里有控制字符（U+{ord(found[0]):04X}）。", "删去那个反斜杠转义")
            return Scalar(mark, event.value, event.style in (None, ""))
        if kind is yaml.SequenceStartEvent:
            sequence = Sequence(mark)
            while type(following := next(events)) is not yaml.SequenceEndEvent:
                sequence.items.append(self._node(following, events, depth + 1))
            return sequence
        return self._mapping(Mapping(mark), events, depth)

    def _mapping(self, mapping: Mapping, events: Iterator[Any], depth: int) -> Mapping:
        first: dict[str, Mark] = {}
        while type(following := next(events)) is not yaml.MappingEndEvent:
            key = self._node(following, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if not isinstance(key, Scalar):
                self._problem(key.mark, "字段名应是一个词，不能是列表或映射。", "写成 字段名: 值")
            elif key.text in first:
                self._problem(key.mark, f"字段 {key.text} 重复，第 {first[key.text].line} 行已经写过。", "只留一处")
            else:
                first[key.text] = key.mark
                mapping.entries.append((key, value))
        return mapping

    def _refuse(self, event: Any, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._stop(event, f"规则文件不用别名 *{event.anchor}。", "把内容直接写出来；开头是 * 的文字加引号")
        if event.anchor:
            self._stop(event, f"规则文件不用锚点 &{event.anchor}。", "把内容直接写出来；开头是 & 的文字加引号")
        if event.tag and event.tag != "!":                       # `!` alone is a quoted text, to the parser
            self._stop(event, "规则文件不用 YAML 标签。", "去掉感叹号开头的标签；开头是 ! 的文字加引号")
        if depth > MAX_DEPTH:
            self._stop(event, f"嵌套超过 {MAX_DEPTH} 层。", "对照 rules/README.md 的样例改写")

    def _mark(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _problem(self, mark: Mark, message: str, hint: str) -> None:
        self.problems.append(Problem(self.file, mark.line, mark.column, "", message, hint))

    def _stop(self, event: Any, message: str, hint: str) -> None:
        self._problem(self._mark(event), message, hint)
        raise _Stop


def _explain(file: str, text: str, error: yaml.YAMLError) -> Problem:
    """What the parser stumbled over, in words an operator can act on."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return _unreadable(file, text)
    found = slip(text.split("\n"), mark.line)
    if found:
        return Problem(file, *found)
    line, column = mark.line + 1, mark.column + 1
    message, hint = _words(str(error), getattr(error, "context_mark", None))
    return Problem(file, line, column, "", message, hint)


def _unreadable(file: str, text: str) -> Problem:
    """A character that YAML has no place for: the parser does not say where, so it is looked for."""
    found = _FORBIDDEN.search(text)
    start = found.start() if found else 0
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    code = f"（U+{ord(found[0]):04X}）" if found else ""
    return Problem(file, line, column, "", f"文件里有不能用的控制字符{code}。",
                   "删去它，用纯文本编辑器以 UTF-8 重新保存")


_SLIPS = (
    (re.compile(r"[ \-]*(\t)"), "缩进用了制表符（Tab）。", "改用空格，每层两个"),
    (re.compile(r"\s*(?:- +)?[A-Za-z_]+(：)"), "冒号是全角的“：”。", "写成英文冒号加一个空格，例如 id: news"),
    (re.compile(r"\s*(?:- +)?[A-Za-z_]+(:)[^\s:/]"), "冒号后面少了空格。", "写成 字段名: 值，冒号后空一格"),
)
_CONFLICT = re.compile(r"<{7} |={7}$|>{7} ")


def slip(lines: list[str], index: int) -> tuple[int, int, str, str, str] | None:
    """The usual slip of the hand at the line of an error or just above: line, column, no path, message, hint."""
    for number, line in enumerate(lines):
        if _CONFLICT.match(line):
            return number + 1, 1, "", "文件里还有合并冲突的标记。", "选定留哪一边，删去带 <<<<<<< 和 >>>>>>> 的各行"
    for number in (index, index - 1):
        for sign, message, hint in _SLIPS if 0 <= number < len(lines) else ():
            if found := sign.match(lines[number]):
                column = 1 if found[1] == "\t" else found.start(1) + 1
                return number + 1, column, "", message, hint
    return None


def _words(detail: str, context: Any) -> tuple[str, str]:
    since = f"（从第 {context.line + 1} 行开始的那一段）" if context is not None else ""
    if "mapping values are not allowed" in detail:
        return "这里不能出现“: ”。", "检查缩进是否与上一行对齐、上一行是否少了冒号；值里有“: ”时整个值加引号"
    if "quoted scalar" in detail:
        return f"引号没有配对或引号里有不能用的转义{since}。", "补上引号；双引号里的 \\ 写成 \\\\，或改用单引号"
    if "flow" in detail:
        return f"方括号或花括号没有配对，或两项之间少了逗号{since}。", "补上英文的右方括号或右花括号，用英文逗号分项"
    if any(sign in detail for sign in ("block mapping", "block collection", "block sequence", "expected key")):
        return f"缩进不齐{since}。", "同一层的各行左边对齐，每层两个空格"
    if "could not find expected ':'" in detail:
        return f"少了冒号{since}。", "写成 字段名: 值，冒号后空一格"
    if "cannot start any token" in detail:
        return "值不能以这个符号开头（@ ` % 等）。", "给整个值加引号"
    return f"不是合法的 YAML{since}。", "检查缩进、冒号后的空格和引号"
