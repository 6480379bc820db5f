"""The rule directory as files: read whole, never half; and the starter rules that `wenxun init` writes."""

from __future__ import annotations

import hashlib
import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import agents
from pipeline.errors import Problem, RuleBookError
from pipeline.rulebook.encoding import text_of
from pipeline.rulebook.parse import parse_with_places
from pipeline.rulebook.places import Places
from pipeline.rulebook.schema import RuleBook
from pipeline.rulebook.yaml_marks import MAX_BYTES

MAX_FILES = 20_000
TRUST_SECONDS = 3.0
REFRESH_SECONDS = 10.0
SKIPPED = ("schema", "secrets")
"""Folders of a rule directory that hold no rules."""
State = tuple[int, int, int, int, int]
"""When a file was written and changed (ns), its size, inode and device."""


@dataclass(frozen=True, slots=True)
class RuleFiles:
    """Path inside the directory -> text, what could not be read, and when the newest file was written (epoch ms)."""

    texts: dict[str, str]
    problems: list[Problem]
    written_at: int

    @property
    def digest(self) -> str:
        """Of every byte read: two equal digests in a row mean that nobody is writing."""
        parts = [f"{path}\x1f{text}" for path, text in sorted(self.texts.items())]
        parts += [str(problem) for problem in self.problems]
        return hashlib.blake2b("\x1e".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def parse(self, timezone: str) -> RuleBook:
        """The book in these files; RuleBookError with all problems, unreadable files among them."""
        return self.parse_with_places(timezone)[0]

    def parse_with_places(self, timezone: str) -> tuple[RuleBook, Places]:
        """The same, and where each rule is written."""
        if self.texts:
            return parse_with_places(self.texts, timezone, self.problems)
        raise RuleBookError(self.problems)


def read_dir(root: Path) -> RuleFiles:
    """Read every *.yml of a rule directory and of the folders in it. Raises nothing: what is wrong is a Problem."""
    return Reader(root).read()[0]


@dataclass(slots=True)
class _File:
    """A file as it was read last. seen_at: when this state was first met; read_at: when it was read, both monotonic."""

    state: State
    seen_at: float
    read_at: float
    text: str | Problem


class Reader:
    """Reads a rule directory again and again, and of it only what may have changed.

    A file's state (times, size, inode) is trusted once the file was read TRUST_SECONDS after that state was first seen:
    two writes within one tick of the file system's clock look alike. Everything is read again now and then all the
    same, for file systems that do not tell.
    """

    def __init__(self, root: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._root, self._monotonic = root, monotonic
        self._files: dict[str, _File] = {}
        self._last: RuleFiles | None = None

    def read(self) -> tuple[RuleFiles, bool]:
        """What is there, and whether it changed while it was read. Equal content is the same object as last time."""
        try:
            before = self._states()
            due = [name for name, state in before.items() if self._due(name, state, len(before))]
            if self._last is not None and not due and before.keys() == self._files.keys():
                return self._last, False
            for name in due:
                self._files[name] = self._read(name, before[name])
            self._files = {name: self._files[name] for name in before}
            torn = bool(due) and before != self._states()
        except OSError as error:
            return self._remember(_unreadable(self._root, error)), False
        return self._remember(self._whole()), torn

    def _states(self) -> dict[str, State]:
        found: dict[str, State] = {}
        for name in names(self._root):
            found[name] = _state(self._root / name)
            if len(found) > MAX_FILES:
                break
        return found

    def _due(self, name: str, state: State, count: int) -> bool:
        known = self._files.get(name)
        if known is None or known.state != state:
            return True
        trusted = known.read_at - known.seen_at >= TRUST_SECONDS
        return not trusted or self._monotonic() - known.read_at > max(REFRESH_SECONDS, count / 100)

    def _read(self, name: str, state: State) -> _File:
        now, known = self._monotonic(), self._files.get(name)
        seen_at = known.seen_at if known is not None and known.state == state else now
        return _File(state, seen_at, now, _text(self._root, name))

    def _whole(self) -> RuleFiles:
        if not self._files:
            hint = f"运行 wenxun init {self._root}"
            return RuleFiles({}, [_problem(str(self._root), "目录里没有规则文件。", hint)], 0)
        if len(self._files) > MAX_FILES:
            last = list(self._files)[MAX_FILES]
            return RuleFiles({}, [_problem(last, f"规则文件超过 {MAX_FILES} 个。", "合并或删去一些")], 0)
        texts = {name: each.text for name, each in self._files.items() if isinstance(each.text, str)}
        problems = [each.text for each in self._files.values() if isinstance(each.text, Problem)]
        return RuleFiles(texts, problems, max(each.state[0] for each in self._files.values()) // 1_000_000)

    def _remember(self, files: RuleFiles) -> RuleFiles:
        last = self._last
        if last is None or (last.texts, last.problems, last.written_at) != (
                files.texts, files.problems, files.written_at):
            self._last = last = files
        return last


def names(root: Path) -> Iterator[str]:
    """Paths of the rule files inside the directory and its folders, sorted. Hidden names are editors' and
    Kubernetes' own."""
    for entry in _entries(root):
        if entry.name.startswith((".", "#")):
            continue
        if entry.is_dir():
            if entry.name not in SKIPPED:
                yield from (f"{entry.name}/{each.name}" for each in _entries(entry.path) if _is_rule(each))
        elif _is_rule(entry):
            yield entry.name


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted(found, key=lambda each: each.name)


def _is_rule(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith((".yml", ".yaml")) and not entry.name.startswith((".", "#")) and entry.is_file()


def _state(path: Path) -> State:
    """A file that is gone again, or cannot be looked at, has none."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0, 0, 0)
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)


def _text(root: Path, name: str) -> str | Problem:
    """At most one byte past the limit, so that a huge file is refused without being read whole."""
    if any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in name):
        shown = "".join(each if each.isprintable() else "?" for each in name)
        return _problem(shown, "文件名里有乱码（不是 UTF-8）或控制字符。", "改名，例如和里面的 id 一样")
    try:
        if _leaves(root, name):
            return _problem(name, "这个链接指到了规则目录之外，或指向 secrets/ 里的文件，不读。",
                            "把文件本身放进规则目录")
        with (root / name).open("rb") as file:
            return text_of(name, file.read(MAX_BYTES + 1))
    except OSError as error:
        return _problem(name, f"读不了：{error.strerror}。", "检查文件权限")


def _leaves(root: Path, name: str) -> bool:
    """Whether links lead to what is no rule file of this directory: who may write rules shall not read, in the message
    about what is wrong there, what only this process may read. Links inside are how Kubernetes mounts a ConfigMap."""
    path = os.path.join(root, name)
    if not (os.path.islink(path) or os.path.islink(os.path.dirname(path))):
        return False
    base, real = Path(os.path.realpath(root)), Path(os.path.realpath(path))
    return not real.is_relative_to(base) or real.relative_to(base).parts[0] in SKIPPED


def _unreadable(root: Path, error: OSError) -> RuleFiles:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RuleFiles({}, [_problem(str(root), "没有这个规则目录。", f"运行 wenxun init {root}")], 0)
    return RuleFiles({}, [_problem(str(root), f"读不了：{error.strerror}。", "检查目录权限")], 0)


def _problem(file: str, message: str, hint: str) -> Problem:
    return Problem(file, 1, 1, "", message, hint)


def load_book(root: Path, timezone: str) -> RuleBook:
    """The book of a rule directory; RuleBookError if it cannot be used."""
    return read_dir(root).parse(timezone)


def starter_dir() -> Path:
    """The starter rules: beside the packages in a checkout, inside `agents` in an installed wheel (see setup.py)."""
    package = Path(agents.__file__).resolve().parent
    packed = package / "starter"
    return packed if packed.is_dir() else package.parent / "rules"
