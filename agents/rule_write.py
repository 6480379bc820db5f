"""Rule files written into a rule directory, all of them together: the watcher sees the old rules or the new ones.

New texts are written beside the files first; then each is renamed over its file, and files that are no more are
removed, all within the directory's lock. schema/, secrets/ and everything that is no rule file stay as they are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agents.rule_edit import alone
from agents.rule_files import SKIPPED, names, read_dir
from pipeline.errors import WenxunError


class RuleWriteError(WenxunError):
    """The rule files could not be written. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Written:
    """Paths inside the directory."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]


def export(texts: Mapping[str, str], target: Path) -> None:
    """Write rule files into a folder that is new or empty."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RuleWriteError(f"{target} 已经存在而且不是空目录，没有改动。换一个目录名。")
    try:
        for name, text in texts.items():
            path = target / _inside(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    except OSError as error:
        raise RuleWriteError(f"{target} 写不进去：{error.strerror}。检查权限和磁盘空间。") from None


def replace_rules(root: Path, texts: Mapping[str, str]) -> Written:
    """Make these the rule files of a directory. RuleWriteError, and nothing is changed, if that cannot be."""
    refuse_mounted(root)
    with alone(root):
        present = set(names(root))
        before = read_dir(root).texts
        if lost := sorted(present - before.keys()):
            shown = "、".join("".join(each if each.isprintable() else "?" for each in name) for name in lost[:8])
            raise RuleWriteError(f"{shown}：读不了，快照里留不下，所以不覆盖也不删。先移到规则目录之外，再试一次。")
        changed = [name for name in sorted(texts) if before.get(name) != texts[name]]
        removed = sorted(present - texts.keys())
        staged: list[tuple[str, Path]] = []
        try:
            for name in changed:
                staged.append(_staged(root / _inside(name), texts[name]))
            for part, path in staged:
                os.replace(part, path)
            for name in removed:
                (root / name).unlink()
            for folder in {path.parent for _, path in staged}:
                _sync(folder)
        except OSError as error:
            raise RuleWriteError(f"{root} 写不进去（{error.strerror}：{error.filename}）。检查权限和磁盘空间；"
                                 "目录只读时用 wenxun rules history HASH --to DIR 导出，再从源头改。") from None
        finally:
            for part, _ in staged:
                with suppress(FileNotFoundError):
                    os.unlink(part)
    return Written(tuple(changed), tuple(removed))


def refuse_mounted(root: Path) -> None:
    """RuleWriteError for a mounted ConfigMap: what is written there is not what the cluster has."""
    if (root / "..data").is_symlink():
        raise RuleWriteError(
            f"{root} 是挂载的 ConfigMap，不能在这里改。用 wenxun rules history HASH --to DIR 导出那一版，"
            "再用 kubectl 更新 ConfigMap。")
    if not os.access(root, os.W_OK):
        raise RuleWriteError(f"{root} 是只读的。用 wenxun rules history HASH --to DIR 导出那一版，再从源头改。")


def _staged(path: Path, text: str) -> tuple[str, Path]:
    """The text in a hidden file beside the one it will replace, with that one's mode and owner."""
    real = path.resolve()
    real.parent.mkdir(exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            with suppress(FileNotFoundError):
                known = real.stat()
                os.fchmod(file.fileno(), known.st_mode & 0o7777)
                with suppress(PermissionError):         # only root may give a file away
                    os.fchown(file.fileno(), known.st_uid, known.st_gid)
            if not real.exists():
                os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    return part, real


def _inside(name: str) -> str:
    """A path inside a rule directory, as a snapshot names it; RuleWriteError for anything else."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not 1 <= len(path.parts) <= 2 or path.parts[0] in SKIPPED:
        raise RuleWriteError(f"快照里的文件名 {name!r} 不是规则文件，没有写。")
    return name


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
