"""`up`, `run` and what surrounds the roles: messages for operators, probes, and the check of commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from agents import cli, health, runtime
from agents.metrics import Metrics
from agents.ticker import STUCK_SECONDS, CommitCheck
from pipeline.errors import SettingsError


@pytest.mark.parametrize(("make", "what"), [(False, "does not exist"), (True, "holds no rule files")])
def test_up_without_rules_ends_with_2_and_names_init(
    tmp_path: Path, make: bool, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules"
    if make:
        rules.mkdir()
    assert cli.main(["up", "--rules", str(rules), "--data", str(tmp_path / "data")]) == 2
    said = capsys.readouterr().err
    assert f"rule directory {rules} {what}" in said and f"wenxun init {rules}" in said
    assert not (tmp_path / "data").exists(), "nothing is made before the rules are there"


def test_run_names_an_unknown_role(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--roles", "score,scroe"]) == 2
    assert "unknown scroe; expected `all` or some of" in capsys.readouterr().err


def test_run_without_a_broker_ends_with_1_so_that_its_supervisor_tries_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("WENXUN_METRICS_BIND", "127.0.0.1:0")
    assert cli.main(["run", "--roles", "deliver"]) == 1
    assert "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1: no broker answers" in capsys.readouterr().err


def test_roles_come_in_starting_order_whatever_order_they_are_given_in() -> None:
    assert runtime.parse_roles("collect, score,desk") == ("desk", "score", "collect")
    assert set(runtime.parse_roles("all")) == {*runtime.PLAIN, *runtime.FAUST}
    with pytest.raises(SettingsError, match="none given"):
        runtime.parse_roles(" , ")


@pytest.fixture
async def probes() -> AsyncIterator[tuple[httpx.AsyncClient, health.Health]]:
    state = health.Health()
    async with health.serving(("127.0.0.1", 0), Metrics(), state) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client, state


async def test_ready_says_what_is_missing_until_nothing_is(
    probes: tuple[httpx.AsyncClient, health.Health]
) -> None:
    client, state = probes
    missing = "tables are being recovered"
    state.checks = {"track": lambda: missing, "rule book": lambda: ""}
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "track: tables are being recovered\n")
    missing = ""
    assert (await client.get("/readyz")).status_code == 200
    assert (await client.get("/livez")).status_code == 200


async def test_metrics_are_served_with_the_version_and_nothing_else_is(
    probes: tuple[httpx.AsyncClient, health.Health]
) -> None:
    client, _ = probes
    scraped = (await client.get("/metrics")).text
    assert 'wenxun_build_info{version="' in scraped and "wenxun_uncommitted_records" in scraped
    assert (await client.get("/table")).status_code == 404


async def test_a_taken_address_is_named(probes: tuple[httpx.AsyncClient, health.Health]) -> None:
    port = probes[0].base_url.port or 0
    with pytest.raises(SettingsError, match=f"WENXUN_METRICS_BIND=127.0.0.1:{port}: another program listens"):
        async with health.serving(("127.0.0.1", port), Metrics(), health.Health()):
            pass


# ---------------------------------------------------------------- the check of commits


def test_what_was_done_a_minute_ago_and_is_not_committed_is_counted() -> None:
    check = CommitCheck()
    assert check.note(0, 0, done=3000, committed=100) == 0
    assert check.note(0, STUCK_SECONDS - 1, done=3500, committed=100) == 0
    assert check.note(0, STUCK_SECONDS, done=3600, committed=100) == 2900


def test_commits_that_follow_are_no_trouble_however_long_it_runs() -> None:
    check = CommitCheck()
    assert [check.note(0, second, done=100 * second, committed=100 * (second - 5)) for second in range(0, 300, 5)
            ] == [0] * 60


def test_one_record_that_is_never_committed_is_found() -> None:
    check = CommitCheck()
    late = [check.note(0, second, done=10, committed=9) for second in range(0, 80, 5)]
    assert late[0] == 0 and late[-1] == 1


def test_partitions_that_left_are_forgotten() -> None:
    check = CommitCheck()
    check.note(0, 0, done=3000, committed=0)
    check.keep({1})
    assert check.note(0, STUCK_SECONDS + 1, done=3000, committed=0) == 0
