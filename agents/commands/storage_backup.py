"""`wenxun db backup` and `wenxun db restore`: database, rule directory and link key in one file, and back."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from agents.settings import Settings
    from agents.store.backup import Manifest, Swap

PARTS = ("database", "rules", "key")
ABOUT = """\
Puts the database, the rule directory with its secrets, the rule history and the key of links into one file, while
everything runs. FILE may be a folder: then the file is named by the time. It is readable by its owner alone."""
BACK = """\
Checks the whole file first, then puts everything in place, or nothing. The roles must be stopped. A backup of an
earlier version is upgraded; one of SQLite can be restored to PostgreSQL and the other way round. What the topics have
beyond the backup comes back with `wenxun db rebuild`."""


def add(verbs: Any) -> list[argparse.ArgumentParser]:
    """The two verbs."""
    raw = argparse.RawDescriptionHelpFormatter
    backup: argparse.ArgumentParser = verbs.add_parser(
        "backup", help="database, rules, secrets and link key into one file, while everything runs", description=ABOUT,
        formatter_class=raw)
    backup.add_argument("file", type=Path, metavar="FILE|DIR")
    backup.add_argument("--rules", type=Path, metavar="DIR", help="rule directory (WENXUN_RULES_DIR)")
    backup.set_defaults(run=run_backup)
    restore: argparse.ArgumentParser = verbs.add_parser(
        "restore", help="put a backup in place; the roles must be stopped", description=BACK, formatter_class=raw)
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument("--check", action="store_true", help="only check the file and say what is in it")
    restore.add_argument("--yes", action="store_true", help="replace a store that has rows, and rules that differ")
    restore.add_argument("--only", action="append", choices=PARTS, help="only this part; may be given again")
    restore.add_argument("--rules", type=Path, metavar="DIR", help="where the rules go (WENXUN_RULES_DIR)")
    restore.set_defaults(run=run_restore)
    return [backup, restore]


# ---------------------------------------------------------------- backup


def run_backup(args: argparse.Namespace) -> int:
    from agents.store import backup, engine, snapshot

    settings = _settings(args)
    url = str(args.database or settings.store_url)
    target = _target(args.file)
    if not engine.current(url)[0]:
        raise SettingsError(f"{engine.shown(url)}：空库，没有可备份的（WENXUN_DATA_DIR 是别的目录？）。")
    store = engine.open_store(url)
    try:
        with _folder(target.parent) as folder:
            revision, rows = snapshot.take(store, folder / backup.DATABASE)
            last = backup.describe(backup.DATABASE, folder / backup.DATABASE)     # it takes long; rules may be edited
            sources = {**_sources(settings), backup.DATABASE: folder / backup.DATABASE}
            files = [*(backup.describe(name, path) for name, path in sources.items() if name != backup.DATABASE), last]
            manifest = backup.Manifest(
                backup.FORMAT, _version(), _now().isoformat(timespec="seconds"), store.dialect.name, revision, rows,
                files)
            backup.write(target, manifest, sources)
    finally:
        store.dispose()
    print(f"已备份到 {target}（{target.stat().st_size:,} 字节）")
    _show(manifest)
    print("里面有密钥和密码的散列：像密码一样保管，不要放进版本库或共享目录。")
    if not manifest.tree(backup.RULES):
        print(f"注意：没有规则文件（{settings.rules_dir} 不存在或为空），备份里没有规则。", file=sys.stderr)
    return 0


def _target(path: Path) -> Path:
    """FILE, or a name by the time in DIR (what has no suffix is one, and made); SettingsError where that cannot be."""
    if not path.suffix and not path.exists():
        with suppress(OSError):
            path.mkdir(mode=0o700)
    target = path / f"wenxun-{_now():%Y%m%d-%H%M%S}.tar.gz" if path.is_dir() or not path.suffix else path
    if target.exists():
        raise SettingsError(f"{target} 已经存在，没有覆盖。换一个文件名，或给一个目录。")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise SettingsError(f"{target.parent} 不存在或不能写。先建好这个目录，或换一个。")
    return target


def _sources(settings: Settings) -> dict[str, Path]:
    from agents.rule_history import FOLDER
    from agents.store import backup

    return {**backup.files_of(backup.RULES, settings.rules_dir),
            **backup.files_of(backup.HISTORY, settings.data_dir / FOLDER),
            **({backup.KEY: settings.link_key_path} if settings.link_key_path.is_file() else {})}


# ---------------------------------------------------------------- restore


def run_restore(args: argparse.Namespace) -> int:
    from agents.store import backup, engine, snapshot

    settings = _settings(args)
    url = str(args.database or settings.store_url)
    parts = tuple(args.only or PARTS)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with _folder(settings.data_dir) as folder:
        manifest = backup.unpack(args.file, folder)
        file = folder / backup.DATABASE
        snapshot.bring_up(file)
        print(f"{args.file}：完好")
        _show(manifest)
        if args.check:
            return 0
        with backup.swapping(f"{_now():%Y%m%d-%H%M%S}") as swap:
            if "database" in parts:
                _restore_all(settings, url, parts, folder, manifest, swap, args.yes)
            else:
                _put_files(settings, parts, folder, manifest, swap, args.yes)
    print("已恢复：" + "、".join({"database": engine.shown(url), "rules": str(settings.rules_dir),
                                 "key": str(settings.link_key_path)}[part] for part in parts))
    for kept in swap.kept:
        print(f"  原来的在 {kept}（确认无误后删除）")
    if "database" in parts:
        _say_next(url)
    return 0


def _restore_all(
    settings: Settings, url: str, parts: tuple[str, ...], folder: Path, manifest: Manifest, swap: Swap, yes: bool
) -> None:
    """Files are swapped while the database is loaded and not committed: all or nothing."""
    from sqlalchemy.exc import DatabaseError

    from agents.store import backup, engine, postgres, snapshot
    from agents.supervisor import only_instance

    with only_instance(settings.data_dir):
        _make_room(url, swap, yes)
        store = engine.open_store(url)
        try:
            with snapshot.loading(folder / backup.DATABASE, store):
                _put_files(settings, parts, folder, manifest, swap, yes)
        except snapshot.InUse as error:
            raise SettingsError(f"{error}\n先停下所有角色再恢复：systemctl stop wenxun.target，或 docker compose stop，"
                                "或 make stack-down。没有改动任何东西。") from None
        except DatabaseError as error:
            said = " ".join(str(error.orig).split())
            raise SettingsError(f"{engine.shown(url)}：恢复没有成功，没有改动：{said}{postgres.hint(said)}") from None
        finally:
            store.dispose()


def _make_room(url: str, swap: Swap, yes: bool) -> None:
    """A store with this version's tables, that is empty or may be replaced. A damaged SQLite file is put aside."""
    from agents.store import engine, snapshot

    if (file := _file(url)) and snapshot.damaged(file):
        if not yes:
            raise SettingsError(f"{file} 已损坏。加 --yes 把它挪到一边再恢复。")
        for suffix in ("", "-wal", "-shm"):
            swap.aside(Path(f"{file}{suffix}"))
    found, _ = engine.current(url)
    if found and found not in snapshot.revisions():
        raise SettingsError(f"{engine.shown(url)} 的表是版本 {found}，比本程序新。请用新版本的程序恢复。")
    engine.upgrade(url)
    store = engine.open_store(url)
    try:
        rows = snapshot.filled(store)
    finally:
        store.dispose()
    if rows and not yes:
        raise SettingsError(f"{engine.shown(url)} 里已有数据（{_counted(rows)}），恢复会全部替换。"
                            "确定的话先 wenxun db backup 留一份，再加 --yes。")


def _file(url: str) -> Path | None:
    """Of a store that is SQLite's."""
    from agents.store import engine

    store = engine.open_store(url)
    store.dispose()
    return Path(str(store.url.database)) if store.dialect.name == "sqlite" else None


def _put_files(
    settings: Settings, parts: tuple[str, ...], folder: Path, manifest: Manifest, swap: Swap, yes: bool
) -> None:
    """Rules, their history and the key, each where it differs from what is there."""
    from agents.rule_history import FOLDER
    from agents.store import backup

    places = {"rules": ((backup.RULES, settings.rules_dir), (backup.HISTORY, settings.data_dir / FOLDER)),
              "key": ((backup.KEY, settings.link_key_path),)}
    for part in parts:
        for name, target in places.get(part, ()):
            if not manifest.tree(name) or backup.same(manifest, name, target):
                continue
            if not yes and backup.files_of(name, target):
                raise SettingsError(f"{target} 已经有，和备份里的不同；恢复会替换它。加 --yes（原来的会留在旁边），"
                                    "或用 --only 只恢复别的部分。没有改动任何东西。")
            swap.put(folder / name, target)


def _say_next(url: str) -> None:
    from sqlalchemy import func, select

    from agents.store import engine, schema

    store = engine.open_store(url)
    try:
        with store.connect() as connection:
            waiting = connection.execute(select(func.count()).select_from(schema.outbox).where(
                schema.outbox.c.status == "pending")).scalar_one()
    finally:
        store.dispose()
    if waiting:
        print(f"  备份时有 {waiting} 条消息还没送达：deliver 启动后会再发。")
    print("所有人要重新登录；备份之后停用的账号、撤销的令牌又生效了，请到 wenxun user list、wenxun token list 核对。\n"
          "下一步：在 Kafka 上先运行 wenxun db rebuild，补回备份之后的数据（也认出其实已送达的消息），再启动各个角色。")


# ---------------------------------------------------------------- both


def _show(manifest: Manifest) -> None:
    from agents.store import backup

    print(f"  {manifest.made_at}，Wenxun {manifest.version}，{manifest.database}，表的版本 {manifest.revision}\n"
          f"  数据库：{_counted(manifest.rows)}\n"
          f"  规则文件 {len(manifest.tree(backup.RULES))} 个，规则历史 {len(manifest.tree(backup.HISTORY))} 个，"
          f"密钥 {manifest.secrets} 个")


def _counted(rows: dict[str, int]) -> str:
    words = {"items": "条目", "events": "事件", "deliveries": "投递", "accounts": "账号"}
    return "，".join(f"{word} {rows.get(name, 0):,}" for name, word in words.items())


def _settings(args: argparse.Namespace) -> Settings:
    from dataclasses import replace

    from agents.settings import Settings

    settings = Settings.from_env(os.environ)
    return replace(settings, rules_dir=args.rules) if args.rules else settings


@contextmanager
def _folder(beside: Path) -> Iterator[Path]:
    """For as long as the block runs, its owner's alone."""
    try:
        with tempfile.TemporaryDirectory(prefix=".wenxun-", dir=beside) as name:
            yield Path(name)
    except FileNotFoundError as error:
        raise SettingsError(f"{error.filename}：{error.strerror}") from None
    except PermissionError as error:
        raise SettingsError(f"{error.filename}：{error.strerror}。用运行 Wenxun 的那个用户来做。") from None


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wenxun")
    except PackageNotFoundError:
        return "unknown"


def _now() -> datetime:
    return datetime.now(UTC)
