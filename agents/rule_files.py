"""The rule directory as files: read whole, never half; and the starter rules that `wenxun init` writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import agents
from pipeline.errors import Problem, RuleBookError
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import RuleBook
from pipeline.rulebook.yaml_marks import MAX_BYTES

MAX_FILES = 2_000
SKIPPED = ("schema", "secrets")
"""Folders of a rule directory that hold no rules."""


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
        """The book in these files; RuleBookError with all problems, unreadable files first."""
        if not self.problems:
            return parse_book(self.texts, timezone)
        raise RuleBookError(self.problems)


def read_dir(root: Path) -> RuleFiles:
    """Read every *.yml of a rule directory and of the folders in it. Raises nothing: what is wrong is a Problem."""
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    written_at = 0
    if not root.is_dir():
        return RuleFiles({}, [_problem(str(root), "没有这个规则目录。", f"运行 wenxun init {root}")], 0)
    for number, path in enumerate(_paths(root)):
        name = path.relative_to(root).as_posix()
        if number >= MAX_FILES:
            problems.append(_problem(name, f"规则文件超过 {MAX_FILES} 个。", "合并或删去一些"))
            break
        try:
            written_at = max(written_at, path.stat().st_mtime_ns // 1_000_000)
            texts[name] = _text(path)
        except UnicodeDecodeError:
            problems.append(_problem(name, "不是 UTF-8 编码。", "用编辑器另存为 UTF-8"))
        except OSError as error:
            problems.append(_problem(name, f"读不了：{error.strerror}。", "检查文件权限"))
    if not texts and not problems:
        problems.append(_problem(str(root), "目录里没有规则文件。", f"运行 wenxun init {root}"))
    return RuleFiles(texts, problems, written_at)


def _paths(root: Path) -> Iterator[Path]:
    """Rule files of the directory and its folders, sorted. Hidden names are editors' and Kubernetes' own."""
    for path in sorted(root.iterdir()):
        if path.name.startswith((".", "#")):
            continue
        if path.is_dir() and path.name not in SKIPPED:
            yield from (each for each in sorted(path.iterdir()) if _is_rule(each))
        elif _is_rule(path):
            yield path


def _is_rule(path: Path) -> bool:
    return path.suffix in (".yml", ".yaml") and not path.name.startswith((".", "#")) and path.is_file()


def _text(path: Path) -> str:
    """At most one byte past the limit, so that a huge file is refused without being read whole."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1).decode("utf-8-sig", "strict" if path.stat().st_size <= MAX_BYTES else "replace")


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
