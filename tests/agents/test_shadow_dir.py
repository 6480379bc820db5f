"""`--shadow DIR`: a whole rule directory in shadow. Whatever is wrong with it, the live rules are in force."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from agents import cli
from agents.commands import serve
from agents.deps import Deps
from agents.rule_files import load_book, read_dir, starter_dir
from agents.rule_watch import Watch, made, watched
from agents.settings import Settings
from pipeline.errors import SettingsError
from pipeline.model import RulesState
from pipeline.rulebook.schema import RuleBook
from tests.agents.test_rule_watch import ZONE, FakeBus, deps_for, running, until


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    shutil.copytree(starter_dir(), tmp_path / "rules")
    shutil.copytree(starter_dir(), tmp_path / "next")
    return tmp_path / "rules"


def with_shadow(rules: Path) -> Deps:
    deps = deps_for(rules)
    return with_fields(deps, settings=with_fields(deps.settings, shadow_rules_dir=rules.parent / "next"))


def problems_of(bus: FakeBus) -> str:
    """As the desk is told them last."""
    states = [each for each in bus.sent if isinstance(each, RulesState)]
    return "\n".join(states[-1].problems) if states else ""


def retitle(folder: Path, title: str) -> None:
    path = folder / "levels.yml"
    path.write_text(path.read_text("utf-8").replace("response: 三级响应", f"response: {title}"), "utf-8")


async def test_a_shadow_directory_is_published_beside_the_live_book_and_followed(rules: Path) -> None:
    bus, deps = FakeBus(), with_shadow(rules)
    async with running(Watch(deps, bus).run()):  # type: ignore[arg-type]
        await until(lambda: bus.books)
        live = load_book(rules, ZONE)
        assert bus.books[0].hash == live.hash and bus.books[0].shadow == live
        retitle(rules.parent / "next", "另一种响应")
        await until(lambda: len(bus.books) == 2)
    shadow = bus.books[1].shadow
    assert shadow is not None and shadow.levels.ladder[0].response == "另一种响应"
    assert bus.books[1].hash == live.hash and bus.books[1].version == f"{live.hash}+{shadow.hash}"


async def test_a_broken_shadow_directory_says_so_and_stops_nothing(rules: Path) -> None:
    bus, deps = FakeBus(), with_shadow(rules)
    async with running(Watch(deps, bus).run()):  # type: ignore[arg-type]
        await until(lambda: bus.books)
        good = bus.books[0].shadow
        (rules.parent / "next" / "levels.yml").write_text("ladder: 3\n", "utf-8")
        await until(lambda: bus.notices)
        retitle(rules, "改过的响应")
        await until(lambda: len(bus.books) == 2)
        shutil.rmtree(rules.parent / "next")
        await until(lambda: "没有这个规则目录" in problems_of(bus))
    assert bus.books[1].levels.ladder[0].response == "改过的响应" and bus.books[1].shadow == good
    assert str(rules.parent / "next" / "levels.yml") + ":1:" in bus.notices[0].text
    assert "正式规则照常生效" in bus.notices[0].text and len(bus.notices) == 1
    assert deps.metrics.registry.get_sample_value("wenxun_rules_last_reload_successful") == 1


def test_a_shadow_directory_that_never_was_right_leaves_the_live_book_alone(rules: Path) -> None:
    settings = with_shadow(rules).settings
    (rules.parent / "next" / "levels.yml").unlink()
    book, problems = made([read_dir(each) for each in watched(settings)], settings)
    assert book == load_book(rules, ZONE) and problems and problems[0].file.startswith(str(rules.parent / "next"))


def test_the_option_is_the_setting_and_reaches_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WENXUN_SHADOW_RULES_DIR", raising=False)
    environ = serve._environ(Namespace(rules=None, data=None, shadow=Path("next")))
    assert Settings.from_env(environ).shadow_rules_dir == Path("next")
    assert Settings.from_env({}).shadow_rules_dir is None and watched(Settings.from_env({})) == (Path("rules"),)


async def test_a_shadow_directory_that_makes_the_book_too_large_is_left_out(rules: Path) -> None:
    class Narrow(FakeBus):
        async def send(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
            if isinstance(record, RuleBook) and record.shadow is not None:
                raise MessageSizeTooLargeError("too large")
            await super().send(topic, key, record, ident=ident, partition=partition)

    bus, deps = Narrow(), with_shadow(rules)
    async with running(Watch(deps, bus).run()):  # type: ignore[arg-type]
        await until(lambda: bus.books)
        await until(lambda: "影子规则没有运行" in problems_of(bus))
        retitle(rules, "改过的响应")
        await until(lambda: len(bus.books) == 2)
    assert [book.shadow for book in bus.books] == [None, None]
    assert bus.books[1].levels.ladder[0].response == "改过的响应"


def test_replay_tells_of_shadow_rules_only_when_asked(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "subjects" / "kites.yml").write_text(
        "id: kites\ntitle: 风筝节\nowner: 值班室\nreason: 试一条规则\nexpires: never\nstatus: shadow\n"
        "terms: [风筝节改期]\n", "utf-8")
    file = rules.parent / "items.jsonl"
    file.write_text("".join(json.dumps({
        "source": f"s{n}", "title": "风筝节改期到哪一天", "text": f"第{n}条", "at": f"2026-11-22T09:{n:02d}:00+08:00"},
        ensure_ascii=False) + "\n" for n in range(40)), "utf-8")
    said = []
    for more in ([], ["--shadow"], ["--json"], ["--shadow", "--json"]):
        assert cli.main(["replay", str(file), "--rules", str(rules), *more]) == 0
        said.append(capsys.readouterr().out)
    assert ["S-0" in each for each in said] == [False, True, False, False] and "（影子，不发送）" in said[1]
    assert ["~kites" in each for each in said] == [False, False, False, True]
    assert set(said[0].splitlines()[:-1]) < set(said[1].splitlines()) and "E-0" in said[0]


def test_the_live_directory_cannot_run_in_shadow_beside_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "rules")
    live = {"WENXUN_RULES_DIR": str(tmp_path / "rules")}
    with pytest.raises(SettingsError, match="WENXUN_SHADOW_RULES_DIR"):
        Settings.from_env({**live, "WENXUN_SHADOW_RULES_DIR": str(tmp_path / "link")})
    assert Settings.from_env({**live, "WENXUN_SHADOW_RULES_DIR": str(tmp_path / "next")}).shadow_rules_dir is not None
