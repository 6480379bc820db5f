"""What each book of the history changed against the one before: which rule files, in a few words.

By whole files, so that hundreds of snapshots are told in a second; `wenxun rules diff` says what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from agents.rule_history import History, HistoryError, Line, What

_FOLDERS = {"subjects": "主题", "words": "词表", "tests": "试题"}
_TOLD = frozenset((What.PUBLISHED, What.PENDING))
_VERBS = ("新增", "改动", "删去")
Digests = Mapping[str, int]
"""File -> hash of its text, good within this process."""


def changes(history: History, lines: Sequence[Line]) -> list[str]:
    """For each line, newest first, of a book that came into force or waits: what differs from the book in force then.

    `主题 新增 1、改动 2；levels.yml 改动`; empty where nothing can be said: other lines, the first book, a snapshot
    that is gone. Blocks.
    """
    known: dict[str, Digests | None] = {}
    said = [""] * len(lines)
    before = ""                                            # in force when the line was written
    for place in range(len(lines) - 1, -1, -1):
        line = lines[place]
        if line.what in _TOLD and before and before != line.hash:
            old, new = (_digests(history, known, each) for each in (before, line.hash))
            said[place] = between(old, new) if old is not None and new is not None else ""
        if line.what is What.PUBLISHED:
            before = line.hash
    return said


def steps(data_dir: Path, books: Sequence[str]) -> list[str]:
    """What each of these books, the latest first, changed against the next one here; empty where a snapshot of the two
    cannot be read, and of the last. Blocks."""
    found = [_of_snapshot(data_dir, each) for each in books]
    return [between(old, new) if old is not None and new is not None else ""
            for new, old in zip(found, [*found[1:], None], strict=False)]


def _of_snapshot(data_dir: Path, book: str) -> Digests | None:
    try:
        return _kept(data_dir, book)
    except (HistoryError, OSError):                        # another machine's folder, or another user's
        return None


@lru_cache(maxsize=32)
def _kept(data_dir: Path, book: str) -> Digests:
    """An open page asks again every few seconds."""
    return {path: hash(text) for path, text in History(data_dir).texts(book).items()}


def between(old: Digests, new: Digests) -> str:
    """In words; files of a folder are counted, others are named."""
    counts: dict[str, list[int]] = {}
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            folder, inside, _ = path.partition("/")
            name = _FOLDERS.get(folder, folder) if inside else path
            verb = 0 if path not in old else 2 if path not in new else 1
            counts.setdefault(name, [0, 0, 0])[verb] += 1
    shown = sorted(counts.items(), key=lambda one: one[0] not in _FOLDERS.values())
    return "；".join(f"{name} {_counted(name, each)}" for name, each in shown) or "规则文件没有变，时区或程序版本变了"


def _counted(name: str, counts: Sequence[int]) -> str:
    one = name.endswith((".yml", ".yaml"))
    return "、".join(verb if one else f"{verb} {count}" for verb, count in zip(_VERBS, counts, strict=True) if count)


def _digests(history: History, known: dict[str, Digests | None], book: str) -> Digests | None:
    if book not in known:
        try:
            known[book] = {path: hash(text) for path, text in history.texts(book).items()}
        except HistoryError:
            known[book] = None
    return known[book]
