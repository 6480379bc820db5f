"""Sources written into sources.yml by the program: what people wrote stays, to the byte; new entries follow it.

The whole rule directory is checked with the new text before the file is replaced, by a rename: the rule watcher and
other readers see the old file or the new one. Two commands at once wait for each other.
"""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from agents.rule_files import RuleFiles, read_dir
from pipeline.collect.links import canonical
from pipeline.collect.opml import free_id, span
from pipeline.errors import WenxunError
from pipeline.rulebook.schema import RuleBook, Source, on_instance

FILE = "sources.yml"
_SPANS = frozenset(("interval", "min_interval", "max_interval"))


class RuleEditError(WenxunError):
    """sources.yml was not changed. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A proposed source that is there already, under another id or spelling of its address."""

    proposed: Source
    present: Source


@dataclass(frozen=True, slots=True)
class Edit:
    """added: with the ids that they got. text: what the file says now (or would say, when it was only tried)."""

    added: tuple[Source, ...]
    twins: tuple[Twin, ...]
    text: str
    book: RuleBook


def add_sources(root: Path, timezone: str, proposed: Sequence[Source], *, write: bool = True) -> Edit:
    """Add to the sources.yml of a rule directory what is not there yet.

    RuleBookError when the directory has problems, before or with the new entries; RuleEditError when the file cannot be
    written. Nothing is changed then. write: false only tries.
    """
    with alone(root):
        files = read_dir(root)
        book = files.parse(timezone)
        added, twins = _sorted(proposed, book)
        before = files.texts.get(FILE, "")
        after = inserted(before, [entry(each) for each in added]) if added else before
        new = RuleFiles({**files.texts, FILE: after}, [], 0).parse(timezone)
        missing = [each.id for each in added if new.source(each.id) is None]
        if missing or len(new.sources) != len(book.sources) + len(added):
            raise RuleEditError(f"{root / FILE}: 写法特殊，没能加进去，没有改动。请手工加入：{'、'.join(missing)}。")
        if write and added:
            replace_file(root / FILE, before, after)
        return Edit(added, twins, after, new)


def _sorted(proposed: Sequence[Source], book: RuleBook) -> tuple[tuple[Source, ...], tuple[Twin, ...]]:
    """What is new, with free ids, and what is there already."""
    known = {_address(each, book): each for each in book.sources if each.url}
    ids, added, twins = {each.id for each in book.sources}, [], []
    for each in proposed:
        present = known.get(_address(each, book)) if each.url else None
        if present is not None:
            twins.append(Twin(each, present))
            continue
        each = msgspec.structs.replace(each, id=free_id(each.id, ids))
        ids.add(each.id)
        known[_address(each, book)] = each
        added.append(each)
    return tuple(added), tuple(twins)


def _address(source: Source, book: RuleBook) -> str:
    """One spelling of the address. Tracking parameters count: in a feed's address they may choose the feed."""
    return canonical(on_instance(source.url, book.rsshub), loose=False)


def entry(source: Source) -> dict[str, Any]:
    """A source as it is written: what is not said is left out."""
    plain = msgspec.to_builtins(msgspec.structs.replace(source, route="", url=source.route or source.url))
    found = {name: plain[name] for name in ("id", "name", "url") if plain.get(name)}
    found.update({name: span(value) if name in _SPANS else value for name, value in plain.items() if name not in found})
    return found


# ---------------------------------------------------------------- text


def inserted(before: str, entries: Sequence[dict[str, Any]]) -> str:
    """The file's text with more entries at the end of its list; RuleEditError when it is written in an odd way."""
    try:
        top = yaml().compose(io.StringIO(before))
    except YAMLError:
        raise RuleEditError(f"{FILE} 读不了。运行 wenxun rules check 看哪里要改。") from None
    lines = before.split("\n")
    pairs = top.value if isinstance(top, MappingNode) else []
    found = next(((key, value) for key, value in pairs if key.value == "sources"), None)
    if found is None:
        row, new = len(lines) - 1, ["sources:", *_written(entries, 2, 2, False)]
        if lines[row]:                                  # the last line has no end
            row, new = row + 1, [*new, ""]
    elif isinstance(found[1], SequenceNode) and found[1].value:
        row, new = _behind(lines, found[1], entries)
    else:
        row, new = _emptied(lines, *found), _written(entries, 2, 2, False)
        if row == len(lines):
            new.append("")
    lines[row:row] = [line + "\r" for line in new] if "\r\n" in before else new
    return "\n".join(lines)


def _emptied(lines: list[str], key: Node, node: Node) -> int:
    """The line behind `sources:`, from which `[]`, `null` or `~` is taken away; a comment behind it stays."""
    row = int(key.end_mark.line)
    if node.end_mark.line == row and node.end_mark.index > node.start_mark.index:
        line = lines[row]
        lines[row] = (line[:node.start_mark.column].rstrip() + line[node.end_mark.column:]).rstrip(" ")
    return row + 1


def _behind(lines: list[str], node: SequenceNode, entries: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """Where new entries go, and they as lines, indented and spaced like the others. What follows stays behind them."""
    if node.flow_style:
        raise RuleEditError(f"{FILE} 的 sources 写在方括号里，程序不改这种写法。请改成每行一项（- id: …）再试。")
    last, dash = node.value[-1], node.start_mark.column
    between = lines[_end(node.value[-2]):last.start_mark.line] if len(node.value) > 1 else [""]
    spaced = any(not line.strip() for line in between)
    return _end(last), _written(entries, dash, max(2, last.start_mark.column - dash), spaced, True)


def _end(node: Node) -> int:
    """The number of the line behind a node's last one, comments behind it not counted."""
    while isinstance(node, MappingNode | SequenceNode) and node.value and not node.flow_style:
        node = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
    at = int(node.end_mark.line)
    return at if node.end_mark.column == 0 and at > node.start_mark.line else at + 1


def _written(entries: Sequence[dict[str, Any]], dash: int, indent: int, spaced: bool, first: bool = False
             ) -> list[str]:
    """The entries as lines. dash: its column. indent: of the fields behind it. spaced: blank lines between entries;
    first: before the first one too."""
    found: list[str] = []
    for place, each in enumerate(entries):
        stream = io.StringIO()
        yaml().dump(each, stream)
        fields = stream.getvalue().splitlines()
        found += [""] if spaced and (first or place) else []
        found.append(" " * dash + "-" + " " * (indent - 1) + fields[0])
        found += [" " * (dash + indent) + line for line in fields[1:]]
    return found


def yaml() -> YAML:
    """ruamel's, that keeps what people wrote."""
    made = YAML(typ="rt")
    made.width = 10_000                                 # no line of ours is broken
    made.allow_unicode = True
    return made


# ---------------------------------------------------------------- files


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One edit of a rule directory at a time."""
    try:
        folder = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise RuleEditError(f"{root}：打不开这个规则目录（{error.strerror}）。"
                            f"运行 wenxun init {root} 得到一份样例。") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def replace_file(path: Path, before: str, after: str) -> None:
    """The file with another text, whole or not at all; its mode is kept, and a link to it stays a link."""
    try:
        real = path.resolve(strict=True)
        raw = real.read_bytes()
        mark = raw[:3] if raw.startswith(codecs.BOM_UTF8) else b""
        if raw != mark + before.encode():
            raise RuleEditError(f"{path}：刚刚被别人改过，没有动它。再试一次。")
        _written_whole(real, mark + after.encode())
    except OSError as error:
        raise RuleEditError(f"{path}：写不进去（{error.strerror}），没有改动。检查权限和磁盘空间。") from None


def _written_whole(path: Path, content: bytes) -> None:
    status = path.stat()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            with suppress(OSError):                     # only root may give a file away
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
