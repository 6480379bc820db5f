"""One stack for all tests of this folder (`make stack-test`): started once, ended surely.

`stack`: every process is ready, the demo's day is being told. `told`: the same, once an alert of it reached a phone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import installation
from tests.stack.installation import Installation


@pytest.fixture(scope="session")
def stack() -> Iterator[Installation]:
    installation.require_programs()
    made = installation.started()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def told(stack: Installation) -> Installation:
    """The day has led to a page that was delivered."""
    stack.until(lambda: any(each["level"] == "重大" for each in stack.messages()), "a page of the highest level", 300)
    return stack
