"""What an installation is made of: locked with hashes, listed, under licences that somebody agreed to, and audited."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cyclonedx.model.bom import Bom

from deploy.supply import audit, licences, locked, sbom

HASH = "--hash=sha256:" + "a" * 64


@pytest.mark.parametrize("path", [locked.RUNTIME, locked.DEV], ids=lambda path: path.name)
def test_every_requirement_is_locked_to_files(path: Path) -> None:
    assert len(locked.read(path)) > 80
    assert locked.problems(path.read_text("utf-8")) == []


@pytest.mark.parametrize(("line", "said"), [
    ("six==1.17.0", "no hash: six==1.17.0"),
    (f"six>=1.17 {HASH}", "no exact version: six>=1.17"),
    (f"six==1.* {HASH}", "no exact version: six==1.*"),
    (f"six @ https://example.org/six.whl {HASH}", "an address, not a version: six @ https://example.org/six.whl"),
    ("--extra-index-url https://example.org/simple", "an option, not a requirement"),
    ("six==1.17.0 --hash=sha256:abc", "not understood"),
    ("six==1.17.0 --hash=md5:" + "a" * 32, "not understood"),
])
def test_a_line_that_locks_nothing_is_found(line: str, said: str) -> None:
    told = locked.problems(f"# made\n{line}\nidna==3.1 \\\n    {HASH}\n    # via httpx\n")
    assert told and told[0].startswith(said)


def test_the_development_lock_has_what_runs_in_the_same_versions() -> None:
    tools = {each.name: (each.version, each.hashes) for each in locked.read(locked.DEV)}
    runs = {each.name: (each.version, each.hashes) for each in locked.read(locked.RUNTIME)}
    assert {name: tools.get(name) for name in runs} == runs


def test_the_runtime_lock_is_the_closure_of_what_the_project_asks_for() -> None:
    needed = set(locked.edges(locked.direct(), locked.installed())) - {""}
    assert needed == {each.name for each in locked.read(locked.RUNTIME) if each.here}


def test_the_bill_lists_what_the_lock_installs_and_who_needs_whom() -> None:
    made = json.loads(sbom.document(sbom.bom()))
    lock = {each.name: each for each in locked.read(locked.RUNTIME) if each.here}
    assert {each["name"]: each["version"] for each in made["components"]} == {
        name: each.version for name, each in lock.items()}
    (aiokafka,) = [each for each in made["components"] if each["name"] == "aiokafka"]
    assert aiokafka["purl"] == f"pkg:pypi/aiokafka@{lock['aiokafka'].version}"
    assert aiokafka["licenses"][0]["license"]["id"] == "Apache-2.0"
    files = [each["content"] for each in aiokafka["externalReferences"][0]["hashes"]]
    assert sorted(files) == sorted(lock["aiokafka"].hashes)
    needs = {each["ref"].partition("==")[0]: {one.partition("==")[0] for one in each.get("dependsOn", [])}
             for each in made["dependencies"]}
    assert needs["wenxun"] == {each.name.lower().replace(".", "-") for each in locked.direct()}
    assert "psycopg-binary" in needs["psycopg"] and "babel" not in needs["mako"]


def test_the_bill_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    made = sbom.bom()
    text = sbom.document(made)
    assert text == sbom.document(sbom.bom()) and "timestamp" not in json.loads(text)["metadata"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert json.loads(sbom.document(made))["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"


def test_the_bill_is_one_by_cyclonedx_own_schema() -> None:
    """Of six components that say their licences in every way; `make sbom` holds the whole against it."""
    have = locked.installed()
    chosen = {"aiohttp", "jinja2", "psycopg", "regex", "tld", "venusian"}
    parts = [sbom.component(each, have[each.name]) for each in locked.read(locked.RUNTIME) if each.name in chosen]
    made = Bom(components=parts)
    made.metadata.component = sbom.product()
    made.register_dependency(made.metadata.component, parts)
    text = sbom.document(made)
    assert len(parts) == 6 and sbom.invalid(text) == ""
    assert sbom.invalid(text.replace('"Apache-2.0"', '"Apache-Two"', 1)) != ""


def test_the_list_of_licences_is_current() -> None:
    assert licences.PAGE.read_text("utf-8") == licences.page(), "run: python -m deploy.supply.licences"


def test_every_licence_is_one_that_somebody_agreed_to() -> None:
    have = locked.installed()
    assert licences.problems(locked.read(locked.DEV), have) == []
    read = {name for name in licences.READ if licences.of(name, have[name]).known}
    assert read == set(licences.READ)


@pytest.mark.parametrize(("expression", "may"), [
    ("MIT", True), ("Apache-2.0 AND MIT", True), ("LGPL-3.0-only", True), ("GPL-3.0-only", False), ("Ask us", False),
    ("MIT AND GPL-3.0-only", False), ("GPL-2.0-only OR MPL-1.1", True), ("AGPL-3.0-only", False),
])
def test_what_is_permitted(expression: str, may: bool) -> None:
    assert licences.permitted(expression) is may


class Made:
    """A distribution with the metadata that a test gives it."""

    def __init__(self, version: str = "1", **metadata: str) -> None:
        from email.message import Message
        self.version = version
        self.metadata = Message()
        for name, value in metadata.items():
            self.metadata[name.replace("_", "-")] = value


def test_a_licence_that_nobody_agreed_to_is_found() -> None:
    entry = [locked.Locked("bad", "1", "", (), True)]
    assert licences.problems(entry, {"bad": Made(License_Expression="GPL-3.0-only")}) == ["bad: GPL-3.0-only"]  # type: ignore[dict-item]
    assert licences.problems(entry, {"bad": Made(License="Ask us")}) == ["bad: Ask us"]  # type: ignore[dict-item]
    assert licences.problems(entry, {"bad": Made()}) == ["bad: says nothing"]  # type: ignore[dict-item]
    named = Made(Classifier="License :: OSI Approved :: MIT License")
    assert licences.problems(entry, {"bad": named}) == []  # type: ignore[dict-item]


def test_what_asks_for_more_than_a_notice_is_explained() -> None:
    text = licences.PAGE.read_text("utf-8")
    assert {"psycopg", "certifi", "tld"} <= set(re.findall(r"`([\w-]+)`", text))
    assert licences.reciprocal("MIT OR LGPL-3.0-only") == []
    assert licences.reciprocal("MIT AND LGPL-3.0-only") == ["LGPL-3.0-only"]


LOCK = f"six==1.17.0 {HASH}\nidna==3.1 {HASH}\n"
WEAK = {"name": "pyyaml", "version": "5.3.1", "vulns": [{"id": "CVE-2020-14343", "fix_versions": ["5.4"]}]}
CLEAN = [{"name": "six", "version": "1.17.0", "vulns": []}, {"name": "idna", "version": "3.1", "vulns": []}]
BAD = [CLEAN[0], {"name": "idna", "version": "3.1", "vulns": [{"id": "CVE-2024-3651", "fix_versions": ["3.7"]}]}]
SKIPPED = [CLEAN[0], {"name": "idna", "skip_reason": "not found"}]


def audited(tmp_path: Path, answers: dict[str, tuple[audit.Report | str, audit.Report | str]]) -> int:
    """What a service says of the canary, and of the lock."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(LOCK, "utf-8")

    def answer(service: str, requirements: Path, options: list[str]) -> audit.Report | str:
        if requirements == lock:
            assert "--require-hashes" in options
            return answers[service][1]
        assert requirements.read_text("utf-8").strip() == audit.CANARY
        return answers[service][0]

    return audit.audit(answer, lock)


DEAF: tuple[audit.Report | str, audit.Report | str] = ([{"name": "pyyaml", "skip_reason": "not found"}], [])
DOWN: tuple[audit.Report | str, audit.Report | str] = ("ConnectionError", "ConnectionError")


@pytest.mark.parametrize(("answers", "status", "said"), [
    ({"pypi": ([WEAK], CLEAN), "osv": DOWN}, 0, "2 distributions, 0 weaknesses"),
    ({"pypi": ([WEAK], BAD), "osv": DOWN}, 1, "idna 3.1: CVE-2024-3651, mended in 3.7"),
    ({"pypi": DEAF, "osv": DOWN}, 75, "NOT REACHED"),
    ({"pypi": DOWN, "osv": ([{**WEAK, "vulns": []}], CLEAN)}, 75, "does not know that pyyaml==5.3.1 is weak"),
    ({"pypi": DEAF, "osv": ([WEAK], BAD)}, 1, "osv: 2 distributions, 1 weaknesses"),
    ({"pypi": ([WEAK], SKIPPED), "osv": DOWN}, 75, "not audited: idna: not found"),
    ({"pypi": ([WEAK], CLEAN[:1]), "osv": DOWN}, 75, "not audited: idna: not in the report"),
    ({"pypi": ([WEAK], "ServiceError"), "osv": DOWN}, 75, "pypi: not reached: ServiceError"),
])
def test_an_audit_says_whether_anybody_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int,
                                                answers: dict[str, tuple[audit.Report | str, audit.Report | str]],
                                                said: str) -> None:
    assert audited(tmp_path, answers) == status
    assert said in capsys.readouterr().out


def test_pip_audit_is_asked_in_words_that_it_takes(tmp_path: Path) -> None:
    """Of nothing: that needs no service, and the report is one."""
    path = tmp_path / "none.txt"
    path.write_text("", "utf-8")
    assert audit.ask("pypi", path, ["--no-deps"]) == []
    path.write_text("six==1.17.0\n", "utf-8")
    refused = audit.ask("pypi", path, ["--require-hashes"])
    assert isinstance(refused, str) and "hash" in refused
