"""`wenxun rules test`, its formats and --watch; what lint reads from the archive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert

from agents.cli import main
from agents.commands import rule_test
from agents.commands.rule_store import lint_history, open_archive
from agents.settings import Settings
from agents.store import schema
from pipeline.model import RawItem, ScoredBatch, Verdict, VerdictKind
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import DAY, RuleBook
from tests.agents.store_fakes import new_store, put
from tests.builders import NOON, raw_batch, raw_item, scored_item
from tests.rules.test_parse import GOOD, ZONE

ROOT = Path(__file__).parent.parent.parent
CASE = "cases:\n  - name: 投票站的事\n    items:\n      - {source: 甲, title: 投票站搬了, subjects: [polling]}\n"
WRONG = CASE.replace("投票站搬了", "今天天气好")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return write(tmp_path / "rules", {**GOOD, "tests/a.test.yml": CASE})


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


# ---------------------------------------------------------------- test


def test_cases_pass_or_fail_by_exit_code(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "test", str(rules)]) == 0
    assert "✓ 投票站的事\n1 个用例全部通过" in capsys.readouterr().out
    write(rules, {"tests/a.test.yml": WRONG})
    assert main(["rules", "test", str(rules)]) == 1
    out = capsys.readouterr().out
    assert "✗ 投票站的事" in out and "1 个用例，1 个没有通过" in out


def test_rules_without_a_case_are_named(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(rules, {"subjects/b.yml": GOOD["subjects/polling.yml"].replace("id: polling", "id: other")})
    main(["rules", "test", str(rules)])
    assert "还没有用例的主题：other" in capsys.readouterr().out


def test_without_cases_it_says_how_to_write_some(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "tests" / "a.test.yml").unlink()
    assert main(["rules", "test", str(rules)]) == 0
    assert "tests/ 里还没有用例" in capsys.readouterr().out


def test_files_that_cannot_be_used_fail(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(rules, {"subjects/polling.yml": "id: polling\n"})
    assert main(["rules", "test", str(rules)]) == 1
    assert "缺少字段 title" in capsys.readouterr().err


def test_machines_get_json(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(rules, {"tests/a.test.yml": WRONG})
    assert main(["rules", "test", str(rules), "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    failure = told["cases"][0]["failures"][0]
    assert (told["ok"], failure["file"], failure["line"]) == (False, "tests/a.test.yml", 4)
    write(rules, {"tests/a.test.yml": "cases: 3\n"})
    assert main(["rules", "test", str(rules), "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"][0]["file"] == "tests/a.test.yml"


def test_a_workflow_gets_annotations_by_file_and_line(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(rules, {"tests/a.test.yml": WRONG})
    assert main(["rules", "test", str(rules), "--format", "github"]) == 1
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"::error file={rules.as_posix()}/tests/a.test.yml,line=4,col=")
    assert "title=规则用例没有通过::" in line and "\n" not in line


def until(done: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.05)
    return False


def test_watch_runs_again_at_each_save_and_ends_cleanly(rules: Path, tmp_path: Path) -> None:
    log, errors = tmp_path / "out.txt", tmp_path / "err.txt"
    with log.open("wb") as out, errors.open("wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-m", "agents.cli", "rules", "test", str(rules), "--watch"], cwd=ROOT, stdout=out,
            stderr=err, env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))      # a shell's background job ignores it
    try:
        assert until(lambda: "1 个用例全部通过" in log.read_text("utf-8"))
        write(rules, {"tests/a.test.yml": WRONG})
        assert until(lambda: "1 个没有通过" in log.read_text("utf-8"))
        write(rules, {"tests/a.test.yml": "cases: 3\n"})
        assert until(lambda: log.read_text("utf-8").count("正在等待") == 3), "a broken file does not end it"
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 1, "the code of the last run"
        assert "Traceback" not in errors.read_text("utf-8")
    finally:
        child.kill()
        child.wait()


def test_watch_clears_the_screen_of_a_terminal_only(
    rules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    from agents.rule_files import read_dir

    assert rule_test._again(read_dir(rules), "text", rules) == 0
    assert capsys.readouterr().out.startswith("✓ 投票站的事")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert rule_test._again(read_dir(rules), "text", rules) == 0
    assert capsys.readouterr().out.startswith(f"{rule_test.CLEAR}✓ 投票站的事")


# ---------------------------------------------------------------- lint and the archive


def book(status: str = "live", **more: str) -> RuleBook:
    subject = GOOD["subjects/polling.yml"] + f"status: {status}\n"
    return parse_book({**GOOD, "subjects/polling.yml": subject, **more}, ZONE)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Forty days of items, of which ten match, five are judged and three of these are not relevant."""
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    store = new_store(tmp_path / "data")
    items = [raw_item(f"{number:020x}", title="投票站" if number < 10 else "天气", text="",
                      first_seen_at=NOON - number * DAY, published_at=NOON - number * DAY) for number in range(41)]
    put(store, *(raw_batch(item, polled_at=item.first_seen_at) for item in items))
    put(store, *(matched(item) for item in items[:10]))
    put(store, *(Verdict(id=f"v{number}", subject="polling", by="甲", at=NOON, item_id=f"{number:020x}",
                         kind=VerdictKind.NOT_RELEVANT if number < 3 else VerdictKind.RELEVANT) for number in range(5)))
    return Settings.from_env(os.environ)


def matched(item: RawItem, subject: str = "polling") -> ScoredBatch:
    one = scored_item(item.id, at=item.first_seen_at, title=item.title)
    return ScoredBatch(subject=subject, book="b" * 16, items=(one,))


def test_the_archive_says_how_often_a_rule_matched_and_what_people_said(archive: Settings) -> None:
    with open_archive(archive) as connection:
        found = lint_history(connection, book(), NOON)
    assert (found.items, found.days) == (31, 40)
    past = found.subjects["polling"]
    assert (past.matches, past.judged, past.false) == (10, 5, 3)


def test_since_when_a_rule_is_in_shadow_is_read_off_the_books(archive: Settings) -> None:
    from pipeline import codec

    series = [("live", 50), ("shadow", 40), ("live", 35), ("shadow", 20), ("shadow", 5)]
    from agents.store.engine import open_store
    store = open_store(archive.store_url)
    with store.begin() as connection:
        for number, (status, days) in enumerate(series):
            connection.execute(insert(schema.books).values(
                hash=f"{number:016x}", at=NOON - days * DAY, first_at=NOON - days * DAY,
                book=codec.encode(book(status)).decode()))
    store.dispose()
    with open_archive(archive) as connection:
        assert lint_history(connection, book("shadow"), NOON).subjects["polling"].shadow_days == 20
        assert lint_history(connection, book(), NOON).subjects["polling"].shadow_days == 0


def test_lint_finds_in_the_archive_what_the_files_do_not_say(
    archive: Settings, rules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("agents.commands.rule_lint.time.time", lambda: NOON / 1000)
    assert main(["rules", "lint", str(rules), "--ignore", "WX012"]) == 3
    out = capsys.readouterr().out
    assert "WX005 polling 匹配过多或误报过多：5 次判断里 3 次是误报" in out
    assert main(["rules", "lint", str(rules), "--ignore", "WX012", "--no-archive"]) == 0


@pytest.mark.sqlite                                     # an archive is a file
def test_lint_without_an_archive_says_what_it_did_not_look_for(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "none"))
    assert main(["rules", "lint", str(rules), "--ignore", "WX012"]) == 0
    assert "没有存档，没有查 WX004" in capsys.readouterr().err and not (tmp_path / "none").exists()
