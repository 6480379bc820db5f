"""Starts that cannot be: said in words, and nothing is left running."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from deploy.stack import ours, ports
from tests.stack.installation import Installation, require_programs

pytestmark = pytest.mark.stack


@pytest.fixture
def other() -> Iterator[Installation]:
    require_programs()
    made = Installation()
    try:
        yield made
    finally:
        made.close()


def test_a_port_that_is_taken_ends_the_start_before_anything_runs(other: Installation) -> None:
    with ports.held() as holder:
        first = holder.row(len(list(ports.every(ports.usual()))))
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", ports.counted_from(first)["prometheus"]))
        server.listen()
        said = other.run("start", "--ports-from", str(first), code=2)
    assert "有端口被占用" in said and "（prometheus）被" in said and "--ports-from" in said
    assert ours.processes(other.folder) == []


def test_rules_that_hold_nothing_end_the_start_before_anything_runs(other: Installation) -> None:
    assert "没有规则文件" in other.run("start", "--free-ports", "--rules", str(other.base), code=2)
    assert ours.processes(other.folder) == []
