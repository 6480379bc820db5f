"""`wenxun db backup` and `wenxun db restore`, as an operator types them: everything is back, or nothing was touched."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from msgspec.structs import replace as replaced
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import OperationalError

from agents.cli import main
from agents.desk import accounts
from agents.desk.accounts import Role
from agents.store import backup, schema, snapshot
from agents.store import engine as stores
from agents.supervisor import only_instance
from tests.agents import store_fakes as fakes
from tests.agents.rebuild_kit import day, fill_own
from tests.builders import raw_batch, raw_item

EVERY = tuple(schema.metadata.tables)
Say = Callable[..., tuple[int, str, str]]
SECRET = "a secret that only its owner reads"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation: rules with a secret, a link key, a rule history; the store is `store`."""
    for name in ("WENXUN_DATABASE_URL", "WENXUN_LINK_KEY_FILE", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)
    move_to(tmp_path / "one", monkeypatch)
    data, rules = tmp_path / "one" / "data", tmp_path / "one" / "rules"
    (rules / "secrets").mkdir(parents=True, mode=0o700)
    (rules / "subjects").mkdir()
    (rules / "levels.yml").write_text("levels: []\n")
    (rules / "subjects" / "a.yml").write_text("id: a\n")
    (rules / ".draft.swp").write_text("no part of it")
    (rules / "secrets" / "hook.url").write_text(SECRET)
    (rules / "secrets" / "hook.url").chmod(0o600)
    (data / "rules-history").mkdir(parents=True)
    (data / "rules-history" / "index.json").write_text("[]")
    (data / "link.key").write_text("k" * 48)
    (data / "link.key").chmod(0o600)
    return tmp_path / "one"


def move_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("WENXUN_RULES_DIR", str(home / "rules"))


@pytest.fixture
def store(home: Path) -> Iterator[Engine]:
    engine = fakes.new_store(home / "data")
    for _, _, record in day(3):
        fakes.put(engine, record)
    fill_own(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        said = capsys.readouterr()
        assert SECRET not in said.out + said.err
        return code, said.out, said.err
    return run


@pytest.fixture
def file(store: Engine, say: Say, tmp_path: Path) -> Path:
    """A backup of that installation."""
    target = tmp_path / "a.tar.gz"
    code, out, _ = say("db", "backup", str(target))
    assert code == 0 and "条目 4" in out and "规则文件 3 个" in out and "密钥 2 个" in out
    return target


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
            for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")}


def rows_of(home: Path, but: tuple[str, ...] = ("sessions",)) -> dict[str, Any]:
    engine = stores.open_store(f"sqlite:///{home}/data/wenxun.db")
    try:
        return {name: rows for name, rows in fakes.dump(engine, EVERY).items() if name not in but}
    finally:
        engine.dispose()


# ---------------------------------------------------------------- there and back


def test_a_new_machine_has_everything_that_the_old_one_had(
    file: Path, home: Path, store: Engine, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(home)
    assert all(before.values())
    move_to(tmp_path / "two", monkeypatch)
    code, out, _ = say("db", "restore", str(file))
    assert code == 0 and "完好" in out and "wenxun db rebuild" in out
    assert rows_of(tmp_path / "two") == before
    assert tree(tmp_path / "two" / "rules") == {
        name: each for name, each in tree(home / "rules").items()}
    assert tree(tmp_path / "two" / "data" / "rules-history") == tree(home / "data" / "rules-history")
    key = tmp_path / "two" / "data" / "link.key"
    assert key.read_bytes() == b"k" * 48 and key.stat().st_mode & 0o777 == 0o600
    assert fakes.dump(store, ["sessions"])["sessions"] and not rows_of(tmp_path / "two", ())["sessions"]
    code, _, err = say("db", "restore", str(file))
    assert code == 2 and "--yes" in err and "条目 4" in err
    assert say("db", "restore", str(file), "--yes")[0] == 0 and rows_of(tmp_path / "two") == before


def test_the_file_is_its_owners_and_says_what_it_is(file: Path, tmp_path: Path, say: Say) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as tar:
        members = tar.getmembers()
        stream = tar.extractfile(members[0])
        assert stream is not None
        manifest = json.load(stream)
    assert members[0].name == "manifest.json" and all(each.isreg() for each in members)
    assert {each["path"] for each in manifest["files"] if each["secret"]} == {"rules/secrets/hook.url", "link.key"}
    assert {each.name: each.mode for each in members}["rules/secrets/hook.url"] == 0o600
    assert manifest["revision"] == snapshot.revisions()[0] and manifest["rows"]["items"] == 4
    assert not [each.name for each in members if "draft" in each.name]
    code, out, _ = say("db", "restore", str(file), "--check")
    assert code == 0 and "完好" in out and "条目 4" in out


def test_a_folder_takes_backups_by_their_time_and_nothing_is_overwritten(
    store: Engine, say: Say, tmp_path: Path
) -> None:
    assert say("db", "backup", str(tmp_path / "backups"))[0] == 0
    [made] = (tmp_path / "backups").iterdir()
    assert made.name.startswith("wenxun-2") and made.name.endswith(".tar.gz")
    content = made.read_bytes()
    code, _, err = say("db", "backup", str(made))
    assert code == 2 and "已经存在" in err and made.read_bytes() == content
    code, _, err = say("db", "backup", str(tmp_path / "nowhere" / "a.tar.gz"))
    assert code == 2 and "不存在" in err


def test_it_is_one_moment_while_others_write(store: Engine, say: Say, home: Path, tmp_path: Path) -> None:
    """A pair of rows is written together, again and again: every backup has both of a pair, or neither."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            fakes.put(store, raw_batch(raw_item(f"x{number}"), raw_item(f"y{number}")))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            assert say("db", "backup", str(tmp_path / f"{number}.tar.gz"))[0] == 0
    finally:
        stop.set()
        writer.join()
    counts = []
    for number in range(3):
        folder = tmp_path / f"out{number}"
        folder.mkdir()
        backup.unpack(tmp_path / f"{number}.tar.gz", folder)
        with sqlite3.connect(folder / "wenxun.db") as connection:
            ids = {name for name, in connection.execute("SELECT id FROM items")}
        assert {name[1:] for name in ids if name[0] == "x"} == {name[1:] for name in ids if name[0] == "y"}
        counts.append(len(ids))
    assert counts[0] < counts[2]


def test_only_what_is_asked_for_is_restored_and_what_was_there_stays_beside_it(
    file: Path, home: Path, store: Engine, say: Say
) -> None:
    (home / "rules" / "levels.yml").write_text("levels: [changed]\n")
    (home / "data" / "link.key").write_text("n" * 48)
    fakes.put(store, raw_batch(raw_item("new")))
    code, _, err = say("db", "restore", str(file), "--only", "rules")
    assert code == 2 and "--yes" in err and "changed" in (home / "rules" / "levels.yml").read_text()
    code, out, _ = say("db", "restore", str(file), "--only", "rules", "--yes")
    assert code == 0 and (home / "rules" / "levels.yml").read_text() == "levels: []\n"
    [kept] = home.glob("rules.before-*")
    assert str(kept) in out and (kept / "levels.yml").read_text() == "levels: [changed]\n"
    assert (home / "data" / "link.key").read_text() == "n" * 48 and len(fakes.rows(store, "items")) == 5


def test_accounts_sign_in_on_what_was_restored(
    home: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = fakes.new_store(home / "data")
    accounts.add(engine, "li", Role.DUTY, "a long enough password", now=1)
    engine.dispose()
    assert say("db", "backup", str(tmp_path / "a.tar.gz"))[0] == 0
    move_to(tmp_path / "two", monkeypatch)
    assert say("db", "restore", str(tmp_path / "a.tar.gz"))[0] == 0
    engine = stores.open_store(f"sqlite:///{tmp_path}/two/data/wenxun.db")
    assert accounts.check_password(engine, "li", "a long enough password") is not None
    assert accounts.check_password(engine, "li", "another password") is None
    engine.dispose()


# ---------------------------------------------------------------- refusals


def untouched(home: Path, store: Engine) -> Callable[[], bool]:
    before = (rows_of(home, ()), tree(home / "rules"), (home / "data" / "link.key").read_bytes())
    return lambda: before == (rows_of(home, ()), tree(home / "rules"), (home / "data" / "link.key").read_bytes())


def remade(file: Path, target: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None],
           *more: tuple[tarfile.TarInfo, bytes]) -> Path:
    """The same archive with some members changed or left out, and others at its end."""
    with tarfile.open(file) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            stream = old.extractfile(member)
            changed = change(member, stream.read() if stream else b"")
            if changed is not None:
                changed[0].size = len(changed[1])
                new.addfile(changed[0], io.BytesIO(changed[1]))
        for member, content in more:
            new.addfile(member, io.BytesIO(content))
    return target


def manifest_with(**values: Any) -> Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]:
    def change(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name == "manifest.json":
            content = json.dumps({**json.loads(content), **values}).encode()
        return member, content
    return change


def keep(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, content


def extra(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    member.size = 4 if kind == tarfile.REGTYPE else 0
    return member, b"evil" if kind == tarfile.REGTYPE else b""


def broken(file: Path, at: Path, how: str) -> Path:
    whole = file.read_bytes()
    if how == "truncated":
        at.write_bytes(whole[:len(whole) // 2])
    elif how == "short by a little":
        at.write_bytes(whole[:-20])
    elif how == "foreign":
        at.write_bytes(b"this is no backup at all")
    elif how == "empty":
        at.write_bytes(b"")
    elif how == "another tar":
        with tarfile.open(at, "w:gz") as tar:
            tar.addfile(*(extra("readme.txt")[0], io.BytesIO(b"evil")))
    elif how == "another gzip":
        at.write_bytes(gzip.compress(b"hello"))
    elif how == "a byte":
        spoiled = bytearray(whole)
        spoiled[len(spoiled) * 2 // 3] ^= 0xFF
        at.write_bytes(bytes(spoiled))
    return at


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small backup, for what is decided before anything is touched."""
    folder = tmp_path_factory.mktemp("made")
    sources = {"wenxun.db": folder / "db", "rules/secrets/hook.url": folder / "url", "link.key": folder / "key"}
    for path in sources.values():
        path.write_bytes(os.urandom(3000))
    files = [backup.describe(name, path) for name, path in sources.items()]
    manifest = backup.Manifest(1, "1", "2026-11-23T00:00:00+00:00", "sqlite", "0007", {"items": 1}, files)
    backup.write(folder / "a.tar.gz", manifest, sources)
    (folder / "out").mkdir()
    assert backup.unpack(folder / "a.tar.gz", folder / "out") == manifest
    return folder / "a.tar.gz"


def refusal(archive: Path, folder: Path) -> str:
    folder.mkdir()
    with pytest.raises(backup.BackupError) as refused:
        backup.unpack(archive, folder)
    return str(refused.value)


@pytest.mark.parametrize("how", [
    "truncated", "short by a little", "foreign", "empty", "another tar", "another gzip", "a byte"])
def test_a_file_that_is_damaged_or_not_ours_is_refused(made: Path, tmp_path: Path, how: str) -> None:
    said = refusal(broken(made, tmp_path / "b.tar.gz", how), tmp_path / "out")
    assert "b.tar.gz" in said and ("不完整" in said or "不是 Wenxun 的备份" in said or "损坏" in said)


def test_a_refusal_changes_nothing(file: Path, home: Path, store: Engine, say: Say, tmp_path: Path) -> None:
    whole = untouched(home, store)
    for bad in (broken(file, tmp_path / "b.tar.gz", "truncated"), broken(file, tmp_path / "c.tar.gz", "foreign"),
                tmp_path / "nowhere.tar.gz"):
        code, _, err = say("db", "restore", str(bad), "--yes")
        assert code == 2 and bad.name in err and "没有改动任何东西" in err and "Traceback" not in err, err
    assert whole() and not list((home / "data").glob(".wenxun-*"))


@pytest.mark.parametrize(("name", "kind", "link"), [
    ("../escape", tarfile.REGTYPE, ""), ("/tmp/escape", tarfile.REGTYPE, ""),
    ("rules/../../escape", tarfile.REGTYPE, ""), ("rules/evil", tarfile.SYMTYPE, "/etc/passwd"),
    ("rules/evil", tarfile.LNKTYPE, "manifest.json"),
    ("rules/pipe", tarfile.FIFOTYPE, ""), ("other", tarfile.REGTYPE, ""), ("rules", tarfile.REGTYPE, "")])
@pytest.mark.parametrize("listed", [False, True])
def test_a_path_that_leads_elsewhere_is_refused(
    made: Path, tmp_path: Path, name: str, kind: bytes, link: str, listed: bool
) -> None:
    """Also where its manifest lists it with the right checksum."""
    member, content = extra(name, kind, link)
    with tarfile.open(made) as tar:
        stream = tar.extractfile("manifest.json")
        assert stream is not None
        files = json.load(stream)["files"]
    if listed:
        files.append({"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "mode": 0o644})
    bad = remade(made, tmp_path / "b.tar.gz", manifest_with(files=files), (member, content))
    assert "不该有的内容" in refusal(bad, tmp_path / "out")
    assert not (tmp_path / "escape").exists() and not Path("/tmp/escape").exists()
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]


@pytest.mark.parametrize(("change", "said"), [
    (manifest_with(format=2), "更新的 Wenxun"), (manifest_with(format="x"), "读不懂"),
    (manifest_with(files=3), "读不懂"), (lambda m, c: None if m.name == "wenxun.db" else (m, c), "缺 wenxun.db"),
    (lambda m, c: (m, c + b"x") if m.name.endswith("hook.url") else (m, c), "校验和不对"),
    (lambda m, c: (m, b"[]") if m.name == "manifest.json" else (m, c), "读不懂")])
def test_what_the_manifest_says_is_held(made: Path, tmp_path: Path, change: Any, said: str) -> None:
    assert said in refusal(remade(made, tmp_path / "b.tar.gz", change), tmp_path / "out")


def with_database(file: Path, target: Path, change: Callable[[Path], None]) -> Path:
    """A backup with right checksums and another database."""
    folder = target.with_suffix(".d")
    folder.mkdir()
    manifest = backup.unpack(file, folder)
    change(folder / "wenxun.db")
    sources = {each.path: folder / each.path for each in manifest.files}
    files = [backup.describe(name, path) for name, path in sources.items()]
    backup.write(target, replaced(manifest, files=files), sources)
    return target


def test_a_backup_of_a_newer_version_is_refused(
    file: Path, home: Path, store: Engine, say: Say, tmp_path: Path
) -> None:
    def newer(database: Path) -> None:
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE alembic_version SET version_num='9999'")

    whole = untouched(home, store)
    code, _, err = say("db", "restore", str(with_database(file, tmp_path / "b.tar.gz", newer)), "--yes")
    assert code == 2 and "9999" in err and "先升级程序" in err and whole()


@pytest.mark.sqlite
def test_a_backup_of_an_earlier_version_is_upgraded(
    home: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by this program of a store that was not upgraded yet, as one does before an upgrade."""
    engine = stores.open_store(f"sqlite:///{home}/data/wenxun.db")
    stores.bring_up(engine, "0003")
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO accounts VALUES ('li', 'duty', 'x', 1, 0)")
    engine.dispose()
    code, out, _ = say("db", "backup", str(tmp_path / "a.tar.gz"))
    assert code == 0 and "表的版本 0003" in out
    move_to(tmp_path / "two", monkeypatch)
    assert say("db", "restore", str(tmp_path / "a.tar.gz"))[0] == 0
    assert stores.current(f"sqlite:///{tmp_path}/two/data/wenxun.db")[0] == snapshot.revisions()[0]
    assert [row[0] for row in rows_of(tmp_path / "two")["accounts"]] == ["li"]


@pytest.mark.parametrize("where", ["rules", "database"])
def test_one_that_fails_in_the_middle_leaves_all_as_it_was(
    file: Path, home: Path, store: Engine, say: Say, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "rules" / "levels.yml").write_text("levels: [changed]\n")
    (home / "data" / "link.key").write_text("n" * 48)
    fakes.put(store, raw_batch(raw_item("new")))
    whole = untouched(home, store)
    store.dispose()
    if where == "rules":                                # the last file cannot be put in place
        rename = os.rename

        def failing(source: Any, target: Any) -> None:
            if Path(target).name == "link.key" and "restore-" in Path(source).name:
                raise OSError(16, "Device or resource busy")
            rename(source, target)

        monkeypatch.setattr(os, "rename", failing)
    else:
        real = snapshot.loading

        @contextmanager
        def loading(*words: Any) -> Iterator[None]:
            with real(*words):
                yield
                raise snapshot.SnapshotError("disk full")

        monkeypatch.setattr(snapshot, "loading", loading)
    code, _, err = say("db", "restore", str(file), "--yes")
    assert code == 2 and ("busy" in err or "disk full" in err)
    monkeypatch.undo()
    move_to(home, monkeypatch)
    assert whole() and not list(home.rglob("*.before-*")) and not list(home.rglob(".*restore-*"))


def test_a_store_that_somebody_has_open_is_left_alone(file: Path, home: Path, store: Engine, say: Say) -> None:
    whole = untouched(home, store)
    with store.connect() as connection:
        connection.execute(select(schema.items)).all()
        code, _, err = say("db", "restore", str(file), "--yes")
        assert code == 2 and "先停下所有角色" in err and "使用" in err
    assert whole()


def test_a_running_wenxun_up_is_left_alone(file: Path, home: Path, store: Engine, say: Say) -> None:
    whole = untouched(home, store)
    store.dispose()
    with only_instance(home / "data"):
        code, _, err = say("db", "restore", str(file), "--yes")
    assert code == 2 and "in use by another Wenxun" in err and whole()


def test_folders_stay_open_to_whoever_could_enter_them(
    file: Path, home: Path, store: Engine, say: Say
) -> None:
    """Rules may be an operator's folder that the roles read as another user."""
    folders = {home / "rules": 0o755, home / "rules" / "subjects": 0o750, home / "rules" / "secrets": 0o700}
    for folder, mode in folders.items():
        folder.chmod(mode)
    (home / "rules" / "levels.yml").write_text("levels: [1]\n")
    store.dispose()
    assert say("db", "restore", str(file), "--only", "rules", "--yes")[0] == 0
    assert (home / "rules" / "levels.yml").read_text() == "levels: []\n"
    assert {folder: folder.stat().st_mode & 0o777 for folder in folders} == folders


@pytest.mark.sqlite
def test_a_file_that_cannot_grow_is_one_line_and_stays_as_it_was(
    home: Path, store: Engine, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = snapshot._sqlite_alone

    @contextmanager
    def tight(path: Path) -> Iterator[sqlite3.Connection]:
        with real(path) as target:
            target.execute("PRAGMA max_page_count=1")       # no more than it has: as on a full disk
            yield target

    with store.begin() as connection:
        connection.execute(update(schema.items).values(text="x" * 500_000))
    assert say("db", "backup", str(tmp_path / "big.tar.gz"))[0] == 0
    move_to(tmp_path / "two", monkeypatch)
    stores.upgrade(f"sqlite:///{tmp_path}/two/data/wenxun.db")
    before = rows_of(tmp_path / "two", ())
    monkeypatch.setattr(snapshot, "_sqlite_alone", tight)
    code, _, err = say("db", "restore", str(tmp_path / "big.tar.gz"))
    assert code == 2 and "full" in err and "没有改动" in err and "Traceback" not in err
    assert rows_of(tmp_path / "two", ()) == before and not (tmp_path / "two" / "rules").exists()


def test_a_restored_database_without_new_statistics_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL they are made after the commit: said to have failed, the rules would have been taken back."""
    store, calls = MagicMock(), list[str]()
    store.dialect.name = "postgresql"
    store.connect.side_effect = [MagicMock(), OperationalError("ANALYZE", {}, Exception("gone"))]
    for name in ("_postgres_alone", "_copy_in"):
        monkeypatch.setattr(snapshot, name, lambda *_, name=name: calls.append(name))
    with snapshot.loading(Path("copy.db"), store):
        calls.append("files")
    assert calls == ["_postgres_alone", "_copy_in", "files"] and store.connect.call_count == 2


@pytest.mark.sqlite
@pytest.mark.parametrize("how", ["garbage", "pages"])
def test_a_damaged_file_is_put_aside(file: Path, home: Path, store: Engine, say: Say, how: str, tmp_path: Path) -> None:
    """What backups are for. A backup of it is refused."""
    before = rows_of(home)
    store.dispose()
    database = home / "data" / "wenxun.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray(database.read_bytes())
    if how == "garbage":
        raw[:100] = b"x" * 100
    else:
        for page in range(2, len(raw) // 4096, 2):
            raw[page * 4096:page * 4096 + 200] = b"\xff" * 200
    database.write_bytes(bytes(raw))
    code, _, err = say("db", "backup", str(tmp_path / "c.tar.gz"))
    assert code == 2 and not (tmp_path / "c.tar.gz").exists() and "Traceback" not in err
    code, _, err = say("db", "restore", str(file))
    assert code == 2 and "已损坏" in err and "--yes" in err
    assert say("db", "restore", str(file), "--yes")[0] == 0
    assert rows_of(home) == before
    [kept] = database.parent.glob("wenxun.db.before-*")
    assert kept.read_bytes() == bytes(raw)


def test_a_rule_that_cannot_be_read_stops_the_backup(
    store: Engine, home: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def refused(path: Path, *words: Any, **more: Any) -> Any:
        if path.name == "hook.url":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *words, **more)

    monkeypatch.setattr(Path, "open", refused)
    code, _, err = say("db", "backup", str(tmp_path / "c.tar.gz"))
    assert code == 2 and "hook.url" in err and "没有备份" in err and not (tmp_path / "c.tar.gz").exists()


@pytest.mark.parametrize("now", ["levels: [1]", "levels: [12345]\n", "", None])
def test_a_rule_that_changes_while_it_is_put_in_is_noticed_then_and_not_at_the_restore(
    store: Engine, home: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str | None
) -> None:
    real, rule = backup.write, home / "rules" / "levels.yml"

    def edited(*words: Any) -> None:
        if now is None:
            rule.write_text(rule.read_text() + "# more")         # what was described is there: it is the same file
        else:
            rule.write_text(now)
        real(*words)

    monkeypatch.setattr(backup, "write", edited)
    code, _, err = say("db", "backup", str(tmp_path / "c.tar.gz"))
    if now is None:
        assert code == 0 and say("db", "restore", "--check", str(tmp_path / "c.tar.gz"))[0] == 0
    else:
        assert code == 2 and "levels.yml 在备份时变了" in err and list(tmp_path.glob("*c.tar*")) == []


def test_an_empty_store_and_missing_rules_are_said(
    home: Path, say: Say, tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(home / "rules")
    code, _, err = say("db", "backup", str(tmp_path / "c.tar.gz"))
    assert code == 0 and "没有规则文件" in err
    if store.dialect.name == "sqlite":
        move_to(tmp_path / "nowhere", monkeypatch)
        code, _, err = say("db", "backup", str(tmp_path / "d.tar.gz"))
        assert code == 2 and "空库" in err


def test_a_ledger_with_messages_on_their_way_says_so(
    store: Engine, home: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.begin() as connection:
        connection.execute(update(schema.outbox).values(status="pending"))
        connection.execute(insert(schema.outbox).values({
            **{c.name: {str: "z", bool: False}.get(c.type.python_type, 1) for c in schema.outbox.c}, "id": "z"}))
    assert say("db", "backup", str(tmp_path / "c.tar.gz"))[0] == 0
    move_to(tmp_path / "two", monkeypatch)
    code, out, _ = say("db", "restore", str(tmp_path / "c.tar.gz"))
    assert code == 0 and "1 条消息还没送达" in out
