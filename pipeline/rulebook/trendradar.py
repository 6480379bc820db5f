"""TrendRadar's frequency_words file -> subjects, each beginning as a shadow, and a note for every line left behind.

The format: groups of lines parted by blank lines. A plain line is a word, any of which is enough; `+word` must occur,
`!word` must not; `/pattern/` is a regular expression, in place of a word after + and ! too; `… => name` and a first
line `[name]` are names to show; `@3` limits how many are shown. Lines after `[GLOBAL_FILTER]`, until `[WORD_GROUPS]`,
are excluded everywhere. Only titles are looked at, and case does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import yaml

from pipeline.errors import WenxunError
from pipeline.rulebook import regexes
from pipeline.rulebook.yaml_marks import MAX_BYTES

LONGEST = 50
"""Characters of a word in a rule file."""
OWNER = "请改成本单位的责任科室"
FILTER = "trendradar-filter"
_PREFIX = "trendradar"
_REGEX = re.compile(r"/(.+)/[a-zA-Z]*")
_SECTION = re.compile(r"\[(.+)\]")
_LITERALS = re.compile(r"[\u3400-\u9fff]{2,}(?:\|[\u3400-\u9fff]{2,})+")
_BEFORE, _AFTER = re.compile(r"\(\?<!\[([^\]^]+)\]\)"), re.compile(r"\(\?!\[([^\]^]+)\]\)")
"""How Latin words are usually kept whole there; RE2 has no lookaround, and the same can be said without."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a line that a person should know. lost: it is not in what was written."""

    line: int
    text: str
    lost: bool = True


@dataclass(frozen=True, slots=True)
class Word:
    """A word or, if `regex`, an expression that RE2 takes."""

    text: str
    regex: bool
    line: int

    def written(self) -> str | dict[str, str]:
        return {"regex": self.text} if self.regex else self.text


@dataclass(slots=True)
class Group:
    """A group as it was written. names: what its words are shown as. broken: it would match more than it did there."""

    line: int
    title: str = ""
    names: list[str] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    required: list[tuple[Word, ...]] = field(default_factory=list)
    excluded: list[Word] = field(default_factory=list)
    broken: bool = False

    @property
    def shown(self) -> str:
        """At most 60 characters: what the subject is called."""
        found = self.title or " / ".join(self.names) or " / ".join(
            each.text for each in (*self.words, *(word for any_of in self.required for word in any_of)))
        return found if len(found) <= 60 else found[:59] + "…"


@dataclass(slots=True)
class Found:
    """What a file holds. excluded: of every group. notes: in the order of lines."""

    groups: list[Group] = field(default_factory=list)
    excluded: list[Word] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def decode(body: bytes) -> tuple[str, str]:
    """The text of a file and its encoding: UTF-8, UTF-16 with a mark, else GBK. WenxunError if it is none of them."""
    if len(body) > MAX_BYTES:
        raise WenxunError("文件超过 1 MiB，不像词表。")
    wide = body.startswith((b"\xff\xfe", b"\xfe\xff"))
    found: list[tuple[str, str]] = []
    for codec, name in (("utf-16", "UTF-16"),) if wide else (("utf-8-sig", "UTF-8"), ("gb18030", "GBK")):
        with suppress(UnicodeDecodeError):
            found.append((body.decode(codec), name))
    found = [(text, name) for text, name in found if "\0" not in text]
    if not found:
        raise WenxunError("不是文本文件，或编码不是 UTF-8、UTF-16、GBK。用编辑器另存为 UTF-8 再导入。")
    # Some Chinese in GBK happens to be UTF-8 of letters that nobody writes here.
    return max(found, key=lambda one: any(each > "\u2e80" for each in one[0]))


def read(text: str) -> Found:
    """What the file says. Nothing is raised: what cannot be carried over is a note with its line."""
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), 1):
        reader.line(number, line.strip())
    reader.close()
    reader.found.notes.sort(key=lambda note: note.line)
    return reader.found


class _Reader:
    def __init__(self) -> None:
        self.found = Found()
        self._filtering = False
        self._group: Group | None = None

    def line(self, number: int, line: str) -> None:
        if not line:
            self.close()
        elif line.startswith("#"):
            return
        elif (section := _SECTION.fullmatch(line)) is not None:
            self._section(number, section[1].strip())
        elif self._filtering:
            self._filter(number, line)
        else:
            self._entry(number, line)

    def close(self) -> None:
        """The group ends here."""
        group, self._group = self._group, None
        if group is None:
            return
        self._without_excluded(group)
        if group.broken:
            self._note(group.line, f"组“{group.shown}”少了必须词就会匹配过多，没有生成主题")
        elif group.words or group.required:
            self.found.groups.append(group)
        elif group.excluded:
            self._note(group.line, "这一组只有 ! 过滤词，没有要找的词，没有生成主题。要到处排除就写进 [GLOBAL_FILTER]")
        elif group.title:
            self._note(group.line, f"组“{group.title}”里没有可用的词，没有生成主题")

    def _section(self, number: int, name: str) -> None:
        if name.upper() in ("GLOBAL_FILTER", "WORD_GROUPS"):
            self.close()
            self._filtering = name.upper() == "GLOBAL_FILTER"
        elif self._filtering:
            self._note(number, f"[{name}] 在全局过滤区里，没有意义。词组写在 [WORD_GROUPS] 之后")
        elif self._group is None:
            self._group = Group(number, title=name)
        else:
            self._note(number, f"组名 [{name}] 应是一组的第一行")

    def _filter(self, number: int, line: str) -> None:
        if line[0] in "+!@":
            self._note(number, f"全局过滤区里不用 {line[0]} 开头，原来也不起作用。要排除就只写词")
            return
        self._add(self.found.excluded, self._words(number, line)[0])

    def _entry(self, number: int, line: str) -> None:
        group = self._group = self._group or Group(number)
        kind, rest = (line[0], line[1:].strip()) if line[0] in "+!@" else ("", line)
        if kind == "@":
            said = "闻讯不限制条数，由级别决定通知谁" if rest.isdecimal() else "@ 后面应是数字"
            self._note(number, f"{line}：{said}")
            return
        words, name = self._words(number, rest)
        if name and kind != "!":
            group.names.append(name)
        if kind == "+":
            group.required += [words] if words else []
            group.broken = group.broken or not words
        else:
            self._add(group.excluded if kind == "!" else group.words, words)

    def _words(self, number: int, line: str) -> tuple[tuple[Word, ...], str]:
        """The words of a line, empty with a note if it has none that can be used, and the name they are shown as."""
        wanted, _, name = (part.strip() for part in line.partition("=>"))
        regex = _REGEX.fullmatch(wanted)
        if regex is not None:
            return self._regex(number, regex[1]), name
        if not wanted:
            self._note(number, "这一行没有词")
        elif len(wanted) > LONGEST:
            self._note(number, f"“{wanted[:20]}…”超过 {LONGEST} 个字，不像一个词")
        elif not any(each.isalnum() or ord(each) > 0x2600 for each in wanted):
            self._note(number, f"“{wanted}”里没有文字")
        else:
            return (Word(wanted, False, number),), name
        return (), ""

    def _regex(self, number: int, pattern: str) -> tuple[Word, ...]:
        """Chinese words between | are words of their own, so that they too are found however they are spelled."""
        if _LITERALS.fullmatch(pattern):
            return tuple(Word(each, False, number) for each in dict.fromkeys(pattern.split("|")))
        taken = _AFTER.sub(r"(?:[^\1]|$)", _BEFORE.sub(r"(?:^|[^\1])", pattern))
        if len(taken) > regexes.LONGEST:
            self._note(number, f"/{pattern[:20]}…/ 超过 {regexes.LONGEST} 个字符，拆成几个词")
            return ()
        if (wrong := regexes.wrong(taken)) is not None:
            self._note(number, f"/{pattern}/ 不能用：{wrong.message}。{wrong.hint}")
            return ()
        return (Word(taken, True, number),)

    def _add(self, words: list[Word], more: tuple[Word, ...]) -> None:
        """Each word once, whatever its case."""
        known = {(each.text.lower(), each.regex): each.line for each in words}
        for word in more:
            first = known.get((word.text.lower(), word.regex))
            if first is None:
                words.append(word)
                known[word.text.lower(), word.regex] = word.line
            elif first != word.line:
                self._note(word.line, f"“{word.text}”第 {first} 行已经有了", lost=False)

    def _without_excluded(self, group: Group) -> None:
        """Words that are excluded too can never be the reason for a match."""
        gone = {each.text.lower() for each in group.excluded if not each.regex}
        for word in [each for each in group.words if each.text.lower() in gone]:
            group.words.remove(word)
            self._note(word.line, f"“{word.text}”在同一组里又被 ! 排除，永远不会匹配")
        for any_of in [each for each in group.required if all(word.text.lower() in gone for word in each)]:
            self._note(any_of[0].line, f"“{any_of[0].text}”在同一组里又被 ! 排除，这一组永远不会匹配，没有生成主题")
            group.words.clear()
            group.required.clear()
            group.excluded.clear()
            return

    def _note(self, number: int, text: str, *, lost: bool = True) -> None:
        self.found.notes.append(Note(number, text, lost))


def files(found: Found, *, expires: str, source: str, taken: frozenset[str] = frozenset()) -> dict[str, str]:
    """Path inside a rule directory -> text. expires: ISO date. taken: ids that are in use already."""
    made: dict[str, str] = {}
    name = next(each for each in _numbered(FILTER) if each not in taken)
    if words := [each.text for each in found.excluded if not each.regex]:
        made[f"words/{name}.yml"] = _text(
            "list", f"来自 {source} 的 [GLOBAL_FILTER]：各主题都排除的词。",
            {"id": name, "title": "TrendRadar 全局过滤词", "owner": OWNER, "words": words})
    everywhere: list[object] = [{"list": name}] if words else []
    everywhere += [each.written() for each in found.excluded if each.regex]
    used = set(taken)
    for number, group in enumerate(found.groups, 1):
        ident = _ident(group.shown, number, used)
        used.add(ident)
        made[f"subjects/{ident}.yml"] = _text(
            "subject", f"来自 {source} 第 {group.line} 行。先以影子规则运行；看过结果，改好 owner 和 reason，"
            f"再用 wenxun rules promote {ident} 上线。", _subject(group, ident, expires, everywhere))
    return made


def _subject(group: Group, ident: str, expires: str, everywhere: list[object]) -> dict[str, object]:
    made: dict[str, object] = {
        "id": ident, "title": group.shown, "owner": OWNER,
        "reason": "从 TrendRadar 词表导入，请写明为什么关注", "status": "shadow", "expires": expires,
        "scope": ["title"]}
    if group.words:
        made["terms"] = [each.written() for each in group.words]
    if group.required:
        made["match"] = {"all": [_any_of(each) for each in group.required]}
    if excluded := [*(each.written() for each in group.excluded), *everywhere]:
        made["exclude"] = excluded
    return made


def _any_of(words: tuple[Word, ...]) -> object:
    return words[0].written() if len(words) == 1 else {"any": [each.written() for each in words]}


def _ident(title: str, number: int, used: set[str]) -> str:
    """An id that is free: of the title's Latin letters if it has enough, else of the group's number."""
    slug = "-".join(re.findall(r"[a-z0-9]+", title.lower()))[:40].strip("-")
    plain = f"{_PREFIX}-{slug}" if len(slug) >= 2 else f"{_PREFIX}-{number:02d}"
    return next(each for each in _numbered(plain) if each not in used)


def _numbered(plain: str) -> Iterator[str]:
    yield plain
    for number in range(2, 100_000):
        yield f"{plain}-{number}"


def _text(schema: str, comment: str, value: dict[str, object]) -> str:
    body = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=110, default_flow_style=None)
    return f"# yaml-language-server: $schema=../schema/{schema}.json\n# {comment}\n{body}"
