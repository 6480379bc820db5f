"""However a file is saved, the book is in force within a second, whole; a save that never ends stops nobody else."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents import rule_dir, rule_watch
from agents.rule_dir import Directories
from agents.rule_edit import alone
from agents.rule_files import MAX_FILES, Reader, load_book, starter_dir
from pipeline.rulebook.schema import RuleBook
from tests.agents.rule_kit import ZONE, first_level, until, value, watching
from tests.rule_books import many_files

SUBJECT = "subjects/polling-place.yml"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """What `wenxun init` writes, and a word list."""
    shutil.copytree(starter_dir(), tmp_path / "rules")
    (tmp_path / "rules" / "words").mkdir(exist_ok=True)
    (tmp_path / "rules" / "words" / "made.yml").write_text(
        "id: made\ntitle: 场所\nowner: 值班室\nwords: [礼堂, 操场]\n", "utf-8")
    return tmp_path / "rules"


def items(book: RuleBook) -> int:
    return book.levels.ladder[0].enter[0].items


def changed(text: str, count: int = 4) -> str:
    return first_level(text, count)


def plain(rules: Path) -> None:
    path = rules / "levels.yml"
    path.write_text(changed(path.read_text("utf-8")), "utf-8")


def editor_rename(rules: Path) -> None:
    """As vim: a backup, the new file beside it, a rename."""
    path = rules / "levels.yml"
    shutil.copy2(path, rules / "levels.yml~")
    (rules / "4913").write_text("")
    (rules / "4913").unlink()
    (rules / ".levels.yml.swp").write_text(changed(path.read_text("utf-8")), "utf-8")
    (rules / ".levels.yml.swp").rename(path)


def moved_away_first(rules: Path) -> None:
    """As an editor that renames the old file to a backup and writes a new one: for a moment there is none."""
    path = rules / "levels.yml"
    path.rename(rules / "levels.yml~")
    path.write_text(changed((rules / "levels.yml~").read_text("utf-8")), "utf-8")


def same_size_and_time(rules: Path) -> None:
    """A write that the times do not show."""
    path = rules / "levels.yml"
    before = path.stat()
    path.write_text(changed(path.read_text("utf-8")), "utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rsync(rules: Path) -> None:
    """As rsync: each file under a hidden name first, then renamed, with its old time."""
    for path in [rules / "levels.yml", *sorted((rules / "subjects").glob("*.yml"))]:
        part = path.with_name(f".{path.name}.Xy12Zq")
        text = path.read_text("utf-8")
        text = changed(text) if path.name == "levels.yml" else text.replace("expires: ", "expires:  ")
        part.write_text(text, "utf-8")
        os.utime(part, (1_700_000_000, 1_700_000_000))
        part.rename(path)


WAYS: dict[str, Callable[[Path], None]] = {
    "plain write": plain, "editor's rename": editor_rename, "moved away first": moved_away_first,
    "same size and time": same_size_and_time, "rsync": rsync}


@pytest.mark.parametrize("way", WAYS)
async def test_a_save_is_published(rules: Path, way: str) -> None:
    async with watching(rules) as (deps, bus):
        await until(lambda: bus.books)
        WAYS[way](rules)
        await until(lambda: len(bus.books) > 1)
        await asyncio.sleep(3 * rule_watch.POLL_SECONDS)
        assert [items(book) for book in bus.books] == [3, 4] and bus.notices == []
        assert bus.books[-1] == load_book(rules, ZONE)
        assert value(deps, "rules_reloads_total", outcome="published") == 2


async def test_a_checkout_of_many_files_is_one_change(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_dir, "SETTLE_SECONDS", 1.0)    # Git may have to wait for the processor between two files

    def git(*command: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], cwd=rules, check=True,
                       capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "two")
    plain(rules)
    for path in (rules / "subjects").glob("*.yml"):
        path.write_text(path.read_text("utf-8").replace("owner: ", "owner: 新"), "utf-8")
    git("commit", "-qam", "two")
    two = load_book(rules, ZONE)
    git("checkout", "-q", "main")
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        await asyncio.to_thread(git, "checkout", "-q", "two")
        await until(lambda: len(bus.books) > 1)
        await asyncio.sleep(3 * rule_watch.POLL_SECONDS)
        assert bus.books[1:] == [two] and bus.notices == []


@pytest.fixture
def mounted(rules: Path, tmp_path: Path) -> Path:
    """A ConfigMap's volume: every file, those in folders too, is a link through `..data`."""
    root = tmp_path / "mounted"
    shutil.copytree(rules, root / "..2026_11_22_one")
    (root / "..data").symlink_to("..2026_11_22_one")
    for path in sorted((root / "..data").iterdir()):
        (root / path.name).symlink_to(Path("..data") / path.name)
    return root


async def test_a_swapped_configmap_changes_files_folders_and_words_at_once(rules: Path, mounted: Path) -> None:
    new = mounted / "..2026_11_22_two"
    plain(rules)
    (rules / "words" / "made.yml").write_text("id: made\ntitle: 场所\nowner: 值班室\nwords: [体育馆]\n", "utf-8")
    subject = rules / SUBJECT
    subject.write_text(subject.read_text("utf-8").replace("title: ", "title: 新", 1), "utf-8")
    async with watching(mounted) as (_, bus):
        await until(lambda: bus.books)
        shutil.copytree(rules, new)
        (mounted / "..data_tmp").symlink_to(new.name)
        (mounted / "..data_tmp").rename(mounted / "..data")
        shutil.rmtree(mounted / "..2026_11_22_one")
        await until(lambda: len(bus.books) > 1)
        assert bus.books[1:] == [load_book(rules, ZONE)] and bus.notices == []
        assert bus.books[1].subject("polling-place").title.startswith("新")  # type: ignore[union-attr]
        assert [each.words for each in bus.books[1].lists if each.id == "made"] == [("体育馆",)]


def swapped(mounted: Path, rules: Path, name: str) -> None:
    """The volume shows these files from now on, all at once."""
    shutil.copytree(rules, mounted / name)
    (mounted / "..data_tmp").symlink_to(name)
    (mounted / "..data_tmp").rename(mounted / "..data")


async def test_a_configmap_with_a_bad_file_leaves_the_last_good_book_in_force_and_says_so_until_the_next_one(
    rules: Path, mounted: Path,
) -> None:
    levels = rules / "levels.yml"
    good = levels.read_text("utf-8")
    async with watching(mounted) as (deps, bus):
        await until(lambda: bus.books)
        levels.write_text(good.replace("ladder:", "ladderr:", 1), "utf-8")
        swapped(mounted, rules, "..2026_11_22_two")
        await until(lambda: bus.notices)
        assert "levels.yml" in bus.notices[0].text and value(deps, "rules_last_reload_successful") == 0
        levels.write_text(good.replace("三级响应", "三级处置", 1), "utf-8")
        swapped(mounted, rules, "..2026_11_22_three")
        await until(lambda: len(bus.books) > 1)
        assert bus.books[1:] == [load_book(rules, ZONE)], "the bad one was never in force"
        assert value(deps, "rules_last_reload_successful") == 1


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run it in a thread until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


@pytest.mark.parametrize("atomic", [False, True], ids=["in place", "renamed"])
async def test_a_hundred_saves_a_second_for_ever_are_published_in_time_and_whole(
    rules: Path, atomic: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_watch, "BAD_SECONDS", 5.0)     # the writer may lose the processor on an emptied file
    monkeypatch.setattr(rule_watch, "BAD_AT_MOST", 60.0)
    path, text = rules / "levels.yml", (rules / "levels.yml").read_text("utf-8")

    def saves(stop: threading.Event) -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            new = text.replace("三级响应", f"三级响应{number:05d}", 1)
            if atomic:
                (rules / ".new").write_text(new, "utf-8")
                (rules / ".new").rename(path)
            else:
                path.write_text(new, "utf-8")

    async with watching(rules) as (deps, bus):
        await until(lambda: bus.books)
        with meanwhile(saves):
            await until(lambda: len(bus.books) > 3)
            assert bus.notices == [] and value(deps, "rules_last_reload_successful") == 1
        last = load_book(rules, ZONE)
        await until(lambda: bus.books[-1] == last)
        first = bus.books[0]
        for book in bus.books[1:]:                      # each is the first but for what was saved
            rung = replace(book.levels.ladder[0], response="三级响应")
            ladder = (rung, *book.levels.ladder[1:])
            assert replace(book, hash=first.hash, levels=replace(book.levels, ladder=ladder)) == first


async def test_a_file_written_slowly_is_not_published_half_though_its_half_would_parse(rules: Path) -> None:
    """Many terms, one a line: every cut at a line's end is a rule file. Longer than a restless file is waited for."""
    path = rules / SUBJECT
    lines = [f"  - {{text: 词条{n:03}, weight: 0.6}}\n" for n in range(120)]
    head = "id: polling-place\ntitle: 投票站\nowner: 值班室\nreason: 测试\nexpires: never\nthreshold: 1\nterms:\n"
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        with path.open("w", encoding="utf-8") as file:
            file.write(head + lines[0])
            for line in lines[1:]:
                file.write(line)
                file.flush()
                await asyncio.sleep(0.01)
        await until(lambda: len(bus.books) > 1, 60)
        assert [len(book.subject("polling-place").terms) for book in bus.books[1:]] == [120]  # type: ignore[union-attr]
        assert bus.notices == []


async def test_files_that_change_once_each_are_waited_for(rules: Path) -> None:
    """A checkout that takes longer than a restless file is waited for: no book of half of it."""
    many_files(rules, 40, 2)
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        for path in sorted((rules / "subjects").glob("m*.yml")):
            path.write_text(path.read_text("utf-8").replace("owner: 值班室", "owner: 新科室"), "utf-8")
            await asyncio.sleep(0.02)
        await until(lambda: len(bus.books) > 1)
        assert bus.books[1:] == [load_book(rules, ZONE)]


async def test_files_of_a_command_that_holds_the_directory_are_waited_for(rules: Path) -> None:
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        with alone(rules):
            plain(rules)
            await asyncio.sleep(5 * rule_dir.SETTLE_SECONDS)
            assert len(bus.books) == 1
        await until(lambda: len(bus.books) == 2)


async def test_what_is_unfinished_for_a_moment_is_no_trouble(rules: Path) -> None:
    path, text = rules / "levels.yml", (rules / "levels.yml").read_text("utf-8")
    async with watching(rules) as (_, bus):
        await until(lambda: bus.books)
        path.write_text(changed(text)[:-40], "utf-8")   # stops in the middle for longer than a settled file rests
        await asyncio.sleep(2.5 * rule_dir.SETTLE_SECONDS)
        path.write_text(changed(text), "utf-8")
        await until(lambda: len(bus.books) == 2)
        assert bus.notices == []


async def test_a_look_at_what_is_known_reads_nothing_and_one_at_a_change_only_that(
    rules: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    reader = Reader(rules, monotonic=lambda: now[0])
    first, torn = reader.read()
    now[0] = 4.0
    assert not torn and reader.read()[0] is first       # read once more when its times can be trusted
    read: list[str] = []
    real = Path.open

    def noted(path: Path, *rest: object, **more: object) -> object:
        read.append(path.name)
        return real(path, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", noted)
    now[0] = 5.0
    assert reader.read()[0] is first and read == []
    plain(rules)
    read.clear()
    assert reader.read()[0].digest != first.digest and read == ["levels.yml"]
    now[0] = 60.0                                       # now and then all of it, for file systems that do not tell
    read.clear()
    reader.read()
    assert len(read) == len(first.texts)


def test_too_many_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "subjects").mkdir()
    for number in range(MAX_FILES + 1):
        os.close(os.open(tmp_path / "subjects" / f"s{number:05d}.yml", os.O_CREAT | os.O_WRONLY))
    files, _ = Reader(tmp_path).read()
    assert files.texts == {} and str(files.problems[0]) == (
        f"subjects/s{MAX_FILES:05d}.yml:1:1: 规则文件超过 {MAX_FILES} 个。 合并或删去一些")


async def test_a_directory_that_comes_later_is_read_when_it_is_there(rules: Path, tmp_path: Path) -> None:
    found = await Directories((tmp_path / "later",)).settled("")
    assert "没有这个规则目录" in str(found.files[0].problems[0])
    async with watching(tmp_path / "later") as (deps, bus):
        await until(lambda: bus.notices)
        rules.rename(tmp_path / "later")
        await until(lambda: bus.books)
        assert value(deps, "rules_last_reload_successful") == 1


