"""For all tests: with WENXUN_REQUIRE=all a skipped server test is a failed one."""

from __future__ import annotations

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
