"""For all tests: with WENXUN_REQUIRE=all a skipped server test is a failed one. With WENXUN_FUZZ=random property tests
try other examples each time (a failure prints what reproduces it), else the same ones, so that a gate is a gate."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import servers, stores

UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}    # a busy machine is no counterexample
settings.register_profile("same", derandomize=True, print_blob=True, **UNTIMED)
settings.register_profile("random", print_blob=True, **UNTIMED)
settings.load_profile("random" if os.environ.get("WENXUN_FUZZ") == "random" else "same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", choices=("sqlite", "postgresql"), default="sqlite",
                     help="which database the tests' stores are in (make postgres)")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--store") == "postgresql":     # tests that leave a file of SQLite open leave these open
        config.addinivalue_line("filterwarnings", "ignore:.*Connection.*deleted while still open")


@pytest.fixture(scope="session", autouse=True)
def databases(request: pytest.FixtureRequest) -> Iterator[stores.Databases | None]:
    """With --store postgresql: a server, and all stores in it."""
    if request.config.getoption("--store") == "sqlite":
        yield None
        return
    with stores.databases() as found, found.swapped():
        yield found


@pytest.fixture(autouse=True)
def _tidy(
    request: pytest.FixtureRequest, databases: stores.Databases | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    if databases is None:
        yield
        return
    if request.node.get_closest_marker("sqlite"):
        monkeypatch.setattr(stores, "swapped", False)
    with databases.tidied():
        yield


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is about PostgreSQL itself is `make postgres`'s, not `make test`'s."""
    return collection_path.name == "postgres" and config.getoption("--store") == "sqlite" or None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    if report.skipped and servers.required() and any(item.get_closest_marker(name) for name in servers.MARKERS):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but WENXUN_REQUIRE=all: {report.longrepr}"


FIRST = (
    "tests/kafka/", "tests/faults/test_alerts", "tests/faults/test_heartbeat", "tests/faults/",
    "tests/agents/test_demo_day", "tests/desk/test_browser", "tests/agents/test_collector_",
    "tests/agents/test_deliver_embedded", "tests/agents/test_rule_workers", "tests/pipeline/test_replay",
    "tests/pipeline/test_track_factors", "tests/pipeline/test_collect_feed", "tests/desk/test_alert_pages")
"""Where the longest waits are: begun first, so that two workers end at about the same time."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `-n 2 --dist loadfile --no-loadscope-reorder`: a file is one worker's, and files are begun in this order.

    Not by groups: with pytest 9 xdist 3.8 sees none, so that each worker made what a file's tests share once more.
    """
    items.sort(key=lambda item: next((at for at, each in enumerate(FIRST) if item.nodeid.startswith(each)), len(FIRST)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line per suite: by what it needs, else by its folder."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            folder = (*report.nodeid.split("::")[0].split("/"), "project")[1]   # a worker's own error has no path
            suite = next((name for name in servers.MARKERS if name in getattr(report, "keywords", ())), folder)
            counts.setdefault("project" if suite.endswith(".py") else suite, Counter())[outcome] += 1
    for suite, found in sorted(counts.items()):
        failed = found["failed"] + found["error"]
        terminalreporter.write_line(
            f"suite {suite}: {found['passed']} passed, {failed} failed, {found['skipped']} skipped")
    if "not fault" in terminalreporter.config.option.markexpr:
        terminalreporter.write_line(
            "NOT RUN: what is marked `fault` (kills, stops, clock jumps, whole days of a user). `make fault` runs it",
            yellow=True, bold=True)
