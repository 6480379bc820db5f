"""Reading a rule directory, and what the commands make of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from agents.cli import main
from agents.rule_files import load_book, read_dir, starter_dir
from pipeline.errors import RuleBookError
from pipeline.rulebook.yaml_marks import MAX_BYTES

ZONE = "Asia/Shanghai"


@pytest.fixture
def rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What `wenxun init` writes."""
    assert main(["init", str(tmp_path / "rules")]) == 0
    capsys.readouterr()
    return tmp_path / "rules"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_init_writes_rules_that_are_right_at_once(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_book(rules, ZONE).hash == load_book(starter_dir(), ZONE).hash
    assert main(["rules", "check", str(rules)]) == 0
    assert capsys.readouterr().out.startswith("规则没有问题：0 个来源，8 个主题，3 个词表，3 个级别")
    assert main(["rules", "test", str(rules)]) == 0
    assert "44 个用例全部通过" in capsys.readouterr().out


def test_init_brings_the_readme_the_schemas_and_the_cases(rules: Path) -> None:
    assert (rules / "README.md").is_file() and (rules / "schema" / "levels.json").is_file()
    assert list(rules.glob("tests/*.test.yml"))


def test_an_installed_wheel_has_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agents" / "starter").mkdir(parents=True)
    monkeypatch.setattr("agents.__file__", str(tmp_path / "agents" / "__init__.py"))
    assert starter_dir() == tmp_path / "agents" / "starter"


def test_init_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path / "new")])
    out = capsys.readouterr().out
    assert "sources.yml" in out and f"wenxun up --rules {tmp_path / 'new'}" in out


def test_init_never_overwrites(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "sources.yml").write_text("mine", "utf-8")
    assert main(["init", str(rules)]) == 1
    assert "没有改动" in capsys.readouterr().err
    assert (rules / "sources.yml").read_text("utf-8") == "mine"


def test_init_fills_an_empty_folder_and_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("", "utf-8")
    assert main(["init", str(tmp_path / "empty")]) == 0
    assert main(["init", str(tmp_path / "file")]) == 1


def test_check_says_every_problem_and_how_many(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(rules / "levels.yml", "items: 10", "items: 十")
    edit(rules / "roster.yml", "fallback: leader ", "fallback: nobody ")
    assert main(["rules", "check", str(rules)]) == 1
    lines = capsys.readouterr().err.splitlines()
    place, problem = lines[0].split(" ", 1)
    number, column = map(int, place.removeprefix("levels.yml:").removesuffix(":").split(":"))
    assert (rules / "levels.yml").read_text("utf-8").splitlines()[number - 1][column - 1] == "十"
    assert problem == "ladder[1].enter.items: 应为正整数，现为“十”。 写成 items: 10"
    assert re.match("roster\\.yml:[0-9]+:11: fallback: 没有名为“nobody”的人员。", lines[1])
    assert lines[2] == "共 2 处要改。"


def test_check_reads_the_cases_too(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(rules / "tests" / "procedure-rumour.test.yml", "subjects: [procedure-rumour]",
         "subjects: [procedure-rumor]")
    assert main(["rules", "check", str(rules)]) == 1
    assert "没有名为“procedure-rumor”的主题。 是不是 procedure-rumour？" in capsys.readouterr().err


def test_a_changed_threshold_fails_a_case_and_says_where(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(rules / "levels.yml", "{items: 10, sources: 4, window: 2h}", "{items: 12, sources: 4, window: 2h}")
    assert main(["rules", "test", str(rules)]) == 1
    out = capsys.readouterr().out
    assert "✗ 两小时内十条、四家来源，升为较大" in out and "应为 较大，实为 一般" in out
    assert "44 个用例，1 个没有通过" in out
    assert re.search(r"tests/levels\.test\.yml:\d+:\d+: cases\[4\]\.levels\.polling-place: ", out)


def test_a_case_that_fails_shows_which_words_matched(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(rules / "subjects" / "safety.yml", "{text: 停电, weight: 0.9}", "{text: 断网, weight: 0.9}")
    assert main(["rules", "test", str(rules)]) == 0, "疏散 is still there"
    edit(rules / "subjects" / "safety.yml", "{text: 疏散, weight: 0.9}", "{text: 失联, weight: 0.9}")
    assert main(["rules", "test", str(rules)]) == 1
    out = capsys.readouterr().out
    assert "应为 [polling-place, safety]，实为 [polling-place]（polling-place 匹配了 投票、@venue" in out


def test_a_case_may_expect_sentiment_and_questions(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(rules / "tests" / "service-complaint.test.yml", "polarity: negative\n        question: false",
         "polarity: positive\n        question: true")
    assert main(["rules", "test", str(rules)]) == 1
    out = capsys.readouterr().out
    assert "polarity: 应为 positive，实为 negative（把握" in out and "question: 应为 true，实为 false。" in out


def test_rules_without_a_place_are_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["rules"])
    assert caught.value.code == 2


def test_a_missing_directory_names_init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "check", str(tmp_path / "none")]) == 1
    assert f"没有这个规则目录。 运行 wenxun init {tmp_path / 'none'}" in capsys.readouterr().err


def test_an_empty_directory_names_init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "check", str(tmp_path)]) == 1
    assert "目录里没有规则文件。 运行 wenxun init" in capsys.readouterr().err


def test_the_schema_command_writes_what_ships(tmp_path: Path) -> None:
    assert main(["rules", "schema", "--write", str(tmp_path / "schema")]) == 0
    shipped = starter_dir() / "schema"
    assert {path.name: path.read_text("utf-8") for path in (tmp_path / "schema").iterdir()} == {
        path.name: path.read_text("utf-8") for path in shipped.iterdir()}


def test_editors_leftovers_and_secrets_are_not_rules(rules: Path) -> None:
    before = read_dir(rules).digest
    for name in (".sources.yml.swp", "sources.yml~", ".#levels.yml", "#levels.yml#", ".hidden.yml", "4913", "a.txt"):
        (rules / name).write_text("not: [yaml", "utf-8")
    (rules / "secrets").mkdir()
    (rules / "secrets" / "x.yml").write_text("password: hunter2", "utf-8")
    assert read_dir(rules).digest == before


def test_linked_files_are_read_as_kubernetes_mounts_them(rules: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    (mounted / "..data").mkdir(parents=True)
    for path in rules.glob("*.yml"):
        (mounted / "..data" / path.name).write_bytes(path.read_bytes())
        os.symlink(Path("..data") / path.name, mounted / path.name)
    assert len(load_book(mounted, ZONE).levels.ladder) == 3


@pytest.mark.parametrize("folder", ["words", "linked"], ids=["a file", "a folder"])
@pytest.mark.parametrize("target", ["../keys", "secrets"], ids=["outside", "a secret"])
def test_a_link_to_what_is_no_rule_file_is_not_read(rules: Path, folder: str, target: str) -> None:
    """Who may write rules shall not see, in a message, what only the program may read."""
    (rules / target).mkdir()
    (rules / target / "key.yml").write_text("hunter2", "utf-8")
    if folder == "words":
        (rules / "words" / "key.yml").symlink_to(rules / target / "key.yml")
    else:
        (rules / folder).symlink_to(rules / target)
    with pytest.raises(RuleBookError) as caught:
        load_book(rules, ZONE)
    assert str(caught.value).startswith(f"{folder}/key.yml:1:1: 这个链接指到了规则目录之外")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", [b"x\n::error::y.yml", "规则.yml".encode("gbk"), b"\x1b[2J.yml"],
                         ids=["a second line", "not UTF-8", "an escape"])
def test_a_file_name_that_cannot_be_shown_is_a_problem_that_can(rules: Path, name: bytes) -> None:
    """A name with stray bytes could not be published, logged or kept."""
    (rules / "subjects" / "polling-place.yml").rename(os.fsdecode(os.fsencode(rules / "subjects") + b"/" + name))
    problem = read_dir(rules).problems[0]
    assert "文件名" in problem.message and str(problem).isprintable()
    with pytest.raises(RuleBookError):
        load_book(rules, ZONE)


@pytest.mark.parametrize("content, message", [
    (b"sources: \xff\xfe", "不是 UTF-8 编码。"), (b"#" * (MAX_BYTES + 1), "文件超过 1 MiB。"),
], ids=["not utf-8", "too big"])
def test_a_file_that_cannot_be_read_is_named(rules: Path, content: bytes, message: str) -> None:
    (rules / "sources.yml").write_bytes(content)
    with pytest.raises(RuleBookError) as caught:
        load_book(rules, ZONE)
    assert str(caught.value).startswith(f"sources.yml:1:1: {message}")


def test_a_byte_order_mark_is_no_problem(rules: Path) -> None:
    (rules / "sources.yml").write_bytes(b"\xef\xbb\xbf" + (rules / "sources.yml").read_bytes())
    assert load_book(rules, ZONE).sources == ()
