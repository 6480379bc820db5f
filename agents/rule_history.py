"""Snapshots of the rule directory's texts, of every book that was published and of those that waited for a person.

They lie in the data folder, readable by their owner alone: `index.json` says what happened when, `HASH.json.gz` holds
the texts. Secrets are never in it: they are no rule files. Everything here blocks.
"""

from __future__ import annotations

import fcntl
import gzip
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

import msgspec

from pipeline.errors import WenxunError
from pipeline.model import Millis

log = logging.getLogger("wenxun.rules")

FOLDER = "rules-history"
MAX_SNAPSHOTS = 200
MAX_ENTRIES = 1_000
NEWEST_KEPT = 20
"""Of the older ones those that were in force shortest go first: a file saved in a loop does not wash out the rest."""
_SUFFIX = ".json.gz"


class HistoryError(WenxunError):
    """No such snapshot, or none that can be read. The text says what there is."""


class What(StrEnum):
    PUBLISHED = "published"
    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    SAVED = "saved"                  # what a rollback replaced


class Line(msgspec.Struct, frozen=True):
    """What happened to a book. by: who; empty: nobody, a save did it. note: for people."""

    at: Millis
    hash: str
    what: What
    by: str = ""
    note: str = ""


class History:
    """The snapshots of one installation."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER

    # ---------------------------------------------------------------- reading

    def lines(self) -> list[Line]:
        """What happened, newest first. An index that cannot be read is made up from the snapshots' times."""
        try:
            return msgspec.json.decode((self.folder / "index.json").read_bytes(), type=list[Line])
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as error:
            log.error("rules: %s/index.json cannot be read (%s); going by the snapshots' times", self.folder, error)
        files = [(path.stat().st_mtime_ns // 1_000_000, path) for path in self.folder.glob("*" + _SUFFIX)]
        return [Line(at, path.name.removesuffix(_SUFFIX), What.PUBLISHED) for at, path in sorted(files, reverse=True)]

    def texts(self, hash: str) -> dict[str, str]:
        """Path -> text of a snapshot; HistoryError if there is none."""
        try:
            return msgspec.json.decode(gzip.decompress(self._path(hash).read_bytes()), type=dict[str, str])
        except FileNotFoundError:
            raise HistoryError(f"没有规则 {hash} 的快照（只留最近 {MAX_SNAPSHOTS} 份）。"
                               "用 wenxun rules history 看有哪些。") from None
        except (OSError, EOFError, msgspec.MsgspecError) as error:
            raise HistoryError(f"规则 {hash} 的快照读不出来：{error}。") from None

    def has(self, hash: str) -> bool:
        return self._path(hash).exists()

    def find(self, prefix: str) -> str:
        """The hash that begins so; HistoryError unless there is exactly one."""
        found = sorted({path.name.removesuffix(_SUFFIX) for path in self.folder.glob("*" + _SUFFIX)
                        if path.name.startswith(prefix)})
        if prefix and len(found) == 1:
            return found[0]
        if found and prefix:
            raise HistoryError(f"{prefix} 开头的快照不止一份：{'、'.join(found[:8])}。多写几位。")
        raise HistoryError(f"没有规则 {prefix} 的快照。用 wenxun rules history 看有哪些。")

    def newest(self) -> Iterator[str]:
        """Hashes of the books that were published, newest first, once each, as far as there are snapshots."""
        for hash in dict.fromkeys(line.hash for line in self.lines() if line.what is What.PUBLISHED):
            if self._path(hash).exists():
                yield hash

    def last(self, hash: str) -> Line | None:
        """The newest line about a book, unless another one was published since."""
        for line in self.lines():
            if line.hash == hash:
                return line
            if line.what is What.PUBLISHED:
                return None
        return None

    # ---------------------------------------------------------------- writing

    def keep(self, line: Line, texts: Mapping[str, str] | None = None) -> None:
        """Write a line, and the book's texts if they are given. Raises OSError."""
        with self._alone():
            lines = self.lines()
            if texts is not None:
                content = gzip.compress(msgspec.json.encode(dict(sorted(texts.items()))), 5, mtime=0)
                _write(self._path(line.hash), content)
            if not (lines and (lines[0].hash, lines[0].what, lines[0].by) == (line.hash, line.what, line.by)):
                lines.insert(0, line)
            lines = _newest(lines)
            self._prune(lines)
            _write(self.folder / "index.json", msgspec.json.format(msgspec.json.encode(lines)))

    def _prune(self, lines: list[Line]) -> None:
        hashes = list(dict.fromkeys(line.hash for line in lines if self._path(line.hash).exists()))
        reigns = _reigns(lines)
        while len(hashes) > MAX_SNAPSHOTS:
            least = min(hashes[NEWEST_KEPT:], key=lambda each: (reigns.get(each, 0), -hashes.index(each)))
            hashes.remove(least)
            with suppress(FileNotFoundError):
                self._path(least).unlink()
        for path in self.folder.glob("*" + _SUFFIX):         # of lines that the index has no room for any more
            if path.name.removesuffix(_SUFFIX) not in hashes:
                path.unlink(missing_ok=True)

    def _path(self, hash: str) -> Path:
        return self.folder / (hash.replace("/", "_") + _SUFFIX)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The role `rules` and the command `rollback` write: one at a time."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _newest(lines: list[Line]) -> list[Line]:
    """As many as there is room for. What was in force stays longest: a start without rule files goes by it, and what
    waits for a person may be saved in a loop too."""
    spare = [place for place, line in enumerate(lines) if line.what is not What.PUBLISHED and place >= NEWEST_KEPT]
    gone = set(spare[max(0, len(spare) - max(0, len(lines) - MAX_ENTRIES)):])
    return [line for place, line in enumerate(lines) if place not in gone][:MAX_ENTRIES]


def _reigns(lines: list[Line]) -> dict[str, Millis]:
    """How long each book was in force, all together; the newest one until now."""
    found: dict[str, Millis] = {}
    until: Millis | None = None
    for line in lines:
        if line.what is What.PUBLISHED:
            found[line.hash] = found.get(line.hash, 0) + (until - line.at if until is not None else 2**53)
            until = line.at
    return found


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, for the owner alone."""
    handle, name = tempfile.mkstemp(prefix=".part.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
