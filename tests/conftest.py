"""For all tests: with WENXUN_REQUIRE=all a skipped server test is a failed one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from tests import servers


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    if report.skipped and servers.required() and any(item.get_closest_marker(name) for name in servers.MARKERS):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but WENXUN_REQUIRE=all: {report.longrepr}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line per suite: by what it needs, else by its folder."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            folder = report.nodeid.split("::")[0].split("/")[1]
            suite = next((name for name in servers.MARKERS if name in getattr(report, "keywords", ())), folder)
            counts.setdefault("project" if suite.endswith(".py") else suite, Counter())[outcome] += 1
    for suite, found in sorted(counts.items()):
        failed = found["failed"] + found["error"]
        terminalreporter.write_line(
            f"suite {suite}: {found['passed']} passed, {failed} failed, {found['skipped']} skipped")
