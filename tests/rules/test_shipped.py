"""The rule directories that the project ships: they parse, their cases pass, editors' schemas are current and fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from agents.commands.rule_test import run_files
from agents.rule_files import load_book, read_dir
from pipeline.rulebook.json_schema import KINDS, schema_files
from pipeline.rulebook.parse import parse_book
from tests.rules.test_parse import BAD

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "rules"
SHIPPED = [RULES, ROOT / "deploy" / "demo" / "rules"]
FILES = [path for root in SHIPPED for path in sorted(root.rglob("*.yml"))]
SCHEMA_OF = {"drills": "drill", "subjects": "subject", "words": "words", "tests": "test"}
"""Folder -> schema of the files in it; a file at the top has the schema of its name."""


@pytest.mark.parametrize("root", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_directory_parses_and_its_cases_pass(root: Path) -> None:
    results, _ = run_files(read_dir(root))
    assert [str(failure) for result in results for failure in result.failures] == []


def test_the_starter_rules_have_cases_for_every_subject_and_every_level() -> None:
    book = load_book(RULES, "Asia/Shanghai")
    text = "\n".join(path.read_text("utf-8") for path in RULES.glob("tests/*.test.yml"))
    names = [each.id for each in book.subjects] + [each.name for each in book.levels.ladder]
    assert len(book.subjects) == 8 and not [name for name in names if name not in text]
    assert run_files(read_dir(RULES))[1] == ()


def test_the_starter_levels_are_those_that_were_agreed_and_say_that_nobody_measured_them() -> None:
    book = load_book(RULES, "Asia/Shanghai")
    hours = [(level.name, level.enter[0].items, level.enter[0].sources, level.enter[0].window // 3_600_000)
             for level in book.levels.ladder]
    assert hours == [("一般", 3, 2, 1), ("较大", 10, 4, 2), ("重大", 30, 8, 3)]
    assert {(level.leave_ratio, level.hold) for level in book.levels.ladder} == {(0.6, 1_800_000)}
    assert "未经实测" in (RULES / "levels.yml").read_text("utf-8")


def test_the_starter_routes_are_those_that_were_agreed() -> None:
    routes = {route.levels[0]: route for route in load_book(RULES, "Asia/Shanghai").routes}
    after = {name: [step.after // 60_000 for step in route.steps] for name, route in routes.items()}
    assert after == {"重大": [0, 5], "较大": [0, 15], "一般": [0]}
    assert routes["重大"].repeat == 600_000 and routes["一般"].mode == "digest" and routes["一般"].hours


def test_the_starter_clocks_are_those_of_the_plan() -> None:
    clocks = load_book(RULES, "Asia/Shanghai").levels.clocks
    assert [(each.name, each.within // 3_600_000, each.start_level) for each in clocks] == [
        ("首次权威回应", 5, "较大"), ("新闻发布", 24, "较大"), ("政务舆情回复", 48, "较大")]
    assert all([warning.at for warning in each.warnings] == [50, 80, 100] for each in clocks)


SOURCES = """
sources:
  - {id: bbs, name: 本地论坛, url: "https://bbs.example.org/rss", group: 本地论坛, region: 石桥镇}
"""
CHANNELS = """
channels:
  - {id: console, type: console}
  - {id: duty-robot, type: wecom-bot, url_file: secrets/duty-robot.url}
  - {id: duty-sms, type: http, url: "http://127.0.0.1:9/sms", body: "to={mobile}&text={text}"}
  - {id: office-mail, type: smtp, host: smtp.example.org, sender: wenxun@example.org}
"""


def test_the_examples_in_comments_of_roster_and_routes_can_be_used() -> None:
    files = dict(read_dir(RULES).texts)
    for name in ("roster.yml", "routes.yml"):
        files[name] = re.sub(r"^( *)# (?=- |[a-z_]+:|  )", r"\1", files[name], flags=re.MULTILINE)
    roster = files["roster.yml"].replace("channels: [console]", "channels: [console, duty-robot, duty-sms]").replace(
        "console, duty-robot, duty-sms]}", 'console, duty-robot, duty-sms], mobile: "13800000000"}')
    book = parse_book({**files, "roster.yml": roster, "sources.yml": SOURCES, "channels.yml": CHANNELS},
                      "Asia/Shanghai")
    assert [each.id for each in book.routes] == ["town", "major", "larger", "ordinary"]
    assert (len(book.quiet), book.budget) == (2, {"重大": 5, "较大": 20})
    assert book.roster.overrides and book.roster.people[-1].wecom and len(book.roster.teams[0].shifts) == 5


def test_no_secret_ships() -> None:
    assert not list(RULES.rglob("secrets"))


@pytest.mark.parametrize("name", sorted(schema_files()))
def test_a_schema_is_what_the_code_says_now(name: str) -> None:
    shipped = (RULES / "schema" / name).read_text("utf-8")
    assert shipped == schema_files()[name], "run: wenxun rules schema --write rules/schema"
    jsonschema.Draft7Validator.check_schema(json.loads(shipped))


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in (RULES / "schema").iterdir()} == set(schema_files())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_file_names_its_schema_and_fits_it(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = (path.parent / first.partition("=")[2]).resolve()
    assert schema == RULES / "schema" / f"{SCHEMA_OF.get(path.parent.name, path.stem)}.json"
    _validate(json.loads(schema.read_text("utf-8")), path.read_text("utf-8"))


@pytest.mark.parametrize("name", ["unknown-field", "word-instead-of-number", "mistyped-channel-type",
                                  "subject-without-terms", "length-without-a-unit", "no-fallback", "id-with-capitals"])
def test_what_the_parser_refuses_in_one_field_the_schema_refuses_too(name: str) -> None:
    fixture = next(path for path in BAD if path.stem == name)
    head, text = fixture.read_text("utf-8").split("\n----\n", 1)
    file = head.split("\n", 1)[0]
    kind = "subject" if file.startswith("subjects/") else file.removesuffix(".yml")
    with pytest.raises(jsonschema.ValidationError):
        _validate({**KINDS[kind].schema()}, text)


def _validate(schema: dict[str, object], text: str) -> None:
    class Loader(yaml.SafeLoader):
        """YAML 1.2, as editors read it: no dates, no sexagesimal times."""
    Loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in pairs if not tag.endswith("timestamp")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    jsonschema.Draft7Validator(schema).validate(yaml.load(text, Loader=Loader))
