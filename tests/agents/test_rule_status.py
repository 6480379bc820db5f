"""`wenxun rules promote|retire|shadow`: one word of one file changes, after a look at what the rule did in shadow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from agents.cli import main
from agents.rule_edit import RuleEditError
from agents.rule_files import load_book, starter_dir
from agents.rule_status import with_status
from agents.store.engine import open_store, upgrade
from pipeline.rulebook.schema import Status
from tests.agents import store_fakes as fakes
from tests.agents.test_rule_reads import NOT, event_of, matched, page_of, verdict
from tests.builders import NOON

ZONE = "Asia/Shanghai"
RULE = """\
# 公交停运：  两个空格也留着
id: bus
title: '公交停运'   # 引号留着
owner: 值班室
reason: 投票日出行
expires: never      # 不过期

status: shadow   # 先看一周
terms:
- 停运
  # 末尾的注释
"""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(starter_dir(), tmp_path / "rules")
    (tmp_path / "rules" / "subjects" / "bus.yml").write_text(RULE, "utf-8")
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WENXUN_RULES_DIR", str(tmp_path / "rules"))
    monkeypatch.setenv("WENXUN_CLOCK", f"{NOON}/0/0.000000000001")
    return tmp_path / "rules"


def status(rules: Path, ident: str = "bus") -> Status:
    found = load_book(rules, ZONE).subject(ident)
    assert found is not None
    return found.status


def test_a_promoted_rule_is_live_and_nothing_else_of_its_file_changed(rules: Path) -> None:
    assert main(["rules", "promote", "bus", "--yes"]) == 0
    assert (rules / "subjects" / "bus.yml").read_text("utf-8") == RULE.replace("status: shadow", "status: live")
    assert main(["rules", "shadow", "bus", "--yes"]) == 0
    assert (rules / "subjects" / "bus.yml").read_text("utf-8") == RULE
    assert main(["rules", "retire", "bus", "--yes"]) == 0
    assert status(rules) is Status.RETIRED
    assert main(["rules", "shadow", "bus", "--rules", str(rules), "--yes"]) == 0 and status(rules) is Status.SHADOW


@pytest.mark.parametrize(("before", "after"), [
    ("id: a\nexpires: never # x\nterms: [b]\n", "id: a\nexpires: never # x\nstatus: retired\nterms: [b]\n"),
    ("id: a\r\nexpires: never\r\nterms: [b]", "id: a\r\nexpires: never\r\nstatus: retired\r\nterms: [b]"),
    ("terms: [b]\nexpires: never", "terms: [b]\nexpires: never\nstatus: retired\n"),
    ("{id: a, expires: never, terms: [b]}\n", "{id: a, expires: never, status: retired, terms: [b]}\n"),
    ("id: a\nreason: |\n  b\n  c\nterms: [b]\n", "id: a\nreason: |\n  b\n  c\nstatus: retired\nterms: [b]\n"),
    ('id: a\n"status": "live" # 好\n', 'id: a\n"status": retired # 好\n'),
    ("status: live", "status: retired"),
    ("  id: a\n  terms: [b]\n", "  id: a\n  status: retired\n  terms: [b]\n")])
def test_the_status_is_written_where_it_was_or_where_it_belongs(before: str, after: str) -> None:
    assert with_status(before, Status.RETIRED, "a.yml") == after


@pytest.mark.parametrize(("arguments", "said"), [
    (["promote", "buss"], "没有主题“buss”。是不是 bus？"),
    (["promote", "完全没有的"], "影子（shadow）的主题有：bus。"),
    (["promote", "safety"], "主题 safety 现在是正式（live），没有改动。影子（shadow）的主题有：bus。"),
    (["shadow", "bus"], "主题 bus 现在是影子（shadow），没有改动。")])
def test_what_cannot_be_promoted_is_refused_with_what_to_write(
    rules: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rules", *arguments, "--yes"]) == 2
    assert said in capsys.readouterr().err
    assert (rules / "subjects" / "bus.yml").read_text("utf-8") == RULE


@pytest.mark.parametrize("odd", ["status: [live]\n", "- status: live\n", "status: live: x\n", "owner: 值班室\nx: *a\n"])
def test_an_odd_spelling_is_left_to_people(odd: str) -> None:
    with pytest.raises(RuleEditError, match="a.yml"):
        with_status(odd, Status.LIVE, "a.yml")


def test_a_directory_with_problems_is_left_alone(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = rules / "subjects" / "bus.yml"
    (rules / "levels.yml").write_text("ladder: 3\n", "utf-8")
    assert main(["rules", "promote", "bus", "--yes"]) == 1
    assert "levels.yml:1" in capsys.readouterr().err and file.read_text("utf-8") == RULE


def test_a_mounted_directory_is_not_written_to(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "..data").symlink_to(rules)
    assert main(["rules", "promote", "bus", "--yes"]) == 2
    assert "ConfigMap" in capsys.readouterr().err and status(rules) is Status.SHADOW


def test_a_rule_of_the_shadow_directory_is_told_where_it_is(
    rules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(rules, rules.parent / "next")
    (rules / "subjects" / "bus.yml").unlink()
    monkeypatch.setenv("WENXUN_SHADOW_RULES_DIR", str(rules.parent / "next"))
    assert main(["rules", "promote", "bus", "--yes"]) == 2
    assert str(rules.parent / "next" / "subjects" / "bus.yml") in capsys.readouterr().err


def test_the_figures_are_shown_and_nothing_changes_without_a_yes(
    rules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"sqlite:///{rules.parent / 'data' / 'wenxun.db'}"
    os.makedirs(rules.parent / "data")
    upgrade(url)
    engine = open_store(url)
    live, twin, more = (event_of(name, number, *items) for name, number, items in (
        ("polling", 7, "abcd"), ("~bus", 1, "abc"), ("~bus", 2, "xyz")))
    fakes.put(engine, matched("~bus", 48, 30, 1), live, twin, more, page_of(live), page_of(twin), page_of(more),
              *(verdict(f"v{n}", "~bus", NOT, f"e{n}") for n in range(3)))
    engine.dispose()
    answers: list[Any] = ["n", EOFError(), "y"]

    def answer(prompt: str) -> str:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return str(found)

    monkeypatch.setattr("builtins.input", answer)
    assert [main(["rules", "promote", "bus"]) for _ in range(2)] == [1, 1] and status(rules) is Status.SHADOW
    said = capsys.readouterr().out
    for each in ("影子里运行的最近 2.0 天", "匹配 3 条（24 小时 1 条）", "1 个正式规则也有，1 个只有它有",
                 "首次通知 每天 1.0 次", "S-0001 ", "与 E-0007 有 3 条相同（100%）", "S-0002",
                 "人工评价 3 次，还不足以", "没有改动"):
        assert each in said, each
    assert main(["rules", "promote", "bus"]) == 0 and status(rules) is Status.LIVE
