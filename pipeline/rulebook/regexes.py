"""Regular expressions of rules: RE2, checked when they are written, so that none is costly or means nothing.

RE2 runs in time linear in the text, whatever the expression; what it costs is memory, which is bounded here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from pipeline.rulebook.kinds import Reading, Schema, shown, written
from pipeline.rulebook.yaml_marks import Node, Scalar

LONGEST = 300
MAX_MEM = 1024 * 1024
"""Bytes RE2 may spend on one expression."""
MAX_PROGRAM = 4_000
"""Instructions. A few hundred are much for a rule; `(a{100}){40}` has thousands."""

PROBES = ("今天县里开会讨论道路维修的安排，大家都到了。", "the quick brown fox jumps over a lazy dog",
          "20261122153045987601",
          "……，。！？、；：“”（）")
"""Texts that have nothing in common: what matches all of them finds nothing."""

_INVISIBLE = {"Cf", "Mn"}
"""Zero-width characters and combining marks: folding leaves nothing of them to repeat."""

_WIDE_COUNT = re.compile("\\{[0-9,０-９，]*[０-９，][0-9,０-９，]*\\}")

_UNKNOWN = {
    "(?=": ("不支持前瞻 (?=…)", "用 near（邻近）或 match 的 all 写“并且出现”"),
    "(?!": ("不支持否定前瞻 (?!…)", "用 exclude 或 match 的 none 写“不出现”"),
    "(?<=": ("不支持后顾 (?<=…)", "把前面的字直接写进正则，或用 near（邻近）"),
    "(?<!": ("不支持否定后顾 (?<!…)", "用 exclude 或 match 的 none 写“不出现”"),
    "(?P=": ("不支持反向引用 (?P=…)", "把可能的词逐个写出来，用 | 隔开"),
    "(?>": ("不支持原子组 (?>…)", "改用 (?:…)；RE2 不回溯，不需要它"),
    "(?#": ("不支持注释 (?#…)", "把说明写成 YAML 的 # 注释"),
    "(?(": ("不支持条件分支 (?(…)…)", "分成几个词写"),
    "(?x": ("不支持 x 标志", "去掉空格和注释，写成一行"),
}
_ESCAPES = {
    "\\u": "汉字直接写，例如 [一-龥] 或 \\p{Han}", "\\Z": "结尾写成 \\z", "\\h": "空白写成 \\s",
    "\\k": "把可能的词逐个写出来，用 | 隔开",
}
_DETAILS = (
    ("missing ]", "方括号没有配对", "补上 ]；要找方括号本身写成 \\["),
    ("missing )", "圆括号没有配对", "补上 )；要找括号本身写成 \\("),
    ("unexpected )", "多了一个右括号", "删去它；要找括号本身写成 \\)"),
    ("trailing \\", "末尾多了一个反斜杠", "删去它；要找反斜杠本身写成 \\\\"),
    ("no argument for repetition", "重复符号前面没有可重复的内容", "删去它；要找符号本身，前面加 \\"),
    ("bad repetition operator", "重复符号叠在一起", "只留一个，例如 a+"),
    ("invalid repetition size", "重复次数不对或太多（最多 1000 次，嵌套时相乘）", "写更小的次数，前一个数不大于后一个"),
    ("invalid character class", "方括号里的范围或类别不对", "小的写在前面，例如 [0-9]、\\p{Han}"),
    ("pattern too large", "展开后太大", "减少重复次数，或拆成几个词"),
    ("invalid named capture", "组名不对或重复", "不需要组名，写成 (?:…)"),
    ("bad named capture", "组名不对或重复", "不需要组名，写成 (?:…)"),
)


def options() -> Any:
    """How every expression of a rule is compiled."""
    made = re2.Options()
    made.max_mem = MAX_MEM
    made.log_errors = False
    return made


_OPTIONS = options()


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with an expression (ends without a full stop), and what to write."""

    message: str
    hint: str


@lru_cache(maxsize=20_000)
def wrong(text: str) -> Wrong | None:
    """Why this expression cannot be used; None when it can."""
    hidden = next((each for each in text if unicodedata.category(each) in _INVISIBLE), "")
    if hidden:
        return Wrong(f"正则里有看不见的字符 U+{ord(hidden):04X}{_where(text, hidden)}",
                     "删去它；匹配时本来就不看这样的字符")
    if wide := _WIDE_COUNT.search(text):
        return Wrong(f"次数里有全角字符{_where(text, wide[0])}", "改成半角的数字和逗号，例如 {2,5}")
    try:
        compiled = re2.compile(text, _OPTIONS)
    except re2.error as error:
        return _explain(text, error)
    if compiled.programsize > MAX_PROGRAM:
        return Wrong("正则展开后太大", "减少重复次数，或拆成几个词")
    if compiled.search(""):
        return Wrong("正则连空文字也会匹配", "至少要有一个必须出现的字，例如把 * 换成 +")
    found = [compiled.search(probe) for probe in PROBES]
    if all(found):
        return Wrong("正则几乎什么都会匹配", "写出要找的字")
    if any(each.start() == each.end() for each in found if each):
        return Wrong("正则会匹配空文字（例如只写了 \\b 或 ^）", "写出要找的字")
    return None


def _explain(text: str, error: Exception) -> Wrong:
    raw = error.args[0] if error.args else b""
    detail = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    kind, _, part = detail.partition(": ")
    if kind == "invalid perl operator":
        return _no_operator(text, part)
    if kind == "invalid escape sequence":
        return _no_escape(text, part)
    for sign, message, hint in _DETAILS:
        if detail.startswith(sign):
            return Wrong(f"{message}{_where(text, part)}", hint)
    return Wrong(f"不是 RE2 正则{_where(text, part)}", "对照 https://github.com/google/re2/wiki/Syntax 改写")


def _no_operator(text: str, part: str) -> Wrong:
    start = text.find(part)
    longest = max((sign for sign in _UNKNOWN if text.startswith(sign, start)), key=len, default="")
    message, hint = _UNKNOWN.get(longest, (f"没有 {part} 这种写法", "改用 (?:…) 分组"))
    return Wrong(f"RE2 {message}{_where(text, part)}", hint)


def _no_escape(text: str, part: str) -> Wrong:
    if re.fullmatch(r"\\[1-9]", part):
        return Wrong(f"RE2 不支持反向引用 {part}{_where(text, part)}", "把可能的词逐个写出来，用 | 隔开")
    return Wrong(f"RE2 没有 {part} 这个转义{_where(text, part)}",
                 _ESCAPES.get(part, "要找符号本身写成 \\ 加符号，字母不用加"))


def _where(text: str, part: str) -> str:
    start = text.rfind(part) if part else -1
    return f"（第 {start + 1} 个字符起：{part[:20]}）" if start >= 0 else ""


class Regex:
    """A RE2 expression, at most LONGEST characters."""

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if not isinstance(node, Scalar) or node.empty or not 0 < len(node.text) <= LONGEST:
            message = f"应为正则表达式（RE2，最多 {LONGEST} 字），现为{shown(node)}。"
            return reading.problem(node.mark, path, message, written(path, "'第[0-9]+投票站'"))
        if "/" in (node.text[0], node.text[-1]) and len(node.text) > 1 and node.text[0] == node.text[-1]:
            return reading.problem(node.mark, path, "正则两头不写斜杠。", written(path, f"'{node.text[1:-1]}'"))
        found = wrong(node.text)
        return node.text if found is None else reading.problem(node.mark, path, f"{found.message}。", found.hint)

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": LONGEST}
