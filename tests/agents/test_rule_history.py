"""Snapshots of what was in force, and `wenxun rules history|rollback`: nothing half, nothing else touched."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from agents import rule_history
from agents.cli import main
from agents.rule_changes import changes
from agents.rule_files import load_book, read_dir, starter_dir
from agents.rule_history import History, HistoryError, Line, What
from agents.rule_write import RuleWriteError, export, replace_rules
from tests.agents.rule_kit import ZONE, first_level, until, watching
from tests.builders import NOON

MINUTE = 60_000


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(starter_dir(), tmp_path / "rules")
    monkeypatch.setenv("WENXUN_RULES_DIR", str(tmp_path / "rules"))
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "rules"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "data")


def save(rules: Path, count: int) -> str:
    path = rules / "levels.yml"
    path.write_text(first_level(path.read_text("utf-8"), count), "utf-8")
    return load_book(rules, ZONE).hash


def published(history: History, rules: Path, at: int = NOON) -> str:
    hash = load_book(rules, ZONE).hash
    history.keep(Line(at, hash, What.PUBLISHED), read_dir(rules).texts)
    return hash


def put_by(history: History, number: int, at: int) -> str:
    hash = f"{number:016x}"
    history.keep(Line(at, hash, What.PUBLISHED), {"levels.yml": str(number)})
    return hash


# ---------------------------------------------------------------- snapshots


def test_what_waits_however_often_does_not_wash_out_what_was_in_force(
    history: History, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_history, "MAX_ENTRIES", 30)
    monkeypatch.setattr(rule_history, "MAX_SNAPSHOTS", 25)
    first = put_by(history, 1, NOON)
    for number in range(2, 60):
        history.keep(Line(NOON + number, f"{number:016x}", What.PENDING), {"levels.yml": str(number)})
    assert next(history.newest()) == first and history.texts(first) == {"levels.yml": "1"}
    assert len(history.lines()) == 30 and history.lines()[0].hash == f"{59:016x}"


async def test_the_watch_keeps_what_it_published_for_its_owner_alone(rules: Path, history: History) -> None:
    (rules / "secrets").mkdir(exist_ok=True)
    (rules / "secrets" / "key.yml").write_text("hunter2", "utf-8")
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        new = save(rules, 4)
        await until(lambda: len(bus.books) == 2)
        await until(lambda: len(history.lines()) == 2)
    assert [line.hash for line in history.lines()] == [new, bus.books[0].hash]
    assert history.texts(new) == read_dir(rules).texts and "hunter2" not in str(history.texts(new))
    assert stat.S_IMODE(history.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in history.folder.iterdir()} == {0o600}


def test_of_too_many_the_old_ones_that_hardly_were_in_force_go_first(
    history: History, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_history, "MAX_SNAPSHOTS", 30)
    old = [put_by(history, number, NOON + number * 60 * MINUTE) for number in range(10)]        # an hour each
    storm = [put_by(history, 100 + number, NOON + 600 * MINUTE + number * 500) for number in range(60)]
    kept = {path.name.removesuffix(".json.gz") for path in history.folder.glob("*.gz")}
    assert len(kept) == 30 and set(old) <= kept and set(storm[-rule_history.NEWEST_KEPT:]) <= kept
    assert len(history.lines()) == 70


def test_a_snapshot_is_found_by_its_first_digits(history: History) -> None:
    first = put_by(history, 0xab00 << 48, NOON)
    put_by(history, 0xab11 << 48, NOON + 1)
    assert history.find("ab00") == first
    for prefix, told in (("ab", "不止一份"), ("ff", "没有规则 ff"), ("", "没有规则")):
        with pytest.raises(HistoryError, match=told):
            history.find(prefix)


def test_what_was_damaged_is_said_and_the_rest_still_counts(history: History) -> None:
    first, second = put_by(history, 1, NOON), put_by(history, 2, NOON + 1)
    (history.folder / "index.json").write_text("[{", "utf-8")
    assert set(history.newest()) == {first, second}
    (history.folder / f"{first}.json.gz").write_bytes(b"\x1f\x8b no gzip")
    with pytest.raises(HistoryError, match="读不出来"):
        history.texts(first)
    put_by(history, 3, NOON + 2)
    assert history.lines()[0].hash == f"{3:016x}"


# ---------------------------------------------------------------- commands


def test_history_lists_exports_and_speaks_to_scripts(
    rules: Path, history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rules", "history"]) == 0 and "还没有记录" in capsys.readouterr().out
    hash = published(history, rules)
    history.keep(Line(NOON + 1, "e" * 16, What.REJECTED, "li"))
    assert main(["rules", "history"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("2026-11-22 12:00:00  eeeeeeeeeeeeeeee  已否决  li") and out[1].endswith(f"{hash}  生效")
    assert main(["rules", "history", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1] == {
        "at": NOON, "hash": hash, "what": "published", "by": "", "note": "", "changes": "",
        "snapshot": True}
    assert main(["rules", "history", hash[:6], "--to", str(tmp_path / "out")]) == 0
    assert load_book(tmp_path / "out", ZONE).hash == hash
    assert main(["rules", "history", hash, "--to", str(tmp_path / "out")]) == 2
    assert "不是空目录" in capsys.readouterr().err


def test_history_says_what_each_book_changed_against_the_one_in_force(
    history: History, capsys: pytest.CaptureFixture[str], rules: Path,
) -> None:
    one = {"levels.yml": "1", "subjects/a.yml": "a", "subjects/b.yml": "b"}
    two = {"levels.yml": "2", "subjects/a.yml": "A", "subjects/c.yml": "c", "words/w.yml": "w"}
    steps = [("1" * 16, What.PUBLISHED, one), ("2" * 16, What.PENDING, two), ("2" * 16, What.CONFIRMED, None),
             ("3" * 16, What.PUBLISHED, {**one, "subjects/b.yml": "B"}), ("4" * 16, What.PUBLISHED, one),
             ("5" * 16, What.PUBLISHED, one)]
    for at, (book, what, texts) in enumerate(steps):
        history.keep(Line(NOON + at, book, what), texts)
    told = ["规则文件没有变，时区或程序版本变了", "主题 改动 1", "主题 改动 1", "",
            "主题 新增 1、改动 1、删去 1；词表 新增 1；levels.yml 改动", ""]
    assert changes(history, history.lines()) == told
    (history.folder / f"{'3' * 16}.json.gz").unlink()
    assert changes(history, history.lines())[1:3] == ["", ""], "nothing is made up of a snapshot that is gone"
    assert main(["rules", "history", "2222"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("已确认") and second.endswith(f"待确认  {told[4]}")


def test_rollback_writes_back_removes_what_was_not_there_and_can_be_undone(
    rules: Path, history: History, capsys: pytest.CaptureFixture[str],
) -> None:
    old = published(history, rules)
    before = read_dir(rules).texts
    (rules / "secrets").mkdir(exist_ok=True)
    (rules / "secrets" / "hook").write_text("hunter2", "utf-8")
    (rules / "subjects" / "new.yml").write_text((rules / "subjects" / "safety.yml").read_text("utf-8").replace(
        "id: safety", "id: new", 1), "utf-8")
    (rules / "levels.yml").chmod(0o640)
    new = save(rules, 5)
    after, others = read_dir(rules).texts, {path: path.read_bytes() for path in rules.glob("s[ce]*/*") if path.is_file()
                                            and path.parent.name in ("schema", "secrets")}
    assert others
    assert main(["rules", "rollback", old[:8]]) == 1, "nobody was asked, nothing is changed"
    assert read_dir(rules).texts == after and "--yes" in capsys.readouterr().err
    assert main(["rules", "rollback", old[:8], "--yes"]) == 0
    out = capsys.readouterr().out
    assert "删去 subjects/new.yml" in out and "改回 levels.yml" in out and "已写回 1 个文件，删去 1 个" in out
    assert read_dir(rules).texts == before and stat.S_IMODE((rules / "levels.yml").stat().st_mode) == 0o640
    assert {path: path.read_bytes() for path in others} == others
    assert [line.what for line in history.lines()] == [What.ROLLED_BACK, What.SAVED, What.PUBLISHED]
    assert main(["rules", "rollback", new, "--yes"]) == 0
    assert read_dir(rules).texts == after
    assert main(["rules", "rollback", new, "--yes"]) == 0 and "没有改动" in capsys.readouterr().out
    assert not list(rules.rglob(".*.yml.*")), "nothing is left lying"


def test_files_that_do_not_parse_are_kept_too_before_a_rollback(rules: Path, history: History) -> None:
    old = published(history, rules)
    (rules / "levels.yml").write_text("ladder: [\n", "utf-8")
    assert main(["rules", "rollback", old, "--yes"]) == 0
    saved = next(line.hash for line in history.lines() if line.what is What.SAVED)
    assert saved.startswith("files-") and history.texts(saved)["levels.yml"] == "ladder: [\n"
    assert load_book(rules, ZONE).hash == old


def test_a_rollback_destroys_nothing_that_it_cannot_keep(
    rules: Path, history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """A file in another encoding is nobody's snapshot; a linked folder's files are somebody else's."""
    old = published(history, rules)
    save(rules, 4)
    (tmp_path / "other").mkdir()
    theirs, unread = tmp_path / "other" / "a.yml", rules / "subjects" / "new.yml"
    theirs.write_text("a: 1", "utf-8")
    unread.write_bytes("title: 规则".encode("gbk"))
    (rules / "linked").symlink_to(tmp_path / "other")
    before = read_dir(rules).digest
    assert main(["rules", "rollback", old, "--yes"]) == 2
    assert "linked/a.yml、subjects/new.yml：读不了" in capsys.readouterr().err
    assert theirs.exists() and unread.exists() and read_dir(rules).digest == before
    (rules / "linked").unlink()
    unread.unlink()
    assert main(["rules", "rollback", old, "--yes"]) == 0 and theirs.exists()


def test_a_snapshot_that_this_version_cannot_read_changes_nothing(
    rules: Path, history: History, capsys: pytest.CaptureFixture[str],
) -> None:
    before = read_dir(rules).texts
    history.keep(Line(NOON, "a" * 16, What.PUBLISHED), {**before, "levels.yml": "ladder: [\n"})
    assert main(["rules", "rollback", "aaaa", "--yes"]) == 1
    assert "没有改动" in capsys.readouterr().err and read_dir(rules).texts == before


async def test_the_watch_sees_a_rollback_as_one_change(rules: Path, history: History) -> None:
    texts = read_dir(rules).texts
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        for path in (rules / "subjects").glob("*.yml"):
            path.write_text(path.read_text("utf-8").replace("owner: ", "owner: 新"), "utf-8")
        save(rules, 5)
        await until(lambda: len(bus.books) == 2)
        replace_rules(rules, texts)
        await until(lambda: len(bus.books) == 3)
        assert bus.books[2] == bus.books[0] and bus.notices == []


def test_a_mounted_or_read_only_directory_gets_the_way_out(
    rules: Path, history: History, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = published(history, rules)
    save(rules, 4)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main(["rules", "rollback", old, "--yes"]) == 2
    assert "只读" in capsys.readouterr().err
    (rules / "..data").symlink_to("nowhere")
    assert main(["rules", "rollback", old, "--yes"]) == 2
    told = capsys.readouterr().err
    assert "ConfigMap" in told and "wenxun rules history HASH --to DIR" in told


def test_a_full_disk_changes_nothing(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_dir(rules).texts
    count = [0]

    def full(handle: int) -> None:
        count[0] += 1
        if count[0] > 2:
            raise OSError(28, "No space left on device", "levels.yml")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RuleWriteError, match="写不进去"):
        replace_rules(rules, {name: text + "# 尾\n" for name, text in before.items()})
    assert read_dir(rules).texts == before and not list(rules.rglob(".*.yml.*"))


@pytest.mark.parametrize("name", ["/etc/x.yml", "../x.yml", "a/b/c.yml", "secrets/x.yml", "schema/x.yml"])
def test_a_snapshot_writes_nowhere_else(rules: Path, tmp_path: Path, name: str) -> None:
    for write in (lambda: replace_rules(rules, {name: "x"}), lambda: export({name: "x"}, tmp_path / "out")):
        with pytest.raises(RuleWriteError, match="不是规则文件"):
            write()
