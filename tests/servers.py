"""What tests need beyond Python, and what happens when it is not there: a named skip, or with WENXUN_REQUIRE=all a
failure, so that a run that must test everything cannot pass by testing less."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

MARKERS = ("fault", "embedded", "kafka", "browser", "postgres", "promtool", "alertmanager", "stack")


def required() -> bool:
    return os.environ.get("WENXUN_REQUIRE") == "all"


def missing(marker: str, reason: str) -> NoReturn:
    """Skip (or fail) a test of this marker, saying what to install."""
    if required():
        pytest.fail(f"{marker}: {reason} (WENXUN_REQUIRE=all)", pytrace=False)
    pytest.skip(f"{marker}: {reason}")


def program(name: str, marker: str) -> str:
    """The path of a program, or a named skip."""
    return shutil.which(name) or missing(marker, f"{name} is not installed")
