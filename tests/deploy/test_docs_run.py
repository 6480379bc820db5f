"""Commands of the pages, typed into an installation of their own: what needs no server is run for real."""

from __future__ import annotations

import gc
import io
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update

from agents import cli, link_key
from agents.clock import Clock
from agents.desk import drill_commands
from agents.desk.commands import Order
from agents.rule_files import load_book, starter_dir
from agents.settings import Settings
from agents.store import schema
from agents.store.projection import Entry, project
from pipeline.rulebook.drills import read_drill
from tests.agents import store_fakes as fakes
from tests.agents.acting_kit import _acts
from tests.deploy import doc_kit
from tests.deploy.doc_kit import Page
from tests.desk import seed

ELSEWHERE = {
    ("demo",): "tests/agents/test_demo_story.py",
    ("up",): "tests/agents/test_serve.py",
    ("run",): "tests/agents/test_serve.py",
    ("topics",): "tests/kafka/test_topics.py",
    ("sources", "add"): "tests/agents/test_sources_command.py",
    ("sources", "check"): "tests/agents/test_sources_command.py",
    ("sources", "import"): "tests/agents/test_sources_command.py",
    ("notify", "test"): "tests/agents/test_notify_command.py",
    ("drill", "run"): "tests/agents/test_drill_command.py",
    ("dlq", "replay"): "tests/agents/test_store_commands.py",
    ("db", "rebuild"): "tests/agents/test_db_rebuild.py",
    ("deliveries", "show"): "tests/agents/test_deliveries_command.py",
    ("rules", "rollback"): "tests/agents/test_rule_history.py",
    ("rules", "confirm"): "tests/agents/test_rule_workers.py",
    ("rules", "workers"): "tests/agents/test_rule_workers.py",
    ("rules", "test", "rules", "--watch"): "tests/agents/test_rule_commands.py",
    ("rules", "backtest"): "tests/agents/test_backtest_command.py",
    ("rules", "import"): "tests/rules/test_trendradar.py",
    ("rules", "diff"): "tests/rules/test_diff.py",
}
"""What asks a broker, a site or a chat service, waits for people or starts processes, and the tests that run it."""
STATUS = {("drill", "score"): 1, ("rules", "lint"): 3}
"""Not 0: of the drill here no target is met, and of the starter rules nobody is the owner yet."""
PEOPLE = {"局长": "admin", "li": "duty", "monitor": "reporter", "hotline": "reporter"}
FILLED = {("", "EVENT"): "E-0317", ("dlq", "ID"): "x1"}
"""What stands for a reader's own, by the command it is for."""
PLACEHOLDER = re.compile(r"[A-Z]{2,}|…|版本|编号|账号")


def told(of: Page) -> list[list[str]]:
    """What a page tells to type, and the mentions that could be typed as they stand, each once."""
    mentioned = [words for words in doc_kit.mentions(of)
                 if not PLACEHOLDER.search(" ".join(words)) and not doc_kit.refused(words)]
    once = {tuple(words): words for words in [*doc_kit.ours(of), *mentioned]}
    return list(once.values())


READ = {"README.zh-CN.md", "docs/architecture.md", "docs/decisions.md", "docs/performance.md", "CHANGELOG.md",
        *doc_kit.GENERATED}
"""Pages that explain and tell nobody to type anything, or tell the same as another."""
PAGES = [each for each in doc_kit.pages() if each.name not in READ and "/zh/" not in each.name and told(each)]


def elsewhere(words: list[str]) -> str:
    return next((file for start, file in ELSEWHERE.items() if tuple(words[:len(start)]) == start), "")


def rules_in(folder: Path) -> None:
    """The starter rules with the channel that docs/channels.md shows, which everybody of the roster has."""
    shutil.copytree(starter_dir(), folder)
    shown = next(block for block in doc_kit.page(doc_kit.ROOT / "docs/channels.md").blocks if "wecom-bot" in block)
    with (folder / "channels.yml").open("a", encoding="utf-8") as file:
        file.write("".join(f"  {line}\n" for line in shown.splitlines()))
    roster = folder / "roster.yml"
    roster.write_text(roster.read_text("utf-8").replace("channels: [console]", "channels: [console, wecom-duty]"))
    (folder / "secrets").mkdir()
    (folder / "secrets" / "wecom-duty.url").write_text("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=none")


def store_in(folder: Path, rules: Path) -> None:
    """A store with a county's morning under the starter rules, a drill and a silence, and the people of the pages."""
    folder.mkdir()
    engine = fakes.new_store(folder)
    seed.morning(engine)
    book = load_book(rules, "Asia/Shanghai")
    with engine.begin() as connection:
        connection.execute(delete(schema.books))
        connection.execute(insert(schema.accounts), [
            {"name": name, "role": role, "password": "x", "created_at": seed.NOW, "disabled": False}
            for name, role in PEOPLE.items()])
    seed.put_book(engine, book)
    project(engine, [Entry(fakes.dead("x1"), seed.NOW)])
    seed.put_silence(engine, seed.silence(id="3f2a90" + "0" * 10))
    script = rules / "drills" / "closing-time-rumour.yml"
    drill_commands.begin(engine, Order("", "局长", seed.NOW, seed.NOW),
                         read_drill(script.name, script.read_text("utf-8"), book))
    with engine.begin() as connection:
        connection.execute(update(schema.drills).values(run="3f2a90bc" + "0" * 8))
    engine.dispose()


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every page's installation is a copy of."""
    folder = tmp_path_factory.mktemp("pattern") / "installation"
    folder.mkdir()
    rules_in(folder / "rules")
    store_in(folder / "wenxun-data", folder / "rules")
    return folder


class Installation:
    """A folder with rules and a store, in which the commands of one page are typed."""

    def __init__(self, pattern: Path, folder: Path, of: Page, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.of, self._capsys = folder, of, capsys
        shutil.copytree(pattern, folder, dirs_exist_ok=True)
        words = told(of)
        if ["init", "my-rules"] not in [each[:2] for each in words]:
            shutil.copytree(pattern / "rules", folder / "my-rules")
        made = {each[2] for each in words if each[:2] == ["user", "add"]}
        with closing(sqlite3.connect(folder / "wenxun-data" / "wenxun.db")) as store, store:
            store.executemany("DELETE FROM accounts WHERE name = ?", [(name,) for name in made])

    def run(self, words: list[str]) -> tuple[int, str]:
        """Exit status, and what was printed to either stream."""
        filled = [FILLED.get((words[0], each), FILLED.get(("", each), each)) for each in words]
        placed = [each.replace("/etc/wenxun", str(self.folder / "etc")) for each in filled]
        if placed[:2] == ["db", "restore"]:
            gc.collect()                        # commands before this one, which would have been processes, let go
        status = cli.main([*placed, "--wait", "0"] if _acts(tuple(placed)) else placed)
        shown = self._capsys.readouterr()
        return status, (shown.out + shown.err).strip()


@pytest.fixture
def installation(request: pytest.FixtureRequest, pattern: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                 capsys: pytest.CaptureFixture[str]) -> Installation:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Clock, "parse", lambda text: Clock(seed.NOW, 0, 0.0))
    monkeypatch.setattr(cli, "parser", doc_kit.top)         # the same one; making it takes longer than most commands
    monkeypatch.setattr(sys, "stdin", io.StringIO("三号投票站从两点起没有电。\n"))
    return Installation(pattern, tmp_path, request.param, capsys)


@pytest.mark.parametrize("installation", PAGES, ids=lambda of: of.name, indirect=True)
def test_what_a_page_tells_to_type_works_as_it_stands(installation: Installation) -> None:
    wrong = []
    for words in told(installation.of):
        if not elsewhere(words):
            status, text = installation.run(words)
            if status != STATUS.get(tuple(words[:2]), 0):
                wrong.append(f"wenxun {shlex.join(words)}: {status}\n{text[-400:]}")
    assert not wrong, "\n".join(wrong)


def test_enough_is_run_and_what_is_not_is_run_by_a_test_of_its_own() -> None:
    every = [words for of in PAGES for words in told(of)]
    assert sum(not elsewhere(words) for words in every) >= 40
    for start, file in ELSEWHERE.items():
        assert any(tuple(words[:len(start)]) == start for words in every), start
        assert start[-1] in (doc_kit.ROOT / file).read_text("utf-8"), file


def test_the_line_that_makes_a_link_key_makes_one_that_is_accepted(tmp_path: Path) -> None:
    page = doc_kit.page(doc_kit.ROOT / "docs/operating.md")
    (line,) = [line for block in page.blocks for line in doc_kit.lines(block) if "token_urlsafe" in line]
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    key = tmp_path / "link.key"
    settings = Settings.from_env({"WENXUN_LINK_KEY_FILE": str(key)})
    assert link_key.load(settings) == key.read_bytes().strip()
