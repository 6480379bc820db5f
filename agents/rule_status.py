"""A rule's status set by the program: `status:` of one file changes, everything else in it stays, to the byte."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from agents.rule_edit import RuleEditError, alone, replace_file, yaml
from agents.rule_files import RuleFiles, read_dir
from agents.rule_write import refuse_mounted
from pipeline.rulebook.kinds import nearest
from pipeline.rulebook.schema import RuleBook, Status, Subject

WORDS = {Status.LIVE: "正式（live）", Status.SHADOW: "影子（shadow）", Status.RETIRED: "停用（retired）"}
BEHIND = ("expires", "reason", "owner", "title", "id")
"""Where a status that was not written goes: behind the first of these."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed, or would be. file: inside the directory. book: with the change."""

    subject: Subject
    file: str
    status: Status
    book: RuleBook


def set_status(
    root: Path, timezone: str, ident: str, status: Status, allowed: Collection[Status], *, write: bool = True,
) -> Change:
    """Set the status of a subject that has one of the `allowed`. write: false only tries.

    RuleBookError when the directory has problems; RuleEditError when there is no such subject, when its status is
    another one, or when the file cannot be written. Nothing is changed then.
    """
    refuse_mounted(root)
    with alone(root):
        files = read_dir(root)
        book, places = files.parse_with_places(timezone)
        subject = _subject(book, ident, allowed)
        mark, _ = places.at("subject", ident)
        before = files.texts[mark.file]
        after = with_status(before, status, mark.file)
        new = RuleFiles({**files.texts, mark.file: after}, [], 0).parse(timezone)
        wanted = tuple(replace(each, status=status) if each.id == ident else each for each in book.subjects)
        if replace(new, hash="") != replace(book, subjects=wanted, hash=""):
            raise RuleEditError(
                f"{root / mark.file}：写法特殊，没能只改 status，没有改动。请手工写成 status: {status}。")
        if write:
            replace_file(root / mark.file, before, after)
        return Change(subject, mark.file, status, new)


def _subject(book: RuleBook, ident: str, allowed: Collection[Status]) -> Subject:
    found = book.subject(ident)
    if found is None:
        meant = nearest(ident, (each.id for each in book.subjects))
        raise RuleEditError(f"没有主题“{ident}”。" + (f"是不是 {meant}？" if meant else _known(book, allowed)))
    if found.status not in allowed:
        others = _known(book, allowed) if len(allowed) == 1 else ""
        raise RuleEditError(f"主题 {ident} 现在是{WORDS[found.status]}，没有改动。{others}")
    return found


def _known(book: RuleBook, allowed: Collection[Status]) -> str:
    ids = [each.id for each in book.subjects if each.status in allowed]
    what = "、".join(WORDS[each] for each in allowed)
    return f"{what}的主题有：{'、'.join(ids[:10])}{' 等' if len(ids) > 10 else ''}。" if ids else f"没有{what}的主题。"


def with_status(text: str, status: Status, file: str) -> str:
    """The text of a subject's file with this status; RuleEditError when it is written in an odd way."""
    try:
        top = yaml().compose(io.StringIO(text))
    except YAMLError:
        raise RuleEditError(f"{file} 读不了。运行 wenxun rules check 看哪里要改。") from None
    pairs = {key.value: (key, value) for key, value in top.value} if isinstance(top, MappingNode) else {}
    if "status" in pairs:
        key, value = pairs["status"]
        if not isinstance(value, ScalarNode) or value.start_mark.index < key.end_mark.index:
            raise RuleEditError(f"{file}：status 的写法特殊，没有改动。请手工写成 status: {status}。")
        return text[:value.start_mark.index] + str(status) + text[value.end_mark.index:]
    behind = next((pairs[name] for name in BEHIND if name in pairs), None)
    if behind is None:
        raise RuleEditError(f"{file} 里没有 id，没有改动。运行 wenxun rules check 看哪里要改。")
    return _added(text, *behind, flow=bool(top.flow_style), line=f"status: {status}")


def _added(text: str, key: Node, value: Node, *, flow: bool, line: str) -> str:
    """With another field behind this one: on a line of its own, or behind a comma."""
    if flow:
        return f"{text[:value.end_mark.index]}, {line}{text[value.end_mark.index:]}"
    end = value.end_mark.index
    if isinstance(value, ScalarNode) and value.style in ("|", ">"):     # its mark is behind its last line
        end = max(key.end_mark.index, end - 1)
    place = text.find("\n", end)
    eol = "\r\n" if place > 0 and text[place - 1] == "\r" else "\n"
    if place < 0:
        return f"{text}\n{' ' * key.start_mark.column}{line}\n"
    return f"{text[:place + 1]}{' ' * key.start_mark.column}{line}{eol}{text[place + 1:]}"
