"""A backup is one file: a tar, compressed, with a manifest first. It holds secrets and is readable by its owner alone.

    manifest.json    what it is, when it was made, the revision of the tables, rows, a checksum and a mode of each file
    wenxun.db        the whole database (snapshot.py)
    rules/…          the rule directory, secrets/ too; rules-history/…, link.key
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from pipeline.errors import WenxunError

FORMAT = 1
MANIFEST, DATABASE = "manifest.json", "wenxun.db"
RULES, HISTORY, KEY = "rules", "rules-history", "link.key"
TREES = (RULES, HISTORY)
LEVEL = 3
"""Of compression: half a minute less per million items than gzip's own 9, and a few percent larger."""
MAX_MANIFEST = 32 * 1024**2
BLOCK = 1024**2
_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


class BackupError(WenxunError):
    """A backup that cannot be written, or is none that can be used. The text says why and what to do."""


class File(msgspec.Struct, frozen=True):
    """secret: never to be shown, and its mode is 0600 at most."""

    path: str
    size: int
    sha256: str
    mode: int
    secret: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """made_at: ISO 8601, UTC. rows: of each table. database: `sqlite` or `postgresql`, where it came from."""

    format: int
    version: str
    made_at: str
    database: str
    revision: str
    rows: dict[str, int]
    files: list[File]

    def tree(self, name: str) -> list[File]:
        """The files of rules or rules-history."""
        return [file for file in self.files if file.path.split("/")[0] == name]

    @property
    def secrets(self) -> int:
        return sum(file.secret for file in self.files)


# ---------------------------------------------------------------- writing


def files_of(name: str, root: Path) -> dict[str, Path]:
    """Path in the backup -> file, of a directory or one file. Hidden ones (a ConfigMap's links, an editor's, .git) and
    what is no file are left out; links to files are followed."""
    if root.is_file():
        return {name: root}
    found: dict[str, Path] = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if not path.name.startswith(".") and len(PurePosixPath(name).parts) < 8:
            found.update(files_of(f"{name}/{path.name}", path))
    return found


def describe(path: str, file: Path) -> File:
    """BackupError if it cannot be read."""
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BackupError(f"{file}：读不了（{error.strerror}），没有备份。用运行 Wenxun 的那个用户来备份。") from None
    secret = path == KEY or path.startswith(f"{RULES}/secrets/")
    mode = stat.S_IMODE(status.st_mode) & (0o600 if secret or path == DATABASE else 0o755)
    return File(path, status.st_size, digest, mode | 0o600, secret)


def write(target: Path, manifest: Manifest, sources: Mapping[str, Path]) -> None:
    """The archive, whole or not at all; what changed since it was described is noticed. BackupError."""
    handle, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)     # mode 0600
    try:
        with os.fdopen(handle, "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=LEVEL) as tar:
                body = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
                _add(tar, MANIFEST, io.BytesIO(body), len(body), 0o600)
                for file in manifest.files:
                    with sources[file.path].open("rb") as stream:
                        read = _Read(stream)
                        _add(tar, file.path, read, file.size, file.mode)
                    if read.digest.hexdigest() != file.sha256:
                        raise BackupError(f"{sources[file.path]} 在备份时变了，没有备份。再运行一次。")
            raw.flush()
            os.fsync(raw.fileno())
        os.link(draft, target)                          # never over one that is there
    except FileExistsError:
        raise BackupError(f"{target} 已经存在，没有覆盖。换一个文件名，或给一个目录。") from None
    except OSError as error:
        raise BackupError(f"{target}：写不了（{error.strerror or error}）。检查空间和权限。") from None
    finally:
        with suppress(OSError):
            os.unlink(draft)


class _Read:
    """A file, and the checksum of what was read of it. One that is shorter than it was goes on with zeros."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.digest = stream, hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        block = self._stream.read(size).ljust(size, b"\0")
        self.digest.update(block)
        return block


def _add(tar: tarfile.TarFile, name: str, stream: _Read | BinaryIO, size: int, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    tar.addfile(member, stream)


# ---------------------------------------------------------------- reading


def unpack(archive: Path, folder: Path) -> Manifest:
    """All files of a backup into an empty folder, each one as its checksum says. BackupError otherwise."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            manifest = _manifest(archive, tar)
            _require_room(folder, manifest)
            wanted = {file.path: file for file in manifest.files}
            for member in tar:
                if member.name != MANIFEST:
                    _unpack(archive, tar, member, wanted, folder)
            while tar.fileobj is not None and tar.fileobj.read(BLOCK):      # gzip's own checksum is at its end
                pass
    except _BROKEN:
        raise BackupError(f"{archive} 不是 Wenxun 的备份，或者不完整（下载或复制中断？）。没有改动任何东西。") from None
    except OSError as error:
        where = error.filename or archive
        raise BackupError(f"{where}：{error.strerror or error}。没有改动任何东西。") from None
    if wanted:
        raise BackupError(f"{archive} 不完整：缺 {'、'.join(sorted(wanted)[:5])}。没有改动任何东西。")
    return manifest


def _manifest(archive: Path, tar: tarfile.TarFile) -> Manifest:
    member = tar.next()
    stream = tar.extractfile(member) if member and member.isreg() and member.name == MANIFEST else None
    if member is None or stream is None or member.size > MAX_MANIFEST:
        raise BackupError(f"{archive} 不是 Wenxun 的备份：第一个文件不是 {MANIFEST}。没有改动任何东西。")
    raw = stream.read()
    try:
        number = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["format"]
        if msgspec.json.decode(number, type=int) > FORMAT:
            raise BackupError(f"{archive} 来自更新的 Wenxun（备份格式 {bytes(number).decode()}，"
                              f"本程序只认识到 {FORMAT}）。请先升级程序，再恢复。")
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, KeyError):
        raise BackupError(f"{archive} 的 {MANIFEST} 读不懂：不是 Wenxun 的备份，或者已损坏。"
                          "没有改动任何东西。") from None


def _unpack(
    archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, wanted: dict[str, File], folder: Path
) -> None:
    file = wanted.pop(member.name, None)
    stream = tar.extractfile(member) if member.isreg() else None
    if file is None or stream is None or not _inside(member.name):
        raise BackupError(f"{archive} 里有不该有的内容：{member.name!r}。不要用这个文件。没有改动任何东西。")
    target = folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while block := stream.read(BLOCK):
            digest.update(block)
            out.write(block)
        os.fchmod(out.fileno(), file.mode & (0o600 if file.secret or file.path == DATABASE else 0o755))
    if member.size != file.size or digest.hexdigest() != file.sha256:
        raise BackupError(f"{archive} 已损坏：{member.name} 的校验和不对。没有改动任何东西。")


def _inside(name: str) -> bool:
    """Whether it is a path that a backup of ours can hold: below one of our names, never upwards."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or not name.isprintable():
        return False
    return name in (DATABASE, KEY) or (path.parts[0] in TREES and len(path.parts) > 1)


def _require_room(folder: Path, manifest: Manifest) -> None:
    need, have = sum(file.size for file in manifest.files), shutil.disk_usage(folder).free
    if need > have:
        raise BackupError(f"{folder}：空间不够，解开备份要 {need:,} 字节，只有 {have:,}。没有改动任何东西。")


# ---------------------------------------------------------------- putting in place


class Swap:
    """Files and folders that take the places of others. kept: where those are now."""

    def __init__(self, stamp: str) -> None:
        self._stamp = stamp
        self._done: list[tuple[Path, Path | None]] = []
        self.kept: list[Path] = []

    def put(self, source: Path, target: Path) -> None:
        """A copy of it beside the target first, then two renames."""
        real = target.resolve()
        draft = real.with_name(f".{real.name}.restore-{self._stamp}")
        try:
            real.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, draft) if source.is_dir() else shutil.copy2(source, draft)
            _same_folders(draft, real)
            _same_owner(draft, real)
            aside = self.aside(real)
            os.rename(draft, real)
            self._done.append((real, aside))
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            with suppress(OSError):
                draft.unlink()
            raise BackupError(f"{real}：换不了（{error.strerror}）。如果它是挂载点或只读，用 --only 跳过它，"
                              "用 --rules 恢复到别的目录再自己拷过去。") from None

    def aside(self, real: Path) -> Path | None:
        """Out of the way, beside where it was."""
        if not os.path.lexists(real):
            return None
        kept = real.with_name(f"{real.name}.before-{self._stamp}")
        os.rename(real, kept)
        self._done.append((real, kept))
        self.kept.append(kept)
        return kept

    def back(self) -> None:
        """As it was."""
        for real, kept in reversed(self._done):
            if kept is None or kept.exists():
                shutil.rmtree(real) if real.is_dir() else real.unlink(missing_ok=True)
            if kept is not None and kept.exists():
                os.rename(kept, real)
        self._done.clear()
        self.kept.clear()


@contextmanager
def swapping(stamp: str) -> Iterator[Swap]:
    """What was put in place is taken back unless the block ends well."""
    swap = Swap(stamp)
    try:
        yield swap
    except BaseException:
        swap.back()
        raise


def same(manifest: Manifest, name: str, root: Path) -> bool:
    """Whether a tree, or a file, is already as the backup has it."""
    try:
        have = {path: describe(path, file) for path, file in files_of(name, root).items()}
    except BackupError:
        return False
    return have == {file.path: file for file in manifest.tree(name)}


def _same_folders(draft: Path, real: Path) -> None:
    """Whoever might enter a folder before may enter it again; one that is new is its owner's alone."""
    for path in (draft, *draft.rglob("*")):
        was = real / path.relative_to(draft)
        if path.is_dir() and was.is_dir():
            path.chmod(stat.S_IMODE(was.stat().st_mode))


def _same_owner(draft: Path, real: Path) -> None:
    """Restored by root, it stays readable for whom it was readable before."""
    if os.geteuid() != 0 or not real.exists():
        return
    owner = real.stat()
    for path in (draft, *(draft.rglob("*") if draft.is_dir() else ())):
        os.chown(path, owner.st_uid, owner.st_gid)
