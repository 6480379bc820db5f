"""`wenxun intake add` and tokens for reports, as a user runs them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from agents import cli
from agents.desk.sender import unsent
from agents.rule_files import starter_dir
from agents.store.engine import open_store
from pipeline.model import RawBatch


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(starter_dir(), tmp_path / "rules")
    monkeypatch.setenv("WENXUN_RULES_DIR", str(tmp_path / "rules"))
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def waiting(data: Path) -> list[RawBatch]:
    store = open_store(f"sqlite:///{data / 'data' / 'wenxun.db'}")
    found = [each.command for each in unsent(store)]
    store.dispose()
    assert all(isinstance(each, RawBatch) for each in found)
    return [each for each in found if isinstance(each, RawBatch)]


@pytest.mark.sqlite                                     # looks into every file of the folder
def test_a_report_waits_for_the_stream_masked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["intake", "add", "--title", "三号投票站没有电", "--text", "来电人 13912345678 说从早上七点起停电。",
               "--ref", "2026-0317", "--at", "2026-11-22 03:12", "--urgent"]
    assert cli.main(command) == 0
    assert "已收下：三号投票站没有电（来源 intake，工单 2026-0317）" in capsys.readouterr().out
    (batch,) = waiting(data)
    item = batch.items[0]
    assert batch.source_id == "intake" and item.urgent and item.ref == "2026-0317"
    assert item.published_at == 1_795_288_320_000
    assert "13912345678" not in item.text and "停电" in item.text
    assert b"13912345678" not in b"".join(path.read_bytes() for path in (data / "data").iterdir())
    assert cli.main(command) == 0                                   # again
    assert "没有再收" in capsys.readouterr().out and len(waiting(data)) == 1


def test_text_comes_from_standard_input_and_the_answer_is_json(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("东街积水半米深。\n车过不去。"))
    assert cli.main(["intake", "add", "--text-file", "-", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["title"] == "东街积水半米深。" and told["repeated"] is False
    assert waiting(data)[0].items[0].text.endswith("车过不去。")


@pytest.mark.parametrize(("arguments", "word"), [
    ((), "标题和内容"), (("--title", "x", "--source", "nope"), "intake"),
    (("--title", "x", "--at", "昨天"), "2026-11-22"),
    (("--title", "x", "--url", "ftp://a"), "http"), (("--title", "字" * 201), "最多 200"),
    (("--text-file", "/nowhere"), "--text-file")])
def test_what_cannot_be_taken_is_said(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], word: str
) -> None:
    assert cli.main(["intake", "add", *arguments]) == 2
    assert word in capsys.readouterr().err


def test_a_token_for_reports_can_be_made(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "password").write_text("long enough a password 1\n")
    assert cli.main(["user", "add", "hotline", "--role", "reporter", "--password-file", str(data / "password")]) == 0
    assert cli.main(["token", "create", "--name", "12345", "--account", "hotline", "--scope", "intake"]) == 0
    assert cli.main(["token", "create", "--name", "too-much", "--account", "hotline", "--scope", "read"]) == 2
